"""A short history of every agent, filled at the tracker's rate and read at the model's.

Keyed by the tracker's id and ordered by header stamp; asks no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

import numpy as np

from social_implicit_ros.settings import HistoryLimits
from social_implicit_ros.tracks.agent_ids import ROBOT_ID
from social_implicit_ros.tracks.reach import is_in_reach
from social_implicit_ros.types import (
    BoolArray,
    FloatArray,
    IntArray,
    ObservationWindow,
    SkipReason,
    Tracks,
)

_NEVER = np.iinfo(np.int64).max
_NS_PER_S = 1_000_000_000
#: Thinning keeps two observations per spacing.
_PER_SPACING = 2
#: A newcomer replaces a remembered agent only if it is nearer by more than this, metres; otherwise
#: two people at the same distance would replace each other at every message.
_NEARER_M = 1.0
#: A step counts as observed when the first observation came at most this part of a step later.
_STEP_TOLERANCE = 0.25
#: A position known no better than this is not known; it keeps float32 from overflowing.
_MAX_VARIANCE_M2 = 1e5
#: By so much of its standard deviations the two covariances of x and y may differ.
_ROUNDING = 1e-3
#: No map of the Earth has larger coordinates (UTM's northing ends here).
MAX_COORDINATE_M = 1e7


@dataclass(frozen=True)
class HistoryConfig(HistoryLimits):
    """The limits that users set, and the steps of the model.

    Attributes:
        step_s: seconds between two steps of a window.
        n_steps: most steps of a window (H).
    """

    step_s: float = 0.4
    n_steps: int = 8

    def __post_init__(self) -> None:
        """Checks the values; raises ValueError naming the field."""
        super().__post_init__()
        if not 0 < self.step_s < float("inf"):
            raise ValueError(f"step_s is {self.step_s}, expected a value above 0")
        if self.n_steps < 2:
            raise ValueError(f"n_steps is {self.n_steps}, expected 2 or more")


class _LastMessage(NamedTuple):
    """A message that was taken as it was, and where it was put.

    Attributes:
        ids: of its agents.
        stamp_ns: of all their newest observations, integer nanoseconds.
        rows: (A,) of the buffers.
        begins: (A,) of these rows in the flat buffers.
    """

    ids: tuple[str, ...]
    stamp_ns: int
    rows: IntArray
    begins: IntArray


class TrackHistory:
    """Per-agent buffers in arrays: one row an agent, one column an observation, oldest first."""

    def __init__(self, config: HistoryConfig) -> None:
        self.config = config
        self._step_ns = round(config.step_s * _NS_PER_S)
        fewest = _PER_SPACING * config.n_steps
        self._kept = max(config.max_history, fewest)
        # Closer observations are thinned out.
        self._thinned_ns = self._step_ns // (self._kept // fewest)
        # The extra half makes compaction rare.
        self._capacity = self._kept + self._kept // 2
        # The last message, as long as it is the newest that is known of its agents: most messages
        # name the same agents as the one before.
        self._last: _LastMessage | None = None
        self.reset()

    def reconfigure(self, config: HistoryConfig) -> None:
        """Takes other limits and forgets nobody.

        Raises:
            ValueError: other steps or another `max_history`, for which observations would have
                been kept otherwise.
        """
        for name in ("step_s", "n_steps", "max_history"):
            if getattr(config, name) != getattr(self.config, name):
                raise ValueError(
                    f"HistoryConfig.{name} is {getattr(config, name)}, expected "
                    f"{getattr(self.config, name)} as before: make a new history"
                )
        self.config = config
        self._last = None  # agents beyond a lower max_agents are found at the next message

    @property
    def _timeout_ns(self) -> int:
        return round(self.config.track_timeout_s * _NS_PER_S)

    def reset(self) -> None:
        """Forgets every agent."""
        self._row_of_id: dict[str, int] = {}
        self._all_rows: IntArray | None = None  # until the ids change
        self._last = None
        self._free_rows: list[int] = []
        self._counts = np.zeros(0, dtype=np.int64)
        self._times_ns = np.empty((0, self._capacity), dtype=np.int64)
        self._states_m = np.empty((0, self._capacity, 3))
        self._covariances_m2 = np.empty((0, 2, 2))  # of the newest position, NaN where unknown
        self._began_ns = np.empty(0, dtype=np.int64)  # first observation since the last break

    def __len__(self) -> int:
        """How many agents are remembered."""
        return len(self._row_of_id)

    def _rows(self) -> IntArray:
        """(A,) the rows of all remembered agents, in the order of their ids."""
        if self._all_rows is None:
            rows = self._row_of_id.values()
            self._all_rows = np.fromiter(rows, dtype=np.int64, count=len(rows))
        return self._all_rows

    def _newest_of(self, rows: IntArray) -> IntArray:
        """(A,) stamps of the newest observation of rows, integer nanoseconds; `_NEVER` without."""
        last = np.maximum(self._counts[rows] - 1, 0)
        newest_ns: IntArray = self._times_ns.ravel().take(rows * self._capacity + last)
        return newest_ns

    def insert(self, tracks: Tracks) -> dict[str, SkipReason]:
        """Adds what a tracker said.

        Args:
            tracks: positions at one stamp.

        Returns:
            The ids that were turned away, each with its reason; the others were added. Where
            there are more agents than `max_agents`, also the ids of remembered agents that are
            forgotten in favour of nearer ones.
        """
        states = np.empty((len(tracks.ids), 3))
        states[:, :2], states[:, 2] = tracks.positions_m, tracks.heights_m
        near = np.abs(states) <= MAX_COORDINATE_M  # False for NaN, too
        if near.all() and self._insert_as_before(tracks, states):
            return {}
        return self._insert_checked(tracks, states, np.asarray(near.all(axis=1)))

    def _insert_as_before(self, tracks: Tracks, states: FloatArray) -> bool:
        """Adds a message that goes on where the one before ended; returns whether it does.

        It names the same agents a short while later, and none has jumped. So all is known that is
        looked up for others.
        """
        last = self._last
        if last is None or tracks.ids != last.ids:
            return False
        elapsed_ns = tracks.stamp_ns - last.stamp_ns
        if not 0 < elapsed_ns <= self._timeout_ns:
            return False
        counts = self._counts.take(last.rows)
        before_m = self._states_m.reshape(-1, 3).take(last.begins + counts - 1, axis=0)
        if self._is_too_far(before_m, states, elapsed_ns).any():
            return False
        self._last = last._replace(stamp_ns=tracks.stamp_ns)
        if elapsed_ns < self._thinned_ns:
            counts = counts - self._is_dense(last.begins, counts, tracks.stamp_ns)
        self._put(last.rows, last.begins, counts, tracks.stamp_ns, states)
        if tracks.covariances_m2 is not None:
            self._covariances_m2[last.rows] = _known_covariances(tracks.covariances_m2[:, :2, :2])
        return True

    def _insert_checked(
        self, tracks: Tracks, states: FloatArray, near: BoolArray
    ) -> dict[str, SkipReason]:
        """Adds the agents that can be added; returns the others with their reasons."""
        rejected: dict[str, SkipReason] = {}
        finite = np.all(np.isfinite(states), axis=1)
        accepted: dict[str, int] = {}
        for column, agent_id in enumerate(tracks.ids):
            if not agent_id:
                rejected[agent_id] = SkipReason.EMPTY_ID
            elif agent_id in accepted:
                rejected[agent_id] = SkipReason.DUPLICATE_ID
            elif not finite[column]:
                rejected[agent_id] = SkipReason.NOT_FINITE
            elif not near[column]:
                rejected[agent_id] = SkipReason.OUT_OF_RANGE
            else:
                accepted[agent_id] = column
        if accepted:
            self._insert_finite(tracks, accepted, states, rejected)
        return rejected

    def newest_ns(self, stamp_ns: int) -> int | None:
        """Stamp of the newest observation of anybody, not after `stamp_ns`; None without any."""
        rows = self._rows()
        newest_ns = self._newest_of(rows)
        newest_ns = newest_ns[newest_ns <= stamp_ns]
        return int(newest_ns.max()) if len(newest_ns) else None

    def rows_of(self, ids: tuple[str, ...]) -> IntArray:
        """(A,) rows of remembered agents in the table of `observed_m`.

        Raises:
            KeyError: an agent that is not remembered.
        """
        return np.fromiter((self._row_of_id[i] for i in ids), dtype=np.int64, count=len(ids))

    def observed_m(self, stamps_ns: IntArray, since_ns: IntArray, max_gap_s: float) -> FloatArray:
        """Where agents were, by interpolation between two observations, never beyond them.

        Args:
            stamps_ns: (M,) moments, integer nanoseconds.
            since_ns: (M,) a track that broke after this moment counts as another agent's.
            max_gap_s: longest time between two observations to interpolate over, seconds.

        Returns:
            (R, M, 2) in metres, one row as `rows_of` counts them; NaN where nobody knows.
        """
        positions_m = np.full((len(self._counts), len(stamps_ns), 2), np.nan)
        rows = self._rows()
        if len(rows) == 0 or len(stamps_ns) == 0:
            return positions_m
        # The columns that nobody has filled need not be searched.
        times = self._times_ns[rows, : int(self._counts[rows].max())]
        targets = np.broadcast_to(stamps_ns, (len(rows), len(stamps_ns)))
        after = _count_not_after(times, targets)
        last = self._counts[rows][:, None] - 1
        low, high = np.clip(after - 1, 0, last), np.minimum(after, last)
        agents = np.arange(len(rows))[:, None]
        # At an observation's own time, that observation is on both sides.
        high = np.where(times[agents, low] == targets, low, high)
        low_ns, high_ns = times[agents, low], times[agents, high]
        gap_ns = high_ns - low_ns
        known = (low_ns <= targets) & (targets <= high_ns)
        known &= gap_ns <= round(max_gap_s * _NS_PER_S)
        known &= self._began_ns[rows][:, None] <= since_ns
        share = (targets - low_ns) / np.maximum(gap_ns, 1)
        low_m = self._states_m[rows[:, None], low, :2]
        found = low_m + share[..., None] * (self._states_m[rows[:, None], high, :2] - low_m)
        found[~known] = np.nan
        positions_m[rows] = found
        return positions_m

    def window(
        self, stamp_ns: int, *, now_ns: int | None = None
    ) -> tuple[ObservationWindow, dict[str, SkipReason]]:
        """The past of every agent, resampled to the model's steps and ending at `stamp_ns`.

        Positions between two observations are interpolated; from its last observation to
        `stamp_ns` an agent walks on at its latest velocity.

        Args:
            stamp_ns: time of the last step.
            now_ns: the present, `stamp_ns` where left out; agents not seen for `track_timeout_s`
                by then are forgotten.

        Returns:
            The window, and the ids that are not in it with their reasons.
        """
        skipped = self._forget_stale(stamp_ns if now_ns is None else now_ns)
        rows = self._rows()
        # Where the second observation is ahead of the tick, fewer than two lie in its past.
        ready = (self._counts[rows] >= self.config.min_observations) & (
            self._times_ns[rows, 1] <= stamp_ns
        )
        ids = tuple(compress(self._row_of_id, ready.tolist()))
        if len(ids) < len(rows):
            early = compress(self._row_of_id, (~ready).tolist())
            skipped.update(dict.fromkeys(early, SkipReason.TOO_FEW_OBSERVATIONS))
            rows = rows[ready]
        states, n_observed = self._resample(rows, stamp_ns)
        window = ObservationWindow(
            stamp_ns=stamp_ns,
            step_s=self.config.step_s,
            ids=ids,
            positions_m=states[..., :2],
            n_observed=n_observed,
            heights_m=states[:, -1, 2],
            covariances_m2=_zero_where_unknown(self._covariances_m2[rows]),
        )
        return window, skipped

    def _insert_finite(
        self,
        tracks: Tracks,
        columns: dict[str, int],
        states: FloatArray,
        rejected: dict[str, SkipReason],
    ) -> None:
        newcomers = [agent_id for agent_id in columns if agent_id not in self._row_of_id]
        # The robot may make it one too many: `_make_room` counts it apart.
        if len(self) + len(newcomers) > self.config.max_agents:
            newcomers = self._make_room(newcomers, columns, states, rejected)
        for agent_id in newcomers:
            self._add_row(agent_id)
        columns = {name: column for name, column in columns.items() if name in self._row_of_id}
        if not columns:
            return
        rows = np.array([self._row_of_id[name] for name in columns])
        self._insert_rows(tracks, rows, np.array(list(columns.values())), states, rejected)

    def _insert_rows(
        self,
        tracks: Tracks,
        at: IntArray,
        kept: IntArray,
        states: FloatArray,
        rejected: dict[str, SkipReason],
    ) -> None:
        """Adds some columns of the tracks to rows of the buffers."""
        stamp_ns = tracks.stamp_ns
        late = (stamp_ns <= self._newest_of(at)) & (self._counts[at] > 0)
        self._last = None
        if late.any():
            for row, column in zip(at[late].tolist(), kept[late].tolist(), strict=True):
                reason = self._insert_late(row, stamp_ns, states[column])
                if reason is not None:
                    rejected[tracks.ids[column]] = reason
            at, kept = at[~late], kept[~late]
        elif len(at) == len(tracks.ids):
            self._last = _LastMessage(tracks.ids, stamp_ns, at, at * self._capacity)
        velocities, covariances = tracks.velocities_m_s, tracks.covariances_m2
        self._append(at, stamp_ns, states[kept], None if velocities is None else velocities[kept])
        if covariances is not None:
            self._covariances_m2[at] = _known_covariances(covariances[kept, :2, :2])

    def _append(
        self, rows: IntArray, stamp_ns: int, states: FloatArray, velocities: FloatArray | None
    ) -> None:
        # Both tables flat, of which numpy takes elements faster.
        times_ns, states_m = self._times_ns.ravel(), self._states_m.reshape(-1, 3)
        counts, begins = self._counts[rows], rows * self._capacity
        last = begins + np.maximum(counts - 1, 0)
        elapsed_ns = stamp_ns - times_ns.take(last)  # negative without an observation
        too_far = self._is_too_far(states_m.take(last, axis=0), states, elapsed_ns)
        anew = (counts > 0) & (too_far | (elapsed_ns > self._timeout_ns))
        if anew.any() or not counts.all():
            self._clear(rows[anew])
            self._began_ns[rows[self._counts[rows] == 0]] = stamp_ns
            if velocities is not None:
                self._begin_with_velocity(rows, stamp_ns, states, velocities)
            counts = self._counts[rows]
        counts = counts - self._is_dense(begins, counts, stamp_ns)
        self._put(rows, begins, counts, stamp_ns, states)

    def _is_too_far(
        self, before_m: FloatArray, states: FloatArray, elapsed_ns: IntArray | int
    ) -> BoolArray:
        """Which agents would have come farther in a time than anybody walks."""
        max_speed_m_s = self.config.max_speed_m_s
        return ~is_in_reach(before_m[:, :2], states[:, :2], elapsed_ns, max_speed_m_s)

    def _is_dense(self, begins: IntArray, counts: IntArray, stamp_ns: int) -> BoolArray:
        """Where an observation shall take the place of the last one, which comes so soon before."""
        before_last_ns = self._times_ns.ravel().take(begins + np.maximum(counts - 2, 0))
        dense: BoolArray = (counts >= 2) & (stamp_ns - before_last_ns < self._thinned_ns)
        return dense

    def _put(
        self, rows: IntArray, begins: IntArray, counts: IntArray, stamp_ns: int, states: FloatArray
    ) -> None:
        """Writes observations behind so many others of their rows."""
        at = begins + counts
        self._times_ns.ravel()[at] = stamp_ns
        self._states_m.reshape(-1, 3)[at] = states
        counts = counts + 1
        self._counts[rows] = counts
        full = counts == self._capacity
        if full.any():
            self._compact(rows[full])

    def _begin_with_velocity(
        self, rows: IntArray, stamp_ns: int, states: FloatArray, velocities: FloatArray
    ) -> None:
        """A new track whose velocity is known stood a step behind, a step ago.

        So it is predicted from its first observation on. A velocity that nobody walks at is none.
        """
        # False for NaN, too.
        known = np.all(np.abs(velocities) <= self.config.max_speed_m_s, axis=1)
        begins = np.flatnonzero((self._counts[rows] == 0) & known)
        fresh = rows[begins]
        self._times_ns[fresh, 0] = stamp_ns - self._step_ns
        self._states_m[fresh, 0] = states[begins] - velocities[begins] * self.config.step_s
        self._counts[fresh] = 1

    def _insert_late(self, row: int, stamp_ns: int, state: FloatArray) -> SkipReason | None:
        """Puts an observation older than the newest in its place; returns why it cannot."""
        count = int(self._counts[row])
        times = self._times_ns[row]
        at = int(np.searchsorted(times[:count], stamp_ns))
        if times[at] == stamp_ns:
            return SkipReason.DUPLICATE_STAMP
        if at == 0:
            return SkipReason.OUT_OF_ORDER
        times[at + 1 : count + 1] = times[at:count].copy()
        self._states_m[row, at + 1 : count + 1] = self._states_m[row, at:count].copy()
        times[at] = stamp_ns
        self._states_m[row, at] = state
        self._counts[row] = count + 1
        if count + 1 == self._capacity:
            self._compact(np.array([row]))
        return None

    def _make_room(
        self,
        newcomers: list[str],
        columns: dict[str, int],
        states: FloatArray,
        rejected: dict[str, SkipReason],
    ) -> list[str]:
        """Keeps the nearest agents, forgets and turns away the others.

        Args:
            newcomers: agents of a message who are not remembered.
            columns: where the agents of the message stand in `states`.
            states: (A, 3) of the message, metres.
            rejected: gets those who are turned away or forgotten.

        Returns:
            The newcomers who may enter.
        """
        remembered = list(self._row_of_id)
        rows = self._rows()
        last_m = self._states_m[rows, np.maximum(self._counts[rows] - 1, 0), :2]
        positions_m = np.concatenate([last_m, states[[columns[name] for name in newcomers], :2]])
        centre_m = np.zeros(2)
        if ROBOT_ID in self._row_of_id:
            centre_m = last_m[remembered.index(ROBOT_ID)]
        distances_m = np.hypot(*(positions_m - centre_m).T)
        distances_m[len(remembered) :] += _NEARER_M
        names = [*remembered, *newcomers]
        by_distance = np.argsort(distances_m, kind="stable")
        # The robot is no pedestrian: it replaces nobody, and nobody replaces it.
        people = [names[index] for index in by_distance if names[index] != ROBOT_ID]
        beyond = set(people[self.config.max_agents :])
        rejected.update(dict.fromkeys(beyond, SkipReason.OVER_CAPACITY))
        self._forget([name for name in remembered if name in beyond])
        return [name for name in newcomers if name not in beyond]

    def _add_row(self, agent_id: str) -> None:
        if not self._free_rows:
            self._grow()
        row = self._free_rows.pop()
        self._row_of_id[agent_id] = row
        self._all_rows = None
        self._covariances_m2[row] = np.nan

    def _forget(self, ids: list[str]) -> None:
        rows = [self._row_of_id.pop(agent_id) for agent_id in ids]
        self._free_rows.extend(rows)
        self._last = self._all_rows = None
        self._clear(np.array(rows, dtype=np.int64))

    def _grow(self) -> None:
        old = len(self._counts)
        new = min(max(2 * old, 16), max(self.config.max_agents, old) + 1)  # one for the robot
        extra = new - old
        self._counts = np.concatenate([self._counts, np.zeros(extra, dtype=np.int64)])
        self._times_ns = np.concatenate(
            [self._times_ns, np.full((extra, self._capacity), _NEVER, dtype=np.int64)]
        )
        self._states_m = np.concatenate([self._states_m, np.zeros((extra, self._capacity, 3))])
        self._covariances_m2 = np.concatenate([self._covariances_m2, np.zeros((extra, 2, 2))])
        self._began_ns = np.concatenate([self._began_ns, np.zeros(extra, dtype=np.int64)])
        self._free_rows.extend(range(new - 1, old - 1, -1))

    def _clear(self, rows: IntArray) -> None:
        self._counts[rows] = 0
        self._times_ns[rows] = _NEVER

    def _compact(self, rows: IntArray) -> None:
        """Moves the newest observations to the front of full rows."""
        kept = self._kept
        self._times_ns[rows, :kept] = self._times_ns[rows, -kept:]
        self._states_m[rows, :kept] = self._states_m[rows, -kept:]
        self._times_ns[rows, kept:] = _NEVER
        self._counts[rows] = kept

    def _forget_stale(self, stamp_ns: int) -> dict[str, SkipReason]:
        rows = self._rows()
        stale = stamp_ns - self._newest_of(rows) > self._timeout_ns
        if not stale.any():
            return {}
        stale_ids = [agent_id for agent_id, old in zip(self._row_of_id, stale, strict=True) if old]
        self._forget(stale_ids)
        return dict.fromkeys(stale_ids, SkipReason.STALE)

    def _resample(self, rows: IntArray, stamp_ns: int) -> tuple[FloatArray, IntArray]:
        """States of the rows at the window's steps, and how many of them were observed.

        Returns:
            (A, H, 3) x, y, z in metres with NaN before an agent was seen, and (A,) steps known.
        """
        n_steps = self.config.n_steps
        if len(rows) == 0:
            return np.empty((0, n_steps, 3)), np.empty(0, dtype=np.int64)
        steps_ns = stamp_ns - self._step_ns * np.arange(n_steps - 1, -1, -1)
        last_ns = self._times_ns[rows, self._counts[rows] - 1][:, None]
        # What lies before the first step has no say in it.
        first_ns = np.maximum(
            self._times_ns[rows, 0][:, None], np.minimum(steps_ns[0], last_ns - self._step_ns)
        )
        before_ns = np.minimum(steps_ns - first_ns, 0)
        after_ns = np.maximum(steps_ns - last_ns, 0)
        if not before_ns.any() and not after_ns.any():  # nobody is new, everybody just seen
            targets = np.empty_like(before_ns)
            targets[...] = steps_ns
            return self._interpolate(rows, targets), np.full(len(rows), n_steps)
        # The two velocities that carry an agent beyond what was observed are taken over one step.
        targets = np.empty((len(rows), n_steps + 4), dtype=np.int64)
        targets[:, :n_steps], ends = steps_ns, targets[:, n_steps:]
        ends[:, :1], ends[:, 3:] = first_ns, last_ns
        ends[:, 1:2] = np.minimum(first_ns + self._step_ns, last_ns)
        ends[:, 2:3] = np.maximum(last_ns - self._step_ns, first_ns)
        states = self._interpolate(rows, targets)
        start, start_1, end_1, end = (states[:, n_steps + i, None] for i in range(4))
        states = states[:, :n_steps]
        start_v = (start_1 - start) / (ends[:, 1] - ends[:, 0])[:, None, None]
        end_v = (end - end_1) / (ends[:, 3] - ends[:, 2])[:, None, None]
        states = states + start_v * before_ns[..., None] + end_v * after_ns[..., None]
        states[..., 2] = np.where(after_ns > 0, end[..., 2], states[..., 2])
        known = self._known_steps(before_ns)
        states[~known] = np.nan
        return states, known.sum(axis=1)

    def _known_steps(self, before_ns: IntArray) -> BoolArray:
        known: BoolArray = before_ns >= -self._step_ns * _STEP_TOLERANCE
        # Two observations within one step still give a position and a velocity.
        known[:, -2:] = True
        return known

    def _interpolate(self, rows: IntArray, targets_ns: IntArray) -> FloatArray:
        """(A, M, 3) states at (A, M) times, linear between observations, constant outside."""
        # Both tables flat, of which numpy takes elements faster.
        times_ns, states_m = self._times_ns.ravel(), self._states_m.reshape(-1, 3)
        begin = rows[:, None] * self._capacity
        last = begin + self._counts[rows][:, None] - 1
        searched = self._searched(begin, last, int(targets_ns.min()))
        after = searched[:, :1] + _count_not_after(times_ns.take(searched), targets_ns)
        low, high = np.maximum(np.minimum(after - 1, last), begin), np.minimum(after, last)
        low_ns, high_ns = times_ns.take(low), times_ns.take(high)
        span_ns = np.maximum(high_ns - low_ns, 1)
        share = np.minimum(np.maximum((targets_ns - low_ns) / span_ns, 0.0), 1.0)[..., None]
        low_m = states_m.take(low, axis=0)
        return low_m + share * (states_m.take(high, axis=0) - low_m)

    def _searched(self, begin: IntArray, last: IntArray, stamp_ns: int) -> IntArray:
        """(A, C) the newest observations of each row, back to a stamp at least.

        A window asks for a tenth of what is kept, and a search takes as long as there is much to
        look through.

        Args:
            begin: (A, 1) place of each row's oldest observation in the flat table.
            last: (A, 1) of its newest.
            stamp_ns: integer nanoseconds.
        """
        n_columns = 32
        while True:
            first = np.maximum(last - n_columns + 1, begin)
            too_late = (self._times_ns.ravel().take(first) > stamp_ns) & (first > begin)
            if n_columns >= self._capacity or not too_late.any():
                return first + np.arange(min(n_columns, self._capacity))
            n_columns *= 2


def _zero_where_unknown(values: FloatArray) -> FloatArray:
    """Of an array that nobody else holds."""
    values[np.isnan(values)] = 0.0
    return values


def _known_covariances(covariances_m2: FloatArray) -> FloatArray:
    """(A, 2, 2) with NaN in place of what is no covariance, or of one that says nothing."""
    xx, xy, yx, yy = covariances_m2.reshape(-1, 4).T
    # Comparisons with NaN are false.
    known = (xx > 0) & (yy > 0) & (np.maximum(xx, yy) <= _MAX_VARIANCE_M2)
    with np.errstate(invalid="ignore", over="ignore"):
        largest_m2 = np.sqrt(xx * yy)
        known &= np.abs(xy - yx) <= _ROUNDING * largest_m2
    known &= np.maximum(np.abs(xy), np.abs(yx)) <= largest_m2
    return np.where(known[:, None, None], covariances_m2, np.nan)


def _count_not_after(times_ns: IntArray, targets_ns: IntArray) -> IntArray:
    """(A, M) how many of each row's ascending times (A, C) are not after its targets (A, M).

    One search in all rows laid end to end, which is several times faster than one for each.
    """
    n_rows, n_columns = times_ns.shape
    earliest_ns, latest_ns = int(targets_ns.min()), int(targets_ns.max())
    # Rows are moved apart by more than the targets span; what lies beyond these need not be told
    # apart.
    span_ns = latest_ns - earliest_ns + 3
    row = np.arange(n_rows)[:, None]
    shift_ns = row * span_ns - earliest_ns
    rows_ns = np.maximum(times_ns, earliest_ns - 1)
    np.minimum(rows_ns, latest_ns + 1, out=rows_ns)
    rows_ns += shift_ns
    found = rows_ns.ravel().searchsorted(targets_ns + shift_ns, side="right")
    counts: IntArray = found - row * n_columns
    return counts
