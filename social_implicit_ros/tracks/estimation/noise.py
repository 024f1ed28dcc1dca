"""The noise of a tracker's positions, learned from all its tracks."""

from __future__ import annotations

import math

import numpy as np

from social_implicit_ros.tracks.observations import ObservationTable, with_rows
from social_implicit_ros.types import ROBOT_ID, FloatArray, IntArray

#: Weight of the first guess, as a number of samples of four observations.
_FIRST_WEIGHT = 5.0
#: Minimum standard deviation, metres: keeps matrices invertible.
_MIN_STD_M = 1e-4
#: Age of a track from which on it has the noise of its tracker, nanoseconds. For younger tracks the
#: noise is at least a decreasing share of the first guess, as new tracks may be worse.
_NEW_NS = 1_000_000_000
#: Half-life of samples, in samples.
_HALF_LIFE = 3000.0
#: Second differences are clipped to this value, metres; larger ones are jumps of a tracker.
_MAX_DIFFERENCE_M = 0.6
#: Displacements up to this length count as zero, metres.
_STILL_M = 1e-6
#: Tolerated relative deviation of the three intervals between four observations from their mean.
_UNEVEN = 0.1
#: Indices of the four observations, in intervals before the newest, oldest first.
_FOUR = np.array([3, 2, 1, 0])
#: Preferred interval between observations, and maximum interval, nanoseconds; over longer ones
#: motion dominates.
_LAG_NS, _MAX_GAP_NS = 100_000_000, 1_000_000_000
#: Minimum time between two updates, nanoseconds.
_PERIOD_NS = 180_000_000
#: Levels of standard deviations that trackers state: powers of two in metres, 8 mm to 2 m.
_MIN_LEVEL, _MAX_LEVEL, _NO_LEVEL = -7, 1, -8
#: The first guess is the stated standard deviation, within this factor of the configured one.
_TRUSTED = 3.0


class PositionNoise:
    """White noise of positions, separated from motion.

    With white noise of variance s^2 and white acceleration of strength a, second differences of
    evenly spaced positions have the variance 6 s^2 + 4 a and the covariance a - 4 s^2 with the next
    one. So the variance minus four times the covariance is 22 s^2, independent of a.
    """

    def __init__(self, first_std_m: float) -> None:
        """Starts with a guess.

        Args:
            first_std_m: first guess of the standard deviation, metres.
        """
        #: Stamp of the newest learned observations, integer nanoseconds.
        self.newest_ns = 0
        self.first_std_m = first_std_m
        self._sum_m2 = _FIRST_WEIGHT * first_std_m**2
        self._weight = _FIRST_WEIGHT

    @property
    def variance_m2(self) -> float:
        """Variance of each coordinate, square metres."""
        return max(self._sum_m2 / self._weight, _MIN_STD_M**2)

    def add(self, times_ns: IntArray, positions_m: FloatArray) -> None:
        """Learns from four observations of each track.

        Args:
            times_ns: (A, 4) ascending stamps, integer nanoseconds. Rows that are not evenly spaced
                are ignored, as are rows without any motion, such as pillars.
            positions_m: (A, 4, 2) positions, metres.
        """
        gaps_ns = times_ns[:, 1:] - times_ns[:, :-1]
        mean_ns = (times_ns[:, 3:] - times_ns[:, :1]) / 3.0
        is_even = (np.abs(gaps_ns - mean_ns) <= _UNEVEN * mean_ns).all(axis=1)
        steps_m = positions_m[:, 1:] - positions_m[:, :-1]
        is_even &= (np.abs(steps_m) > _STILL_M).any(axis=(1, 2))
        n_even = int(np.count_nonzero(is_even))
        if n_even == 0:
            return
        second_m = (steps_m[:, 1:] - steps_m[:, :-1])[is_even]
        second_m = np.minimum(np.maximum(second_m, -_MAX_DIFFERENCE_M), _MAX_DIFFERENCE_M)
        first, next_one = second_m[:, 0].ravel(), second_m[:, 1].ravel()
        variance = 0.5 * (first @ first + next_one @ next_one)
        sum_m2 = (variance - 4.0 * (first @ next_one)) / 22.0 / 2.0
        kept = 0.5 ** (n_even / _HALF_LIFE)
        # Single samples may be negative, but a negative sum would suppress later evidence.
        self._sum_m2 = max(kept * self._sum_m2 + sum_m2, 0.0)
        self._weight = kept * self._weight + n_even


class TrackerNoise:
    """The noise of each tracker and of each row of an `ObservationTable`.

    Covariances that a tracker states are used only to group its tracks by level of variance. The
    actual noise of each group is learned.
    """

    def __init__(self, first_std_m: float) -> None:
        """Starts without trackers.

        Args:
            first_std_m: first guess of the standard deviation, metres.
        """
        self.first_std_m = first_std_m
        self._noises: list[PositionNoise] = []
        self._index_of: dict[tuple[str, int], int] = {}
        self._index_of_row = np.empty(0, dtype=np.int64)

    def grow(self, n_rows: int) -> None:
        """Adds rows, up to `n_rows`."""
        self._index_of_row = with_rows(self._index_of_row, n_rows)

    def add(
        self,
        source: str,
        stamp_ns: int,
        rows: IntArray,
        table: ObservationTable,
        covariances_m2: FloatArray | None = None,
    ) -> None:
        """Learns from the newest observations of some rows of one tracker.

        Args:
            source: the tracker.
            stamp_ns: stamp of these observations, integer nanoseconds.
            rows: (A,) rows.
            table: the observations.
            covariances_m2: (A, 2, 2) covariances that the tracker states, NaN where unknown; None
                without any.
        """
        if covariances_m2 is None:
            self._add(self._noise_of(source, _NO_LEVEL), stamp_ns, rows, table)
            return
        levels = _levels(covariances_m2)
        for level in set(levels.tolist()):
            self._add(self._noise_of(source, level), stamp_ns, rows[levels == level], table)

    def _noise_of(self, source: str, level: int) -> int:
        index = self._index_of.setdefault((source, level), len(self._noises))
        if index == len(self._noises):
            # Odometry has no noise.
            first_m = guess_m = 0.0 if source == ROBOT_ID else self.first_std_m
            if level != _NO_LEVEL:
                guess_m = min(max(2.0**level, first_m / _TRUSTED), first_m * _TRUSTED)
            self._noises.append(PositionNoise(guess_m))
            self._noises[-1].first_std_m = first_m
        return index

    def _add(self, index: int, stamp_ns: int, rows: IntArray, table: ObservationTable) -> None:
        noise = self._noises[index]
        self._index_of_row[rows] = index
        # Observations that soon after the last ones contain little new information.
        if abs(stamp_ns - noise.newest_ns) < _PERIOD_NS:
            return
        noise.newest_ns = stamp_ns
        last = table.counts[rows] - 1
        rows, last = rows[last >= 3], last[last >= 3]
        if len(rows) == 0:
            return
        gaps_ns = table.times_ns[rows, last] - table.times_ns[rows, last - 1]
        stride = np.maximum((2 * _LAG_NS // gaps_ns + 1) // 2, 1)
        columns = last[:, None] - stride[:, None] * _FOUR
        is_usable = (columns[:, 0] >= 0) & (gaps_ns <= _MAX_GAP_NS)
        if is_usable.any():
            each, columns = rows[is_usable, None], columns[is_usable]
            noise.add(table.times_ns[each, columns], table.states_m[each, :2, columns])

    def std_m(self, source: str) -> float:
        """Standard deviation of each coordinate of a tracker's positions, metres."""
        known_m2 = [
            self._noises[i].variance_m2 for (name, _), i in self._index_of.items() if name == source
        ] or [self.first_std_m**2]
        return math.sqrt(sum(known_m2) / len(known_m2))

    def variances_m2(self, rows: IntArray, ages_ns: IntArray) -> FloatArray:
        """(A,) variances of each coordinate, square metres.

        Args:
            rows: (A,) rows of tracks.
            ages_ns: (A,) times since their first observations, integer nanoseconds.
        """
        index = self._index_of_row[rows]
        variances_m2 = np.array([noise.variance_m2 for noise in self._noises])[index]
        is_new = ages_ns < _NEW_NS
        if is_new.any():
            first_m = np.array([noise.first_std_m for noise in self._noises])[index]
            least_m = first_m * np.maximum(1.0 - ages_ns / _NEW_NS, 0.0)
            variances_m2 = np.maximum(variances_m2, least_m * least_m)
        return variances_m2


def _levels(covariances_m2: FloatArray) -> IntArray:
    """(A,) rounded base-2 logarithms of standard deviations in metres."""
    variances_m2 = 0.5 * (covariances_m2[:, 0, 0] + covariances_m2[:, 1, 1])
    levels = np.clip(np.rint(0.5 * np.log2(variances_m2)), _MIN_LEVEL, _MAX_LEVEL)
    return np.where(np.isnan(levels), _NO_LEVEL, levels).astype(np.int64)
