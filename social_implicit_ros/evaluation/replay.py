"""Replays a recording through the predictor, as the node receives it, and scores every tick."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from social_implicit_ros.evaluation.errors import Predictions, ScoredTicks, scored_ticks
from social_implicit_ros.evaluation.faulty_tracker.reference import Reference
from social_implicit_ros.evaluation.faulty_tracker.simulated_tracker import NOBODY
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.prediction.forecast import Forecast, forecast_from_tick
from social_implicit_ros.prediction.health.rules import findings_of_positions
from social_implicit_ros.prediction.health.tracker_log import TrackerLog
from social_implicit_ros.prediction.pipeline import PredictionPipeline, Tick
from social_implicit_ros.prediction.predictor import Predictor, steps_of
from social_implicit_ros.prediction.resample import Steps
from social_implicit_ros.prediction.scoring.online_evaluation import (
    PendingPredictions,
    SelfEvaluation,
)
from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.recordings.arrivals import (
    Arrival,
    TracksArrival,
    arrivals_of,
    deliver,
    predictor_config,
)
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.left_out import LeftOut
from social_implicit_ros.recordings.track_source import TrackSource
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.frames.transforms import RigidTransform, TransformUnavailableError
from social_implicit_ros.tracks.messages.agent_ids import AgentNumbers
from social_implicit_ros.tracks.stamps import NEVER_NS, NS_PER_S
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration

_IDENTITY = RigidTransform(np.eye(3), np.zeros(3))
#: Period at which ground truth is read, as a share of the observed time of a model.
_READ_SHARE = 0.25
#: If more than this share of the people is off the map or inside its walls, the map is suspect.
_MISFIT_SHARE = 0.5
#: Minimum time for which positions have a problem that is noted, seconds.
_LEAST_S = 3


@dataclass
class ReplayCounts(LeftOut):
    """Counts of a replay.

    Attributes:
        resets: number of jumps back in time.
        first_ns, last_ns: receive times of the first and last message, integer nanoseconds.
        person_ticks: number of people in the independent ground truth, summed over all ticks.
        people: indices of these people.
        positions: number of sampled positions at ticks with known walls, by model.
        in_walls: number of those inside walls.
        present: numbers of people, of people on the map and of people inside walls, each summed
            over all ticks with known walls.
        latencies_s: smallest and largest time from a header stamp to the receipt of its message,
            seconds.
        findings: problems of the positions, as the node would report them, by kind: for how many
            seconds, and the newest text.
    """

    resets: int = 0
    first_ns: int = 0
    last_ns: int = 0
    person_ticks: int = 0
    people: set[int] = field(default_factory=set)
    positions: Counter[str] = field(default_factory=Counter)
    in_walls: Counter[str] = field(default_factory=Counter)
    present: tuple[int, int, int] = (0, 0, 0)
    latencies_s: tuple[float, float] = (math.inf, -math.inf)
    findings: dict[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last message."""
        return max(self.last_ns - self.first_ns, 0) * 1e-9

    def notes(self) -> list[str]:
        """One line for each reason, with its fix, and for the effect of walls."""
        shares = [
            f"{name} {100.0 * self.in_walls[name] / n:.2f} %" for name, n in self.positions.items()
        ]
        walls = f"sampled positions inside the walls of the map: {', '.join(shares)}"
        n_present, n_on_map, n_inside = self.present
        misfits = [
            (n_present - n_on_map, "not on the map", "resolution, origin and frame"),
            (
                n_inside,
                "inside the walls of the map",
                "negate, thresholds, resolution, origin and frame",
            ),
        ]
        return [
            *super().notes(),
            *([walls] if shares else []),
            *(text for n_s, text in self.findings.values() if n_s >= _LEAST_S),
            *(
                f"{100.0 * n / n_present:.0f} % of the people are {where}, so that walls do not "
                f"affect their predictions: check its {what}"
                for n, where, what in misfits
                if n > _MISFIT_SHARE * n_present
            ),
        ]

    def add_arrival(self, arrival: TracksArrival) -> None:
        """Counts a message."""
        if self.messages == 0:
            self.first_ns = arrival.received_ns
        self.last_ns = arrival.received_ns
        self.add_message(arrival.skipped, arrival.unusable)
        if arrival.tracks is not None and arrival.tracks.stamp_ns > 0:
            latency_s = (arrival.received_ns - arrival.tracks.stamp_ns) * 1e-9
            least_s, most_s = self.latencies_s
            self.latencies_s = min(least_s, latency_s), max(most_s, latency_s)


def _calibration(model: TrajectoryModel, *, is_adaptive: bool) -> AdaptiveCalibration | None:
    """A calibration without stored state."""
    return AdaptiveCalibration(model.n_predicted) if is_adaptive else None


class _Follower:
    """A model that repeats the ticks of another model's predictor, with its own calibration."""

    def __init__(self, model: TrajectoryModel, predictor: Predictor, *, is_adaptive: bool) -> None:
        config = predictor.config
        self._pipeline = PredictionPipeline(
            model,
            config.pipeline,
            _calibration(model, is_adaptive=is_adaptive),
            predictor.history,
        )
        self._evaluation = SelfEvaluation(self._pipeline, window_s=config.self_evaluation_window_s)
        self._numbers, self.steps = AgentNumbers(), steps_of(model, config)
        self._n_resets = 0

    def predict(self, tick: Tick, predictor: Predictor, frame_id: str) -> tuple[Tick, Forecast]:
        """Repeats the newest tick of the predictor."""
        n_resets = predictor.history.n_resets
        if n_resets > self._n_resets:
            self._evaluation.reset()
            self._n_resets = n_resets
        own = self._pipeline.repeat(tick, predictor.pipeline)
        if self._pipeline.adaptive is not None:
            self._evaluation.observe(own)
        return own, forecast_from_tick(own, self._numbers, self.steps, frame_id)


class _Group:
    """Models with the same observed steps; they share one predictor, that of the first model."""

    def __init__(
        self,
        models: Mapping[str, TrajectoryModel],
        predictor: Predictor,
        max_gap_s: float,
        reference: Reference | None,
        *,
        is_adaptive: bool,
    ) -> None:
        first, config = predictor.model, predictor.config
        self.predictor, self._reference = predictor, reference
        self.steps = {name: steps_of(model, config) for name, model in models.items()}
        self._followers = {
            name: _Follower(model, predictor, is_adaptive=is_adaptive)
            for name, model in list(models.items())[1:]
        }
        self._first = next(iter(models))
        self._pending: dict[Steps, PendingPredictions[tuple[Predictions, ScoredTicks]]] = {
            steps: PendingPredictions(
                predictor.history,
                steps.times_s,
                max_gap_s=max_gap_s,
                reads_forgotten=True,
                period_s=_READ_SHARE * first.step_s * first.n_observed,
            )
            for steps in (self.steps.values() if reference is None else ())
        }

    def predict(self, stamp_ns: int) -> Predictions:
        """Predictions of all models."""
        forecast, tick = self.predictor.tick(stamp_ns), self.predictor.last_tick
        assert tick is not None
        if self.predictor.adaptive is not None:
            self.predictor.evaluate()
        predictions = {self._first: (tick, forecast)}
        for name, follower in self._followers.items():
            predictions[name] = follower.predict(tick, self.predictor, forecast.frame_id)
        return predictions

    def add(self, predictions: Predictions, scored: ScoredTicks) -> None:
        """Adds predictions. `scored` receives them with their ground truth once it is known."""
        (tick, _), *_ = predictions.values()
        window = tick.window
        known: dict[str, NDArray[Any]] = {}
        pose = _IDENTITY
        if self._reference is not None:
            try:
                pose = self.predictor.fixed_frame_pose(tick.stamp_ns) or _IDENTITY
                people = self._reference.people_of(tick, self.predictor.history, pose)
            except TransformUnavailableError:  # the node would publish nothing
                people = np.full(len(window.ids), NOBODY)
            known["people"] = people
            began_ns = self.predictor.history.began_ns(window.ids)
            known["age_s"] = (tick.stamp_ns - began_ns) / NS_PER_S
        for steps in dict.fromkeys(self.steps.values()):
            same_steps = {name: p for name, p in predictions.items() if self.steps[name] == steps}
            if self._reference is None:
                content = same_steps, scored
                self._pending[steps].add(tick.stamp_ns, window.stamp_ns, window.ids, content)
                continue
            times_ns = tick.stamp_ns + np.round(steps.times_s * NS_PER_S).astype(np.int64)
            ground_truth_m = self._reference.people.positions_at(known["people"], times_ns)
            ground_truth = pose.of_ground(ground_truth_m)
            scored.update(scored_ticks(same_steps, ground_truth, **known))

    def update(self, now_ns: int, *, is_last: bool = False) -> None:
        """Scores predictions whose ground truth is final; with `is_last`, all, as far as known."""
        for pending in self._pending.values():
            pending.finish() if is_last else pending.update(now_ns)
            for entry in pending.pop_complete():
                predictions, scored = entry.content
                scored.update(scored_ticks(predictions, entry.ground_truth_m))


class BagReplay:
    """Replays one recording with several models."""

    def __init__(
        self,
        source: TrackSource,
        models: Mapping[str, TrajectoryModel],
        settings: PredictorConfig,
        reference: Reference | None = None,
        floor_plan: FloorPlan | None = None,
        *,
        is_adaptive: bool = False,
    ) -> None:
        """Reads no messages yet; raises ValueError for steps that a model does not predict.

        Args:
            source: the recording.
            models: models by name.
            settings: settings of the predictor.
            reference: an independent ground truth, and the tracks to score against it; None if the
                recording's tracks are their own ground truth.
            floor_plan: walls that predictions keep out of.
            is_adaptive: whether every model has an adaptive calibration, without stored state.
        """
        self.counts, self.settings = ReplayCounts(), settings
        self._source, self._reference = source, reference
        self._transforms = TransformBuffer()
        groups: dict[tuple[float, int], dict[str, TrajectoryModel]] = {}
        for name, model in models.items():
            groups.setdefault((model.step_s, model.n_observed), {})[name] = model
        config = predictor_config(source, settings, is_tracked=reference is not None)
        max_gap_s = source.longest_gap_s(settings.pipeline.track_timeout_s)
        self._groups = []
        for of_group in groups.values():
            first = next(iter(of_group.values()))
            adaptive = _calibration(first, is_adaptive=is_adaptive)
            predictor = Predictor(first, config, self._transforms, adaptive=adaptive)
            predictor.floor_plan = None if floor_plan is None else floor_plan.prepare()
            self._groups.append(
                _Group(of_group, predictor, max_gap_s, reference, is_adaptive=is_adaptive)
            )
        self.steps = {name: steps_of(model, settings) for name, model in models.items()}
        rate_hz = settings.tick_rate_hz
        self._period_ns = round(NS_PER_S / rate_hz) if rate_hz > 0 else 0
        self._next_tick_ns: int | None = None
        self._log: TrackerLog | None = None
        if source.tracker and not (reference and reference.is_simulated):
            self._log = TrackerLog(source.topic, source.tracker)
        self._looked_ns = 0
        if reference is not None and self._period_ns:
            self._next_tick_ns = reference.span_ns[0]
        self._ticks: deque[ScoredTicks] = deque()

    def ticks(
        self, advance: Callable[[int, int], None] = lambda n_read, n_messages: None
    ) -> Iterator[ScoredTicks]:
        """Reads the recording once; calls `advance` with the numbers of messages read and in all.

        Yields:
            Every tick with at least one predicted agent, by model name.

        Raises:
            RecordingError: the recording is damaged; the ticks before the damage are yielded.
        """
        source, reference = self._source, self._reference
        damage: RecordingError | None = None
        try:
            for arrival in arrivals_of(source) if reference is None else reference.arrivals:
                self._tick_before(arrival.received_ns)
                self._take(arrival)
                if isinstance(arrival, TracksArrival):
                    advance(self.counts.messages, source.n_messages)
                yield from self._complete()
            # Messages that still wait for a transform.
            self.counts.add_update(self._groups[0].predictor.poll(NEVER_NS))
            # Updates do not count unreadable transforms before the first lookup.
            self.counts.add_unreadable_transforms(self._transforms.n_unreadable)
        except RecordingError as error:
            damage = error
        self._finish()
        yield from self._complete()
        if damage is not None:
            raise damage

    def _take(self, arrival: Arrival) -> None:
        """Delivers a message; ticks if the node ticks on messages."""
        update, *_ = [deliver(arrival, group.predictor, self._transforms) for group in self._groups]
        self.counts.add_update(update)
        if update.jumped_back:
            self.counts.resets += 1
            self._next_tick_ns = None
            self._finish()
        if isinstance(arrival, TracksArrival):
            self.counts.add_arrival(arrival)
        if update.tick_ns is not None:
            self._tick(update.tick_ns)
        has_tracks = self._groups[0].predictor.newest_ns is not None
        if self._next_tick_ns is None and has_tracks and self._period_ns:
            self._next_tick_ns = arrival.received_ns
        for group in self._groups:
            group.update(arrival.received_ns)

    def _tick_before(self, stamp_ns: int) -> None:
        """Runs the timer's ticks that are due before a stamp."""
        while self._next_tick_ns is not None and self._next_tick_ns < stamp_ns:
            n_periods = 1
            if self._reference or any(len(group.predictor.history) for group in self._groups):
                self._tick(self._next_tick_ns)
            else:  # no agent is tracked before the next message
                n_periods = max((stamp_ns - self._next_tick_ns) // self._period_ns, 1)
            self._next_tick_ns += n_periods * self._period_ns

    def _tick(self, stamp_ns: int) -> None:
        if not self._is_scored(stamp_ns):
            return
        for group in self._groups:
            group.update(stamp_ns)
        predictions = [group.predict(stamp_ns) for group in self._groups]
        self._look(stamp_ns)
        for refusal in self._groups[0].predictor.refusals:
            self.counts.add_other(refusal)
        for group, of_group in zip(self._groups, predictions, strict=True):
            self._count_walls(group.predictor.placed_walls, of_group)
        if any(len(f.ids) for of_group in predictions for _, f in of_group.values()):
            self._ticks.append({})
            for group, of_group in zip(self._groups, predictions, strict=True):
                group.add(of_group, self._ticks[-1])

    def _look(self, stamp_ns: int) -> None:
        """Applies the node's rules on positions once a second."""
        if self._log is None or abs(stamp_ns - self._looked_ns) < NS_PER_S:
            return
        self._looked_ns, predictor = stamp_ns, self._groups[0].predictor
        self._log.take_counts(predictor, "")
        for finding in findings_of_positions(self._log):
            n_s, _ = self.counts.findings.get(finding.kind, (0, ""))
            self.counts.findings[finding.kind] = n_s + 1, finding.text

    def _count_walls(self, walls: FloorPlan | None, predictions: Predictions) -> None:
        """Counts sampled positions and people, and those of them inside walls."""
        if walls is not None:
            (tick, _), *_ = predictions.values()
            counts = [walls.covers(tick.present_m), walls.is_occupied(tick.present_m)]
            new = (len(tick.present_m), *(int(count.sum()) for count in counts))
            n_present, n_on_map, n_inside = np.add(self.counts.present, new).tolist()
            self.counts.present = n_present, n_on_map, n_inside
            for name, (tick, _) in predictions.items():
                inside = walls.is_occupied(tick.prediction.samples)
                self.counts.positions[name] += inside.size
                self.counts.in_walls[name] += int(inside.sum())

    def _is_scored(self, stamp_ns: int) -> bool:
        """Whether an independent ground truth has anybody at this time; counts these people."""
        if self._reference is None:
            return True
        # A text recording does not show whether a time without people was annotated.
        people, _ = self._reference.people.present_at(stamp_ns)
        self.counts.person_ticks += len(people)
        self.counts.people.update(people.tolist())
        return len(people) > 0

    def _finish(self) -> None:
        """Runs the ticks that are due, and scores all pending predictions."""
        if self._next_tick_ns is not None:
            due_ns = self._next_tick_ns if self._reference is None else self._reference.span_ns[1]
            self._tick_before(due_ns + 1)
        self._next_tick_ns = None
        for group in self._groups:
            group.update(0, is_last=True)

    def _complete(self) -> Iterator[ScoredTicks]:
        """Removes the oldest ticks, in order, as long as they are scored for every model."""
        while self._ticks and len(self._ticks[0]) == len(self.steps):
            scored = self._ticks.popleft()
            yield {name: scored[name] for name in self.steps}
