"""Coverage of models as shipped and with an adaptive calibration without stored state.

Recordings are replayed through the node's own predictor and its self-evaluation. A prediction is
always evaluated with the ellipses that were published with it. Each test recording of the benchmark
is replayed with the model that was not trained on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from social_implicit_ros.evaluation.benchmark.split_metrics import (
    BenchmarkError,
    candidate,
    families,
    load_benchmark_model,
)
from social_implicit_ros.evaluation.request import Request
from social_implicit_ros.evaluation.terminal import progress_bar
from social_implicit_ros.metrics.reliability import coverage, reliability_curve, scores_of_curves
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.scoring.online_evaluation import EARLY
from social_implicit_ros.prediction.update import Update
from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.recordings.arrivals import delivered, predictor_config
from social_implicit_ros.recordings.left_out import LeftOut
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT
from social_implicit_ros.recordings.track_source import TrackSource, open_source
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, IntArray, Prediction, require_shape
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration
from social_implicit_ros.uncertainty.ellipses import circle_radius_m, radius_at
from social_implicit_ros.untrusted_files import printable_text

#: Confidence level of the ellipses that are evaluated.
CONFIDENCE = 0.95
#: Tolerance of the coverage, and minimum number of positions for a significant coverage.
BAND = 0.03
MIN_POSITIONS = 100
#: Time at which the running coverage is reported, and window of the coverage over time, seconds.
EARLY_S = 60.0
WINDOW_S = 60.0


@dataclass(frozen=True)
class Case:
    """A model and a recording that it was not trained on.

    Attributes:
        family: name by which the model was requested.
        name: name of the recording.
        model: the model to evaluate.
        source: the recording.
        walls: walls that predictions keep out of.
    """

    family: str
    name: str
    model: TrajectoryModel
    source: TrackSource
    walls: FloorPlan | None = None


def benchmark_cases(
    data: Path, splits: Sequence[str] = (), models: Sequence[str] = ()
) -> list[Case]:
    """The benchmark's test recordings, each with the models that were not trained on it.

    Args:
        data: folder that contains `eth_ucy/all_data`.
        splits: keys of `LEAVE_ONE_OUT`; all if empty.
        models: names as for `candidate`; all shipped families if empty.

    Raises:
        BenchmarkError: the data are missing, or a model does not fit the benchmark.
        ModelFileError: a model does not exist.
    """
    splits = splits or list(LEAVE_ONE_OUT)
    folder = data / "eth_ucy" / "all_data"
    paths = [folder / f"{name}.txt" for split in splits for name in LEAVE_ONE_OUT[split]]
    for path in paths:
        if not path.is_file():
            raise BenchmarkError(
                f"there is no {path}: give the folder that contains eth_ucy (docs/data.md)"
            )
    recordings = {path.stem: open_source(path) for path in paths}
    cases = []
    for one in map(candidate, dict.fromkeys(models or families())):
        for split in splits:
            model = load_benchmark_model(one.files[split])
            names = LEAVE_ONE_OUT[split]
            cases += [Case(one.name, name, model, recordings[name]) for name in names]
    return cases


def recording_cases(paths: Iterable[Path], request: Request) -> list[Case]:
    """The requested section of every recording with every model.

    Raises:
        ModelFileError: a model does not exist.
        RecordingError: a recording cannot be read, or a map is unusable.
    """
    models = {name: load_model(name) for name in request.models}
    opened = [
        (
            request.opened(path).part(request.start_s, request.duration_s),
            request.floor_plan(path),
        )
        for path in paths
    ]
    return [
        Case(name, str(source.path), model, source, walls)
        for name, model in models.items()
        for source, walls in opened
    ]


def compare_calibrations(
    cases: Iterable[Case], settings: PredictorConfig, console: Console
) -> dict[str, Any]:
    """Replays every case as shipped and with adaptive calibration.

    Returns:
        Model -> recording -> `as_shipped` and `adaptive` -> metric -> value.

    Raises:
        BenchmarkError: a recording has nothing to evaluate.
        RecordingError: a recording cannot be read.
    """
    results: dict[str, Any] = {}
    with progress_bar(console) as progress:
        for case in cases:
            row = results.setdefault(case.family, {}).setdefault(case.name, {})
            for variant in ("as_shipped", "adaptive"):
                task = progress.add_task(
                    f"{case.family}, {case.name}", total=case.source.n_messages
                )
                replay = replay_calibration(
                    case.model,
                    case.source,
                    settings,
                    is_adaptive=variant == "adaptive",
                    walls=case.walls,
                    advance=partial(progress.advance, task),
                )
                row[variant] = _metrics(replay)
                progress.remove_task(task)
            for note in (*case.source.remarks, *replay.notes):
                text = escape(printable_text(f"{case.name}: {note}"))
                console.print(text, highlight=False, soft_wrap=True)
    return results


@dataclass(frozen=True, eq=False)
class CalibrationReplay:
    """Positions that were evaluated during a replay, in the order of evaluation.

    Attributes:
        times_s: (E,) times of the evaluations, seconds since the first prediction.
        levels: (E,) confidence of the smallest published ellipse that covers the ground truth.
        steps: (E,) predicted steps, from 0.
        area_m2: geometric mean of the areas of all published ellipses of `CONFIDENCE`, square
            metres.
        notes: remarks on the entries of the recording that are left out.
    """

    times_s: FloatArray
    levels: FloatArray
    steps: IntArray
    area_m2: float
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("levels", "steps"):
            require_shape("CalibrationReplay", name, getattr(self, name), self.times_s.shape)

    @property
    def coverage(self) -> float:
        """Share of all evaluated positions that are inside their ellipse."""
        return coverage(self.levels, CONFIDENCE)

    @property
    def reliability(self) -> tuple[float, float]:
        """R_avg and R_min over the evaluated positions of each step."""
        of_steps = (self.levels[self.steps == step] for step in np.unique(self.steps))
        return scores_of_curves(np.array([reliability_curve(levels)[1] for levels in of_steps]))

    def running_coverage(self, at_s: float) -> float:
        """Coverage of all positions evaluated until `at_s`; NaN without any."""
        return coverage(self.levels[self.times_s <= at_s], CONFIDENCE)

    def seconds_to_band(self) -> float:
        """Seconds until the running coverage is first within `BAND`; infinite if it never is.

        The coverage must be of at least `MIN_POSITIONS`.
        """
        distinct_s, last = np.unique(self.times_s[::-1], return_index=True)
        n_scored = len(self.times_s) - last
        running = np.cumsum(self.levels <= CONFIDENCE)[n_scored - 1] / n_scored
        near = (np.abs(running - CONFIDENCE) <= BAND) & (n_scored >= MIN_POSITIONS)
        return float(distinct_s[near.argmax()]) if near.any() else float("inf")

    def time_in_band(self) -> float:
        """Share of the time in which the coverage of the last `WINDOW_S` is within `BAND`.

        It is evaluated at every time of `times_s`, from the first full window; NaN without any.
        """
        distinct_s, first = np.unique(self.times_s, return_index=True)
        ends = np.append(first[1:], len(self.times_s))
        begins = np.searchsorted(self.times_s, distinct_s - WINDOW_S, side="right")
        inside = np.append(0, np.cumsum(self.levels <= CONFIDENCE))
        share = (inside[ends] - inside[begins]) / (ends - begins)
        lasting_s = np.diff(distinct_s, append=distinct_s[-1:]) * (distinct_s >= WINDOW_S)
        near_s, total_s = lasting_s[np.abs(share - CONFIDENCE) <= BAND].sum(), lasting_s.sum()
        return float(near_s / total_s) if total_s > 0 else float("nan")


def replay_calibration(
    model: TrajectoryModel,
    source: TrackSource,
    settings: PredictorConfig,
    *,
    is_adaptive: bool,
    walls: FloorPlan | None = None,
    advance: Callable[[int], None] = lambda n_messages: None,
) -> CalibrationReplay:
    """Predicts once per step, at the stamp of a message, and scores the predictions.

    Args:
        model: the model to evaluate.
        source: the recording. When its stamps jump back, as in a looped recording, the histories
            are reset; the adaptive calibration is not.
        settings: parameters of the node; tick rate, confidence and corrections are not used.
        is_adaptive: whether an adaptive calibration is used, without stored state; otherwise the
            model is evaluated as shipped.
        walls: walls that predictions keep out of.
        advance: called with the number of messages read since the last call.

    Raises:
        BenchmarkError: the recording is too short or without people.
        RecordingError: the recording is damaged.
    """
    config = predictor_config(source, settings)
    pipeline = replace(config.pipeline, confidence=CONFIDENCE, correct_trajectories=False)
    config = replace(config, pipeline=pipeline, tick_rate_hz=0.0)
    left_out, transforms = LeftOut(), TransformBuffer()
    adaptive = AdaptiveCalibration(model.n_predicted) if is_adaptive else None
    predictor = Predictor(model, config, transforms, adaptive=adaptive)
    predictor.floor_plan = None if walls is None else walls.prepare()
    period_ns = round((1.0 - EARLY) * model.step_s * NS_PER_S)
    first_ns = 0  # of the first prediction
    times_ns, levels, steps, log_areas = [], [], [], []
    updates = delivered(source, predictor, transforms, left_out, advance)
    for tick_ns, played_ns in _due_ticks(updates, period_ns):
        predictor.tick(tick_ns)
        tick = predictor.last_tick
        assert tick is not None
        if tick.window.ids:
            first_ns = first_ns or tick.stamp_ns + played_ns
            log_areas.append(_log_areas(tick.prediction))
        scored = predictor.evaluate()
        if scored is not None:
            times_ns.append(np.full(len(scored.levels), scored.stamp_ns + played_ns))
            levels.append(scored.levels)
            steps.append(scored.steps)
    notes = left_out.notes()
    if not levels:
        why = "nobody was observed for long enough after a prediction to score it"
        raise BenchmarkError("; ".join([f"{source.path}: {why}", *notes]))
    return CalibrationReplay(
        times_s=(np.concatenate(times_ns) - first_ns) * 1e-9,
        levels=np.concatenate(levels),
        steps=np.concatenate(steps),
        area_m2=float(np.exp(np.concatenate(log_areas).mean())),
        notes=tuple(notes),
    )


def _due_ticks(updates: Iterable[Update], period_ns: int) -> Iterator[tuple[int, int]]:
    """Yields stamps at least a period apart, and the time that passed before time jumped back.

    Their sum is the elapsed time, which continues across jumps; both are integer nanoseconds.
    """
    newest_ns, next_ns, played_ns, has_jumped = 0, 0, 0, False
    for update in updates:
        has_jumped |= update.jumped_back
        if update.tick_ns is None:
            continue
        if has_jumped:
            played_ns += newest_ns - update.tick_ns
            next_ns, has_jumped = 0, False
        newest_ns = update.tick_ns
        if update.tick_ns >= next_ns:
            next_ns = update.tick_ns + period_ns
            yield update.tick_ns, played_ns


def _log_areas(prediction: Prediction) -> FloatArray:
    """(A * T,) logarithms of the areas of the ellipses of `CONFIDENCE`, square metres."""
    radius_m = circle_radius_m(prediction.covariance) * radius_at(prediction, CONFIDENCE)
    # A singular covariance has no area: one square millimetre is the minimum.
    return np.asarray(np.log(np.maximum(np.pi * radius_m**2, 1e-6)).ravel())


def _metrics(replay: CalibrationReplay) -> dict[str, float]:
    r_avg, r_min = replay.reliability
    return {
        "coverage": replay.coverage,
        "coverage_at_60_s": replay.running_coverage(EARLY_S),
        "seconds_to_band": replay.seconds_to_band(),
        "time_in_band": replay.time_in_band(),
        "r_avg": r_avg,
        "r_min": r_min,
        "area_m2": replay.area_m2,
        "positions": float(len(replay.levels)),
    }
