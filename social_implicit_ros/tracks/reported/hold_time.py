"""The time for which a tracker repeats outdated positions."""

from __future__ import annotations

from collections import deque
from statistics import fmean, median_low

import numpy as np

from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import BoolArray, FloatArray, IntArray

#: Number of recent values for medians, and the minimum number.
_N_RECENT, _MIN_CHANGES = 15, 3
#: Maximum and minimum number of steps from stamp to stamp that are compared.
_N_STEPS, _MIN_STEPS = 241, 31
#: A tracker holds positions if they usually change only after this many of its periods.
_HELD_PERIODS = 1.5
#: People who were missed, and repeated meanwhile, then jump: by more than people who stood can walk
#: in a usual hold time (metres and metres per second), but not faster than people walk.
_STARTED_M, _START_M_S, _MAX_ERROR_M, _WALK_M_S = 0.1, 1.6, 0.5, 3.0
#: Minimum share of such jumps among changes after a long hold, and the quantile of their hold times
#: that is used.
_MISSED_SHARE, _LONG = 1.0 / 3.0, 0.8
#: Time after which missed people are forgotten, as the tracker may have been corrected.
_MISSED_LATELY_NS = 60 * NS_PER_S
#: Longest time for which repeated people count as missed, seconds.
MAX_MISSED_S = 2.0


class HoldTime:
    """Learns how often one tracker reports people, and how often it has new positions of them.

    Positions on a grid stay the same because they are rounded: then nothing is held.

    Attributes:
        hold_s: time for which the tracker repeats outdated positions, seconds. 0 if positions are
            always current: then equal ones are those of people who stand, or are rounded.
        usual_hold_s: median time until a position changes, seconds; 0 if each message has new ones.
    """

    def __init__(self) -> None:
        self.hold_s = self.usual_hold_s = 0.0
        self._steps_ns: deque[int] = deque(maxlen=_N_STEPS)  # between two reports of a person
        self._stays_ns: deque[int] = deque(maxlen=_N_RECENT)  # first to last report of a position
        # At changes after a long hold: the stamp, and the hold time of missed people or 0 for
        # people who stood.
        self._missed_ns: deque[tuple[int, int]] = deque(maxlen=_N_RECENT)

    @property
    def period_ns(self) -> int:
        """Median time between two recent reports of a person, integer nanoseconds; 0 if unknown."""
        return median_low([*self._steps_ns][-_N_RECENT:]) if self._steps_ns else 0

    @property
    def stamp_steps_s(self) -> tuple[float, float]:
        """Upper quartile and mean of the time between two reports of a person, seconds.

        By their stamps, without the longest one, which may be a pause; zeros if unknown.
        """
        if len(self._steps_ns) < _MIN_STEPS:
            return 0.0, 0.0
        steps_ns = sorted(self._steps_ns)[:-1]
        return steps_ns[3 * len(steps_ns) // 4] / NS_PER_S, fmean(steps_ns) / NS_PER_S

    def learn(
        self,
        stamp_ns: int,
        steps_ns: IntArray,
        stays_ns: IntArray,
        distances_m: FloatArray,
        *,
        is_on_grid: bool,
    ) -> BoolArray:
        """Learns from a message.

        Args:
            stamp_ns: its stamp, integer nanoseconds.
            steps_ns: (B,) times since the reports before, integer nanoseconds.
            stays_ns: (C,) times from the first to the last report of the positions before, of
                people whose position changed, integer nanoseconds.
            distances_m: (C,) distances of the new positions from those, metres.
            is_on_grid: whether positions may be rounded to a grid.

        Returns:
            (C,) people who stood at the position before for longer than it is usually held.
        """
        self._steps_ns.append(median_low(steps_ns.tolist()))
        if len(stays_ns):
            self._stays_ns.append(median_low(stays_ns.tolist()))
        self.usual_hold_s = 0.0 if is_on_grid else self._usual_hold_s()
        # Not the time between both reports, as a gap between messages repeats nothing.
        held_ns = stays_ns + self.period_ns
        usual_s = max(self.usual_hold_s, self.period_ns / NS_PER_S)
        is_long = held_ns > _HELD_PERIODS * usual_s * NS_PER_S
        is_missed = is_long & (distances_m > _STARTED_M + _START_M_S * usual_s)
        is_missed &= distances_m <= _MAX_ERROR_M + _WALK_M_S * held_ns / NS_PER_S
        missed_ns = np.where(is_missed, held_ns, 0)[is_long]
        self._missed_ns.extend((stamp_ns, ns) for ns in missed_ns.tolist())
        while self._missed_ns and self._missed_ns[0][0] < stamp_ns - _MISSED_LATELY_NS:
            self._missed_ns.popleft()
        self.hold_s = 0.0 if is_on_grid else max(self.usual_hold_s, self._missed_hold_s())
        return is_long & ~is_missed

    def _usual_hold_s(self) -> float:
        if len(self._stays_ns) < _MIN_CHANGES:
            return 0.0
        hold_ns = median_low(self._stays_ns) + self.period_ns
        return hold_ns / NS_PER_S if hold_ns >= _HELD_PERIODS * self.period_ns else 0.0

    def _missed_hold_s(self) -> float:
        """Time for which missed people are repeated, seconds; 0 if people rather stand."""
        missed_ns = sorted(ns for _, ns in self._missed_ns if ns)
        if len(missed_ns) < max(_MIN_CHANGES, _MISSED_SHARE * len(self._missed_ns)):
            return 0.0
        return min(missed_ns[int(_LONG * len(missed_ns))] / NS_PER_S, MAX_MISSED_S)
