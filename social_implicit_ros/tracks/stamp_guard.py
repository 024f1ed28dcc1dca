"""Checks header stamps: whether they are valid, and whether time jumped back."""

from __future__ import annotations

from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import SkipReason

#: Number of late messages in a row that means a jump back in time, as when a recording restarts.
#: One or two may be old messages, or those of a second tracker on the topic that lags.
_LATE_MEANS_JUMP = 3
#: The last time that a ROS stamp can represent, minus a minute for predictions.
LATEST_NS = (2**31 - 61) * NS_PER_S


class StampGuard:
    """Checks header stamps against the newest one before and against a clock, if it runs.

    Attributes:
        has_jumped_back: the last checked stamp is valid, but all histories are in its future and
            must be reset.
    """

    def __init__(self, tolerance_s: float) -> None:
        """Starts without stamps.

        Args:
            tolerance_s: time by which a stamp may be ahead of the clock, or behind the newest
                stamp, seconds.
        """
        self.tolerance_s = tolerance_s
        self.reset()

    def reset(self) -> None:
        """Forgets the newest stamp."""
        self.newest_ns: int | None = None
        self.has_jumped_back = False
        self._n_late = 0

    def check(self, stamp_ns: int, now_ns: int, oldest_ns: int = 0) -> SkipReason | None:
        """Checks the stamp of a message.

        Args:
            stamp_ns: stamp of the message, integer nanoseconds; 0 if it is unset.
            now_ns: current time, integer nanoseconds; 0 if the clock does not run (simulated time
                before its first message).
            oldest_ns: older stamps never mean a jump back, as their tracks would be too old for
                predictions.

        Returns:
            Why the stamp is refused; None if it is valid.
        """
        self.has_jumped_back = False
        if stamp_ns <= 0:
            return SkipReason.NO_STAMP
        tolerance_ns = round(self.tolerance_s * NS_PER_S)
        if stamp_ns > (now_ns + tolerance_ns if now_ns > 0 else LATEST_NS):
            return SkipReason.FUTURE_STAMP
        if self.newest_ns is not None and stamp_ns < self.newest_ns - tolerance_ns:
            self._n_late += 1
            if self._n_late < _LATE_MEANS_JUMP or stamp_ns < oldest_ns:
                return SkipReason.OUT_OF_ORDER
            self.has_jumped_back, self.newest_ns = True, None
        self._n_late = 0
        self.newest_ns = stamp_ns if self.newest_ns is None else max(self.newest_ns, stamp_ns)
        return None

    def clock_jumped_back(self, now_ns: int) -> bool:
        """Whether histories must be reset because the clock jumped back to `now_ns`."""
        return self.newest_ns is not None and self.newest_ns > now_ns + self.tolerance_s * NS_PER_S
