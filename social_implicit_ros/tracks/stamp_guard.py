"""Which header stamps may enter the histories, and when time itself has jumped back."""

from __future__ import annotations

from enum import Enum

_NS_PER_S = 1_000_000_000
#: Late messages in a row that mean a jump back in time. One or two are an old message, or two
#: trackers on one topic of which one lags; a recording that starts anew keeps sending them.
_LATE_MEANS_JUMP = 3
#: The last second that a ROS message can tell, less a minute for the futures that follow a stamp.
LATEST_NS = (2**31 - 61) * _NS_PER_S


class StampVerdict(str, Enum):
    """What a header stamp is worth."""

    IN_TIME = "in_time"
    NO_STAMP = "no_stamp"
    FUTURE = "future"
    LATE = "late"
    JUMPED_BACK = "jumped_back"


class StampGuard:
    """Judges header stamps by the newest one before and, where there is one, by a clock."""

    def __init__(self, tolerance_s: float) -> None:
        """Starts without a past.

        Args:
            tolerance_s: a stamp may lie so far ahead of the clock, or behind the newest stamp.
        """
        self.tolerance_s = tolerance_s
        self.reset()

    def reset(self) -> None:
        """Forgets the newest stamp."""
        self.newest_ns: int | None = None
        self._n_late = 0

    def judge(self, stamp_ns: int, now_ns: int) -> StampVerdict:
        """Says whether a message of that stamp may be used.

        Args:
            stamp_ns: of the message; 0 is how an unset stamp arrives, and before it there was no
                time either.
            now_ns: the clock; 0 where it does not run (simulated time before its first message).

        Returns:
            `IN_TIME`, or why not. `JUMPED_BACK` means that the message is in time again, but
            everything remembered lies in its future and must be forgotten.
        """
        if stamp_ns <= 0:
            return StampVerdict.NO_STAMP
        tolerance_ns = round(self.tolerance_s * _NS_PER_S)
        if stamp_ns > (now_ns + tolerance_ns if now_ns > 0 else LATEST_NS):
            return StampVerdict.FUTURE
        if self.newest_ns is not None and stamp_ns < self.newest_ns - tolerance_ns:
            self._n_late += 1
            if self._n_late < _LATE_MEANS_JUMP:
                return StampVerdict.LATE
            self.newest_ns, self._n_late = stamp_ns, 0
            return StampVerdict.JUMPED_BACK
        self._n_late = 0
        self.newest_ns = stamp_ns if self.newest_ns is None else max(self.newest_ns, stamp_ns)
        return StampVerdict.IN_TIME

    def clock_jumped_back(self, now_ns: int) -> bool:
        """Whether everything remembered must be forgotten, as the clock went back to `now_ns`."""
        return self.newest_ns is not None and self.newest_ns > now_ns + self.tolerance_s * _NS_PER_S
