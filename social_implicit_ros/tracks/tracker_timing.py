"""Period and latency of a tracker, measured from its messages."""

from __future__ import annotations

from collections import deque
from statistics import median_low

from social_implicit_ros.tracks.stamps import NS_PER_S

#: Number of recent messages for the medians.
_N_RECENT = 9
#: Number of periods until the period is known; a single one may be a pause.
_MIN_PERIODS = 2
#: Timeout in periods: a tracker may miss one message and be late by a fifth of its period.
PERIODS_KEPT = 2.2
#: Messages that arrive within this time are one burst, as after a pause of the network.
_BURST_NS = NS_PER_S // 20
#: Time between bursts from which on they are not jitter, in periods.
_BURST_PERIODS = 1.5
#: Smaller leads of a tracker's clock are not corrected, nanoseconds: with simulated time this
#: node's clock may be late.
_MIN_LEAD_NS = NS_PER_S // 10


class TrackerTiming:
    """Measures period, latency and clock lead of one tracker."""

    def __init__(self) -> None:
        self._periods_ns: deque[int] = deque(maxlen=_N_RECENT)
        self._pauses_ns: deque[int] = deque([0], maxlen=_N_RECENT)  # between bursts of messages
        self._latencies_ns: deque[int] = deque(maxlen=_N_RECENT)
        self._newest_ns: int | None = None
        self._now_ns = self._arrived_ns = 0
        self._lead_ns = 0
        #: Timeout that tracks need at this period and latency, seconds; 0 if unknown.
        self.needed_timeout_s = 0.0

    def add(self, stamp_ns: int, now_ns: int) -> None:
        """Adds the arrival of a message.

        Args:
            stamp_ns: stamp of its header, integer nanoseconds.
            now_ns: time of its arrival, integer nanoseconds; 0 if the clock does not run.
        """
        if now_ns != self._now_ns or not now_ns:
            # With a clock in steps, only the first message after a step has a valid latency.
            self._latencies_ns.append(now_ns - stamp_ns if now_ns else 0)
            self._follow_lead()
        self._now_ns = now_ns
        if now_ns >= self._arrived_ns + _BURST_NS:
            if self._arrived_ns:
                self._pauses_ns.append(now_ns - self._arrived_ns)
            self._arrived_ns = now_ns
        if self._newest_ns is not None and stamp_ns <= self._newest_ns:
            return
        if self._newest_ns is not None:
            self._periods_ns.append(stamp_ns - self._newest_ns)
        self._newest_ns = stamp_ns
        if len(self._periods_ns) >= _MIN_PERIODS:
            period_ns, pause_ns = map(median_low, (self._periods_ns, self._pauses_ns))
            # Two long periods in a row are not a pause, but a tracker that slows down under load.
            period_ns = max(period_ns, min(self._periods_ns[-1], self._periods_ns[-2]))
            if pause_ns > _BURST_PERIODS * period_ns:
                period_ns = pause_ns
            period_s = period_ns / NS_PER_S
            self.needed_timeout_s = PERIODS_KEPT * period_s + max(self.latency_s, 0.0)

    @property
    def lead_ns(self) -> int:
        """Time by which the tracker's clock is ahead, integer nanoseconds.

        Stamps are corrected by it, so that the newest messages are measured on arrival, not later.
        """
        return self._lead_ns if self._lead_ns > _MIN_LEAD_NS else 0

    def _follow_lead(self) -> None:
        """Updates the lead: the largest one, or a smaller one if no recent message is as early."""
        recent_ns = -min(self._latencies_ns)
        if not self._lead_ns - _MIN_LEAD_NS <= recent_ns <= self._lead_ns:
            self._lead_ns = recent_ns

    @property
    def latency_s(self) -> float:
        """Median time from stamp to arrival, seconds; negative for stamps in the future."""
        return median_low(self._latencies_ns) / NS_PER_S if self._latencies_ns else 0.0
