"""Period and latency of a tracker, and whether its stamps advance with time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from social_implicit_ros.tracks.tracker_timing import TrackerTiming

S = 1_000_000_000


@pytest.mark.parametrize(
    ("stamp_of", "rate_hz", "step_s"),
    [
        (lambda now_ns: now_ns - S // 5, 10, 0.1),
        (lambda now_ns: now_ns // S * S + now_ns % S // 1000, 10, 1e-4),  # nanosec in microseconds
        (lambda now_ns: now_ns // S * S + now_ns % S // 1000, 30, 67e-6),
    ],
)
def test_the_advance_of_stamps_is_compared_with_time(
    stamp_of: Callable[[int], int], rate_hz: int, step_s: float
) -> None:
    timing = TrackerTiming()
    assert timing.steps_s == (0.0, 0.0)
    for n in range(100):
        now_ns = 100 * S + n * S // rate_hz
        timing.add(stamp_of(now_ns), now_ns)
    stamp_step_s, arrival_step_s = timing.steps_s
    assert stamp_step_s == pytest.approx(step_s, rel=0.01)
    assert 0.05 <= arrival_step_s <= 0.11


def test_people_in_separate_messages_and_bursts_have_right_stamps() -> None:
    """Eight messages a millisecond apart, handled 5 ms apart; then a second of them at once."""
    timing = TrackerTiming()
    for n in range(60):
        for person in range(8):
            stamp_ns = 100 * S + n * S // 10 + person * S // 1000
            late_ns = 5 * person * S // 1000 if n < 40 else S - n % 10 * S // 10
            timing.add(stamp_ns, stamp_ns + late_ns)
    stamp_step_s, arrival_step_s = timing.steps_s
    assert stamp_step_s > 0.8 * arrival_step_s > 0.0


def test_equal_stamps_of_people_in_separate_messages_are_no_wrong_stamps() -> None:
    """Seven messages of one measurement arrive over 150 ms, longer than a burst."""
    timing = TrackerTiming()
    for n in range(60):
        for person in range(7):
            stamp_ns = 100 * S + n * S // 5
            timing.add(stamp_ns, stamp_ns + person * S // 40)
    assert timing.steps_s == (0.2, 0.2)
