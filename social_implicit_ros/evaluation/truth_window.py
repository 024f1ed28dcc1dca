"""What came to pass, for a window of time that moves along a recording."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from social_implicit_ros.tracks.reach import is_in_reach
from social_implicit_ros.types import BoolArray, FloatArray, IntArray, Tracks

_NS_PER_S = 1_000_000_000
#: When a column was seen last that nobody uses.
_NEVER = np.iinfo(np.int64).max


class _LastMessage(NamedTuple):
    """A message that was taken as it was, the newest of all its people.

    Attributes:
        ids: of the people.
        stamp_ns: integer nanoseconds.
        numbers: (A,) of their unbroken tracks.
    """

    ids: tuple[str, ...]
    stamp_ns: int
    numbers: IntArray


class TruthWindow:
    """Where every agent was, between any two observations that are close enough in time.

    Filled ahead of the moment that is judged, and emptied behind it. A track that pauses or jumps
    as no person can is two tracks: what came to pass after such a break belongs to nobody before.

    Positions are kept as a table, one row a message and one column an unbroken track.
    """

    def __init__(self, *, max_gap_s: float, max_pause_s: float, max_speed_m_s: float) -> None:
        """Starts empty.

        Args:
            max_gap_s: longest time between two observations to interpolate over, seconds.
            max_pause_s: a track not seen for longer is broken, seconds.
            max_speed_m_s: a track that moves faster is broken, metres per second.
        """
        self._max_gap_ns = round(max_gap_s * _NS_PER_S)
        self._max_pause_ns = round(max_pause_s * _NS_PER_S)
        self._max_speed_m_s = max_speed_m_s
        self.clear()

    def clear(self) -> None:
        """Forgets everything."""
        self._n_rows = 0
        self._stamps_ns = np.empty(64, dtype=np.int64)
        self._positions_m = np.full((64, 16, 2), np.nan)
        self._track_of_id: dict[str, int] = {}
        # The last message, while nothing is newer: most name the same people as the one before.
        self._last: _LastMessage | None = None
        self._free = list(range(16))
        # Of each column: when and where it was seen last.
        self._last_ns = np.full(16, _NEVER)
        self._last_m = np.zeros((16, 2))

    def add(self, tracks: Tracks) -> IntArray:
        """Takes what a tracker said.

        Args:
            tracks: later than all before, or nearly so.

        Returns:
            (A,) the number of the unbroken track to which each entry belongs; -1 for entries that
            are not finite or have an id that came before in the same message. Where nothing
            changed it is the very array of the message before, which nobody may write to.
        """
        numbers = self._numbers_as_before(tracks)
        if numbers is not None:
            self._insert(tracks.stamp_ns, numbers, tracks.positions_m)
            self._last = _LastMessage(tracks.ids, tracks.stamp_ns, numbers)
            return numbers
        numbers = self._numbers_of(tracks)
        rows = np.flatnonzero(numbers >= 0)
        if len(rows) == 0:
            return numbers
        stamp_ns, columns, positions_m = tracks.stamp_ns, numbers[rows], tracks.positions_m[rows]
        broken = self._is_broken(stamp_ns, columns, positions_m)
        if broken.any():
            for index in rows[broken].tolist():
                numbers[index] = self._begin(tracks.ids[index], stamp_ns)
            columns = numbers[rows]
        self._insert(stamp_ns, columns, positions_m)
        is_newest = self._stamps_ns[self._n_rows - 1] == stamp_ns
        is_whole = len(rows) == len(numbers)
        self._last = _LastMessage(tracks.ids, stamp_ns, numbers) if is_newest and is_whole else None
        return numbers

    def _numbers_as_before(self, tracks: Tracks) -> IntArray | None:
        """Those of the last message, where all of it goes on a step later and nobody jumps."""
        last = self._last
        if last is None or tracks.ids != last.ids:
            return None
        elapsed_ns = tracks.stamp_ns - last.stamp_ns
        if not 0 < elapsed_ns <= self._max_pause_ns:
            return None
        # False for what is not finite, too.
        in_reach = self._is_in_reach(last.numbers, tracks.positions_m, elapsed_ns)
        return last.numbers if in_reach.all() else None

    def _numbers_of(self, tracks: Tracks) -> IntArray:
        """Tracks that go on, and fresh ones; -1 for what cannot be used."""
        usable = np.asarray(np.isfinite(tracks.positions_m).all(axis=1))
        seen: set[str] = set()
        found = []
        for agent, is_usable in zip(tracks.ids, usable.tolist(), strict=True):
            if not is_usable or agent in seen:
                found.append(-1)
                continue
            seen.add(agent)
            track = self._track_of_id.get(agent)
            found.append(self._begin(agent, tracks.stamp_ns) if track is None else track)
        return np.array(found, dtype=np.int64)

    def forget_before(self, stamp_ns: int) -> None:
        """Drops what is older, and the numbers of tracks that ended before."""
        n_old = int(np.searchsorted(self._stamps_ns[: self._n_rows], stamp_ns))
        # In bulk, as every drop moves the table.
        if n_old < 32:
            return
        kept = self._n_rows - n_old
        self._stamps_ns[:kept] = self._stamps_ns[n_old : self._n_rows].copy()
        self._positions_m[:kept] = self._positions_m[n_old : self._n_rows].copy()
        self._positions_m[kept : self._n_rows] = np.nan
        self._n_rows = kept
        columns = np.flatnonzero(self._last_ns < stamp_ns)
        if len(columns):
            gone = set(columns.tolist())
            self._track_of_id = {i: t for i, t in self._track_of_id.items() if t not in gone}
            self._last_ns[columns] = _NEVER
            self._free.extend(columns.tolist())
            self._last = None

    def positions_m(self, tracks: IntArray, stamps_ns: IntArray) -> FloatArray:
        """Where tracks were, by linear interpolation.

        Args:
            tracks: (A,) numbers as `add` gave them.
            stamps_ns: (T,) integer nanoseconds, or (A, T) where each track has its own.

        Returns:
            (A, T, 2) in metres; NaN where a track was not seen before and after the moment within
            the longest gap allowed.
        """
        stamps_ns = np.broadcast_to(stamps_ns, (len(tracks), stamps_ns.shape[-1]))
        times = self._stamps_ns[: self._n_rows]
        first = end = 0
        if stamps_ns.size:
            first = int(times.searchsorted(stamps_ns.min() - self._max_gap_ns))
            end = int(times.searchsorted(stamps_ns.max() + self._max_gap_ns, side="right"))
        n_rows = end - first
        if n_rows == 0:
            return np.full((*stamps_ns.shape, 2), np.nan)
        times = times[first:end]
        used, columns = np.unique(tracks, return_inverse=True)
        columns = columns.reshape(-1, 1)
        table = self._positions_m[first:end, used].reshape(-1, 2)  # row by row
        # The nearest known rows: of a row, at or before it and at or after it.
        earlier, later = _neighbours(~np.isnan(table[:, 0].reshape(n_rows, -1)))
        before = times.searchsorted(stamps_ns, side="right") - 1
        after = times.searchsorted(stamps_ns)
        low = earlier[before, columns]
        low[before < 0] = -1
        high = later[np.minimum(after, n_rows - 1), columns]
        high[after == n_rows] = n_rows
        known: BoolArray = (low >= 0) & (high < n_rows)
        low, high = np.maximum(low, 0), np.minimum(high, n_rows - 1)
        gap_ns = times[high] - times[low]
        known &= gap_ns <= self._max_gap_ns
        share = (stamps_ns - times[low]) / np.maximum(gap_ns, 1)
        start = table.take(low * len(used) + columns, axis=0)
        end_m = table.take(high * len(used) + columns, axis=0)
        positions = start + share[..., None] * (end_m - start)
        positions[~known] = np.nan
        return positions

    def _begin(self, agent: str, stamp_ns: int) -> int:
        """A fresh column for an agent who is seen first at a stamp."""
        if not self._free:
            self._widen()
        track = self._free.pop()
        # What an earlier user of the column left lies in the past, but may still be in the table.
        self._positions_m[: self._n_rows, track] = np.nan
        self._last_ns[track] = stamp_ns
        self._track_of_id[agent] = track
        return track

    def _is_broken(self, stamp_ns: int, columns: IntArray, positions_m: FloatArray) -> BoolArray:
        """Which tracks go on as no person does."""
        elapsed_ns = stamp_ns - self._last_ns[columns]
        in_reach = self._is_in_reach(columns, positions_m, elapsed_ns)
        # Entries that come late are put in their place, whatever lies there.
        broken: BoolArray = (elapsed_ns > 0) & ((elapsed_ns > self._max_pause_ns) | ~in_reach)
        return broken

    def _is_in_reach(
        self, columns: IntArray, positions_m: FloatArray, elapsed_ns: IntArray | int
    ) -> BoolArray:
        """Which tracks may have come so far in a time."""
        before_m = self._last_m.take(columns, axis=0)
        return is_in_reach(before_m, positions_m, elapsed_ns, self._max_speed_m_s)

    def _insert(self, stamp_ns: int, columns: IntArray, positions_m: FloatArray) -> None:
        n_rows = self._n_rows
        at = int(self._stamps_ns[:n_rows].searchsorted(stamp_ns))
        if at == n_rows or self._stamps_ns[at] != stamp_ns:
            if n_rows == len(self._stamps_ns):
                self._lengthen()
            if at < n_rows:
                self._stamps_ns[at + 1 : n_rows + 1] = self._stamps_ns[at:n_rows].copy()
                self._positions_m[at + 1 : n_rows + 1] = self._positions_m[at:n_rows].copy()
            self._stamps_ns[at] = stamp_ns
            self._positions_m[at] = np.nan
            self._n_rows += 1
        self._positions_m[at, columns] = positions_m
        if at < n_rows:  # late, or the second message of a stamp
            newer = self._last_ns[columns] <= stamp_ns
            columns, positions_m = columns[newer], positions_m[newer]
        self._last_m[columns] = positions_m
        self._last_ns[columns] = stamp_ns

    def _lengthen(self) -> None:
        extra = len(self._stamps_ns)
        self._stamps_ns = np.concatenate([self._stamps_ns, np.empty(extra, dtype=np.int64)])
        more = np.full((extra, *self._positions_m.shape[1:]), np.nan)
        self._positions_m = np.concatenate([self._positions_m, more])

    def _widen(self) -> None:
        n_rows, n_columns, _ = self._positions_m.shape
        more = np.full((n_rows, n_columns, 2), np.nan)
        self._positions_m = np.concatenate([self._positions_m, more], axis=1)
        self._last_ns = np.concatenate([self._last_ns, np.full(n_columns, _NEVER)])
        self._last_m = np.concatenate([self._last_m, np.zeros((n_columns, 2))])
        self._free.extend(range(2 * n_columns - 1, n_columns - 1, -1))


def _neighbours(known: BoolArray) -> tuple[IntArray, IntArray]:
    """The nearest known row at or before each, and at or after each.

    Args:
        known: (M, A).

    Returns:
        (M, A) row numbers, -1 where there is none before; and M where there is none after.
    """
    n_rows = len(known)
    rows = np.arange(n_rows)[:, None]
    earlier = np.maximum.accumulate(np.where(known, rows, -1), axis=0)
    later = np.minimum.accumulate(np.where(known, rows, n_rows)[::-1], axis=0)[::-1]
    return earlier, later
