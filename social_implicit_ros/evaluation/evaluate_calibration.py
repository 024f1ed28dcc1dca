"""`evaluate_calibration`: what the node's adaptive calibration makes of the ellipses.

Every test recording is replayed through the node's pipeline with the model that was not trained on
it, once as the model is and once with adaptive calibration that starts from nothing. A prediction
is always judged with the ellipses that were published with it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from social_implicit_ros.core.adaptive_calibration import AdaptiveCalibration
from social_implicit_ros.core.predictor import TrajectoryModel
from social_implicit_ros.core.recordings import LEAVE_ONE_OUT, Recording, load_recording
from social_implicit_ros.evaluation.bags import text_tracks
from social_implicit_ros.evaluation.benchmark import (
    BenchmarkError,
    load_benchmark_model,
    write_json,
)
from social_implicit_ros.evaluation.benchmark_options import add_benchmark_options
from social_implicit_ros.evaluation.benchmark_tables import output_console
from social_implicit_ros.evaluation.calibration_replay import (
    BAND,
    CONFIDENCE,
    MIN_POSITIONS,
    CalibrationReplay,
    replay_calibration,
)
from social_implicit_ros.evaluation.candidates import candidate, families
from social_implicit_ros.inference.onnx_model import ModelFileError

#: When the running coverage is read, and over which time a warning would look, seconds.
EARLY_S = 60.0
WINDOW_S = 60.0
#: Figure -> heading and how it is written.
_COLUMNS = {
    "coverage": ("coverage", "{:.1%}"),
    "coverage_at_60_s": ("at 60 s", "{:.1%}"),
    "seconds_to_band": ("s to band", "{:.1f}"),
    "time_in_band": ("in band", "{:.0%}"),
    "r_avg": ("R_avg", "{:.1%}"),
    "r_min": ("R_min", "{:.1%}"),
    "area_m2": ("area m^2", "{:.2f}"),
    "positions": ("positions", "{:.0f}"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the tables; returns the exit code, 2 where the request cannot be met."""
    options = parse(arguments)
    try:
        results = evaluate(options)
        _print(results, output_console())
        write_json({"confidence": CONFIDENCE, "band": BAND, "models": results}, options.json)
    except (BenchmarkError, ModelFileError) as error:
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
    add_benchmark_options(parser)
    return parser.parse_args(arguments)


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Replays every asked split with every asked model.

    Returns:
        Model -> recording -> `as_shipped` and `adaptive` -> figure -> value.

    Raises:
        BenchmarkError: no such data, a model that does not fit, or nothing to judge.
        ModelFileError: no such model.
    """
    splits = options.split or list(LEAVE_ONE_OUT)
    recordings = {name: _load(options.data, name) for s in splits for name in LEAVE_ONE_OUT[s]}
    candidates = [candidate(name) for name in dict.fromkeys(options.model or families())]
    models = [
        {split: load_benchmark_model(one.files[split]) for split in splits} for one in candidates
    ]
    results: dict[str, Any] = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("replaying", total=2 * len(candidates) * len(recordings))
        for one, model_of_split in zip(candidates, models, strict=True):
            results[one.name] = {}
            for split, model in model_of_split.items():
                for name in LEAVE_ONE_OUT[split]:
                    row: dict[str, Any] = {}
                    for way in ("as_shipped", "adaptive"):
                        row[way] = _figures(_replayed(model, recordings[name], way))
                        progress.advance(task)
                    results[one.name][name] = row
    return results


def _load(data: Path, name: str) -> Recording:
    path = data / "eth_ucy" / "all_data" / f"{name}.txt"
    try:
        return load_recording(path)
    except FileNotFoundError as error:
        raise BenchmarkError(f"there is no {path}: give the folder of the recordings") from error
    except ValueError as error:
        raise BenchmarkError(str(error)) from error


def _replayed(model: TrajectoryModel, recording: Recording, way: str) -> CalibrationReplay:
    adaptive = AdaptiveCalibration(model.n_predicted) if way == "adaptive" else None
    try:
        return replay_calibration(model, text_tracks(recording), adaptive=adaptive)
    except ValueError as error:
        raise BenchmarkError(f"{recording.name}: {error}") from error


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
        table.add_column("recording", no_wrap=True)
        table.add_column("ellipses", no_wrap=True)
        for heading, _ in _COLUMNS.values():
            table.add_column(heading, justify="right")
        for name, row in recordings.items():
            for way, figures in row.items():
                cells = (_cell(figures[key], form) for key, (_, form) in _COLUMNS.items())
                table.add_row(name, way.replace("_", " "), *cells)
        console.print(table)
    console.print(
        f"coverage: share of all judged positions inside the ellipse, and of those judged in the "
        f"first {EARLY_S:g} s; s to band: when that running share first was within {BAND:.0%} of "
        f"{CONFIDENCE:.0%}, with {MIN_POSITIONS} positions judged; in band: share of the time at "
        f"which the share over the last {WINDOW_S:g} s was; area: geometric mean.",
        highlight=False,
    )


def _cell(value: float, form: str) -> str:
    return form.format(value) if np.isfinite(value) else "never" if np.isinf(value) else "-"


if __name__ == "__main__":
    sys.exit(main())
