"""What the positions of a tracker say: some only repeat, and some stand for no position.

They are compared bit by bit and in the tracker's own frame: transforms would change them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection
from dataclasses import replace
from itertools import compress

import numpy as np

from social_implicit_ros.tracks.entries import points_of
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.tracks.tracker_timing import PERIODS_KEPT, lower_median
from social_implicit_ros.types import BoolArray, FloatArray, IntArray, SkipReason, Tracks

#: Messages of which the medians are taken, and people who moved on; the least number of each.
_N_RECENT, _MIN_CHANGES = 15, 3
#: A tracker holds positions if they usually change after this many of its periods.
_HELD_PERIODS = 1.5
#: A repeated position is an observation after this many of the times for which the tracker usually
#: holds one: who stands is seen again.
_SEEN_AGAIN = 1.5
#: Who was missed for a while, and repeated meanwhile, moves on by a step: farther than people who
#: stood can in one, metres and metres per second, and as far as people can in that time.
_STARTED_M, _START_M_S, _WALK_M_S = 0.1, 1.6, 3.0
#: Share of those who move on that must do so by a step, and the share of their times that counts.
_STEPPING_SHARE, _LONG = 1.0 / 3.0, 0.8
#: Longest time for which people who are repeated are taken for missed, seconds.
_MAX_MISSED_S = 2.0
#: Changes of coordinates of which a grid is found; the least number, the error of a multiple, and
#: a multiple of the grid by which people who walk do not move from message to message.
_N_CHANGES, _LEAST_CHANGES, _MULTIPLE, _FEW = 60, 8, 1e-3, 2.0
#: Largest cell of a grid, metres. Somebody who walks evenly moves by equal, longer steps if held.
_MAX_CELL_M = 0.3
#: A distance that is no jump in any time, metres.
_MAX_ERROR_M = 0.5
#: Jumps from places that are this far apart, to one position and back: it is a placeholder, metres.
_APART_M = 0.5
#: Jumps of which the share is taken that only exchange ids, and that above which all may: there
#: are no placeholders then but zeros.
_N_JUMPS, _MAX_EXCHANGED = 60, 1.0 / 3.0
#: Tracks that leave zeros, also without a jump, of which nobody was there: one may walk through.
_MIN_LEFT_UNSET = 2
#: Placeholders of a tracker, and positions of which it is not known yet.
_MAX_PLACEHOLDERS, _MAX_SUSPECTS = 8, 256
#: People who are remembered beside those of a message, the newest: detectors without tracking have
#: new ids in each.
_MAX_OTHERS = 256
#: Who has exactly the same position for this time has stopped, nanoseconds.
_STOPPED_NS = NS_PER_S
#: Share of those who stopped that move on: with more, people really stand so still.
_MAX_RESUMED = 0.2

_Point = tuple[float, float, float]
#: A position that is not filled in.
_UNSET: _Point = (0.0, 0.0, 0.0)


#: What is known of an id: its newest position, when that was reported first and last, when it was
#: observed last, and whether it was under this id; and whether it had another position before.
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
        # Of the newest messages: some trackers have one for each person.
        self._ids: tuple[str, ...] = ()
        self._state = np.empty(0, dtype=_STATE)
        self._periods_ns: deque[int] = deque(maxlen=_N_RECENT)  # between two positions of somebody
        self._stays_ns: deque[int] = deque(maxlen=_N_RECENT)  # first to last message with one
        # Of those who move on: time since they were observed, 0 if they stood.
        self._missed_ns: deque[int] = deque(maxlen=_N_RECENT)
        self._n_stopped = self._n_resumed = 0
        # Distances by which x and y of people changed, metres.
        self._changes_m: deque[float] = deque(maxlen=_N_CHANGES)
        self._is_on_grid = True  # positions may stay the same because they are rounded
        #: Time for which the tracker repeats positions that are not current, seconds. 0 if they
        #: are: each message has new ones, and who is repeated stands, or is rounded to the same
        #: place of a grid.
        self.hold_s = 0.0
        self._placeholders: list[_Point] = []
        #: The newest position that was left out as it stands for none.
        self.unset_m: _Point = _UNSET
        self._doubles: set[str] = set()  # ids that were left out as others were exactly there
        self._left_unset: set[str] = set()  # ids that were at zeros, and then elsewhere
        # Jumps: whether to where somebody else was, who is gone or jumps, too.
        self._are_exchanges: deque[bool] = deque(maxlen=_N_JUMPS)
        self._away: dict[str, tuple[_Point, FloatArray]] = {}  # jumped to, from
        self._suspects: dict[_Point, FloatArray] = {}  # jumped to and back, from

    @property
    def placeholders(self) -> list[_Point]:
        """Positions that stand for none.

        Those who stand are no placeholders, though ids jump to them and away, if ids are places in
        a list.
        """
        if sum(self._are_exchanges) > _MAX_EXCHANGED * len(self._are_exchanges):
            return [point for point in self._placeholders if point == _UNSET]
        return self._placeholders

    @property
    def period_ns(self) -> int:
        """Usual time between two positions of somebody, integer nanoseconds; 0 if unknown."""
        return lower_median(self._periods_ns) if self._periods_ns else 0

    def _learnt_hold_s(self) -> float:
        if self._is_on_grid:
            return 0.0
        missed_ns = sorted(ns for ns in self._missed_ns if ns)
        missed_s = 0.0
        if len(missed_ns) >= max(_MIN_CHANGES, _STEPPING_SHARE * len(self._missed_ns)):
            missed_s = min(missed_ns[int(_LONG * len(missed_ns))] / NS_PER_S, _MAX_MISSED_S)
        return max(self.usual_hold_s, missed_s)

    @property
    def usual_hold_s(self) -> float:
        """Time between two positions of somebody, seconds; 0 if each message has new ones."""
        if len(self._stays_ns) < _MIN_CHANGES or self._is_on_grid:
            return 0.0
        hold_ns = lower_median(self._stays_ns) + self.period_ns
        return hold_ns / NS_PER_S if hold_ns >= _HELD_PERIODS * self.period_ns else 0.0

    @property
    def cell_m(self) -> float:
        """Length of the cells of the grid to which positions are rounded, metres; 0 if to none."""
        is_known = len(self._changes_m) >= _LEAST_CHANGES and self._is_on_grid
        return min(self._changes_m) if is_known else 0.0

    def stopped(self, min_s: float) -> tuple[str, ...]:
        """Ids that moved, and have had one position since, bit by bit, while others still move.

        () if people here really stand so, and move on later, or positions are rounded to a grid.

        Args:
            min_s: time for which they have it, seconds; longer if the tracker holds positions.
        """
        if self._n_resumed > _MAX_RESUMED * self._n_stopped or self._is_on_grid:
            return ()
        least_ns = max(min_s, 2.0 * _SEEN_AGAIN * self.hold_s) * NS_PER_S
        has_stopped = self._state["last_ns"] - self._state["first_ns"] >= least_ns
        if (has_stopped | ~self._state["has_moved"]).all():
            return ()
        rows = np.flatnonzero(has_stopped & self._state["has_moved"])
        return tuple(self._ids[row] for row in rows.tolist())

    def take(self, tracks: Tracks, max_speed_m_s: float) -> tuple[Tracks, Counter[SkipReason]]:
        """The observations of a message.

        Args:
            tracks: of the message, in its frame.
            max_speed_m_s: maximum plausible speed.

        Returns:
            The tracks without entries that are no observations, and the number of these by reason.
        """
        points_m = points_of(tracks)
        is_repeated = is_present = np.zeros(len(tracks.ids), dtype=bool)
        rows = self._rows_of(tracks.ids)
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
            # Who has no position in this message keeps the one before.
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
        is_double = self._find_doubles(tracks.ids, points_m) & ~is_unset
        is_repeated, is_present = is_repeated & ~is_double, is_present & ~is_double
        if is_unset.any():
            self.unset_m = _point(points_m[is_unset.argmax()])
        lost = Counter(
            {
                SkipReason.UNSET_POSITION: int(np.count_nonzero(is_unset)),
                SkipReason.REPEATED: int(np.count_nonzero(is_repeated)),
                SkipReason.DUPLICATE_POSITION: int(np.count_nonzero(is_double)),
            }
        )
        if not lost.total():
            return tracks, lost
        # New ids are nobody before they are observed.
        repeated_ids = tuple(compress(tracks.ids, is_present.tolist()))
        observed = tracks.of_agents(~(is_unset | is_repeated | is_double))
        return replace(observed, repeated_ids=repeated_ids), lost

    def _remember(
        self, tracks: Tracks, state: np.ndarray, rows: IntArray, is_kept: BoolArray
    ) -> None:
        """Replaces what is known of the people of a message, and forgets those who are gone."""
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

    def _rows_of(self, ids: tuple[str, ...]) -> IntArray:
        """(A,) rows of ids that are known; -1 for others, and for the second of two equal ids."""
        if ids == self._ids:
            return np.arange(len(ids))
        row_of = {agent_id: row for row, agent_id in enumerate(self._ids)}
        return np.array([row_of.pop(agent_id, -1) for agent_id in ids], dtype=np.int64)

    def _find_renamed(self, rows: IntArray, points_m: FloatArray) -> BoolArray:
        """(A,) new ids at exactly the position of one that is gone, whose rows are filled in."""
        is_new = rows < 0
        gone = np.setdiff1d(np.arange(len(self._ids)), rows) if is_new.any() else ()
        if len(gone):
            row_at = {_point(self._state["point_m"][row]): row for row in gone}
            for new in np.flatnonzero(is_new).tolist():
                rows[new] = row_at.pop(_point(points_m[new]), -1)
        return is_new & (rows >= 0)

    def _find_doubles(self, ids: tuple[str, ...], points_m: FloatArray) -> BoolArray:
        """(A,) entries that are exactly where another id is, as of somebody in two classes.

        One of each stays, and it is the same in the next messages. In a cell of a grid there may be
        several people.
        """
        is_double = np.zeros(len(ids), dtype=bool)
        doubles: set[str] = set()
        if not self._is_on_grid and len(set(points_m[:, 0].tolist())) < len(ids):
            row_at: dict[_Point, int] = {}
            for row in np.flatnonzero(~np.isnan(points_m[:, 0])).tolist():
                point = _point(points_m[row])
                other = row_at.setdefault(point, row)
                if ids[other] == ids[row]:
                    continue  # itself, or an id that is given twice
                if ids[other] in self._doubles and ids[row] not in self._doubles:
                    row_at[point], row = row, other
                is_double[row] = True
                doubles.add(ids[row])
        self._doubles = doubles
        return is_double

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
        """Learns for how long positions stay, and whether those who stop move on."""
        self._periods_ns.append(
            lower_median((stamp_ns - state["last_ns"][is_same | is_changed]).tolist())
        )
        stayed_ns = state["last_ns"] - state["first_ns"]
        now_stayed_ns = stamp_ns - state["first_ns"]
        if is_changed.any():
            self._stays_ns.append(lower_median(stayed_ns[is_changed].tolist()))
            changes_m = np.abs((points_m - state["point_m"])[is_changed, :2])
            self._changes_m.extend(changes_m[changes_m > 0.0].tolist())
            self._is_on_grid = _are_on_grid(self._changes_m)
            # A gap between two messages, as of a slower tracker, repeats nothing.
            held_ns = stayed_ns + self.period_ns
            missed_ns = self._missed(points_m, state, is_changed, held_ns)
            self._missed_ns.extend(missed_ns[missed_ns >= 0].tolist())
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
        """(A,) for how long those who move on were missed: 0 if they stood, -1 for all others."""
        usual_s = max(self.usual_hold_s, self.period_ns / NS_PER_S)
        moves_on = is_changed & (held_ns > _HELD_PERIODS * usual_s * NS_PER_S)
        missed_ns = np.where(moves_on, 0, -1)
        if moves_on.any():
            way_m = np.linalg.norm(points_m - state["point_m"], axis=1)
            elapsed_s = held_ns / NS_PER_S
            steps = way_m > _STARTED_M + _START_M_S * usual_s
            steps &= way_m <= _MAX_ERROR_M + _WALK_M_S * elapsed_s
            missed_ns[moves_on & steps] = held_ns[moves_on & steps]
        return missed_ns

    def _find_placeholders(
        self,
        tracks: Tracks,
        points_m: FloatArray,
        state: np.ndarray,
        rows: IntArray,
        max_speed_m_s: float,
    ) -> None:
        """Looks at the tracks that jump, unless they only exchange ids."""
        way_m = np.sqrt(np.square(points_m - state["point_m"]).sum(axis=1))
        elapsed_s = (tracks.stamp_ns - state["last_ns"]) / NS_PER_S
        jumps = (rows >= 0) & (way_m > max_speed_m_s * elapsed_s + _MAX_ERROR_M)
        if jumps.any():
            left_m = self._state["point_m"][np.setdiff1d(np.arange(len(self._ids)), rows[~jumps])]
            ways_m = np.linalg.norm(points_m[jumps][:, None] - left_m, axis=2)
            are_exchanges = (ways_m <= _APART_M).any(axis=1).tolist()
            self._are_exchanges.extend(are_exchanges)
            for row, is_exchange in zip(np.flatnonzero(jumps).tolist(), are_exchanges, strict=True):
                if not is_exchange:
                    self._take_jump(tracks.ids[row], state["point_m"][row].copy(), points_m[row])
        if len(self._left_unset) < _MIN_LEFT_UNSET:
            was_unset = (rows >= 0) & ~state["point_m"].any(axis=1) & (way_m > 0.0)
            self._left_unset.update(compress(tracks.ids, was_unset.tolist()))
        if len(self._left_unset) >= _MIN_LEFT_UNSET and not self._is_on_grid:
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
        # It jumped back, or farther.
        first_m = self._suspects.setdefault(here, came[1])
        if np.linalg.norm(first_m - came[1]) > _APART_M:
            self._add_placeholder(here)
        if len(self._suspects) > _MAX_SUSPECTS:
            del self._suspects[next(iter(self._suspects))]

    def _add_placeholder(self, point: _Point) -> None:
        if point not in self._placeholders and len(self._placeholders) < _MAX_PLACEHOLDERS:
            self._placeholders.append(point)


def _are_on_grid(changes_m: Collection[float]) -> bool:
    """Whether coordinates change by multiples of the least change, and mostly by that."""
    if len(changes_m) < _LEAST_CHANGES:
        return True
    cell_m = min(changes_m)
    multiples = np.array(changes_m) / cell_m
    are_whole = (np.abs(multiples - np.round(multiples)) < _MULTIPLE).all()
    return bool(are_whole and np.median(multiples) < _FEW and cell_m <= _MAX_CELL_M)


def _point(position_m: FloatArray) -> _Point:
    x, y, z = position_m.tolist()
    return x, y, z
