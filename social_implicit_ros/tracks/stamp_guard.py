"""Checks header stamps: which are valid, and when time jumped back."""

from __future__ import annotations

from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import SkipReason

#: Late messages in a row that mean a jump back in time. One or two are an old message, or two
#: trackers on one topic of which one lags; a recording that restarts keeps sending them.
_LATE_MEANS_JUMP = 3
#: The last second that a ROS stamp can represent, less a minute for the predictions after it.
LATEST_NS = (2**31 - 61) * NS_PER_S


class StampGuard:
    """Checks header stamps against the newest earlier one and, if there is one, a clock.

    Attributes:
        has_jumped_back: the stamp that was checked last is valid, but all histories are in its
            future and must be reset.
    """

    def __init__(self, tolerance_s: float) -> None:
        """Starts without stamps.

        Args:
            tolerance_s: how far a stamp may be ahead of the clock or behind the newest stamp.
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
            stamp_ns: of the message; an unset stamp is 0.
            now_ns: the clock; 0 if it does not run (simulated time before its first message).
            oldest_ns: older stamps are late, however many there are: their tracks would be too old
                to be predicted from.

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
        """Whether the histories must be reset, as the clock went back to `now_ns`."""
        return self.newest_ns is not None and self.newest_ns > now_ns + self.tolerance_s * NS_PER_S
