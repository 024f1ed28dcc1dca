"""The observations of all tracks in arrays: one row per track, one column per observation.

Rows are filled at the tracker's rate and read at any times, by linear interpolation.
"""

from __future__ import annotations

import numpy as np

from social_implicit_ros.types import BoolArray, FloatArray, IntArray

#: Stamp of an unused column: later than all others.
NEVER = np.iinfo(np.int64).max


class ObservationTable:
    """Observations of many tracks, oldest first in each row.

    R counts rows, C columns. The state of an observation is x, y, z in metres.

    Attributes:
        counts: (R,) number of observations.
        times_ns: (R, C) stamps in ascending order, integer nanoseconds; `NEVER` if unused.
        states_m: (R, C, 3) states.
    """

    def __init__(self, n_kept: int, spacing_ns: int) -> None:
        """Creates a table without rows.

        Args:
            n_kept: observations that a row keeps at least.
            spacing_ns: a row keeps at most two observations per spacing, integer nanoseconds.
        """
        self._n_kept, self._spacing_ns = n_kept, spacing_ns
        # A full row is compacted to `n_kept`. The extra half makes that rare.
        n_columns = n_kept + n_kept // 2
        self.counts = np.zeros(0, dtype=np.int64)
        self.times_ns = np.empty((0, n_columns), dtype=np.int64)
        self.states_m = np.zeros((0, n_columns, 3))  # finite in unused columns, too

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.counts)

    def grow(self, n_rows: int) -> None:
        """Adds empty rows, up to `n_rows`."""
        n_before = len(self)
        self.counts = with_rows(self.counts, n_rows)
        self.times_ns = with_rows(self.times_ns, n_rows)
        self.states_m = with_rows(self.states_m, n_rows)
        self.times_ns[n_before:] = NEVER

    def clear(self, rows: IntArray) -> None:
        """Removes all observations of some rows."""
        self.counts[rows] = 0
        self.times_ns[rows] = NEVER

    def newest(self, rows: IntArray) -> tuple[IntArray, FloatArray]:
        """(A,) stamps and (A, 3) states of the newest observations; `NEVER` in empty rows."""
        last = np.maximum(self.counts[rows] - 1, 0)
        return self.times_ns[rows, last], self.states_m[rows, last]

    def append(self, rows: IntArray, stamp_ns: int, states_m: FloatArray) -> None:
        """Adds an observation to each row.

        If the last two observations and the new one are within one spacing, the new one replaces
        the last.

        Args:
            rows: (A,) different rows.
            stamp_ns: later than all observations of these rows, integer nanoseconds.
            states_m: (A, 3) states.
        """
        counts = self.counts[rows]
        before_last_ns = self.times_ns[rows, np.maximum(counts - 2, 0)]
        column = counts - ((counts >= 2) & (stamp_ns - before_last_ns < self._spacing_ns))
        self.times_ns[rows, column] = stamp_ns
        self.states_m[rows, column] = states_m
        self._set_counts(rows, column + 1)

    def insert(
        self, rows: IntArray, stamp_ns: int, states_m: FloatArray
    ) -> tuple[BoolArray, BoolArray]:
        """Inserts observations that are older than the newest of their rows.

        Args:
            rows: (A,) different rows.
            stamp_ns: integer nanoseconds.
            states_m: (A, 3) states.

        Returns:
            (A,) rows that have an observation with this stamp, and (A,) rows whose observations
            are all later. Nothing is inserted into these.
        """
        times_ns = self.times_ns[rows]
        column = (times_ns < stamp_ns).sum(axis=1)
        is_known = times_ns[np.arange(len(rows)), column] == stamp_ns
        is_first = (column == 0) & ~is_known
        fits = ~is_known & ~is_first
        rows, column = rows[fits], column[fits, None]
        columns = np.arange(self.times_ns.shape[1])
        shifted = columns - (columns > column)
        is_new = columns == column
        self.times_ns[rows] = np.where(is_new, stamp_ns, self.times_ns[rows[:, None], shifted])
        self.states_m[rows] = np.where(
            is_new[..., None], states_m[fits, None], self.states_m[rows[:, None], shifted]
        )
        self._set_counts(rows, self.counts[rows] + 1)
        return is_known, is_first

    def interpolate(
        self, rows: IntArray, targets_ns: IntArray
    ) -> tuple[FloatArray, IntArray, IntArray]:
        """States at any times, linear between two observations, constant before and after all.

        Args:
            rows: (A,) rows that are not empty.
            targets_ns: (A, M) times, integer nanoseconds.

        Returns:
            (A, M, 3) states, and (A, M) stamps of the observations before and after each target.
            Before the first and after the last observation both are that one's.
        """
        # Both tables flat, of which numpy takes elements several times faster.
        times_ns, states_m = self.times_ns.ravel(), self.states_m.reshape(-1, 3)
        begin = rows[:, None] * self.times_ns.shape[1]
        last = begin + self.counts[rows, None] - 1
        recent = self._recent(begin, last, int(targets_ns.min()))
        after = recent[:, :1] + _count_not_after(times_ns.take(recent), targets_ns)
        low, high = np.maximum(np.minimum(after - 1, last), begin), np.minimum(after, last)
        low_ns, high_ns = times_ns.take(low), times_ns.take(high)
        share = (targets_ns - low_ns) / np.maximum(high_ns - low_ns, 1)
        share = np.minimum(np.maximum(share, 0.0), 1.0)[..., None]
        low_m = states_m.take(low, axis=0)
        return low_m + share * (states_m.take(high, axis=0) - low_m), low_ns, high_ns

    def since(
        self, rows: IntArray, since_ns: int, until_ns: int
    ) -> tuple[IntArray, FloatArray, BoolArray]:
        """Observations within a time span, or the last two before its end.

        Args:
            rows: (A,) rows that are not empty.
            since_ns: begin of the span, integer nanoseconds.
            until_ns: end of the span.

        Returns:
            (A, N) stamps, (A, N, 3) states, and (A, N) which columns are meant.
        """
        begin = rows[:, None] * self.times_ns.shape[1]
        last = begin + self.counts[rows, None] - 1
        recent = self._recent(begin, last, since_ns)
        times_ns = self.times_ns.ravel().take(recent)
        is_known = (recent <= last) & (times_ns <= until_ns)
        n_known = np.count_nonzero(is_known, axis=1)
        is_last = np.arange(recent.shape[1]) >= n_known[:, None] - 2
        is_within: BoolArray = is_known & ((times_ns >= since_ns) | is_last)
        return times_ns, self.states_m.reshape(-1, 3).take(recent, axis=0), is_within

    def _recent(self, begin: IntArray, last: IntArray, stamp_ns: int) -> IntArray:
        """(A, N) the newest observations of each row in the flat table, back to a stamp at least.

        A window needs a tenth of what is kept. For 1000 rows this saves milliseconds.

        Args:
            begin: (A, 1) oldest observation of each row in the flat table.
            last: (A, 1) newest observation.
            stamp_ns: integer nanoseconds.
        """
        n_columns = 32
        while True:
            first = np.maximum(last - n_columns + 1, begin)
            too_late = (self.times_ns.ravel().take(first) > stamp_ns) & (first > begin)
            if not too_late.any():
                return first + np.arange(min(n_columns, self.times_ns.shape[1]))
            n_columns *= 2

    def _set_counts(self, rows: IntArray, counts: IntArray) -> None:
        """Moves the newest observations of full rows to their front."""
        self.counts[rows] = counts
        full = rows[counts == self.times_ns.shape[1]]
        if len(full):
            kept = self._n_kept
            self.times_ns[full, :kept] = self.times_ns[full, -kept:]
            self.states_m[full, :kept] = self.states_m[full, -kept:]
            self.times_ns[full, kept:] = NEVER
            self.counts[full] = kept


def with_rows(array: np.ndarray, n_rows: int) -> np.ndarray:
    """A copy with zeros in additional rows, up to `n_rows`."""
    extra = np.zeros((n_rows - len(array), *array.shape[1:]), dtype=array.dtype)
    return np.concatenate([array, extra])


def _count_not_after(times_ns: IntArray, targets_ns: IntArray) -> IntArray:
    """(A, M) how many of each row's ascending times (A, C) are not after its targets (A, M).

    One search in all rows laid end to end is several times faster than one search per row.
    """
    n_rows, n_columns = times_ns.shape
    earliest_ns, latest_ns = int(targets_ns.min()), int(targets_ns.max())
    # Rows are shifted by more than the targets span, and their times limited to that span.
    span_ns = latest_ns - earliest_ns + 3
    row = np.arange(n_rows)[:, None]
    shift_ns = row * span_ns - earliest_ns
    shifted_ns = np.minimum(np.maximum(times_ns, earliest_ns - 1), latest_ns + 1) + shift_ns
    found = shifted_ns.ravel().searchsorted(targets_ns + shift_ns, side="right")
    counts: IntArray = found - row * n_columns
    return counts
