"""`evaluate_calibration`: what the node's adaptive calibration makes of the ellipses.

Replays recordings through the node's pipeline, once with the model as it is and once with adaptive
calibration that starts from nothing. A prediction is always judged with the ellipses that were
published with it. Of the benchmark, every test recording is replayed with the model that was not
trained on it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from social_implicit_ros.commands.bag_options import (
    BAG_HELP,
    add_tracker_option,
    add_tracks_option,
)
from social_implicit_ros.commands.benchmark_options import add_model_options
from social_implicit_ros.commands.options import add_data_option
from social_implicit_ros.evaluation.benchmark.calibration_replay import (
    BAND,
    CONFIDENCE,
    MIN_POSITIONS,
    CalibrationReplay,
    NothingToJudgeError,
    replay_calibration,
    tracks_in_time,
)
from social_implicit_ros.evaluation.benchmark.candidates import candidate, families
from social_implicit_ros.evaluation.benchmark.figures import (
    BenchmarkError,
    load_benchmark_model,
    write_json,
)
from social_implicit_ros.evaluation.benchmark.tables import output_console
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.onnx_model import ModelFileError
from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.replay_settings import ReplaySettings, load_settings
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.eth_ucy import LEAVE_ONE_OUT
from social_implicit_ros.recordings.find import open_bags
from social_implicit_ros.recordings.track_source import TrackSource, open_source
from social_implicit_ros.tracks.spec import TrackerSpecError
from social_implicit_ros.types import FloatArray
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration

#: When the running coverage is read, and over which time a warning would look, seconds.
EARLY_S = 60.0
WINDOW_S = 60.0
#: Of how many recordings on the median and the worst are printed, too.
_MANY = 3


@dataclass(frozen=True)
class _Column:
    """How a figure is printed, and how bad a value of it is."""

    heading: str
    form: str
    badness: Callable[[float], float]


_COLUMNS = {
    "coverage": _Column("coverage", "{:.1%}", lambda share: abs(share - CONFIDENCE)),
    "coverage_at_60_s": _Column("at 60 s", "{:.1%}", lambda share: abs(share - CONFIDENCE)),
    "seconds_to_band": _Column("s to band", "{:.1f}", lambda seconds: seconds),
    "time_in_band": _Column("in band", "{:.0%}", lambda share: -share),
    "r_avg": _Column("R_avg", "{:.1%}", lambda share: -share),
    "r_min": _Column("R_min", "{:.1%}", lambda share: -share),
    "area_m2": _Column("area m^2", "{:.2f}", lambda area: area),
    "positions": _Column("positions", "{:.0f}", lambda number: -number),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables; returns the exit code, 2 where the request cannot be met."""
    options = parse(arguments)
    try:
        results = evaluate(options)
        _print(results, output_console())
        write_json({"confidence": CONFIDENCE, "band": BAND, "models": results}, options.json)
    except (BenchmarkError, RecordingError, TrackerSpecError, ModelFileError) as error:
        print(f"evaluate_calibration: {error}", file=sys.stderr)
        return 2
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line; exits with code 2 and a message where it is wrong."""
    parser = argparse.ArgumentParser(
        prog="evaluate_calibration",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "recordings",
        nargs="*",
        metavar="BAG",
        help=f"{BAG_HELP}: your own, judged with the default model or those of --model "
        "(default: the benchmark's, from --data)",
    )
    add_tracks_option(parser)
    add_tracker_option(parser)
    add_data_option(parser, "eth_ucy/all_data", required=False)
    add_model_options(parser)
    options = parser.parse_args(arguments)
    if options.recordings and options.split:
        parser.error("--split is of the benchmark: leave it out, or BAG")
    if not options.recordings and options.data is None:
        parser.error("nothing to replay: give recordings, or --data with the benchmark's")
    return options


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Replays every recording with every asked model.

    Returns:
        Model -> recording -> `as_shipped` and `adaptive` -> figure -> value.

    Raises:
        BenchmarkError: no such data, a model that does not fit, or nothing to judge.
        RecordingError: a recording that cannot be read.
        TrackerSpecError: no such tracker.
        ModelFileError: no such model.
    """
    settings = load_settings()
    cases = _own_cases(options, settings) if options.recordings else _benchmark_cases(options)
    results: dict[str, Any] = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
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


@dataclass(frozen=True)
class _Case:
    """A model and a recording that it has not seen; `family` is the name it was asked by."""

    family: str
    name: str
    model: TrajectoryModel
    source: TrackSource


def _benchmark_cases(options: argparse.Namespace) -> list[_Case]:
    splits = options.split or list(LEAVE_ONE_OUT)
    folder = options.data / "eth_ucy" / "all_data"
    recordings = {name: _text(folder, name) for s in splits for name in LEAVE_ONE_OUT[s]}
    cases = []
    for one in map(candidate, dict.fromkeys(options.model or families())):
        for split in splits:
            model = load_benchmark_model(one.files[split])
            names = LEAVE_ONE_OUT[split]
            cases += [_Case(one.name, name, model, recordings[name]) for name in names]
    return cases


def _text(folder: Path, name: str) -> TrackSource:
    path = folder / f"{name}.txt"
    if not path.is_file():
        raise BenchmarkError(f"there is no {path}: give the folder of the recordings")
    return open_source(path)


def _own_cases(options: argparse.Namespace, settings: ReplaySettings) -> list[_Case]:
    models = {name: load_model(name) for name in options.model or ["default"]}
    sources = open_bags(
        options.recordings,
        topic=options.tracks,
        tracker=options.tracker,
        fixed_frame=settings.fixed_frame,
    )
    return [
        _Case(name, str(source.path), model, source)
        for name, model in models.items()
        for source in sources
    ]


def _replayed(
    case: _Case, settings: ReplaySettings, way: str, advance: Callable[[int], None]
) -> CalibrationReplay:
    adaptive = AdaptiveCalibration(case.model.n_predicted) if way == "adaptive" else None
    config = replace(settings.pipeline, confidence=CONFIDENCE)
    tracks = tracks_in_time(case.source, settings, advance)
    try:
        return replay_calibration(case.model, tracks, adaptive=adaptive, config=config)
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


def _print(results: Mapping[str, Any], console: Console) -> None:
    for model, recordings in results.items():
        table = Table(title=f"{model}: ellipses of {CONFIDENCE:.0%}, as shipped and adaptive")
        table.add_column("recording", overflow="fold")
        table.add_column("ellipses", no_wrap=True)
        for column in _COLUMNS.values():
            table.add_column(column.heading, justify="right", no_wrap=True)
        for name, row in recordings.items():
            _add_rows(table, name, row)
        if len(recordings) >= _MANY:
            table.rows[-1].end_section = True  # the rich of ROS Humble has no add_section
            _add_rows(table, f"median of {len(recordings)}", _over(recordings, _median))
            _add_rows(table, f"worst of {len(recordings)}", _over(recordings, _worst))
        console.print(table)
    console.print(
        f"coverage: share of all judged positions inside the ellipse, and of those judged in the "
        f"first {EARLY_S:g} s; s to band: when that running share first was within {BAND:.0%} of "
        f"{CONFIDENCE:.0%}, with {MIN_POSITIONS} positions judged; in band: share of the time at "
        f"which the share over the last {WINDOW_S:g} s was; area: geometric mean.",
        highlight=False,
    )


def _add_rows(table: Table, name: str, row: Mapping[str, Mapping[str, float]]) -> None:
    for way, figures in row.items():
        cells = (_cell(figures[key], column.form) for key, column in _COLUMNS.items())
        table.add_row(name, way.replace("_", " "), *cells)
        name = ""


def _over(
    recordings: Mapping[str, Mapping[str, Mapping[str, float]]],
    summary: Callable[[FloatArray, _Column], float],
) -> dict[str, dict[str, float]]:
    """A figure of all recordings, where it could be measured, by way and name."""
    rows = list(recordings.values())
    summaries: dict[str, dict[str, float]] = {}
    for way in rows[0]:
        values = {key: np.array([row[way][key] for row in rows]) for key in _COLUMNS}
        summaries[way] = {
            key: summary(values[key][~np.isnan(values[key])], column)
            for key, column in _COLUMNS.items()
        }
    return summaries


def _median(values: FloatArray, _: _Column) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _worst(values: FloatArray, column: _Column) -> float:
    return max(values.tolist(), key=column.badness, default=float("nan"))


def _cell(value: float, form: str) -> str:
    return form.format(value) if np.isfinite(value) else "never" if np.isinf(value) else "-"


if __name__ == "__main__":
    sys.exit(main())
