"""Period and latency of a tracker, as its messages show them."""

from __future__ import annotations

from collections import deque
from statistics import median, median_low

from social_implicit_ros.tracks.stamps import NS_PER_S

#: Messages of which the medians are taken.
_N_RECENT = 9
#: Periods before a period is known: one alone may be a pause.
_MIN_PERIODS = 2
#: A tracker may miss one message, and be late by a fifth of its period.
_PERIODS_KEPT = 2.2


class TrackerTiming:
    """Follows the messages of one tracker."""

    def __init__(self) -> None:
        self._periods_ns: deque[int] = deque(maxlen=_N_RECENT)
        self._latencies_ns: deque[int] = deque(maxlen=_N_RECENT)
        self._newest_ns: int | None = None

    def add(self, stamp_ns: int, now_ns: int) -> None:
        """A message arrived.

        Args:
            stamp_ns: of its header, integer nanoseconds.
            now_ns: time of its arrival, integer nanoseconds; 0 if the clock does not run.
        """
        if self._newest_ns is not None and stamp_ns > self._newest_ns:
            self._periods_ns.append(stamp_ns - self._newest_ns)
        self._newest_ns = max(stamp_ns, self._newest_ns or 0)
        self._latencies_ns.append(max(now_ns - stamp_ns, 0))

    @property
    def needed_timeout_s(self) -> float:
        """Time without observations after which a track is gone, in seconds; 0 if unknown."""
        if len(self._periods_ns) < _MIN_PERIODS:
            return 0.0
        latency_ns = median(self._latencies_ns)
        return (_PERIODS_KEPT * median_low(self._periods_ns) + latency_ns) / NS_PER_S
