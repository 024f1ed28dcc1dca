"""Finds positions that are not observations: repetitions, placeholders and duplicates.

Positions are compared exactly, in the tracker's own frame, as transforms would change them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import compress

import numpy as np

from social_implicit_ros.tracks.entries import points_of, rows_of
from social_implicit_ros.tracks.reported.grid import Grid
from social_implicit_ros.tracks.reported.hold_time import MAX_MISSED_S, HoldTime
from social_implicit_ros.tracks.reported.placeholders import Placeholders, point_of
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.tracks.tracker_timing import PERIODS_KEPT
from social_implicit_ros.types import BoolArray, FloatArray, IntArray, SkipReason, Tracks

#: A repeated position counts as an observation again after this many times the hold time, as people
#: may stand.
_SEEN_AGAIN = 1.5
#: Displacement that never counts as a jump, metres.
_MAX_ERROR_M = 0.5
#: Minimum number of people in a message who are not on one line by chance; and minimum time for
#: which they are on it, until which the noise of the tracker is known, too.
_MIN_ON_LINE, _ON_LINE_NS = 3, 15 * NS_PER_S
#: Maximum number of ids that are remembered beside those of a message, the newest: detectors
#: without tracking have new ids in each message.
_MAX_OTHERS = 256
#: People with exactly the same position for this time have stopped, nanoseconds.
_STOPPED_NS = NS_PER_S
#: Share of stopped people who move again, above which stopped tracks are people who stand.
_MAX_RESUMED = 0.2

#: State of an id: its newest position, the one before if the track jumped from there, stamps of the
#: first and last report of the newest position and of the last report that counted as an
#: observation, whether one counted under this id, and whether the id had another position before.
_STATE = np.dtype(
    [
        ("point_m", np.float64, 3),
        ("jumped_from_m", np.float64, 3),
        ("first_ns", np.int64),
        ("last_ns", np.int64),
        ("observed_ns", np.int64),
        ("is_observed", np.bool_),
        ("has_moved", np.bool_),
    ]
)


class ReportedPositions:
    """Follows the positions of one tracker.

    Attributes:
        grid: to which positions may be rounded.
        holds: for how long positions are repeated.
        placeholders: positions that mean an unknown position.
    """

    def __init__(self) -> None:
        self.grid, self.holds, self.placeholders = Grid(), HoldTime(), Placeholders()
        # Ids of recent messages, as some trackers send each person in a separate message.
        self._ids: tuple[str, ...] = ()
        self._state = np.empty(0, dtype=_STATE)
        self._duplicates: set[str] = set()  # ids skipped as another id had exactly their position
        self._n_stopped = self._n_resumed = 0
        # The coordinates in which people differ, and the stamps of the first and the newest message
        # with these.
        self._differing = "", 0, 0

    @property
    def only_axis(self) -> str:
        """The one coordinate in which people differ: `x`, `y` or `z`; empty if several."""
        axes, first_ns, newest_ns = self._differing
        is_known = newest_ns - first_ns >= _ON_LINE_NS and not self.grid.is_possible
        return axes if is_known and len(axes) == 1 else ""

    def stopped(self, min_s: float) -> tuple[str, ...]:
        """Ids that moved, but have had exactly the same position since.

        Empty if people do stand that still here and move again later, or positions are on a grid.

        Args:
            min_s: minimum time with that position, seconds; longer if the tracker holds positions.
        """
        if self._n_resumed > _MAX_RESUMED * self._n_stopped or self.grid.is_possible:
            return ()
        least_ns = max(min_s, 2.0 * _SEEN_AGAIN * self.holds.hold_s) * NS_PER_S
        has_stopped = self._state["last_ns"] - self._state["first_ns"] >= least_ns
        has_stopped &= self._state["has_moved"]
        return tuple(compress(self._ids, has_stopped.tolist()))

    def take(self, tracks: Tracks, max_speed_m_s: float) -> tuple[Tracks, Counter[SkipReason]]:
        """The observations of a message.

        Args:
            tracks: tracks of the message, in its frame.
            max_speed_m_s: maximum plausible speed, m/s.

        Returns:
            The tracks without entries that are not observations; and the number of such entries by
            reason.
        """
        points_m = points_of(tracks)
        self._follow_axes(tracks.stamp_ns, points_m)
        rows = rows_of(tracks.ids, self._ids)
        state = np.zeros(len(rows), dtype=_STATE)
        is_repeated = np.zeros(len(rows), dtype=bool)
        if (self._state["last_ns"][rows[rows >= 0]] < tracks.stamp_ns).all():
            is_renamed = self._find_renamed(rows, points_m)
            state[rows >= 0] = self._state[rows[rows >= 0]]
            state["is_observed"][is_renamed] = False
            jumped_from_m = self._find_placeholders(tracks, points_m, state, rows, max_speed_m_s)
            is_repeated = self._update(tracks.stamp_ns, points_m, state, rows >= 0, jumped_from_m)
            self._remember(tracks, state, rows)
        is_unset = self.placeholders.are_at(points_m)
        is_duplicate = self._find_duplicates(tracks.ids, points_m) & ~is_unset
        is_repeated &= ~is_duplicate
        skipped = Counter(
            {
                SkipReason.UNSET_POSITION: int(np.count_nonzero(is_unset)),
                SkipReason.REPEATED: int(np.count_nonzero(is_repeated)),
                SkipReason.DUPLICATE_POSITION: int(np.count_nonzero(is_duplicate)),
            }
        )
        if not skipped.total():
            return tracks, skipped
        # A new id is not a person before its first observation.
        is_present = is_repeated & state["is_observed"]
        repeated_ids = tuple(compress(tracks.ids, is_present.tolist()))
        observed = tracks.of_agents(~(is_unset | is_repeated | is_duplicate))
        return replace(observed, repeated_ids=repeated_ids), skipped

    def _follow_axes(self, stamp_ns: int, points_m: FloatArray) -> None:
        """Updates in which coordinates people differ, and since when."""
        if len(points_m) >= _MIN_ON_LINE:
            differs = (points_m != points_m[0]).any(axis=0).tolist()
            axes = "".join(compress("xyz", differs))
            before, first_ns, _ = self._differing
            self._differing = axes, first_ns if axes == before else stamp_ns, stamp_ns

    def _find_renamed(self, rows: IntArray, points_m: FloatArray) -> BoolArray:
        """(A,) new ids at exactly the position of an id that is gone; fills in that row."""
        is_new = rows < 0
        gone = np.setdiff1d(np.arange(len(self._ids)), rows) if is_new.any() else ()
        if len(gone):
            row_at = {point_of(self._state["point_m"][row]): row for row in gone}
            for new in np.flatnonzero(is_new).tolist():
                rows[new] = row_at.pop(point_of(points_m[new]), -1)
        return is_new & (rows >= 0)

    def _find_placeholders(
        self,
        tracks: Tracks,
        points_m: FloatArray,
        state: np.ndarray,
        rows: IntArray,
        max_speed_m_s: float,
    ) -> FloatArray:
        """Learns placeholders; returns the (A, 3) positions from which tracks jumped, else NaN."""
        jumped_from_m = np.full_like(points_m, np.nan)
        distance_m = np.linalg.norm(points_m - state["point_m"], axis=1)
        reach_m = max_speed_m_s * (tracks.stamp_ns - state["last_ns"]) / NS_PER_S + _MAX_ERROR_M
        jumps = (rows >= 0) & (distance_m > reach_m)
        if jumps.any():
            left = np.setdiff1d(np.arange(len(self._ids)), rows[~jumps])
            jumped_from_m[jumps] = self.placeholders.learn_jumps(
                state["point_m"][jumps],
                points_m[jumps],
                state["jumped_from_m"][jumps],
                self._state["point_m"][left],
            )
        leaves_zeros = (rows >= 0) & ~state["point_m"].any(axis=1) & (distance_m > 0.0)
        left_ids = compress(tracks.ids, leaves_zeros.tolist())
        self.placeholders.learn_zeros(points_m, left_ids, self.grid)
        return jumped_from_m

    def _update(
        self,
        stamp_ns: int,
        points_m: FloatArray,
        state: np.ndarray,
        is_known: BoolArray,
        jumped_from_m: FloatArray,
    ) -> BoolArray:
        """Updates the state of ids; returns the (A,) entries that repeat outdated positions.

        An id without a valid position in this message keeps the one before.
        """
        is_position = ~self.placeholders.are_at(points_m) & ~np.isnan(points_m[:, 0])
        is_same = is_known & is_position & (points_m == state["point_m"]).all(axis=1)
        is_changed = is_known & is_position & ~is_same
        if (is_same | is_changed).any():
            self._learn(stamp_ns, points_m, state, is_same, is_changed)
        elapsed_ns = stamp_ns - state["observed_ns"]
        is_repeated = is_same & (elapsed_ns < _SEEN_AGAIN * self.holds.hold_s * NS_PER_S)
        is_new, is_observed = is_position & ~is_same, is_position & ~is_repeated
        state["has_moved"][is_new] = is_known[is_new]
        state["point_m"][is_new] = points_m[is_new]
        state["jumped_from_m"][is_new] = jumped_from_m[is_new]
        state["first_ns"][is_new] = stamp_ns
        state["last_ns"][is_position] = stamp_ns
        state["observed_ns"][is_observed] = stamp_ns
        state["is_observed"][is_observed] = True
        return is_repeated

    def _learn(
        self,
        stamp_ns: int,
        points_m: FloatArray,
        state: np.ndarray,
        is_same: BoolArray,
        is_changed: BoolArray,
    ) -> None:
        """Learns for how long positions are held, and whether people who stop move again."""
        before_m, now_m = state["point_m"][is_changed], points_m[is_changed]
        stays_ns = state["last_ns"] - state["first_ns"]
        if is_changed.any():
            self.grid.learn(before_m[:, :2], now_m[:, :2])
        stood = self.holds.learn(
            stamp_ns,
            stamp_ns - state["last_ns"][is_same | is_changed],
            stays_ns[is_changed],
            np.linalg.norm(now_m - before_m, axis=1),
            is_on_grid=self.grid.is_possible,
        )
        self._n_resumed += int(np.count_nonzero(stood & (stays_ns[is_changed] >= _STOPPED_NS)))
        stops = is_same & state["has_moved"] & (stays_ns < _STOPPED_NS)
        stops &= stamp_ns - state["first_ns"] >= _STOPPED_NS
        self._n_stopped += int(np.count_nonzero(stops))

    def _remember(self, tracks: Tracks, state: np.ndarray, rows: IntArray) -> None:
        """Stores the state of the ids of a message, and forgets ids that are gone."""
        is_kept = state["last_ns"] > 0
        ids, state = tuple(compress(tracks.ids, is_kept.tolist())), state[is_kept]
        if len(self._ids) > np.count_nonzero(rows >= 0):
            kept_ns = PERIODS_KEPT * self.holds.period_ns or MAX_MISSED_S * NS_PER_S
            is_other = self._state["last_ns"] >= tracks.stamp_ns - round(kept_ns)
            is_other[rows[rows >= 0]] = False
            present = set(ids)
            is_other &= [agent_id not in present for agent_id in self._ids]
            others = np.flatnonzero(is_other)[:_MAX_OTHERS]
            ids += tuple(self._ids[row] for row in others.tolist())
            state = np.concatenate([state, self._state[others]])
        self._ids, self._state = ids, state

    def _find_duplicates(self, ids: tuple[str, ...], points_m: FloatArray) -> BoolArray:
        """(A,) entries with exactly the position of another id, as for one person in two classes.

        The same one of each pair is kept in all messages. If positions are on a grid, several
        people may share a cell, so that nothing is found.
        """
        is_duplicate = np.zeros(len(ids), dtype=bool)
        if not self.grid.is_possible and len(set(points_m[:, 0].tolist())) < len(ids):
            id_at: dict[tuple[float, float, float], str] = {}
            for row in sorted(range(len(ids)), key=lambda row: ids[row] in self._duplicates):
                # NaN equals nothing, and an id may be repeated.
                is_duplicate[row] = id_at.setdefault(point_of(points_m[row]), ids[row]) != ids[row]
        self._duplicates = set(compress(ids, is_duplicate.tolist()))
        return is_duplicate
