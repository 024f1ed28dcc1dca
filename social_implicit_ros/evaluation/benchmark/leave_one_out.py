"""The leave-one-out table: every model on the splits that it was not trained on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console

from social_implicit_ros.evaluation.benchmark.robot_metrics import (
    Windows,
    is_fast,
    robot_metrics,
    windows_of,
)
from social_implicit_ros.evaluation.benchmark.split_metrics import (
    DISTRIBUTION_SAMPLES,
    Candidate,
    Metrics,
    average_metrics,
    candidate,
    evaluate_split,
    families,
    load_benchmark_model,
    parameter_count,
    with_tracker_noise,
)
from social_implicit_ros.evaluation.progress_bar import progress_bar
from social_implicit_ros.models.registry import BASELINES
from social_implicit_ros.recordings.text_formats.eth_ucy import split_scenes
from social_implicit_ros.recordings.text_formats.robot_recordings import robot_recordings


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
        data: the folder that holds `eth_ucy/all_data`.
        splits: keys of `LEAVE_ONE_OUT`.
        models: names as `candidate` takes them; all shipped families where empty.
        n_samples: K of ADE and FDE.
        seed: of the samples and of the tracker noise.
        all_metrics: every metric instead of ADE and FDE alone.
        tracker_noise_m: standard deviation of noise on every observed position, metres.
        console: where progress is shown.

    Returns:
        `{"models": {NAME: {"parameters", "held_out", "splits", "average", "robot"}}, "reference":
        {...}, "samples": int, "distribution_samples": int, "seed": int, "tracker_noise_m": float}`.
        `robot` has the metrics of NAME itself on each folder of `data/robot`; it is empty without
        `all_metrics`.

    Raises:
        RecordingError: no such data.
        BenchmarkError: a model that does not fit the benchmark.
        ModelFileError: no such model.
    """
    names = dict.fromkeys((*BASELINES, *(models or families())))
    # Everything is loaded before anything is computed: a wrong name fails at once.
    test_scenes = {}
    for split in splits:
        found = split_scenes(data, split, min_agents=1)
        found.sort(key=lambda scene: len(scene.ids) == 1)  # those of a single agent last
        test_scenes[split] = with_tracker_noise(found, tracker_noise_m, seed)
    candidates = [candidate(name) for name in names]
    loaded = [
        {split: load_benchmark_model(one.files[split]) for split in splits} for one in candidates
    ]
    recordings = robot_recordings(data) if all_metrics else {}
    windows = {
        kind: (of_kind, is_fast(recordings[kind]))
        for kind, of_kind in windows_of(recordings).items()
    }
    results = {}
    with progress_bar(console) as progress:
        for one, model_of_split in zip(candidates, loaded, strict=True):
            metrics = {}
            for split, model in model_of_split.items():
                task = progress.add_task(f"{one.name} on {split}", total=len(test_scenes[split]))
                metrics[split] = evaluate_split(
                    model,
                    test_scenes[split],
                    n_samples=n_samples,
                    seed=seed,
                    all_metrics=all_metrics,
                    workers=os.cpu_count() or 1,
                    advance=partial(progress.advance, task),
                )
                progress.remove_task(task)
            results[one.name] = {
                "robot": _robot_results(one, windows, n_samples, seed),
                "parameters": parameter_count(next(iter(model_of_split.values()))),
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
    one: Candidate, windows: Mapping[str, tuple[Windows, bool]], n_samples: int, seed: int
) -> dict[str, Metrics]:
    """Metrics of the model of all recordings; none for a file per split."""
    if not windows or "{split}" in one.name:
        return {}
    model = load_benchmark_model(one.name)
    return {
        kind: robot_metrics(model, of_kind, n_samples=n_samples, seed=seed, over_kalman=fast)
        for kind, (of_kind, fast) in windows.items()
    }


def reference_metrics() -> dict[str, Any]:
    """Metrics of the reference implementation on this protocol, with their source."""
    text = (resources.files(__package__) / "reference_figures.json").read_text("utf-8")
    metrics: dict[str, Any] = json.loads(text)
    return metrics
