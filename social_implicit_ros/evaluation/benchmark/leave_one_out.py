"""The leave-one-out table: every model on the splits that it was not trained on.

With all metrics, models are also evaluated on recordings of robots and halls, outside of splits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from social_implicit_ros.evaluation.benchmark.split_metrics import (
    ROWS,
    Metrics,
    average_metrics,
    candidate,
    evaluate_split,
    families,
    load_benchmark_model,
    on_splits,
    parameter_count,
    with_tracker_noise,
)
from social_implicit_ros.metrics.displacement import distances
from social_implicit_ros.metrics.table import DISTRIBUTION_SAMPLES, Metric, measured, reduced
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.kalman import tuned_error_m
from social_implicit_ros.models.registry import BASELINES
from social_implicit_ros.recordings.text_formats.eth_ucy import STEP_S, split_scenes
from social_implicit_ros.recordings.text_formats.robot_recordings import (
    RATE_HZ,
    robot_recordings,
    robot_windows,
)
from social_implicit_ros.recordings.text_formats.text import Recording

#: Horizon on which a robot that replans continuously relies most, seconds, and its step.
REPLANNING_S = 1.2
_REPLANNING_STEP = round(REPLANNING_S / STEP_S) - 1
#: Mean error of the mean trajectory at that horizon, relative to a tuned Kalman filter at 10 Hz.
OVER_KALMAN = "error_1.2s_over_kalman"

#: Metrics in the order of tables.
ROBOT_ROWS: dict[str, Metric] = {
    **{
        name: ROWS[name]
        for name in (
            *("ade", "fde", "mean_ade", "mean_fde", "collision_rate"),
            *("coverage_95", "r_avg", "r_min", "coverage_50_standing", "area_95_walking"),
            *("fde_over_cv_stopped", "fde_over_cv_started", "head_on_rate", "head_on_rate_people"),
        )
    },
    OVER_KALMAN: Metric(
        lambda p, _, truth: distances(p.mean, truth)[:, _REPLANNING_STEP], "", "low"
    ),
}


def leave_one_out(
    data: Path,
    splits: Sequence[str],
    models: Sequence[str] = (),
    *,
    n_samples: int = 20,
    seed: int = 0,
    all_metrics: bool = False,
    tracker_noise_m: float = 0.0,
    console: Console,
) -> dict[str, Any]:
    """Evaluates the baselines and every given model on every given split.

    Args:
        data: folder that contains `eth_ucy/all_data`.
        splits: keys of `LEAVE_ONE_OUT`.
        models: names as for `candidate`; all shipped families if empty.
        n_samples: number of samples K for ADE and FDE.
        seed: seed of the samples and of the tracker noise.
        all_metrics: whether all metrics are computed, not only ADE and FDE.
        tracker_noise_m: standard deviation of noise on every observed position, metres.
        console: terminal for the progress.

    Returns:
        `{"models": {NAME: {"parameters", "held_out", "splits", "average", "robot"}}, "reference":
        {...}, "samples": int, "distribution_samples": int, "seed": int, "tracker_noise_m": float}`.
        `robot` has the metrics of NAME itself on each folder of `data/robot`; it is empty without
        `all_metrics`.

    Raises:
        RecordingError: the data are missing.
        BenchmarkError: a model does not fit the benchmark.
        ModelFileError: a model does not exist.
    """
    test_scenes = {}
    for split in splits:
        found = split_scenes(data, split, min_agents=1)
        found.sort(key=lambda scene: len(scene.ids) == 1)  # single agents last
        test_scenes[split] = with_tracker_noise(found, tracker_noise_m, seed)
    candidates = [candidate(name) for name in dict.fromkeys((*BASELINES, *(models or families())))]
    of_robots = robot_recordings(data) if all_metrics else {}
    evaluate = partial(evaluate_split, n_samples=n_samples, seed=seed, all_metrics=all_metrics)
    results = {}
    for one, metrics in on_splits(candidates, test_scenes, evaluate, console):
        results[one.name] = {
            "robot": _robot_results(one.name, of_robots, n_samples, seed),
            "parameters": parameter_count(load_benchmark_model(one.files[splits[0]])),
            "held_out": [split for split in splits if split in one.held_out],
            "splits": metrics,
            "average": average_metrics(metrics.values()),
        }
    return {
        "models": results,
        "reference": reference_metrics(),
        "samples": n_samples,
        "distribution_samples": DISTRIBUTION_SAMPLES,
        "seed": seed,
        "tracker_noise_m": tracker_noise_m,
    }


def _robot_results(
    name: str, of_robots: Mapping[str, Sequence[Recording]], n_samples: int, seed: int
) -> dict[str, Metrics]:
    """Metrics of the model NAME itself, by folder; empty for a name with `{split}`."""
    if not of_robots or "{split}" in name:
        return {}
    model = load_benchmark_model(name)
    return {
        kind: robot_metrics(model, recordings, n_samples=n_samples, seed=seed)
        for kind, recordings in of_robots.items()
    }


def is_fast(recordings: Sequence[Recording]) -> bool:
    """Whether a folder's recordings have frames at 10 Hz."""
    intervals_ms = [np.median(np.diff(np.unique(recording.frames))) for recording in recordings]
    times_ms = np.concatenate([recording.frames for recording in recordings])
    return bool(np.median(intervals_ms) == 1000 / RATE_HZ and not (times_ms % 100).any())


def robot_metrics(
    model: TrajectoryModel, recordings: Sequence[Recording], *, n_samples: int, seed: int
) -> Metrics:
    """Metrics of a model on the windows of one folder, by the names of `ROBOT_ROWS`.

    They include `OVER_KALMAN` if the recordings are at 10 Hz.
    """
    windows = list(chain.from_iterable(map(robot_windows, recordings)))
    over_kalman = is_fast(recordings)
    metrics = {
        name: metric for name, metric in ROBOT_ROWS.items() if over_kalman or name != OVER_KALMAN
    }
    found = reduced(
        metrics,
        [
            measured(
                metrics.values(),
                model.predict(scene.observed, n_samples=n_samples, seed=seed),
                scene.observed,
                scene.future,
            )
            for scene, _ in windows
        ],
    )
    if over_kalman:
        ground_truth = np.concatenate([scene.future[:, _REPLANNING_STEP] for scene, _ in windows])
        fast = [fast for _, fast in windows]
        found[OVER_KALMAN] /= tuned_error_m(fast, ground_truth, 1.0 / RATE_HZ, REPLANNING_S)
    return found


def reference_metrics() -> dict[str, Any]:
    """Metrics of the reference implementation on this protocol, with their source."""
    text = (resources.files(__package__) / "reference_figures.json").read_text("utf-8")
    metrics: dict[str, Any] = json.loads(text)
    return metrics
