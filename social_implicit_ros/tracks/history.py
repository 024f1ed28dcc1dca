"""A short history of every track, filled at the tracker's rate and read at the model's.

Keyed by the tracker's ids and ordered by header stamps. Nothing here reads a clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import compress

import numpy as np

from social_implicit_ros.settings import HistoryLimits
from social_implicit_ros.tracks.capacity import beyond_capacity
from social_implicit_ros.tracks.entries import (
    MAX_COORDINATE_M,
    known_covariances,
    known_velocities,
    usable_entries,
)
from social_implicit_ros.tracks.estimation.estimator import Estimator
from social_implicit_ros.tracks.estimation.smoothing import within_speed
from social_implicit_ros.tracks.motions import Motions, motions_of
from social_implicit_ros.tracks.observations import ObservationTable, with_rows
from social_implicit_ros.tracks.outliers import HeldJumps, Reach, insert_late
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import (
    ROBOT_ID,
    FloatArray,
    IntArray,
    ObservationWindow,
    SkipReason,
    Tracks,
)

#: Number of observations kept per spacing of the thinned history.
_PER_SPACING = 2


class TrackHistory:
    """The recent observations of all tracks."""

    def __init__(self, config: HistoryLimits, *, step_s: float = 0.4, n_steps: int = 8) -> None:
        """Starts without tracks.

        Args:
            config: the configured limits.
            step_s: time between two steps of a window, seconds.
            n_steps: number of steps of a window (H).
        """
        self.config = config
        #: Called before tracks are forgotten or restarted, with the stamp of their newest
        #: observation, while `observed_m` still knows them.
        self.before_forgetting: list[Callable[[int], None]] = []
        #: Total number of resets.
        self.n_resets = 0
        #: Agents that are remembered but left out of windows, with the reason.
        self.hidden: Mapping[str, SkipReason] = {}
        #: Agents with exactly constant positions, which are probably not where they are now.
        self.frozen: frozenset[str] = frozenset()
        #: Total number of reassignments of ids in use to another person, by tracker.
        self.n_reassigned: Counter[str] = Counter()
        #: Total number of entries with an invalid z, for which 0 is used.
        self.n_unknown_heights = 0
        self._step_s, self._step_ns, self._n_steps = step_s, round(step_s * NS_PER_S), n_steps
        self._clear()

    def reconfigure(self, config: HistoryLimits) -> None:
        """Changes the limits and keeps all tracks; raises ValueError for another `max_history`."""
        if config.max_history != self.config.max_history:
            raise ValueError(
                f"max_history is {config.max_history}, expected {self.config.max_history} as "
                "before: make a new history"
            )
        self.config = config

    def reset(self) -> None:
        """Forgets every agent."""
        self._announce_forgetting(self._rows())
        self._clear()
        self.n_resets += 1

    def _clear(self) -> None:
        least = _PER_SPACING * self._n_steps
        n_kept = max(self.config.max_history, least)
        self._table = ObservationTable(n_kept, self._step_ns // (n_kept // least))
        self._row_of_id: dict[str, int] = {}
        self._free_rows: list[int] = []
        self._centre_m = np.zeros(2)  # last position of the robot before it was lost
        self._covariances_m2 = np.empty((0, 2, 2))  # of the newest positions; NaN if unknown
        self._estimator = Estimator(
            self.config.position_noise_m, step_s=self._step_s, n_steps=self._n_steps
        )
        self._held = HeldJumps()
        self._trackers: dict[str, int] = {}  # source -> number of the tracker, see `_source`
        self._tracker_of_row = np.empty(0, dtype=np.int64)
        self._began_ns = np.empty(0, dtype=np.int64)  # first observation since the last restart

    def __len__(self) -> int:
        """Number of remembered agents."""
        return len(self._row_of_id)

    def insert(self, tracks: Tracks) -> dict[str, SkipReason]:
        """Adds the positions of a tracker message.

        Args:
            tracks: positions at one stamp.

        Returns:
            Ids that are not added, or whose previous position turned out to be an outlier, each
            with the reason. With more agents than `max_agents`, also remembered agents that are
            forgotten in favour of nearer ones.
        """
        states_m = np.empty((len(tracks.ids), 3))
        # False for NaN.
        has_height = np.abs(tracks.heights_m) <= MAX_COORDINATE_M
        self.n_unknown_heights += len(has_height) - int(has_height.sum())
        states_m[:, :2] = tracks.positions_m
        states_m[:, 2] = np.where(has_height, tracks.heights_m, 0.0)
        columns, rejected = usable_entries(tracks.ids, states_m)
        # The robot may exceed the limit by one; `beyond_capacity` does not count it.
        newcomers = self.unknown(columns)
        if len(self) + len(newcomers) > self.config.max_agents:
            self._make_room(columns, tracks, rejected)
            newcomers = self.unknown(columns)
        for agent_id in newcomers:
            self._row_of_id[agent_id] = self._free_row()
        self._add(
            tracks,
            self.rows_of(tuple(columns)),
            np.fromiter(columns.values(), dtype=np.int64, count=len(columns)),
            states_m,
            rejected,
        )
        return rejected

    def forget(self, ids: list[str]) -> None:
        """Forgets remembered agents."""
        self._announce_forgetting(self.rows_of(tuple(ids)))
        if ROBOT_ID in ids:
            self._centre_m = self.newest((ROBOT_ID,))[1][0, :2]
        rows = [self._row_of_id.pop(agent_id) for agent_id in ids]
        self._free_rows.extend(rows)
        self._table.clear(np.array(rows, dtype=np.int64))

    def noise_m(self, source: str) -> float:
        """Standard deviation of each coordinate of a tracker's positions, metres."""
        return self._estimator.noise.std_m(source)

    def refutes_velocities(self, source: str) -> bool:
        """Whether the velocities that a tracker reports do not fit its positions."""
        tracker = self._trackers.get(source)
        return tracker is not None and self._estimator.velocities.are_refuted(tracker)

    def newest_ns(self, stamp_ns: int) -> int | None:
        """Newest stamp of an observation at or before `stamp_ns`; None without any."""
        newest_ns = self._table.newest_ns(self._rows())
        newest_ns = newest_ns[newest_ns <= stamp_ns]
        return int(newest_ns.max()) if len(newest_ns) else None

    @property
    def ids(self) -> tuple[str, ...]:
        """(A,) ids of all remembered agents."""
        return tuple(self._row_of_id)

    def unknown(self, ids: Iterable[str]) -> list[str]:
        """The ids that are not remembered, without duplicates."""
        return [i for i in dict.fromkeys(ids) if i not in self._row_of_id]

    def motions(self, ids: tuple[str, ...]) -> Motions:
        """Newest positions and velocities of remembered agents that have an observation.

        Raises:
            KeyError: an agent that is not remembered.
        """
        return motions_of(self._table, self.rows_of(ids))

    def newest(self, ids: tuple[str, ...]) -> tuple[IntArray, FloatArray]:
        """(A,) stamps in nanoseconds and (A, 3) states in metres of the newest observations.

        Raises:
            KeyError: an agent that is not remembered.
        """
        return self._table.newest(self.rows_of(ids))

    def began_ns(self, ids: tuple[str, ...]) -> IntArray:
        """(A,) stamps of the first observation since the last restart, integer nanoseconds.

        Raises:
            KeyError: an agent that is not remembered.
        """
        began_ns: IntArray = self._began_ns[self.rows_of(ids)]
        return began_ns

    def rows_of(self, ids: tuple[str, ...]) -> IntArray:
        """(A,) rows of remembered agents in the result of `observed_m`.

        Raises:
            KeyError: an agent that is not remembered.
        """
        return np.fromiter((self._row_of_id[i] for i in ids), dtype=np.int64, count=len(ids))

    def observed_m(self, stamps_ns: IntArray, since_ns: IntArray, max_gap_s: float) -> FloatArray:
        """Positions by interpolation between two observations, without extrapolation.

        Args:
            stamps_ns: (M,) times, integer nanoseconds.
            since_ns: (M,) tracks that restarted after this time are unknown, as the id may be
                another agent's.
            max_gap_s: maximum time between the two observations, seconds.

        Returns:
            (R, M, 2) in metres, in the rows of `rows_of`; NaN where unknown, and for frozen agents.
        """
        positions_m = np.full((len(self._table), len(stamps_ns), 2), np.nan)
        rows = self._rows()
        rows = rows[self._table.counts[rows] > 0]
        if len(rows) == 0 or len(stamps_ns) == 0:
            return positions_m
        targets_ns = np.broadcast_to(stamps_ns, (len(rows), len(stamps_ns)))
        found_m, low_ns, high_ns = self._table.interpolate(rows, targets_ns)
        known = (low_ns < targets_ns) & (targets_ns <= high_ns)
        known &= high_ns - low_ns <= round(max_gap_s * NS_PER_S)
        known |= low_ns == targets_ns
        known &= self._began_ns[rows][:, None] <= since_ns
        positions_m[rows] = np.where(known[..., None], found_m, np.nan)
        positions_m[self.rows_of(tuple(i for i in self.frozen if i in self._row_of_id))] = np.nan
        return positions_m

    def window(
        self, stamp_ns: int, *, now_ns: int | None = None
    ) -> tuple[ObservationWindow, dict[str, SkipReason]]:
        """The past of every agent at the model's steps, the last of which is at `stamp_ns`.

        Positions are estimated from all observations, see `smoothing`. Exact positions are
        interpolated instead, and extrapolated at the latest velocity from the last observation to
        `stamp_ns`.

        Args:
            stamp_ns: time of the last step, integer nanoseconds.
            now_ns: current time, by default `stamp_ns`. Agents that were not observed for
                `track_timeout_s` are forgotten.

        Returns:
            The window, and ids that are not in it, with the reason.
        """
        skipped = self._forget_stale(stamp_ns if now_ns is None else now_ns)
        rows, table = self._rows(), self._table
        # The window needs two observations, so the second one must not be later than its end.
        ready = (table.counts[rows] >= self.config.min_observations) & (
            table.times_ns[rows, 1] <= stamp_ns
        )
        early = compress(self._row_of_id, (~ready).tolist())
        skipped.update(dict.fromkeys(early, SkipReason.TOO_FEW_OBSERVATIONS))
        if self.config.min_track_age_s > 0.0:
            age_ns = table.newest_ns(rows) - self._began_ns[rows]
            young = ready & (age_ns < self.config.min_track_age_s * NS_PER_S)
            skipped.update(
                dict.fromkeys(compress(self._row_of_id, young.tolist()), SkipReason.TOO_YOUNG)
            )
            ready &= ~young
        if self.hidden:
            shown = (agent_id not in self.hidden for agent_id in self._row_of_id)
            ready &= np.fromiter(shown, dtype=bool, count=len(self))
            skipped.update((i, reason) for i, reason in self.hidden.items() if i in self._row_of_id)
        ids = tuple(compress(self._row_of_id, ready.tolist()))
        rows = rows[ready]
        positions_m, n_observed, state_covariances = self._estimator.estimate(
            table,
            rows,
            stamp_ns,
            self._began_ns[rows],
            self._tracker_of_row[rows],
            is_exact=self.config.position_noise_m == 0.0,
        )
        covariances_m2 = self._covariances_m2[rows]
        covariances_m2[np.isnan(covariances_m2)] = 0.0
        newest_m = table.newest(rows)[1]
        window = ObservationWindow(
            stamp_ns=stamp_ns,
            step_s=self._step_s,
            ids=ids,
            positions_m=within_speed(positions_m, self._step_s, self.config.max_speed_m_s),
            n_observed=n_observed,
            heights_m=newest_m[:, 2],
            covariances_m2=covariances_m2,
            state_covariances=state_covariances,
            newest_m=newest_m[:, :2],
        )
        self._estimator.site.learn(window, self.frozen)
        return window, skipped

    @property
    def _timeout_ns(self) -> int:
        return round(self.config.track_timeout_s * NS_PER_S)

    def _rows(self) -> IntArray:
        """(A,) rows of all remembered agents, in the order of their ids."""
        rows = self._row_of_id.values()
        return np.fromiter(rows, dtype=np.int64, count=len(rows))

    def _add(
        self,
        tracks: Tracks,
        rows: IntArray,
        columns: IntArray,
        states_m: FloatArray,
        rejected: dict[str, SkipReason],
    ) -> None:
        """Adds the entries in some columns of a message to the tracks in some rows."""
        stamp_ns, table, source = tracks.stamp_ns, self._table, _source(tracks)
        noise_m = self._estimator.noise.std_m(source)
        reach = Reach(self.config.max_speed_m_s, noise_m)
        newest_ns, has_any = table.newest_ns(rows), table.counts[rows] > 0
        late = has_any & (stamp_ns <= newest_ns)
        if late.any():
            refused = insert_late(table, rows[late], stamp_ns, states_m[columns[late]], reach)
            rejected.update((tracks.ids[columns[late][at]], reason) for at, reason in refused)
            rows, columns = rows[~late], columns[~late]
            newest_ns, has_any = newest_ns[~late], has_any[~late]
        states_m = states_m[columns]
        continues = has_any & (stamp_ns - newest_ns <= self._timeout_ns)
        before_ns, before_m = self._held.stamps_ns[rows], self._held.states_m[rows]
        jumps, waits, confirmed, outliers = self._held.weigh(
            table, rows, stamp_ns, states_m, continues, reach
        )
        rejected.update((tracks.ids[c], SkipReason.OUTLIER) for c in columns[outliers].tolist())
        begins = ~continues | jumps | confirmed
        self.n_reassigned[source] += int(np.count_nonzero((jumps & ~waits) | confirmed))
        if waits.any():
            rows, columns, states_m = rows[~waits], columns[~waits], states_m[~waits]
            begins, confirmed = begins[~waits], confirmed[~waits]
            before_ns, before_m = before_ns[~waits], before_m[~waits]
        if begins.any():
            self._announce_forgetting(rows[begins])
            table.clear(rows[begins])
            self._began_ns[rows[begins]] = stamp_ns
        if confirmed.any():
            self._began_ns[rows[confirmed]] = before_ns[confirmed]
            table.append(rows[confirmed], before_ns[confirmed], before_m[confirmed])
        velocities_m_s = None
        if tracks.velocities_m_s is not None:
            velocities_m_s = known_velocities(tracks.velocities_m_s[columns], reach.max_speed_m_s)
            first = begins & ~confirmed & ~np.isnan(velocities_m_s[:, 0])
            if first.any():
                self._begin_with_velocity(
                    rows[first], stamp_ns, states_m[first], velocities_m_s[first]
                )
        table.append(rows, stamp_ns, states_m)
        tracker = self._trackers.setdefault(source, len(self._trackers))
        self._tracker_of_row[rows] = tracker
        covariances_m2 = None
        if tracks.covariances_m2 is not None:
            covariances_m2 = known_covariances(tracks.covariances_m2[columns, :2, :2])
            self._covariances_m2[rows] = covariances_m2
        self._estimator.noise.add(source, stamp_ns, rows, table, covariances_m2)
        if velocities_m_s is not None:
            self._estimator.velocities.forget(rows[begins])
            self._estimator.velocities.add(
                tracker,
                rows,
                stamp_ns,
                states_m[:, :2],
                velocities_m_s,
                stamp_ns - self._began_ns[rows],
                noise_m,
            )

    def _begin_with_velocity(
        self, rows: IntArray, stamp_ns: int, states_m: FloatArray, velocities_m_s: FloatArray
    ) -> None:
        """Adds an observation one step before the first, so that a single one gives a prediction.

        Exact positions are extrapolated from it. The estimator ignores it, as it is before the
        track began.
        """
        before_m = states_m.copy()
        before_m[:, :2] -= velocities_m_s * self._step_s
        self._table.append(rows, stamp_ns - self._step_ns, before_m)

    def _make_room(
        self, columns: dict[str, int], tracks: Tracks, rejected: dict[str, SkipReason]
    ) -> None:
        """Removes agents beyond `max_agents` from the history, or from the columns of a message."""
        rows = self._rows()
        beyond = beyond_capacity(
            self.ids,
            *self._table.newest(rows),
            self._began_ns[rows],
            self._tracker_of_row[rows],
            tracks,
            columns,
            centre_m=self._centre_m,
            max_agents=self.config.max_agents,
        )
        rejected.update(dict.fromkeys(beyond, SkipReason.OVER_CAPACITY))
        self.forget([name for name in beyond if name in self._row_of_id])
        for name in beyond:
            columns.pop(name, None)

    def _free_row(self) -> int:
        if not self._free_rows:
            n_before = len(self._table)
            # One row more than agents, for the robot.
            n_rows = min(max(2 * n_before, 16), max(self.config.max_agents, n_before) + 1)
            self._table.grow(n_rows)
            self._covariances_m2 = with_rows(self._covariances_m2, n_rows)
            self._began_ns = with_rows(self._began_ns, n_rows)
            self._tracker_of_row = with_rows(self._tracker_of_row, n_rows)
            self._held.grow(n_rows)
            self._estimator.grow(n_rows)
            self._free_rows.extend(range(n_rows - 1, n_before - 1, -1))
        row = self._free_rows.pop()
        self._covariances_m2[row] = np.nan
        self._held.stamps_ns[row] = 0
        self._estimator.velocities.forget(row)
        return row

    def _announce_forgetting(self, rows: IntArray) -> None:
        """Calls the listeners before the observations of some rows are removed."""
        rows = rows[self._table.counts[rows] > 0]
        if len(rows) and self.before_forgetting:
            newest_ns = int(self._table.newest_ns(rows).max())
            for listener in self.before_forgetting:
                listener(newest_ns)

    def _forget_stale(self, stamp_ns: int) -> dict[str, SkipReason]:
        newest_ns = self._table.newest_ns(self._rows())
        stale = stamp_ns - newest_ns > self._timeout_ns
        stale_ids = list(compress(self._row_of_id, stale.tolist()))
        if stale_ids:
            self.forget(stale_ids)
        return dict.fromkeys(stale_ids, SkipReason.STALE)


def _source(tracks: Tracks) -> str:
    """The source of the tracks; odometry counts as a separate tracker."""
    return ROBOT_ID if ROBOT_ID in tracks.ids else tracks.source
