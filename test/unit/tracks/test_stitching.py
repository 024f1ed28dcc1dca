"""A track that is cut continues under its old id; two people never share one."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from social_implicit_ros.settings import HistoryLimits
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities.stitching import TrackStitcher
from social_implicit_ros.types import Tracks

S = 1_000_000_000
WALK_M_S = np.array([1.2, 0.0])
BACK_M_S = -WALK_M_S


class Crowd:
    """A history behind a stitcher."""

    def __init__(self) -> None:
        self.history = TrackHistory(HistoryLimits(position_noise_m=0.0))
        self.counts: Counter[str] = Counter()
        self.stitcher = TrackStitcher(self.counts)
        self.messages: list[Tracks] = []

    def add(self, seconds: float, **positions_m: np.ndarray) -> None:
        stamp_ns = round(seconds * S)
        tracks = Tracks(stamp_ns, tuple(positions_m), np.array(list(positions_m.values())))
        entering = self.stitcher.rename(tracks, self.history)
        for entry in entering:
            assert len(set(entry.ids)) == len(entry.ids)
            assert not self.history.insert(entry)
        self.messages.extend(entering)
        self.history.window(stamp_ns)

    def walk(self, name: str, first: int, last: int, *, period_s: float = 0.1) -> None:
        for n in range(first, last):
            self.add(n * period_s, **{name: WALK_M_S * n * period_s})


@pytest.mark.parametrize("period_s", [0.05, 0.1, 0.4])
def test_a_cut_track_continues_under_its_old_id(period_s: float) -> None:
    crowd = Crowd()
    crowd.walk("old", 0, 10, period_s=period_s)
    crowd.walk("new", 10, 20, period_s=period_s)
    assert crowd.history.ids == ("old",)
    assert crowd.counts["stitched"] == 1
    window, _ = crowd.history.window(round(19 * period_s * S))
    expected = [WALK_M_S * (19 * period_s - 0.4 * k) for k in range(2, -1, -1)]
    np.testing.assert_allclose(window.positions_m[0, -3:], expected, atol=1e-9)


def test_a_gap_is_bridged_by_extrapolation() -> None:
    crowd = Crowd()
    crowd.walk("old", 0, 20)
    crowd.walk("new", 27, 30)
    assert crowd.history.ids == ("old",)


def test_a_track_that_is_cut_again_and_again_keeps_the_first_id() -> None:
    crowd = Crowd()
    for n, name in enumerate("abcde"):
        crowd.walk(name, 10 * n, 10 * n + 10)
    assert crowd.history.ids == ("a",)
    assert crowd.counts["stitched"] == 4


def test_a_track_that_was_forgotten_is_not_continued() -> None:
    crowd = Crowd()
    crowd.walk("old", 0, 20)
    crowd.walk("new", 32, 35)
    assert crowd.history.ids == ("new",)


def test_a_new_track_in_the_opposite_direction_is_not_stitched() -> None:
    crowd = Crowd()
    crowd.walk("leaves", 0, 10, period_s=0.4)
    for n in range(10, 15):
        crowd.add(0.4 * n, enters=WALK_M_S * 4.0 + BACK_M_S * 0.4 * (n - 10))
    assert crowd.history.ids[-1] == "enters"
    assert crowd.counts["stitched"] == 0
    began_ns = crowd.history.began_ns(("enters",))
    assert began_ns == round(4.0 * S)  # the observation that was held back is not lost


def test_two_people_who_are_both_reported_are_not_stitched() -> None:
    crowd = Crowd()
    for n in range(20):
        people = {"a": WALK_M_S * n / 10}
        if n >= 10:
            people["b"] = WALK_M_S * n / 10 + [0.0, 0.3]
        crowd.add(n / 10, **people)
    assert set(crowd.history.ids) == {"a", "b"}
    assert crowd.counts["stitched"] == 0


def test_if_the_old_id_returns_the_new_one_is_another_person() -> None:
    crowd = Crowd()
    crowd.walk("old", 0, 10)
    crowd.walk("new", 10, 15)
    for n in range(15, 18):
        crowd.add(n / 10, old=WALK_M_S * n / 10, new=WALK_M_S * n / 10 + [0.0, 0.4])
    assert set(crowd.history.ids) == {"old", "new"}


def test_two_cut_tracks_are_each_continued_by_the_right_one() -> None:
    crowd = Crowd()
    for n in range(20):
        near, far = WALK_M_S * n / 10, WALK_M_S * n / 10 + [0.0, 0.6]
        crowd.add(n / 10, **({"a": near, "b": far} if n < 10 else {"d": far, "c": near}))
    assert crowd.history.ids == ("a", "b")
    window, _ = crowd.history.window(round(1.9 * S))
    expected_m = np.array([[2.28, 0.0], [2.28, 0.6]])
    np.testing.assert_allclose(window.positions_m[:, -1], expected_m)


def test_separate_messages_per_person_make_nobody_missing() -> None:
    crowd = Crowd()
    for n in range(10):
        crowd.add(n / 10, a=WALK_M_S * n / 10)
        if n >= 5:
            crowd.add(n / 10 + 0.04, b=WALK_M_S * n / 10 + [0.0, 0.3])
    assert set(crowd.history.ids) == {"a", "b"}
    assert crowd.counts["stitched"] == 0


def test_tracks_of_another_tracker_are_not_continued() -> None:
    crowd = Crowd()
    crowd.walk("theirs", 0, 10)
    crowd.stitcher = TrackStitcher(crowd.counts)
    crowd.walk("ours", 10, 15)
    assert set(crowd.history.ids) == {"theirs", "ours"}


def test_the_first_message_of_a_new_track_that_arrives_twice_decides_nothing() -> None:
    crowd = Crowd()
    crowd.walk("old", 0, 10)
    crowd.walk("new", 10, 11)
    crowd.walk("new", 10, 11)
    assert crowd.counts["stitched"] == 0
    crowd.walk("new", 11, 15)
    assert crowd.history.ids == ("old",)
    assert crowd.counts["stitched"] == 1


def test_entries_without_an_id_continue_no_track() -> None:
    crowd = Crowd()
    crowd.walk("old", 0, 10)
    for n in range(10, 13):
        unnamed = Tracks(n * S // 10, ("",), WALK_M_S[None] * n / 10)
        assert crowd.stitcher.rename(unnamed, crowd.history) == [unnamed]
