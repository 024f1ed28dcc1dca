"""Swapped ids are corrected if motion is unambiguous; other ids are never changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from social_implicit_ros.settings import HistoryLimits
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities.untangling import SwapUntangler
from social_implicit_ros.types import FloatArray, Tracks

S = 1_000_000_000
#: Time at which two people are nearest to each other and their ids are swapped, seconds.
MEETING_S = 4.0
Paths = Callable[[float], list[list[float]]]


def crossing(time_s: float) -> list[list[float]]:
    walked_m = 1.2 * (time_s - MEETING_S)
    return [[walked_m, 0.0], [0.0, walked_m]]


def head_on(time_s: float) -> list[list[float]]:
    walked_m = 1.2 * (time_s - MEETING_S)
    return [[walked_m, 0.0], [-walked_m, 0.1]]


def side_by_side(time_s: float) -> list[list[float]]:
    walked_m = 1.2 * (time_s - MEETING_S)
    return [[walked_m, 0.0], [walked_m, 0.5]]


def meeting_to_talk(time_s: float) -> list[list[float]]:
    walked_m = 1.2 * min(time_s - MEETING_S, -0.2)
    return [[walked_m, 0.0], [-walked_m, 0.0]]


def close_together(time_s: float) -> list[list[float]]:
    return [[0.0, 0.0], [0.1, 0.0]]


class Watched:
    """A history behind an untangler, and the paths under each id."""

    def __init__(self) -> None:
        self.history = TrackHistory(HistoryLimits())
        self.counts: Counter[str] = Counter()
        self.untangler = SwapUntangler(self.counts)
        self.paths_m: dict[str, dict[int, FloatArray]] = {"a": {}, "b": {}}

    def add(self, seconds: float, names: tuple[str, ...], positions_m: FloatArray) -> None:
        tracks = Tracks(round((1.0 + seconds) * S), names, positions_m)
        for entry in self.untangler.rename(tracks, self.history, {}):
            assert not self.history.insert(entry)
            for agent_id, position_m in zip(entry.ids, entry.positions_m, strict=True):
                assert entry.stamp_ns not in self.paths_m[agent_id]
                self.paths_m[agent_id][entry.stamp_ns] = position_m

    def watch(self, paths: Paths, period_s: float, *, swaps: bool, missed: float = 0.0) -> int:
        """Number of observations."""
        generator = np.random.default_rng(1)
        n_seen = 0
        for n in range(int(8.0 / period_s)):
            is_swapped = swaps and n * period_s >= MEETING_S - 1e-6
            names = np.array(["b", "a"] if is_swapped else ["a", "b"])
            noise_m = generator.normal(0.0, 0.03, (2, 2))
            seen = generator.random(2) >= missed
            positions_m = np.array(paths(n * period_s)) + noise_m
            self.add(n * period_s, tuple(names[seen]), positions_m[seen])
            n_seen += int(seen.sum())
        return n_seen

    def end_m(self, agent_id: str) -> FloatArray:
        path_m = self.paths_m[agent_id]
        return path_m[max(path_m)]


@pytest.mark.parametrize("period_s", [0.05, 0.1, 0.4])
@pytest.mark.parametrize("paths", [crossing, head_on, side_by_side])
def test_swapped_people_keep_their_ids(paths: Paths, period_s: float) -> None:
    watched = Watched()
    watched.watch(paths, period_s, swaps=True)
    assert watched.counts["untangled"] == 1
    for agent_id, expected_m in zip("ab", paths(8.0 - period_s), strict=True):
        np.testing.assert_allclose(watched.end_m(agent_id), expected_m, atol=0.15)


@pytest.mark.parametrize("period_s", [0.05, 0.1, 0.4])
@pytest.mark.parametrize("paths", [crossing, head_on, side_by_side, meeting_to_talk])
def test_people_who_were_not_swapped_keep_their_ids(paths: Paths, period_s: float) -> None:
    watched = Watched()
    watched.watch(paths, period_s, swaps=False)
    assert watched.counts["untangled"] == 0


def test_ambiguous_motion_changes_no_ids() -> None:
    watched = Watched()
    watched.watch(close_together, 0.1, swaps=True)
    assert watched.counts["untangled"] == 0


def test_people_far_from_each_other_are_not_compared() -> None:
    watched = Watched()
    apart: Paths = lambda time_s: [[0.3 * time_s, 0.0], [0.3 * time_s, 0.9]]  # noqa: E731
    watched.watch(apart, 0.1, swaps=True)
    assert watched.counts["untangled"] == 0


def test_swapped_people_who_are_missed_at_times_keep_their_ids() -> None:
    watched = Watched()
    n_seen = watched.watch(head_on, 0.1, swaps=True, missed=0.2)
    assert watched.counts["untangled"] == 1
    assert sum(map(len, watched.paths_m.values())) == n_seen  # nothing is lost


def test_a_person_who_is_swapped_twice_has_the_right_id_again() -> None:
    watched = Watched()
    watched.watch(side_by_side, 0.1, swaps=True)
    for n in range(80, 100):
        watched.add(0.1 * n, ("a", "b"), np.array(side_by_side(0.1 * n)))
    assert watched.counts["untangled"] == 2
    np.testing.assert_allclose(watched.end_m("a"), side_by_side(9.9)[0], atol=0.15)


def test_a_message_without_people_while_two_are_close() -> None:
    watched = Watched()
    for n in range(20):
        watched.add(0.1 * n, ("a", "b"), np.array([[0.1 * n, 0.0], [0.1 * n, 0.4]]))
    watched.add(2.0, (), np.empty((0, 2)))
    watched.add(2.1, ("a", "b"), np.array([[2.1, 0.0], [2.1, 0.4]]))
