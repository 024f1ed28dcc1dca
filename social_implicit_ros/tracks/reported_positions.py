"""Finds positions that are not observations: repetitions, placeholders and duplicates.

Positions are compared exactly, in the tracker's own frame, as transforms would change them.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from itertools import compress
from statistics import fmean, median_low

import numpy as np

from social_implicit_ros.tracks.entries import points_of, rows_of
from social_implicit_ros.tracks.grid import LEAST_CHANGES, are_on_grid
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.tracks.tracker_timing import PERIODS_KEPT
from social_implicit_ros.types import BoolArray, FloatArray, IntArray, SkipReason, Tracks

#: Number of recent values for medians, and the minimum number.
_N_RECENT, _MIN_CHANGES = 15, 3
#: Maximum and minimum number of steps from stamp to stamp that are compared.
_N_STEPS, _MIN_STEPS = 241, 31
#: A tracker holds positions if they usually change only after this many of its periods.
_HELD_PERIODS = 1.5
#: A repeated position counts as an observation again after this many times the usual hold time, as
#: people may stand.
_SEEN_AGAIN = 1.5
#: People who were missed, and repeated meanwhile, then jump: by more than people who stood can walk
#: in a usual hold time (metres and metres per second), but not faster than people walk.
_STARTED_M, _START_M_S, _WALK_M_S = 0.1, 1.6, 3.0
#: Minimum share of such jumps among changes after a long hold, and the quantile of their hold times
#: that is used.
_STEPPING_SHARE, _LONG = 1.0 / 3.0, 0.8
#: Time after which missed people are forgotten, as the tracker may have been corrected.
_MISSED_LATELY_NS = 60 * NS_PER_S
#: Longest time for which repeated people count as missed, seconds.
_MAX_MISSED_S = 2.0
#: Number of recent changes of coordinates that show whether positions are on a grid.
_N_CHANGES = 60
#: Displacement that never counts as a jump, metres.
_MAX_ERROR_M = 0.5
#: A position is a placeholder if tracks jump to it and back from points at least this far apart,
#: metres.
_APART_M = 0.5
#: Number of recent jumps, and the share of exchanged ids among them above which jumps do not mean
#: placeholders, except zeros.
_N_JUMPS, _MAX_EXCHANGED = 60, 1.0 / 3.0
#: Minimum number of tracks that leave exact zeros for these to be a placeholder; one person may
#: walk through the origin.
_MIN_LEFT_UNSET = 2
#: If this many entries of a message are exact zeros, these are a placeholder: people do not share a
#: point, unless positions are on a grid. Before that is known, all entries must be zeros.
_MIN_UNSET = 2
#: Minimum number of people in a message who are not on one line by chance; and minimum number of
#: such messages in a row, and their time, until which the noise of the tracker is known, too.
_MIN_ON_LINE, _N_ON_LINE, _ON_LINE_NS = 3, 60, 15 * NS_PER_S
#: Maximum number of placeholders of a tracker, and of candidates.
_MAX_PLACEHOLDERS, _MAX_SUSPECTS = 8, 256
#: Maximum number of ids that are remembered beside those of a message, the newest: detectors
#: without tracking have new ids in each message.
_MAX_OTHERS = 256
#: People with exactly the same position for this time have stopped, nanoseconds.
_STOPPED_NS = NS_PER_S
#: Share of stopped people who move again, above which stopped tracks are people who stand.
_MAX_RESUMED = 0.2

_Point = tuple[float, float, float]
#: A position that is not filled in.
_UNSET: _Point = (0.0, 0.0, 0.0)


#: State of an id: its newest position, stamps of its first and last report and of the last report
#: that counted as an observation, whether one counted under this id, and whether the id had another
#: position before.
_STATE = np.dtype(
    [
        ("point_m", np.float64, 3),
        ("first_ns", np.int64),
        ("last_ns", np.int64),
        ("observed_ns", np.int64),
        ("is_observed", np.bool_),
        ("has_moved", np.bool_),
    ]
)


class ReportedPositions:
    """Follows the positions of one tracker."""

    def __init__(self) -> None:
        # Ids of recent messages, as some trackers send each person in a separate message.
        self._ids: tuple[str, ...] = ()
        self._state = np.empty(0, dtype=_STATE)
        self._steps_ns: deque[int] = deque(maxlen=_N_STEPS)  # between two reports of a person
        self._stays_ns: deque[int] = deque(maxlen=_N_RECENT)  # first to last report of a position
        # At changes after a long hold: the stamp, and the hold time of missed people or 0 for
        # people who stood.
        self._missed_ns: deque[tuple[int, int]] = deque(maxlen=_N_RECENT)
        self._n_stopped = self._n_resumed = 0
        # Absolute changes of x and y between reports, metres.
        self._changes_m: deque[float] = deque(maxlen=_N_CHANGES)
        self._coordinates_m: deque[float] = deque(maxlen=_N_CHANGES)  # new ones of them
        self._is_on_grid = True  # positions may stay the same because they are rounded
        #: Time for which the tracker repeats outdated positions, seconds. 0 if positions are always
        #: current: then equal ones are those of people who stand, or are rounded to a grid.
        self.hold_s = 0.0
        # The coordinates in which people differ, in how many messages in a row, and the stamps of
        # the first and the newest of these.
        self._differing = "", 0, 0, 0
        self._placeholders: list[_Point] = []
        #: The newest placeholder that was skipped.
        self.unset_m: _Point = _UNSET
        self._duplicates: set[str] = set()  # ids skipped as another id had exactly their position
        self._left_unset: set[str] = set()  # ids that were at zeros, and then elsewhere
        # For each jump, whether it ends where another person was who is gone or jumps, too.
        self._are_exchanges: deque[bool] = deque(maxlen=_N_JUMPS)
        self._away: dict[str, tuple[_Point, FloatArray]] = {}  # id -> jumped to, jumped from
        self._suspects: dict[_Point, FloatArray] = {}  # jumped to -> jumped from

    @property
    def placeholders(self) -> list[_Point]:
        """Positions that mean an unknown position.

        If ids are indices in a list, they also jump to and from people who stand, whose positions
        are not placeholders.
        """
        if sum(self._are_exchanges) > _MAX_EXCHANGED * len(self._are_exchanges):
            return [point for point in self._placeholders if point == _UNSET]
        return self._placeholders

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

    def _learnt_hold_s(self) -> float:
        if self._is_on_grid:
            return 0.0
        missed_ns = sorted(ns for _, ns in self._missed_ns if ns)
        missed_s = 0.0
        if len(missed_ns) >= max(_MIN_CHANGES, _STEPPING_SHARE * len(self._missed_ns)):
            missed_s = min(missed_ns[int(_LONG * len(missed_ns))] / NS_PER_S, _MAX_MISSED_S)
        return max(self.usual_hold_s, missed_s)

    @property
    def usual_hold_s(self) -> float:
        """Median time until a position changes, seconds; 0 if each message has new positions."""
        if len(self._stays_ns) < _MIN_CHANGES or self._is_on_grid:
            return 0.0
        hold_ns = median_low(self._stays_ns) + self.period_ns
        return hold_ns / NS_PER_S if hold_ns >= _HELD_PERIODS * self.period_ns else 0.0

    @property
    def only_axis(self) -> str:
        """The one coordinate in which people differ: `x`, `y` or `z`; empty if several."""
        axes, n_messages, first_ns, newest_ns = self._differing
        is_known = n_messages >= _N_ON_LINE and newest_ns - first_ns >= _ON_LINE_NS
        return axes if is_known and len(axes) == 1 and not self._is_on_grid else ""

    @property
    def cell_m(self) -> float:
        """Cell size of the grid to which positions are rounded, metres; 0 if they are not."""
        is_known = len(self._changes_m) >= LEAST_CHANGES and self._is_on_grid
        return min(self._changes_m) if is_known else 0.0

    def stopped(self, min_s: float) -> tuple[str, ...]:
        """Ids that moved, but have had exactly the same position since.

        Empty if people do stand that still here and move again later, or positions are on a grid.

        Args:
            min_s: minimum time with that position, seconds; longer if the tracker holds positions.
        """
        if self._n_resumed > _MAX_RESUMED * self._n_stopped or self._is_on_grid:
            return ()
        least_ns = max(min_s, 2.0 * _SEEN_AGAIN * self.hold_s) * NS_PER_S
        has_stopped = self._state["last_ns"] - self._state["first_ns"] >= least_ns
        rows = np.flatnonzero(has_stopped & self._state["has_moved"])
        return tuple(self._ids[row] for row in rows.tolist())

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
        if len(points_m) >= _MIN_ON_LINE:
            differs = (points_m != points_m[0]).any(axis=0).tolist()
            axes = "".join(compress("xyz", differs))
            before, n_messages, first_ns, _ = self._differing
            if axes != before:
                n_messages, first_ns = 0, tracks.stamp_ns
            self._differing = axes, n_messages + 1, first_ns, tracks.stamp_ns
        is_repeated = is_present = np.zeros(len(tracks.ids), dtype=bool)
        rows = rows_of(tracks.ids, self._ids)
        if (self._state["last_ns"][rows[rows >= 0]] < tracks.stamp_ns).all():
            is_renamed = self._find_renamed(rows, points_m)
            is_known = rows >= 0
            state = np.zeros(len(rows), dtype=_STATE)
            state[is_known] = self._state[rows[is_known]]
            state["is_observed"][is_renamed] = False
            self._find_placeholders(tracks, points_m, state, rows, max_speed_m_s)
            is_position = ~self._is_placeholder(points_m) & ~np.isnan(points_m[:, 0])
            is_same = is_known & is_position & (points_m == state["point_m"]).all(axis=1)
            is_changed = is_known & is_position & ~is_same
            if (is_same | is_changed).any():
                self._learn(tracks.stamp_ns, points_m, state, is_same, is_changed)
            elapsed_ns = tracks.stamp_ns - state["observed_ns"]
            is_repeated = is_same & (elapsed_ns < _SEEN_AGAIN * self.hold_s * NS_PER_S)
            # Without a valid position in this message, the one before is kept.
            is_new = is_position & ~is_same
            state["has_moved"][is_new] = is_known[is_new]
            state["point_m"][is_new] = points_m[is_new]
            state["first_ns"][is_new] = tracks.stamp_ns
            state["last_ns"][is_position] = tracks.stamp_ns
            state["observed_ns"][is_position & ~is_repeated] = tracks.stamp_ns
            state["is_observed"][is_position & ~is_repeated] = True
            is_present = is_repeated & state["is_observed"]
            self._remember(tracks, state, rows, is_known | is_position)
        is_unset = self._is_placeholder(points_m)
        is_duplicate = self._find_duplicates(tracks.ids, points_m) & ~is_unset
        is_repeated, is_present = is_repeated & ~is_duplicate, is_present & ~is_duplicate
        if is_unset.any():
            self.unset_m = _point(points_m[is_unset.argmax()])
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
        repeated_ids = tuple(compress(tracks.ids, is_present.tolist()))
        observed = tracks.of_agents(~(is_unset | is_repeated | is_duplicate))
        return replace(observed, repeated_ids=repeated_ids), skipped

    def _remember(
        self, tracks: Tracks, state: np.ndarray, rows: IntArray, is_kept: BoolArray
    ) -> None:
        """Stores the state of the ids of a message, and forgets ids that are gone."""
        ids = tracks.ids
        if not is_kept.all():
            ids, state = tuple(compress(ids, is_kept.tolist())), state[is_kept]
        if len(self._ids) > np.count_nonzero(rows >= 0):
            kept_ns = round(PERIODS_KEPT * self.period_ns)
            if not kept_ns:
                kept_ns = round(_MAX_MISSED_S * NS_PER_S)
            is_other = self._state["last_ns"] >= tracks.stamp_ns - kept_ns
            is_other[rows[rows >= 0]] = False
            present = set(ids)
            is_other &= [agent_id not in present for agent_id in self._ids]
            others = np.flatnonzero(is_other)[:_MAX_OTHERS]
            ids += tuple(self._ids[row] for row in others.tolist())
            state = np.concatenate([state, self._state[others]])
        self._ids, self._state = ids, state
        if self._away:
            present = set(ids)
            self._away = {i: jump for i, jump in self._away.items() if i in present}

    def _find_renamed(self, rows: IntArray, points_m: FloatArray) -> BoolArray:
        """(A,) new ids at exactly the position of an id that is gone; fills in that row."""
        is_new = rows < 0
        gone = np.setdiff1d(np.arange(len(self._ids)), rows) if is_new.any() else ()
        if len(gone):
            row_at = {_point(self._state["point_m"][row]): row for row in gone}
            for new in np.flatnonzero(is_new).tolist():
                rows[new] = row_at.pop(_point(points_m[new]), -1)
        return is_new & (rows >= 0)

    def _find_duplicates(self, ids: tuple[str, ...], points_m: FloatArray) -> BoolArray:
        """(A,) entries with exactly the position of another id, as for one person in two classes.

        The same one of each pair is kept in all messages. If positions are on a grid, several
        people may share a cell, so that nothing is found.
        """
        is_duplicate = np.zeros(len(ids), dtype=bool)
        found: set[str] = set()
        if not self._is_on_grid and len(set(points_m[:, 0].tolist())) < len(ids):
            row_at: dict[_Point, int] = {}
            for row in np.flatnonzero(~np.isnan(points_m[:, 0])).tolist():
                point = _point(points_m[row])
                other = row_at.setdefault(point, row)
                if ids[other] == ids[row]:
                    continue  # the entry itself, or a repeated id
                if ids[other] in self._duplicates and ids[row] not in self._duplicates:
                    row_at[point], row = row, other
                is_duplicate[row] = True
                found.add(ids[row])
        self._duplicates = found
        return is_duplicate

    def _is_placeholder(self, points_m: FloatArray) -> BoolArray:
        is_placeholder = np.zeros(len(points_m), dtype=bool)
        for placeholder in self.placeholders:
            is_placeholder |= (points_m == placeholder).all(axis=1)
        return is_placeholder

    def _learn(
        self,
        stamp_ns: int,
        points_m: FloatArray,
        state: np.ndarray,
        is_same: BoolArray,
        is_changed: BoolArray,
    ) -> None:
        """Learns for how long positions are held, and whether people who stop move again."""
        steps_ns = stamp_ns - state["last_ns"][is_same | is_changed]
        self._steps_ns.append(median_low(steps_ns.tolist()))
        stayed_ns = state["last_ns"] - state["first_ns"]
        now_stayed_ns = stamp_ns - state["first_ns"]
        if is_changed.any():
            self._stays_ns.append(median_low(stayed_ns[is_changed].tolist()))
            changes_m = np.abs((points_m - state["point_m"])[is_changed, :2])
            self._changes_m.extend(changes_m[changes_m > 0.0].tolist())
            self._coordinates_m.extend(points_m[is_changed, :2][changes_m > 0.0].tolist())
            self._is_on_grid = are_on_grid(self._changes_m, self._coordinates_m)
            # Not the time between both reports, as a gap between messages repeats nothing.
            held_ns = stayed_ns + self.period_ns
            missed_ns = self._missed(points_m, state, is_changed, held_ns)
            self._missed_ns.extend((stamp_ns, ns) for ns in missed_ns[missed_ns >= 0].tolist())
            while self._missed_ns and self._missed_ns[0][0] < stamp_ns - _MISSED_LATELY_NS:
                self._missed_ns.popleft()
            is_resumed = is_changed & (missed_ns == 0) & (stayed_ns >= _STOPPED_NS)
            self._n_resumed += int(np.count_nonzero(is_resumed))
        stops = is_same & state["has_moved"]
        stops &= (stayed_ns < _STOPPED_NS) & (now_stayed_ns >= _STOPPED_NS)
        self._n_stopped += int(np.count_nonzero(stops))
        self.hold_s = self._learnt_hold_s()

    def _missed(
        self,
        points_m: FloatArray,
        state: np.ndarray,
        is_changed: BoolArray,
        held_ns: IntArray,
    ) -> IntArray:
        """(A,) time for which people were missed before they moved again: 0 if they stood.

        -1 for people whose position did not change, or was not held for long.
        """
        usual_s = max(self.usual_hold_s, self.period_ns / NS_PER_S)
        resumes = is_changed & (held_ns > _HELD_PERIODS * usual_s * NS_PER_S)
        missed_ns = np.where(resumes, 0, -1)
        if resumes.any():
            distance_m = np.linalg.norm(points_m - state["point_m"], axis=1)
            elapsed_s = held_ns / NS_PER_S
            jumps = distance_m > _STARTED_M + _START_M_S * usual_s
            jumps &= distance_m <= _MAX_ERROR_M + _WALK_M_S * elapsed_s
            missed_ns[resumes & jumps] = held_ns[resumes & jumps]
        return missed_ns

    def _find_placeholders(
        self,
        tracks: Tracks,
        points_m: FloatArray,
        state: np.ndarray,
        rows: IntArray,
        max_speed_m_s: float,
    ) -> None:
        """Learns placeholders from tracks that jump, unless these only exchange ids."""
        distance_m = np.sqrt(np.square(points_m - state["point_m"]).sum(axis=1))
        elapsed_s = (tracks.stamp_ns - state["last_ns"]) / NS_PER_S
        jumps = (rows >= 0) & (distance_m > max_speed_m_s * elapsed_s + _MAX_ERROR_M)
        if jumps.any():
            left_m = self._state["point_m"][np.setdiff1d(np.arange(len(self._ids)), rows[~jumps])]
            distances_m = np.linalg.norm(points_m[jumps][:, None] - left_m, axis=2)
            are_exchanges = (distances_m <= _APART_M).any(axis=1).tolist()
            self._are_exchanges.extend(are_exchanges)
            for row, is_exchange in zip(np.flatnonzero(jumps).tolist(), are_exchanges, strict=True):
                if not is_exchange:
                    self._take_jump(tracks.ids[row], state["point_m"][row].copy(), points_m[row])
        if len(self._left_unset) < _MIN_LEFT_UNSET:
            was_unset = (rows >= 0) & ~state["point_m"].any(axis=1) & (distance_m > 0.0)
            self._left_unset.update(compress(tracks.ids, was_unset.tolist()))
        if len(self._left_unset) >= _MIN_LEFT_UNSET and not self._is_on_grid:
            self._add_placeholder(_UNSET)
        n_unset = np.count_nonzero(~points_m.any(axis=1))
        is_never_set = n_unset == len(points_m) and not self._changes_m
        if n_unset >= _MIN_UNSET and (is_never_set or not self._is_on_grid):
            self._add_placeholder(_UNSET)

    def _take_jump(self, agent_id: str, from_m: FloatArray, to_m: FloatArray) -> None:
        here, there = _point(from_m), _point(to_m)
        if _UNSET in (here, there):
            self._add_placeholder(_UNSET)
            return
        came = self._away.pop(agent_id, None)
        if came is None or came[0] != here:
            self._away[agent_id] = (there, from_m)
            return
        # The track jumped to a position and away from it: a candidate.
        first_m = self._suspects.setdefault(here, came[1])
        if np.linalg.norm(first_m - came[1]) > _APART_M:
            self._add_placeholder(here)
        if len(self._suspects) > _MAX_SUSPECTS:
            del self._suspects[next(iter(self._suspects))]

    def _add_placeholder(self, point: _Point) -> None:
        if point not in self._placeholders and len(self._placeholders) < _MAX_PLACEHOLDERS:
            self._placeholders.append(point)


def _point(position_m: FloatArray) -> _Point:
    x, y, z = position_m.tolist()
    return x, y, z
