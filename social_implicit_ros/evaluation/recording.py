"""Evaluates one recording: all data of its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from social_implicit_ros.evaluation.distribution import (
    TICKS_PER_BATCH,
    MomentChooser,
    measure_distribution,
)
from social_implicit_ros.evaluation.errors import ScoredTicks, measure
from social_implicit_ros.evaluation.faulty_tracker.reference import (
    GATE_M,
    Reference,
    with_ground_truth,
    with_simulated_tracker,
)
from social_implicit_ros.evaluation.parts import PartWriter
from social_implicit_ros.evaluation.replay import BagReplay
from social_implicit_ros.evaluation.report.highlights import Highlights
from social_implicit_ros.evaluation.request import Request
from social_implicit_ros.evaluation.tally import Tally, TrackerScorer, counts_of
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.registry import load_model
from social_implicit_ros.recordings.arrivals import why_empty
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.left_out import RECORDED_FIXES
from social_implicit_ros.recordings.track_source import TrackSource
from social_implicit_ros.types import plain_frame

#: Predicted trajectories per batch: fewer are slower, more use more memory.
_ROWS_AT_ONCE = 1000

_RESETS = "time jumped back {} times: histories were restarted"


def evaluate_recording(
    path: Path,
    request: Request,
    part: Path,
    *,
    fingerprint: str = "",
    advance: Callable[[int, int], None] = lambda n_read, n_messages: None,
) -> None:
    """Evaluates all models on one recording and writes its part.

    The part has `fingerprint`, `bag` (description of the recording), `tallies` by model, and
    `highlights` (of the report).

    Args:
        path: path of the recording.
        request: what to evaluate.
        part: the file to write.
        fingerprint: identifies recording and request, see `Job`.
        advance: called with the number of messages read so far and the total.

    Raises:
        RecordingError: nothing could be evaluated; the message says why.
        ValueError: a model, tracker mapping or horizon is invalid.
    """
    models = _loaded_models(request)
    whole = request.opened(path)
    source = whole.part(request.start_s, request.duration_s)
    reference = _reference(source, request)
    walls = request.floor_plan(path)
    replay = BagReplay(
        source, models, request.settings, reference, walls, is_adaptive=request.is_adaptive
    )
    evaluation = _Evaluation(replay, models, request, source.duration_s)
    problem = source.problem
    with closing(PartWriter(part, str(path))) as writer:
        try:
            for batch in _batches(replay.ticks(advance)):
                evaluation.add(batch, writer)
        except RecordingError as error:
            problem = str(error)  # such as a truncated file
        evaluation.finish()
        primary = evaluation.tallies[request.models[0]]
        # With an independent ground truth, it is a result that nobody is predicted.
        if not (primary.sums["horizon_known"].any() or replay.counts.person_ticks):
            why = _why_nothing(source, replay, counts_of(primary))
            if replay.counts.messages == 0:
                why = why_empty(whole, request.start_s, request.duration_s)
            raise RecordingError(f"{why} ({problem})" if problem else why)
        notes = [
            *(reference.notes if reference else ()),
            *evaluation.notes(),
            *_horizon_notes(evaluation.tallies),
        ]
        # The report can draw only a map that is in the fixed frame.
        is_fixed = walls is not None and walls.frame_id in ("", plain_frame(source.fixed_frame))
        writer.describe(
            fingerprint=fingerprint,
            bag=_description(source, replay, primary, problem, notes),
            tallies={name: tally.to_dict() for name, tally in evaluation.tallies.items()},
            highlights=evaluation.highlights.encoded(walls if is_fixed else None),
        )


def _loaded_models(request: Request) -> dict[str, TrajectoryModel]:
    """The models by name, warmed up as in the node: the first run of a model file is slow."""
    models = {name: load_model(name) for name in request.models}
    for model in models.values():
        model.predict(np.zeros((2, 2, 2)), n_samples=request.settings.pipeline.n_samples)
    return models


def _reference(source: TrackSource, request: Request) -> Reference | None:
    """The independent ground truth; None if the evaluated tracks are their own."""
    settings = request.settings
    truth = request.ground_truth_of(source.path)
    if truth is not None:
        opened = request.opened(truth)
        return with_ground_truth(source, opened, settings, request.ground_truth_shift_s)
    if request.faults is not None:
        return with_simulated_tracker(source, request.faults, settings)
    return None


def _batches(ticks: Iterable[ScoredTicks]) -> Iterator[list[ScoredTicks]]:
    """Joins successive ticks until the primary model has `_ROWS_AT_ONCE` trajectories.

    Raises:
        RecordingError: the recording is damaged; the ticks before the damage are yielded.
    """
    damage: RecordingError | None = None
    batch: list[ScoredTicks] = []
    n_rows = 0
    try:
        for of_models in ticks:
            batch.append(of_models)
            n_rows += len(next(iter(of_models.values())).forecast.ids)
            if n_rows >= _ROWS_AT_ONCE:
                yield batch
                batch, n_rows = [], 0
    except RecordingError as error:
        damage = error
    if batch:
        yield batch
    if damage is not None:
        raise damage


class _Evaluation:
    """Accumulates the results of all ticks.

    Attributes:
        tallies: sums of each model.
        highlights: content of the report.
    """

    def __init__(
        self,
        replay: BagReplay,
        models: Mapping[str, TrajectoryModel],
        request: Request,
        duration_s: float,
    ) -> None:
        self._models, self._replay = models, replay
        self._seed = request.settings.pipeline.seed
        self.tallies = {
            name: Tally.empty([round((i + 1) * steps.step_s, 6) for i in range(steps.n_steps)])
            for name, steps in replay.steps.items()
        }
        with_tracker = models if request.has_ground_truth else ()
        self._trackers = {name: TrackerScorer(self.tallies[name]) for name in with_tracker}
        self._chooser = MomentChooser(duration_s, request.n_moments)
        self._moments: list[ScoredTicks] = []
        self.highlights = Highlights(models)

    def add(self, batch: Sequence[ScoredTicks], writer: PartWriter) -> None:
        """Adds some ticks of all models."""
        measures = {name: measure([ticks[name] for ticks in batch]) for name in self.tallies}
        for name, measured in measures.items():
            self.tallies[name].add_measures(measured)
            writer.add(name, measured)
            if self._trackers:
                self._trackers[name].add(measured)
        self.highlights.add(batch, measures)
        for ticks in batch:
            if self._chooser.chooses([*ticks.values()]):
                self._moments.append(ticks)
                if len(self._moments) == TICKS_PER_BATCH:
                    self._measure_moments()

    def finish(self) -> None:
        """Adds what is known at the end."""
        if self._moments:
            self._measure_moments()
        counts = self._replay.counts
        for tally in self.tallies.values():
            tally.sums["person_ticks"] += counts.person_ticks
            tally.sums["people"] += len(counts.people)

    def _measure_moments(self) -> None:
        for name, tally in self.tallies.items():
            ticks, steps = [ticks[name] for ticks in self._moments], self._replay.steps[name]
            measured = measure_distribution(ticks, self._models[name], steps, seed=self._seed)
            tally.add_distribution(measured)
        self._moments = []

    def notes(self) -> list[str]:
        """Explains why no predicted agent might match an independent ground truth."""
        sums = next(iter(self.tallies.values())).sums
        if not self._trackers or sums["matched"] or not sums["predicted"]:
            return []
        return [
            f"no predicted person is within {GATE_M:g} m of the ground truth: check that both use "
            "metres, the same frame and the same clock"
        ]


def _description(
    source: TrackSource,
    replay: BagReplay,
    primary: Tally,
    problem: str | None,
    notes: Sequence[str],
) -> dict[str, Any]:
    counts, tracker = replay.counts, source.tracker
    duration_s = source.duration_s
    if problem is not None:
        duration_s = counts.duration_s
        problem = f"{problem}; its first {duration_s:.1f} s were evaluated"
    return {
        "path": str(source.path),
        "bytes": sum(file.stat().st_size for file in files_of(source.path)),
        "topic": source.topic,
        "tracker": tracker.name if tracker else "text",
        "message_type": source.message_type,
        "frame_id": source.frame_id,
        "fixed_frame": source.fixed_frame,
        "start_ns": source.start_ns,
        "duration_s": duration_s,
        "messages": counts.messages,
        "entries": counts.entries,
        "skipped": {reason.value: n for reason, n in sorted(counts.skipped.items())},
        "notes": [
            *source.notes,
            *notes,
            *counts.notes(),
            *_clock_notes(replay),
            *_partial_notes(primary),
            *([_RESETS.format(counts.resets)] if counts.resets else []),
        ],
        "problem": problem,
    }


def _clock_notes(replay: BagReplay) -> list[str]:
    """Notes on the clocks of tracker and recorder, from the delays between stamp and recording."""
    least_s, most_s = replay.counts.latencies_s
    if replay.settings.stamp_source == "arrival" or most_s < least_s:
        return []
    limit_s = replay.settings.pipeline.track_timeout_s
    if most_s - least_s > limit_s:
        return [
            f"messages were recorded {least_s:.1f} to {most_s:.1f} s after their header stamps: a "
            "clock was stepped, or messages were delayed; synchronise the clocks of tracker and "
            "recorder before both start"
        ]
    if least_s > limit_s or most_s < -limit_s:
        return [
            f"messages were recorded {abs(least_s):.1f} s {'after' if least_s > 0 else 'before'} "
            "their header stamps, more than track_timeout_s: synchronise the clocks of tracker and "
            "recorder, or set stamp_source to arrival in a --params file"
        ]
    return []


def _partial_notes(primary: Tally) -> list[str]:
    """A note if no predicted trajectory has ground truth at every step."""
    if counts_of(primary)["futures"] or not primary.sums["horizon_known"].any():
        return []
    known = [t for t, n in zip(primary.times_s, primary.sums["horizon_known"], strict=True) if n]
    return [
        f"no track continues for {primary.times_s[-1]:g} s after a prediction, so metrics of "
        f"complete trajectories are missing; errors are known up to {max(known):g} s ahead; set a "
        "shorter horizon_s in a --params file"
    ]


def _horizon_notes(tallies: Mapping[str, Tally]) -> list[str]:
    """A note if models predict up to different times, as the later the larger are errors."""
    horizons_s = {name: tally.times_s[-1] for name, tally in tallies.items()}
    shortest_s = min(horizons_s.values())
    if max(horizons_s.values()) == shortest_s:
        return []
    listing = ", ".join(
        f"{Path(name).name} {horizon_s:g} s" for name, horizon_s in horizons_s.items()
    )
    return [
        f"models predict up to different times ({listing}), so their metrics cannot be compared: "
        f"set horizon_s to {shortest_s:g} in a --params file"
    ]


def _why_nothing(source: TrackSource, replay: BagReplay, counts: Mapping[str, int]) -> str:
    """Why a recording could not be evaluated, and how to fix it."""
    seen = replay.counts
    remarks = "".join(f"; {note}" for note in (*source.notes, *seen.notes()))
    where = f"{source.path}, topic {source.topic}" if source.topic else str(source.path)
    clocks = _clock_notes(replay)
    if counts["predictions"] == 0 and clocks:
        return f"{where}: nobody could be predicted: {clocks[0]}"
    if seen.entries == 0:
        reasons = Counter(seen.skipped).most_common()
        listing = ", ".join(f"{n} {reason.value}" for reason, n in reasons) or "no entries"
        fix = next(
            (f"; {RECORDED_FIXES[reason]}" for reason, _ in reasons if reason in RECORDED_FIXES), ""
        )
        return f"{where}: nobody could be tracked in {seen.messages} messages ({listing}){fix}"
    if counts["predictions"] == 0:
        times = "" if source.topic else ", and times in the unit of the header or options"
        return (
            f"{where}: nobody could be predicted: no track was observed twice within "
            "track_timeout_s; check that ids persist from message to message and that positions "
            f"are in metres{times}{remarks}"
        )
    return (
        f"{where}: {counts['predictions']} predictions, but no ground truth at any predicted time: "
        f"the recording is too short, or tracks end too soon{remarks}"
    )


def files_of(path: Path) -> list[Path]:
    """The files of a recording."""
    return [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
