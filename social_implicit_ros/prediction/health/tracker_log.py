"""Recent statistics of one tracker: entries, skipped entries with examples, lifetimes of ids."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from itertools import compress
from statistics import fmean, median

import numpy as np

from social_implicit_ros.prediction.health.snapshot import (
    FROZEN_S,
    MAX_SKIPPED,
    PATIENCE_S,
    ConditionTimer,
    TrackerCounts,
    quoted,
)
from social_implicit_ros.prediction.pipeline import Tick
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities.pairing import close_rows
from social_implicit_ros.tracks.messages.decoder import DecodedMessage
from social_implicit_ros.tracks.messages.spec import TrackerSpec
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.tracks.tracker_timing import PERIODS_KEPT
from social_implicit_ros.types import ROBOT_ID, FloatArray, SkipReason, Tracks

#: Number of report periods over which skipped entries are counted.
_N_PERIODS = 3
#: The median lifetime of ids is that of the last seconds, if at least this many ids ended.
_LIFETIMES_S, _MIN_ENDED = 10.0, 5
#: Ids that still live count from this age on, seconds; the final lifetime of younger ones is open.
_MIN_AGE_S = 1.0
#: Maximum number of ids in memory, against trackers that give every entry a new one.
_MAX_IDS = 20_000
#: A person whose newest position is older is not reported any more, seconds.
_REPORTED_S = 0.6
#: If most people have another one within this distance, they are reported twice, metres. People
#: in crowds do not walk that close.
_OVERLAP_M = 0.3
#: The same within a larger distance (metres) for at least this share of at least this many people,
#: if each has exactly one other. Couples are never that frequent.
_PAIRED_M, _PAIRED_SHARE, _MIN_PAIRED = 0.6, 0.8, 6
#: Number of reports over which motion is measured: longer than people take to bend down.
_N_PLACES = 4
#: Minimum time between the first and the last of these positions for a rate of climb, seconds.
_FOLLOWED_S = 1.5
#: People move if they are faster than this between all of these reports (metres per second), and
#: their way is nearly straight: ids that are exchanged jump to and fro.
_MOVES_M_S, _STRAIGHT = 0.5, 0.7
#: Minimum number of people who move for their median speed; one may ride a bicycle.
_MIN_MOVING = 3
#: Number of reports over which reassigned ids are counted, and the minimum count for a rate.
_N_REASSIGNED, _MIN_REASSIGNED = 10, 5


def overlapping_rows(tick: Tick | None) -> set[int]:
    """Rows of people, of all trackers, with another person at the same position."""
    if tick is None:
        return set()
    people = [row for row, agent_id in enumerate(tick.window.ids) if agent_id != ROBOT_ID]
    positions_m = tick.window.positions_m[people, -1]
    n_near = Counter(row for pair in close_rows(positions_m, _PAIRED_M) for row in pair)
    paired = [row for row, n_others in n_near.items() if n_others == 1]
    if len(paired) < max(_MIN_PAIRED, _PAIRED_SHARE * len(people)):
        paired = [row for pair in close_rows(positions_m, _OVERLAP_M) for row in pair]
    return {people[row] for row in paired}


class IdLifetimes:
    """How long a tracker reports a person under the same id."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all ids."""
        self._first_ns: dict[str, int] = {}
        self._last_ns: dict[str, int] = {}
        self._ended: deque[tuple[int, float]] = deque(maxlen=_MAX_IDS)  # last stamp, lifetime
        self._newest_ns = 0

    def add(self, ids: tuple[str, ...], stamp_ns: int) -> None:
        """Adds the ids of a message with this stamp, integer nanoseconds."""
        if stamp_ns < self._newest_ns - _LIFETIMES_S * NS_PER_S:
            self.reset()
        if stamp_ns < self._newest_ns or len(self._last_ns) > _MAX_IDS:
            return
        self._newest_ns = stamp_ns
        self._last_ns.update(dict.fromkeys(ids, stamp_ns))
        for agent_id in ids:
            self._first_ns.setdefault(agent_id, stamp_ns)

    def median_s(self, timeout_s: float) -> float:
        """Median lifetime, seconds; infinite if too few ids ended lately.

        Args:
            timeout_s: time after which an id that is not reported has ended.
        """
        oldest_ns = self._newest_ns - round(timeout_s * NS_PER_S)
        for agent_id in [i for i, last_ns in self._last_ns.items() if last_ns < oldest_ns]:
            last_ns = self._last_ns.pop(agent_id)
            lifetime_s = (last_ns - self._first_ns.pop(agent_id)) / NS_PER_S
            self._ended.append((last_ns, lifetime_s))
        while self._ended and self._ended[0][0] < self._newest_ns - _LIFETIMES_S * NS_PER_S:
            self._ended.popleft()
        if len(self._ended) < _MIN_ENDED:
            return math.inf
        # From first to last report: 0 for an id of a single message, whatever its age.
        living_s = [
            (self._last_ns[agent_id] - first_ns) / NS_PER_S
            for agent_id, first_ns in self._first_ns.items()
            if self._newest_ns - first_ns >= _MIN_AGE_S * NS_PER_S
        ]
        return median([*living_s, *(lifetime_s for _, lifetime_s in self._ended)])


class TrackerLog(TrackerCounts):
    """Counts what one tracker sends. Time is an argument."""

    def __init__(self, topic: str, spec: TrackerSpec) -> None:
        """Starts without messages.

        Args:
            topic: resolved name.
            spec: the tracker's mapping.
        """
        super().__init__(topic, spec)
        #: Steady time of the last message, seconds; None before the first.
        self.last_message_s: float | None = None
        # Sum of the periods, and steady time at which the last one ended, seconds.
        self._time_s, self._ended_s = 0.0, -math.inf
        self.ids = IdLifetimes()
        #: Predicted people of this tracker in the newest tick.
        self.n_predicted = 0
        #: Stamp of the newest tracks, integer nanoseconds.
        self.newest_ns: int | None = None
        self._waiting_since_ns: dict[str, int] = {}  # by id
        self._overlapping, self._unpredicted = ConditionTimer(), ConditionTimer()
        self._skipping, self._in_walls = ConditionTimer(), ConditionTimer()
        # In the last reports: stamp in seconds, and x, y and z in metres, by id.
        self._places: deque[dict[str, FloatArray]] = deque(maxlen=_N_PLACES)
        self._reassigned: deque[tuple[float, int, int]] = deque(maxlen=_N_REASSIGNED)
        self._was_predicted = self._is_between = False
        self._periods: deque[Counter[SkipReason | str]] = deque([Counter()], maxlen=_N_PERIODS)

    def add(self, decoded: DecodedMessage) -> None:
        """Counts the entries of a decoded message."""
        counts = self._periods[-1]
        counts["entries"] += decoded.n_entries - decoded.ignored.total()
        # Counted, as the filter may exclude the class of all people by mistake.
        counts["ignored"] += decoded.ignored[SkipReason.OTHER_CLASS]
        self.add_skipped(decoded.skipped - decoded.ignored, decoded.examples)

    def add_skipped(self, skipped: Counter[SkipReason], examples: Mapping[SkipReason, str]) -> None:
        """Counts skipped entries.

        Args:
            skipped: number of entries by reason.
            examples: value of one entry by reason.
        """
        self._periods[-1].update({r: n for r, n in skipped.items() if r is not SkipReason.REPEATED})
        for reason, text in examples.items():
            self.examples[reason] = quoted(text)

    def accept(self, tracks: Tracks) -> None:
        """Records the ids and the stamp of an accepted message."""
        self.newest_ns = tracks.stamp_ns
        self.ids.add(tracks.ids, tracks.stamp_ns)

    def take_counts(self, predictor: Predictor, source: str, overlapping: set[int]) -> None:
        """Reads statistics of this tracker from the predictor.

        Args:
            predictor: after its newest tick.
            source: prefix of this tracker's ids.
            overlapping: the `overlapping_rows` of that tick.
        """
        known = predictor.tracker(source)
        self.latency_s, self.hold_s = known.timing.latency_s, known.reported.hold_s
        self.stamp_step_s, self.mean_step_s = known.reported.stamp_steps_s
        self.needed_timeout_s = max(
            known.timing.needed_timeout_s, PERIODS_KEPT * known.reported.usual_hold_s
        )
        self.has_wrong_velocities = predictor.history.refutes_velocities(source)
        noise_m = predictor.history.noise_m(source)
        self.frozen, self.only_axis = known.frozen(FROZEN_S, noise_m), known.only_axis(noise_m)
        self.n_doubles = len({agent_id for pair in known.doubles.found for agent_id in pair}) // 2
        self.to_and_fro_m = known.to_and_fro_m
        self.cell_m = known.reported.cell_m
        self.stamp_shift_ms = round(predictor.stamp_shift_ns(source) / 1e6)
        tick = predictor.last_tick
        if tick is None:
            self.n_predicted, self.tick_reasons, self.n_waiting = 0, Counter(), 0
            return
        skipped = {i: reason for i, reason in tick.skipped.items() if i.startswith(source)}
        ids = tick.window.ids
        rows = [row for row, i in enumerate(ids) if i.startswith(source) and i != ROBOT_ID]
        # A merged person is predicted under another tracker's id; the robot needs no prediction.
        expected = SkipReason.MERGED, SkipReason.ROBOT
        self.n_predicted = len(rows) + sum(reason in expected for reason in skipped.values())
        self.tick_reasons = Counter(skipped.values())
        walls = predictor.placed_walls
        inside = [] if walls is None else walls.is_occupied(tick.present_m[rows]).tolist()
        are_inside = 2 * sum(inside) > len(rows)
        in_walls_ns = self._in_walls.update(are_inside, tick.stamp_ns, tick.stamp_ns)
        self.in_walls_s = in_walls_ns / NS_PER_S
        self._find_reassigned(predictor.history.n_reassigned[source], tick.stamp_ns)
        self._find_waiting(predictor.history, skipped, tick.stamp_ns)
        are_overlapping = 2 * len(overlapping.intersection(rows)) > len(rows)
        overlapping_ns = self._overlapping.update(are_overlapping, tick.stamp_ns, tick.stamp_ns)
        self.overlapping_s = overlapping_ns / NS_PER_S
        self._find_motion(predictor.history, source)

    def _find_reassigned(self, n_reassigned: int, stamp_ns: int) -> None:
        """Updates the mean time until an id is reassigned: person-seconds per reassignment."""
        if self._reassigned and stamp_ns / NS_PER_S < self._reassigned[-1][0]:
            self._reassigned.clear()  # time jumped back
        self._reassigned.append((stamp_ns / NS_PER_S, n_reassigned, self.n_predicted))
        (began_s, n_before, _), people = self._reassigned[0], [n for *_, n in self._reassigned]
        n_lately = n_reassigned - n_before
        person_s = (stamp_ns / NS_PER_S - began_s) * fmean(people)
        self.reassigned_s = person_s / n_lately if n_lately >= _MIN_REASSIGNED else math.inf

    def _find_motion(self, history: TrackHistory, source: str) -> None:
        """Updates speeds, which are implausible if positions have wrong units or axes.

        Of all tracks, as those of implausible speeds are not predicted.
        """
        ids = tuple(i for i in history.ids if i.startswith(source) and i != ROBOT_ID)
        stamps_ns, states_m = history.newest(ids)
        places = np.column_stack([stamps_ns / NS_PER_S, states_m])
        self._places.append(dict(zip(ids, places, strict=True)))
        known = [i for i in ids if all(i in each for each in self._places)]
        self.speed_m_s = self.climb_m_s = 0.0
        if len(self._places) < _N_PLACES or not known:
            return
        steps = np.diff([[each[i] for i in known] for each in self._places], axis=0)
        elapsed_s, ways_m = steps[..., 0], np.linalg.norm(steps[..., 1:3], axis=2)
        whole = steps.sum(axis=0)
        # Slow trackers report people in some of these periods.
        is_followed = whole[:, 0] >= _FOLLOWED_S
        if is_followed.any():
            self.climb_m_s = float(np.mean(np.abs(whole[is_followed, 3]) / whole[is_followed, 0]))
        is_seen = (elapsed_s > 0.0).all(axis=0)
        if not is_seen.any():
            return
        slowest_m_s = (ways_m[:, is_seen] / elapsed_s[:, is_seen]).min(axis=0)
        far_m = np.linalg.norm(whole[is_seen, 1:3], axis=1)
        moves = (slowest_m_s > _MOVES_M_S) & (far_m > _STRAIGHT * ways_m[:, is_seen].sum(axis=0))
        if np.count_nonzero(moves) >= _MIN_MOVING:
            self.speed_m_s = float(np.median(slowest_m_s[moves]))

    def _find_waiting(
        self, history: TrackHistory, skipped: Mapping[str, SkipReason], stamp_ns: int
    ) -> None:
        """Finds people who have been reported for some time, but not predicted."""
        too_few = SkipReason.TOO_FEW_OBSERVATIONS
        ids = [i for i, reason in skipped.items() if reason is too_few and i != ROBOT_ID]
        unknown = set(history.unknown(ids))
        ids = [i for i in ids if i not in unknown]
        newest_ns, _ = history.newest(tuple(ids))
        reported = compress(ids, newest_ns > stamp_ns - _REPORTED_S * NS_PER_S)
        before = self._waiting_since_ns
        self._waiting_since_ns = {i: before.get(i, stamp_ns) for i in reported}
        waited_s = {i: (stamp_ns - ns) / NS_PER_S for i, ns in self._waiting_since_ns.items()}
        self.waiting_s = max(waited_s.values(), default=0.0)
        waiting = [i for i, waited in waited_s.items() if waited >= PATIENCE_S]
        self.n_waiting = len(waiting)
        if waiting:
            self.examples[too_few] = quoted(waiting[0])

    def end_period(
        self, elapsed_s: float, now_ns: int, now_s: float, timeout_s: float, *, has_tick: bool
    ) -> None:
        """Ends a report period and sums up the last periods.

        Args:
            elapsed_s: length of the period, seconds; less if the node's clock is slower.
            now_ns: the node's clock, integer nanoseconds.
            now_s: steady time, seconds.
            timeout_s: time after which a track that is not reported is dropped, seconds.
            has_tick: the period had a tick, or no message.
        """
        began_s, self._time_s = self._time_s, self._time_s + elapsed_s
        self.silent_s += elapsed_s
        # Between two messages of a slow tracker nothing changes.
        self._is_between = self.silent_s <= timeout_s
        if self.last_message_s is not None and self.last_message_s >= self._ended_s:
            self.silent_s, self._is_between = min(now_s - self.last_message_s, elapsed_s), False
        self._ended_s = now_s
        if self.newest_ns is not None:
            self.age_s = (now_ns - self.newest_ns) / NS_PER_S
        self.id_lifetime_s = self.ids.median_s(timeout_s)
        if self._is_between:
            return
        n_predicted = self.n_predicted if has_tick else 0
        self._was_predicted |= n_predicted > 0
        counts = self._periods[-1]
        # Classes filtered out on purpose do not count as people, unless this tracker has never
        # reported another class.
        n_entries = counts["entries"] + (0 if self._was_predicted else counts["ignored"])
        is_unpredicted = n_entries > 0 and not n_predicted
        self.unpredicted_s = self._unpredicted.update(is_unpredicted, began_s, self._time_s)
        n_skipped = sum(counts[reason] for reason in SkipReason)
        self.skipping_s = self._skipping.update(
            n_skipped > MAX_SKIPPED * counts["entries"], began_s, self._time_s
        )
        total: Counter[SkipReason | str] = sum(self._periods, Counter())
        self.n_entries, self.n_ignored = total["entries"], total["ignored"]
        self.skipped = {reason: total[reason] for reason in SkipReason if total[reason]}

    def begin_period(self) -> None:
        """Begins the period of the next report, or continues until a slow tracker's message."""
        if not self._is_between:
            self._periods.append(Counter())
