"""`results.json`: the metrics of all recordings together and of each; see docs/evaluation.md.

Parts are added up in the order of the recordings, so that the results do not depend on the
distribution of the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from social_implicit_ros.evaluation.distribution import POSITIONS, SAMPLES
from social_implicit_ros.evaluation.errors import NEAR_M
from social_implicit_ros.evaluation.output_files import without_nan, write_json, written_beside
from social_implicit_ros.evaluation.parts import join_rows, read_part
from social_implicit_ros.evaluation.report.page import report_page
from social_implicit_ros.evaluation.request import Request
from social_implicit_ros.evaluation.runner import Job, jobs_of, run_jobs
from social_implicit_ros.evaluation.tally import (
    Tally,
    counts_of,
    groups_of,
    horizon_of,
    metrics_of,
    reliability_of,
    tracker_metrics,
)
from social_implicit_ros.metrics.reliability import CONFIDENCE_GRID
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.onnx_model import OnnxModel
from social_implicit_ros.models.registry import load_model
from social_implicit_ros.recordings.bag import RecordingError

FORMAT = "social_implicit_ros/evaluation"
#: Version of the layout; raised when older readers would misread it.
VERSION = 1


def report_on(path: Path, request: Request, out: Path, console: Console) -> dict[str, Any]:
    """Evaluates one recording and writes its results, see `write_results`.

    Raises:
        RecordingError: nothing can be evaluated.
    """
    jobs = jobs_of([path], request, out)
    reasons = run_jobs(jobs, 1, console=console)
    if reasons:
        raise RecordingError(reasons[jobs[0].path])
    return write_results(jobs, [], out)


def write_results(jobs: Sequence[Job], failed: list[dict[str, str]], out: Path) -> dict[str, Any]:
    """Adds up the parts of recordings and writes `results.json`, `per_tick.parquet` and the report.

    Args:
        jobs: at least one complete job.
        failed: `path` and `reason` of each failure.
        out: folder to write into.

    Returns:
        The content of `results.json`.

    Raises:
        OSError: a file cannot be written; the files of an earlier run do not change.
    """
    files = [job.part for job in jobs]
    parts = [read_part(file, "bag", "tallies") for file in files]
    request = jobs[0].request
    models = {name: load_model(name) for name in request.models}
    results: dict[str, Any] = without_nan(results_of(parts, failed, request, models))
    shown = (read_part(file, "highlights")["highlights"] for file in files)
    of_path = zip((part["bag"]["path"] for part in parts), shown, strict=True)
    # All or none: the files of an earlier run are replaced after the last one is written.
    with (
        written_beside(out / "results.json") as numbers,
        written_beside(out / "per_tick.parquet") as rows,
        written_beside(out / "report.html") as page,
    ):
        write_json(results, numbers, indent=1)
        join_rows(files, rows)
        page.write_text(report_page(results, of_path), encoding="utf-8")
    return results


def results_of(
    parts: Sequence[Mapping[str, Any]],
    failed: Sequence[Mapping[str, str]],
    request: Request,
    models: Mapping[str, TrajectoryModel],
) -> dict[str, Any]:
    """Adds up the parts that `evaluate_recording` wrote."""
    settings = asdict(request.settings)
    settings |= settings.pop("pipeline")
    tallies = {name: [Tally.from_dict(part["tallies"][name]) for part in parts] for name in models}
    return {
        "format": FORMAT,
        "version": VERSION,
        "settings": {
            **settings,
            "distribution_samples": SAMPLES,
            "distribution_moments": request.n_moments,
            "distribution_positions": POSITIONS,
            "near_m": NEAR_M,
            "tracker_faults": None if request.faults is None else asdict(request.faults),
            "adaptive_calibration": request.is_adaptive,
            "ground_truth": None if request.ground_truth is None else str(request.ground_truth),
            "ground_truth_shift_s": request.ground_truth_shift_s,
        },
        "models": {
            name: {
                **_identity(model),
                **_result(Tally.total(tallies[name]), model.step_s, request),
            }
            for name, model in models.items()
        },
        "bags": [
            {
                **part["bag"],
                "figures": {name: metrics_of(tallies[name][index]) for name in models},
                "counts": {name: counts_of(tallies[name][index]) for name in models},
            }
            for index, part in enumerate(parts)
        ],
        "failed": list(failed),
    }


def _identity(model: TrajectoryModel) -> dict[str, Any]:
    card = model.card if isinstance(model, OnnxModel) else None
    return {
        "model": model.name,
        "description": card.description if card else "",
        "sha256": card.sha256 if card else "",
        "parameters": card.parameters if card else 0,
        "step_s": model.step_s,
        "n_observed": model.n_observed,
    }


def _result(total: Tally, step_s: float, request: Request) -> dict[str, Any]:
    return {
        "counts": counts_of(total),
        "figures": metrics_of(total),
        "horizon": horizon_of(total),
        "reliability": {
            "confidence": list(CONFIDENCE_GRID),
            "frequency": reliability_of(total).tolist(),
        },
        "by": groups_of(total, step_s),
        **({"tracker": tracker_metrics(total)} if request.has_ground_truth else {}),
    }
