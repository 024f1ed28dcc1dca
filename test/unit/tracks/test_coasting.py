"""Missed tracks are predicted for as long as tracks of this tracker usually come back."""

from __future__ import annotations

from random import Random

import pytest

from social_implicit_ros.tracks.identities.coasting import Coasting

S = 1_000_000_000


class Tracker:
    """A tracker that always reports `a`, and others on request."""

    def __init__(self, period_s: float = 0.1, min_probability: float = 0.35) -> None:
        self.period_s, self.min_probability = period_s, min_probability
        self.coasting = Coasting()
        self.n = 0

    def report(self, *others: str, n_messages: int = 1) -> None:
        for _ in range(n_messages):
            self.n += 1
            self.coasting.observe(
                ("a", *others),
                round(self.n * self.period_s * S),
                period_ns=round(self.period_s * S),
                timeout_s=1.0,
                min_probability=self.min_probability,
            )

    def n_coasting(self, name: str) -> int:
        """Number of messages without a track until it has vanished."""
        for n in range(100):
            if name in self.coasting.vanished:
                return n - 1
            self.report()
        raise AssertionError(f"{name} is never vanished")


def test_without_known_gaps_a_track_coasts_for_some_periods() -> None:
    tracker = Tracker()
    tracker.report("b", n_messages=10)
    assert 2 <= tracker.n_coasting("b") <= 5


def test_if_tracks_never_come_back_they_coast_for_the_minimum_time() -> None:
    tracker = Tracker()
    for number in range(20):
        tracker.report(f"p{number}", n_messages=10)
    tracker.report(n_messages=30)
    tracker.report("b", n_messages=10)
    assert tracker.n_coasting("b") == 4  # 0.5 s, as an occluded person must not vanish at once


@pytest.mark.parametrize("n_missed", [1, 3, 6])
def test_if_tracks_come_back_they_coast_for_as_long_as_gaps_last(n_missed: int) -> None:
    tracker = Tracker()
    for _ in range(20):
        tracker.report("b", n_messages=5)
        tracker.report(n_messages=n_missed)
    tracker.report("b")
    assert n_missed <= tracker.n_coasting("b") <= n_missed + 4


def test_a_track_that_comes_back_is_no_longer_vanished() -> None:
    tracker = Tracker()
    tracker.report("b", n_messages=10)
    tracker.report(n_messages=9)
    assert tracker.coasting.vanished == {"b"}
    tracker.report("b")
    assert not tracker.coasting.vanished


def test_with_probability_0_nobody_is_vanished() -> None:
    tracker = Tracker(min_probability=0.0)
    tracker.report("b", n_messages=10)
    tracker.report(n_messages=30)
    assert not tracker.coasting.vanished


def test_separate_messages_per_person_make_nobody_missed() -> None:
    coasting = Coasting()
    names = [f"p{number}" for number in range(8)]
    for n in range(400):
        stamp_ns = round(n * 0.05 * S)
        coasting.observe(
            (names[n % 8],), stamp_ns, period_ns=S * 2 // 5, timeout_s=1.0, min_probability=0.35
        )
        assert not coasting.vanished


def test_separate_messages_may_have_the_same_stamp() -> None:
    """In any order; people who leave are missed as with other trackers."""
    coasting, draws = Coasting(), Random(0)
    names = [f"p{number}" for number in range(5)]
    for n in range(400):
        present = draws.sample(names, 5) if n < 390 else names[:4]
        for name in present:
            coasting.observe(
                (name,), n * S // 10, period_ns=S // 10, timeout_s=1.0, min_probability=0.35
            )
            assert n >= 390 or not coasting.vanished
    assert coasting.vanished == {"p4"}


def test_late_messages_show_that_a_person_is_present() -> None:
    """As of the slower one of two cameras on one topic."""
    tracker = Tracker()
    tracker.report("b", n_messages=10)
    for _ in range(20):
        tracker.report()
        late_ns = round((tracker.n - 0.5) * 0.1 * S)
        tracker.coasting.observe(
            ("b",), late_ns, period_ns=S // 10, timeout_s=1.0, min_probability=0.35
        )
        assert not tracker.coasting.vanished


def test_gaps_are_learnt_in_the_order_of_a_message() -> None:
    """The order of a set changes from process to process; results must be repeatable."""
    tracker = Tracker()
    names = [f"p{number}" for number in range(12)]
    tracker.report(*names, n_messages=5)
    for number in range(1, 12):
        tracker.report(*names[number:])
    tracker.report(*names)
    gaps_ns = list(tracker.coasting._gaps_ns)
    assert gaps_ns == sorted(gaps_ns, reverse=True) and len(set(gaps_ns)) > 5


def test_late_messages_do_not_change_gaps() -> None:
    tracker = Tracker()
    tracker.report("b", n_messages=10)
    late_ns = round(0.55 * S)
    tracker.coasting.observe(
        ("a",), late_ns, period_ns=S // 10, timeout_s=1.0, min_probability=0.99
    )
    assert not tracker.coasting.vanished


def test_ended_tracks_are_forgotten() -> None:
    tracker = Tracker()
    for number in range(100):
        tracker.report(f"p{number}")
    tracker.report(n_messages=21)
    assert len(tracker.coasting) == 1


def test_gaps_are_learned_from_separate_messages_with_equal_stamps() -> None:
    """Everybody but the first person of a stamp comes back in a later message."""
    coasting = Coasting()
    for n in range(100):
        for name in ("a", "b") if n % 10 < 7 else ("a",):
            coasting.observe(
                (name,), n * S // 10, period_ns=S // 10, timeout_s=1.0, min_probability=0.35
            )
    assert coasting.usual_gap_s == pytest.approx(0.3)
