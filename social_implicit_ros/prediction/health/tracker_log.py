"""Recent statistics of one tracker: entries, skipped entries with examples, its people."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

import numpy as np

from social_implicit_ros.prediction.health.people import (
    IdLifetimes,
    Motion,
    Reassignments,
    Waiting,
    overlapping_rows,
)
from social_implicit_ros.prediction.health.snapshot import (
    FROZEN_S,
    MAX_SKIPPED,
    ConditionTimer,
    TrackerCounts,
    quoted,
)
from social_implicit_ros.prediction.pipeline import Tick
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.tracks.messages.decoder import DecodedMessage
from social_implicit_ros.tracks.messages.spec import TrackerSpec
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.tracks.tracker_timing import PERIODS_KEPT
from social_implicit_ros.types import ROBOT_ID, SkipReason, Tracks

#: Number of report periods over which skipped entries are counted.
_N_PERIODS = 3


class TrackerLog(TrackerCounts):
    """Counts what one tracker sends. Time is an argument."""

    def __init__(self, topic: str, spec: TrackerSpec) -> None:
        """Starts without messages.

        Args:
            topic: resolved name.
            spec: the tracker's mapping.
        """
        super().__init__(topic, spec)
        self.ids = IdLifetimes()
        #: Predicted people of this tracker in the newest tick.
        self.n_predicted = 0
        #: Stamp of the newest tracks, integer nanoseconds.
        self.newest_ns: int | None = None
        self._motion, self._reassignments, self._waiting = Motion(), Reassignments(), Waiting()
        self._overlapping, self._unpredicted = ConditionTimer(), ConditionTimer()
        self._skipping, self._in_walls = ConditionTimer(), ConditionTimer()
        self._arrived_s: float | None = None  # the last message of this period
        self._was_predicted = False
        self._periods: deque[Counter[SkipReason | str]] = deque([Counter()], maxlen=_N_PERIODS)

    def arrive(self, now_s: float) -> None:
        """A message arrived, at a steady time in seconds."""
        self._arrived_s = now_s

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

    def take_counts(self, predictor: Predictor, source: str) -> None:
        """Reads statistics of this tracker from the predictor.

        Args:
            predictor: after its newest tick.
            source: prefix of this tracker's ids.
        """
        known = predictor.tracker(source)
        self.latency_s, self.hold_s = known.timing.latency_s, known.reported.holds.hold_s
        self.stamp_step_s, self.mean_step_s = known.reported.holds.stamp_steps_s
        self.needed_timeout_s = max(
            known.timing.needed_timeout_s, PERIODS_KEPT * known.reported.holds.usual_hold_s
        )
        self.has_wrong_velocities = predictor.history.refutes_velocities(source)
        noise_m = predictor.history.noise_m(source)
        self.frozen, self.only_axis = known.frozen(FROZEN_S, noise_m), known.only_axis(noise_m)
        self.n_doubles = len({agent_id for pair in known.doubles.found for agent_id in pair}) // 2
        self.to_and_fro_m = known.extrapolated.to_and_fro.distance_m
        self.cell_m = known.reported.grid.cell_m
        self.stamp_shift_ms = round(predictor.stamp_shift_ns(source) / 1e6)
        if predictor.last_tick is None:
            self.n_predicted, self.tick_reasons, self.n_waiting = 0, Counter(), 0
        else:
            self._take_people(predictor, predictor.last_tick, source)

    def _take_people(self, predictor: Predictor, tick: Tick, source: str) -> None:
        """Reads statistics of the people of the newest tick."""
        history, stamp_s = predictor.history, tick.stamp_ns / NS_PER_S
        skipped = {i: reason for i, reason in tick.skipped.items() if i.startswith(source)}
        self.tick_reasons = Counter(skipped.values())
        rows = [
            row
            for row, agent_id in enumerate(tick.window.ids)
            if agent_id.startswith(source) and agent_id != ROBOT_ID
        ]
        # A merged person is predicted under another tracker's id; the robot needs no prediction.
        expected = SkipReason.MERGED, SkipReason.ROBOT
        self.n_predicted = len(rows) + sum(reason in expected for reason in skipped.values())
        walls = predictor.placed_walls
        n_inside = 0 if walls is None else walls.is_occupied(tick.present_m[rows]).sum()
        in_walls_ns = self._in_walls.update(2 * n_inside > len(rows), tick.stamp_ns)
        overlapping = overlapping_rows(tick).intersection(rows)
        overlapping_ns = self._overlapping.update(2 * len(overlapping) > len(rows), tick.stamp_ns)
        self.in_walls_s, self.overlapping_s = in_walls_ns / NS_PER_S, overlapping_ns / NS_PER_S
        n_reassigned = history.n_reassigned[source]
        self.reassigned_s = self._reassignments.update(stamp_s, n_reassigned, self.n_predicted)
        # Also of people who are not predicted, such as those of implausible speeds.
        ids = tuple(i for i in history.ids if i.startswith(source) and i != ROBOT_ID)
        stamps_ns, positions_m = history.newest(ids)
        seen = dict(zip(ids, np.column_stack([stamps_ns / NS_PER_S, positions_m]), strict=True))
        self.speed_m_s, self.climb_m_s = self._motion.update(seen)
        waiting, self.waiting_s = self._waiting.update(stamp_s, skipped, seen)
        self.n_waiting = len(waiting)
        if waiting:
            self.examples[SkipReason.TOO_FEW_OBSERVATIONS] = quoted(waiting[0])

    def end_period(
        self,
        period_s: tuple[float, float],
        now_ns: int,
        now_s: float,
        timeout_s: float,
        *,
        has_tick: bool,
    ) -> None:
        """Ends a report period and sums up the last periods.

        Args:
            period_s: begin and end on a clock that is as slow as the node's, seconds.
            now_ns: the node's clock, integer nanoseconds.
            now_s: steady time, seconds.
            timeout_s: time after which a track that is not reported is dropped, seconds.
            has_tick: the period had a tick, or no message.
        """
        began_s, ended_s = period_s
        arrived_s, self._arrived_s = self._arrived_s, None
        self.silent_s += ended_s - began_s
        if arrived_s is not None:
            self.silent_s = min(now_s - arrived_s, ended_s - began_s)
        if self.newest_ns is not None:
            self.age_s = (now_ns - self.newest_ns) / NS_PER_S
        self.id_lifetime_s = self.ids.median_s(timeout_s)
        if arrived_s is None and self.silent_s <= timeout_s:
            return  # between two messages of a slow tracker nothing changes
        n_predicted = self.n_predicted if has_tick else 0
        self._was_predicted |= n_predicted > 0
        counts = self._periods[-1]
        # Classes filtered out on purpose do not count as people, unless this tracker has never
        # reported another class.
        n_entries = counts["entries"] + (0 if self._was_predicted else counts["ignored"])
        is_unpredicted = n_entries > 0 and not n_predicted
        self.unpredicted_s = self._unpredicted.update(is_unpredicted, ended_s, began_s)
        n_skipped = sum(counts[reason] for reason in SkipReason)
        is_skipping = n_skipped > MAX_SKIPPED * counts["entries"]
        self.skipping_s = self._skipping.update(is_skipping, ended_s, began_s)
        total: Counter[SkipReason | str] = sum(self._periods, Counter())
        self.n_entries, self.n_ignored = total["entries"], total["ignored"]
        self.skipped = {reason: total[reason] for reason in SkipReason if total[reason]}
        self._periods.append(Counter())
