"""Period, latency and lead of a tracker."""

from __future__ import annotations

import pytest

from social_implicit_ros.tracks.tracker_timing import TrackerTiming

S = 1_000_000_000


def test_tracks_need_a_timeout_of_two_periods_and_the_latency() -> None:
    """And a fifth of a period; latencies without a clock are unknown."""
    for latency_ns, latency_s in ((S // 20, 0.05), (None, 0.0)):
        timing = TrackerTiming()
        assert timing.needed_timeout_s == 0.0
        for n in range(20):
            stamp_ns = 100 * S + n * S // 10
            timing.add(stamp_ns, 0 if latency_ns is None else stamp_ns + latency_ns)
        assert timing.latency_s == pytest.approx(latency_s)
        assert timing.needed_timeout_s == pytest.approx(0.22 + latency_s)


def test_with_a_clock_in_steps_the_latency_is_that_of_the_first_message_after_a_step() -> None:
    """As with a simulated time that is published twice a second."""
    timing = TrackerTiming()
    for n in range(50):
        stamp_ns = 100 * S + n * S // 10
        timing.add(stamp_ns, stamp_ns // (S // 2) * (S // 2))
    assert timing.latency_s == 0.0
    assert timing.lead_ns == 0


@pytest.mark.parametrize(("ahead_s", "lead_s"), [(0.5, 0.5), (0.05, 0.0), (-0.3, 0.0)])
def test_the_lead_of_a_tracker_clock_is_the_largest_one(ahead_s: float, lead_s: float) -> None:
    """Arrivals vary by 80 ms; small leads are not corrected."""
    timing = TrackerTiming()
    for n in range(50):
        now_ns = 100 * S + n * S // 10 + n % 5 * S // 50
        timing.add(100 * S + n * S // 10 + round(ahead_s * S), now_ns)
    assert timing.lead_ns == pytest.approx(lead_s * S)
    for n in range(50, 70):  # the clock is corrected
        timing.add(100 * S + n * S // 10, 100 * S + n * S // 10)
    assert timing.lead_ns == 0
