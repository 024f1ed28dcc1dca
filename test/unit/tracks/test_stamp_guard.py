"""Header stamps are checked against the newest one before and the clock."""

from __future__ import annotations

from social_implicit_ros.tracks.stamp_guard import StampGuard
from social_implicit_ros.types import SkipReason

S = 1_000_000_000
NO_CLOCK = 0


def test_stamps_in_order_are_valid() -> None:
    guard = StampGuard(1.0)
    assert [guard.check(n * S // 10, NO_CLOCK) for n in range(1, 20)] == [None] * 19


def test_unset_stamp_is_refused_and_not_remembered() -> None:
    guard = StampGuard(1.0)
    assert guard.check(0, 5 * S) is SkipReason.NO_STAMP
    assert guard.newest_ns is None


def test_a_negative_stamp_is_refused() -> None:
    assert StampGuard(1.0).check(-5 * S, NO_CLOCK) is SkipReason.NO_STAMP


def test_a_stamp_whose_predictions_have_no_ros_stamp_is_refused() -> None:
    guard = StampGuard(1.0)
    assert guard.check((2**31 - 1) * S, NO_CLOCK) is SkipReason.FUTURE_STAMP
    assert guard.check(5 * S, NO_CLOCK) is None


def test_a_stamp_within_the_tolerance_is_valid_and_the_newest_is_kept() -> None:
    guard = StampGuard(1.0)
    guard.check(10 * S, NO_CLOCK)
    assert guard.check(9 * S, NO_CLOCK) is None
    assert guard.newest_ns == 10 * S


def test_one_or_two_old_messages_are_late_but_a_third_in_a_row_is_a_jump() -> None:
    guard = StampGuard(1.0)
    guard.check(100 * S, NO_CLOCK)
    late = SkipReason.OUT_OF_ORDER
    found = [(guard.check(s * S, NO_CLOCK), guard.has_jumped_back) for s in (1, 2, 3, 4)]
    assert found == [(late, False), (late, False), (None, True), (None, False)]


def test_a_second_tracker_that_lags_is_never_a_jump() -> None:
    guard = StampGuard(1.0)
    statuses = []
    for n in range(100, 110):
        guard.check(n * S, NO_CLOCK)
        statuses.append(guard.check((n - 5) * S, NO_CLOCK))
    assert set(statuses) == {SkipReason.OUT_OF_ORDER}


def test_future_is_refused_and_does_not_become_the_newest() -> None:
    guard = StampGuard(1.0)
    assert guard.check(10 * S, now_ns=10 * S) is None
    assert guard.check(12 * S, now_ns=10 * S) is SkipReason.FUTURE_STAMP
    assert guard.check(11 * S, now_ns=10 * S) is None
    assert guard.newest_ns == 11 * S


def test_without_a_running_clock_no_stamp_is_in_the_future() -> None:
    assert StampGuard(1.0).check(10 * S, NO_CLOCK) is None


def test_the_clock_jumped_back_only_if_the_newest_stamp_is_ahead_of_it() -> None:
    guard = StampGuard(1.0)
    assert not guard.clock_jumped_back(1 * S)
    guard.check(10 * S, NO_CLOCK)
    assert not guard.clock_jumped_back(round(9.5 * S))
    assert guard.clock_jumped_back(8 * S)


def test_messages_that_are_too_old_for_predictions_are_never_a_jump() -> None:
    guard = StampGuard(1.0)
    guard.check(100 * S, 100 * S)
    for _ in range(5):
        assert guard.check(80 * S, 100 * S, 90 * S) is SkipReason.OUT_OF_ORDER
        assert not guard.has_jumped_back
    # Late messages before count: a younger one is the third in a row.
    assert guard.check(95 * S, 100 * S, 90 * S) is None
    assert guard.has_jumped_back
