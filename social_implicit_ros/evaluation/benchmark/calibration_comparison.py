"""Coverage of models as shipped and with adaptive calibration that starts from nothing.

Recordings are replayed through the prediction pipeline. A prediction is always evaluated with the
ellipses that were published with it. Each test recording of the benchmark is replayed with the
model that was not trained on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from social_implicit_ros.evaluation.benchmark.calibration_replay import (
    BAND,
    CalibrationReplay,
    NothingToJudgeError,
    replay_calibration,
)
from social_implicit_ros.evaluation.benchmark.candidates import candidate, families
from social_implicit_ros.evaluation.benchmark.figures import BenchmarkError, load_benchmark_model
from social_implicit_ros.evaluation.progress_bar import progress_bar
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.replay_settings import ReplaySettings
from social_implicit_ros.recordings.eth_ucy import LEAVE_ONE_OUT
from social_implicit_ros.recordings.track_source import TrackSource, open_source
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration

#: When the running coverage is read, and the window of the coverage over time, seconds.
EARLY_S = 60.0
WINDOW_S = 60.0


@dataclass(frozen=True)
class Case:
    """A model and a recording that it was not trained on.

    Attributes:
        family: the name that the model was asked by.
        name: of the recording.
        model: to evaluate.
        source: the recording.
    """

    family: str
    name: str
    model: TrajectoryModel
    source: TrackSource


def benchmark_cases(
    data: Path, splits: Sequence[str] = (), models: Sequence[str] = ()
) -> list[Case]:
    """The benchmark's test recordings, each with the models that were not trained on it.

    Args:
        data: the folder that holds `eth_ucy/all_data`.
        splits: keys of `LEAVE_ONE_OUT`; all where empty.
        models: names as `candidate` takes them; all shipped families where empty.

    Raises:
        BenchmarkError: no such data, or a model that does not fit.
        ModelFileError: no such model.
    """
    splits = splits or list(LEAVE_ONE_OUT)
    folder = data / "eth_ucy" / "all_data"
    recordings = {name: _text(folder, name) for s in splits for name in LEAVE_ONE_OUT[s]}
    cases = []
    for one in map(candidate, dict.fromkeys(models or families())):
        for split in splits:
            model = load_benchmark_model(one.files[split])
            names = LEAVE_ONE_OUT[split]
            cases += [Case(one.name, name, model, recordings[name]) for name in names]
    return cases


def _text(folder: Path, name: str) -> TrackSource:
    path = folder / f"{name}.txt"
    if not path.is_file():
        raise BenchmarkError(f"there is no {path}: give the folder of the recordings")
    return open_source(path)


def recording_cases(sources: Sequence[TrackSource], models: Sequence[str] = ()) -> list[Case]:
    """Every recording with every model.

    Args:
        sources: opened recordings.
        models: as `load_model` takes them; the default model where empty.

    Raises:
        ModelFileError: no such model.
    """
    loaded = {name: load_model(name) for name in models or ["default"]}
    return [
        Case(name, str(source.path), model, source)
        for name, model in loaded.items()
        for source in sources
    ]


def compare_calibrations(
    cases: Iterable[Case], settings: ReplaySettings, console: Console
) -> dict[str, Any]:
    """Replays every case as shipped and with adaptive calibration.

    Args:
        cases: models and recordings.
        settings: as the node's parameters.
        console: where progress is shown.

    Returns:
        Model -> recording -> `as_shipped` and `adaptive` -> metric -> value.

    Raises:
        BenchmarkError: nothing to evaluate in a recording.
        RecordingError: a recording that cannot be read.
    """
    results: dict[str, Any] = {}
    with progress_bar(console) as progress:
        for case in cases:
            row = results.setdefault(case.family, {}).setdefault(case.name, {})
            for way in ("as_shipped", "adaptive"):
                task = progress.add_task(
                    f"{case.family}, {case.name}", total=case.source.n_messages
                )
                replay = _replayed(case, settings, way, partial(progress.advance, task))
                row[way] = _figures(replay)
                progress.remove_task(task)
    return results


def _replayed(
    case: Case, settings: ReplaySettings, way: str, advance: Callable[[int], None]
) -> CalibrationReplay:
    adaptive = AdaptiveCalibration(case.model.n_predicted) if way == "adaptive" else None
    try:
        return replay_calibration(
            case.model, case.source, settings, adaptive=adaptive, advance=advance
        )
    except NothingToJudgeError as error:
        raise BenchmarkError(f"{case.source.path}: {error}") from error


def _figures(replay: CalibrationReplay) -> dict[str, float]:
    near_s, far_s = replay.seconds_in_window(WINDOW_S, BAND)
    r_avg, r_min = replay.reliability
    return {
        "coverage": replay.coverage,
        "coverage_at_60_s": replay.running_coverage(EARLY_S),
        "seconds_to_band": replay.seconds_to_band(),
        "time_in_band": near_s / (near_s + far_s) if near_s + far_s > 0 else float("nan"),
        "r_avg": r_avg,
        "r_min": r_min,
        "area_m2": replay.area_m2,
        "positions": float(len(replay.levels)),
    }
