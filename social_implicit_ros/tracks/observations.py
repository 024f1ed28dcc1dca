"""The observations of all tracks in arrays: one row per track, one column per observation.

Rows are filled at the tracker's rate and read at any times, by linear interpolation.
"""

from __future__ import annotations

import numpy as np

from social_implicit_ros.tracks.stamps import NEVER_NS
from social_implicit_ros.types import BoolArray, FloatArray, IntArray


class ObservationTable:
    """Observations of many tracks, oldest first in each row.

    R is the number of rows, C that of columns. The state of an observation is x, y, z in metres.

    Attributes:
        counts: (R,) number of observations.
        times_ns: (R, C) stamps in ascending order, integer nanoseconds; `NEVER_NS` if unused.
        states_m: (R, 3, C) states. Columns are last, as numpy is fast along long last axes.
    """

    def __init__(self, n_kept: int, spacing_ns: int) -> None:
        """Creates a table without rows.

        Args:
            n_kept: minimum number of observations that a row keeps.
            spacing_ns: a row keeps at most two observations per spacing, integer nanoseconds.
        """
        self._n_kept, self._spacing_ns = n_kept, spacing_ns
        # A full row is compacted to `n_kept`. The extra half makes that rare.
        n_columns = n_kept + n_kept // 2
        self.counts = np.zeros(0, dtype=np.int64)
        self.times_ns = np.empty((0, n_columns), dtype=np.int64)
        self.states_m = np.zeros((0, 3, n_columns))  # finite in unused columns, too

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.counts)

    def grow(self, n_rows: int) -> None:
        """Adds empty rows, up to `n_rows`."""
        n_before = len(self)
        self.counts = with_rows(self.counts, n_rows)
        self.times_ns = with_rows(self.times_ns, n_rows)
        self.states_m = with_rows(self.states_m, n_rows)
        self.times_ns[n_before:] = NEVER_NS

    def clear(self, rows: IntArray) -> None:
        """Removes all observations of some rows."""
        self.counts[rows] = 0
        self.times_ns[rows] = NEVER_NS

    def newest_ns(self, rows: IntArray) -> IntArray:
        """(A,) stamps of the newest observations; `NEVER_NS` in empty rows."""
        newest_ns: IntArray = self.times_ns[rows, np.maximum(self.counts[rows] - 1, 0)]
        return newest_ns

    def newest(self, rows: IntArray) -> tuple[IntArray, FloatArray]:
        """(A,) stamps and (A, 3) states of the newest observations; `NEVER_NS` in empty rows."""
        last = np.maximum(self.counts[rows] - 1, 0)
        return self.times_ns[rows, last], self.states_m[rows, :, last]

    def append(self, rows: IntArray, stamp_ns: int | IntArray, states_m: FloatArray) -> None:
        """Adds an observation to each row.

        If the last two observations and the new one are within one spacing, the new one replaces
        the last.

        Args:
            rows: (A,) different rows.
            stamp_ns: one stamp or (A,) stamps, later than all observations of these rows, integer
                nanoseconds.
            states_m: (A, 3) states.
        """
        counts = self.counts[rows]
        before_last_ns = self.times_ns[rows, np.maximum(counts - 2, 0)]
        column = counts - ((counts >= 2) & (stamp_ns - before_last_ns < self._spacing_ns))
        self.times_ns[rows, column] = stamp_ns
        self.states_m[rows, :, column] = states_m
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
            (A,) whether a row already has an observation with this stamp, and (A,) whether all its
            observations are later. Nothing is inserted into such rows.
        """
        times_ns = self.times_ns[rows]
        column = (times_ns < stamp_ns).sum(axis=1)
        is_known = times_ns[np.arange(len(rows)), column] == stamp_ns
        is_first = (column == 0) & ~is_known
        fits = ~is_known & ~is_first
        rows, column = rows[fits], column[fits, None]
        columns = np.arange(self.times_ns.shape[1])
        shifted = columns - (columns > column)
        self.times_ns[rows] = np.take_along_axis(self.times_ns[rows], shifted, axis=1)
        self.states_m[rows] = np.take_along_axis(self.states_m[rows], shifted[:, None], axis=2)
        self.times_ns[rows, column[:, 0]] = stamp_ns
        self.states_m[rows, :, column[:, 0]] = states_m[fits]
        self._set_counts(rows, self.counts[rows] + 1)
        return is_known, is_first

    def interpolate(
        self, rows: IntArray, targets_ns: IntArray
    ) -> tuple[FloatArray, IntArray, IntArray]:
        """Positions at any times, linear between observations, constant before and after them.

        Args:
            rows: (A,) rows that are not empty.
            targets_ns: (A, M) times, integer nanoseconds.

        Returns:
            (A, M, 2) positions in metres; and (A, M) stamps of the observations before and after
            each target, both of the first or last observation if the target is outside.
        """
        first, n_columns = self._recent(rows, int(targets_ns.min()))
        after = _count_not_after(self._columns(self.times_ns, rows, first, n_columns), targets_ns)
        first, after = first[:, None], after + first[:, None]
        last = self.counts[rows, None] - 1
        low, high = np.maximum(after - 1, first), np.minimum(after, last)
        # `take` from flat arrays is several times faster than indexing.
        times_ns, begin = self.times_ns.ravel(), rows[:, None] * self.times_ns.shape[1]
        low_ns, high_ns = times_ns.take(begin + low), times_ns.take(begin + high)
        share = (targets_ns - low_ns) / np.maximum(high_ns - low_ns, 1)
        share = np.minimum(np.maximum(share, 0.0), 1.0)
        states_m = self.states_m.ravel()
        # Offsets of the rows of x and y, (2, A, 1).
        begin = 3 * begin + self.times_ns.shape[1] * np.arange(2)[:, None, None]
        low_m, high_m = states_m.take(begin + low), states_m.take(begin + high)
        return np.moveaxis(low_m + share * (high_m - low_m), 0, -1), low_ns, high_ns

    def since(
        self, rows: IntArray, since_ns: int, until_ns: int
    ) -> tuple[IntArray, FloatArray, BoolArray]:
        """Observations within a time span, but at least the last two before its end.

        Args:
            rows: (A,) rows that are not empty.
            since_ns: begin of the span, integer nanoseconds.
            until_ns: end of the span, integer nanoseconds.

        Returns:
            (A, N) stamps, (A, 2, N) x and y in metres, and (A, N) True in columns that belong to
            the result.
        """
        first, n_columns = self._recent(rows, since_ns)
        times_ns = self._columns(self.times_ns, rows, first, n_columns)
        is_known = times_ns <= until_ns
        last_but_one = np.maximum(np.count_nonzero(is_known, axis=1) - 2, 0)
        from_ns = np.minimum(times_ns[np.arange(len(rows)), last_but_one], since_ns)
        is_within: BoolArray = is_known & (times_ns >= from_ns[:, None])
        return times_ns, self._columns(self.states_m, rows, first, n_columns)[:, :2], is_within

    def _recent(self, rows: IntArray, stamp_ns: int) -> tuple[IntArray, int]:
        """(A,) first columns and the number of columns that reach back to a stamp in all rows.

        A window needs a tenth of the columns. For 1000 rows this saves milliseconds.
        """
        after_last, n_columns = self.counts[rows], min(32, self.times_ns.shape[1])
        while True:
            first = np.maximum(after_last - n_columns, 0)
            if not ((self.times_ns[rows, first] > stamp_ns) & (first > 0)).any():
                return first, n_columns
            n_columns = min(n_columns + n_columns // 2, self.times_ns.shape[1])

    @staticmethod
    def _columns(table: np.ndarray, rows: IntArray, first: IntArray, n_columns: int) -> np.ndarray:
        """(A, ..., N) consecutive columns of a table (R, ..., C), from a first column per row.

        Contiguous memory is copied, several times faster than indexing by element.
        """
        *shape, n_kept = table.shape
        pieces: np.ndarray = np.ndarray(
            (*shape, n_kept - n_columns + 1, n_columns),
            table.dtype,
            table,
            strides=(*table.strides, table.itemsize),
        )
        copied: np.ndarray = pieces[rows, ..., first, :]
        return copied

    def _set_counts(self, rows: IntArray, counts: IntArray) -> None:
        """Sets the counts; moves the newest observations of full rows to the front."""
        self.counts[rows] = counts
        full = rows[counts == self.times_ns.shape[1]]
        if len(full):
            kept = self._n_kept
            self.times_ns[full, :kept] = self.times_ns[full, -kept:]
            self.states_m[full, :, :kept] = self.states_m[full, :, -kept:]
            self.times_ns[full, kept:] = NEVER_NS
            self.counts[full] = kept


def with_rows(array: np.ndarray, n_rows: int) -> np.ndarray:
    """A copy with zeros in additional rows, up to `n_rows`."""
    extra = np.zeros((n_rows - len(array), *array.shape[1:]), dtype=array.dtype)
    return np.concatenate([array, extra])


def _count_not_after(times_ns: IntArray, targets_ns: IntArray) -> IntArray:
    """(A, M) number of ascending times (A, C) at or before each target (A, M), per row.

    One search in all rows, concatenated, is several times faster than one search per row.
    """
    n_rows, n_columns = times_ns.shape
    earliest_ns, latest_ns = int(targets_ns.min()), int(targets_ns.max())
    # Each row gets its own range of values: clipped to the span of the targets, then shifted.
    span_ns = latest_ns - earliest_ns + 3
    row = np.arange(n_rows)[:, None]
    shift_ns = row * span_ns - earliest_ns
    shifted_ns = np.minimum(np.maximum(times_ns, earliest_ns - 1), latest_ns + 1) + shift_ns
    found = shifted_ns.ravel().searchsorted(targets_ns + shift_ns, side="right")
    counts: IntArray = found - row * n_columns
    return counts
