"""Sensitivity of metrics to predictions that are shifted by centimetres.

This is the experiment of the Social-Implicit paper (Mohamed et al., ECCV 2022, section 5): ADE and
FDE of the best of 20 samples hardly change; AMD and KDE do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from social_implicit_ros.evaluation.benchmark.split_metrics import (
    Metrics,
    average_metrics,
    candidate,
    families,
    on_splits,
    scene_seed,
)
from social_implicit_ros.metrics.amd import (
    fit_sample_mixtures,
    mean_covariance_eigenvalue,
    mixture_distances,
)
from social_implicit_ros.metrics.displacement import best_of_n
from social_implicit_ros.metrics.kde import kde_nll
from social_implicit_ros.metrics.table import DISTRIBUTION_SAMPLES
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT, Scene, split_scenes
from social_implicit_ros.types import FloatArray

#: Shifts of both coordinates of every predicted position, metres.
SHIFTS_M = (-0.1, -0.01, 0.0, 0.01, 0.1)
METRIC_NAMES = ("ade", "fde", "amd", "amv", "kde")


def metric_sensitivity(
    data: Path,
    splits: Sequence[str],
    models: Sequence[str] = (),
    *,
    n_samples: int = 20,
    seed: int = 0,
    console: Console,
) -> dict[str, Any]:
    """Metrics of every given model, split and shift; arguments and errors as in `leave_one_out`.

    Returns:
        `{"models": {NAME: {SPLIT: {SHIFT: {"ade", "fde", "amd", "amv", "kde"}}}}, ...}`, shifts in
        metres as text, and a split `average` if all five are given.
    """
    names = dict.fromkeys(models or families() or ("sampled_constant_velocity",))
    test_scenes = {split: split_scenes(data, split) for split in splits}
    evaluate = partial(shifted_metrics, n_samples=n_samples, seed=seed)
    results: dict[str, dict[str, dict[str, Metrics]]] = {}
    for one, of_splits in on_splits([candidate(n) for n in names], test_scenes, evaluate, console):
        results[one.name] = of_splits
        if len(splits) == len(LEAVE_ONE_OUT):
            rows = list(of_splits.values())
            of_splits["average"] = {
                shift: average_metrics(row[shift] for row in rows) for shift in rows[0]
            }
    return {
        "models": results,
        "samples": n_samples,
        "distribution_samples": DISTRIBUTION_SAMPLES,
        "seed": seed,
    }


def shifted_metrics(
    model: TrajectoryModel,
    test_scenes: Sequence[Scene],
    *,
    n_samples: int = 20,
    seed: int = 0,
    each: Callable[..., Iterable[Any]] = map,
) -> dict[str, Metrics]:
    """Metrics of one model on one split for every shift; arguments as in `evaluate_split`.

    Returns:
        Shift in metres as text -> ade, fde (m), amd, amv (m^2), kde (nats).
    """
    seeds = [scene_seed(seed, index) for index in range(len(test_scenes))]
    parts = list(each(partial(_measure, model, n_samples), test_scenes, seeds))
    return {
        f"{shift_m:+g}" if shift_m else "0": {
            name: float(np.concatenate([part[row][column] for part in parts]).mean())
            for column, name in enumerate(METRIC_NAMES)
        }
        for row, shift_m in enumerate(SHIFTS_M)
    }


def _measure(
    model: TrajectoryModel, n_samples: int, scene: Scene, seed: int
) -> list[list[FloatArray]]:
    """The values of `METRIC_NAMES` for every shift, per agent or per scene.

    Instead of the prediction, the ground truth is shifted in the opposite direction, so that
    samples and mixtures are computed only once.
    """
    few, many = (
        model.predict(scene.observed, n_samples=number, seed=seed).samples
        for number in (n_samples, DISTRIBUTION_SAMPLES)
    )
    mixtures = fit_sample_mixtures(many)
    amv = mean_covariance_eigenvalue(many)
    rows = []
    for shift_m in SHIFTS_M:
        shifted = scene.future - shift_m
        amd = mixture_distances(mixtures, shifted.reshape(-1, 2))[0].mean()
        kde = kde_nll(many, shifted)[0].mean()
        rows.append([*best_of_n(few, shifted), *np.array([[amd], [amv], [kde]])])
    return rows
