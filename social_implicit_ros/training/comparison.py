"""What a model is worth on windows of a recording, as a table of before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from rich.table import Table

from social_implicit_ros.metrics.displacement import best_of_n, mean_path
from social_implicit_ros.metrics.proper_scores import gaussian_nll
from social_implicit_ros.metrics.reliability import (
    coverage,
    levels_of_truth,
    reliability_scores,
)
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.recordings.eth_ucy import Scene

N_SAMPLES = 20

#: Figure -> what people call it.
LABELS: Mapping[str, str] = {
    "ade": f"ADE, best of {N_SAMPLES}, m",
    "fde": f"FDE, best of {N_SAMPLES}, m",
    "mean_ade": "ADE, expected path, m",
    "mean_fde": "FDE, expected path, m",
    "nll": "negative log-likelihood, nats",
    "coverage_95": "inside the 95 % ellipse",
    "r_avg": "R_avg",
    "r_min": "R_min",
}


def figures_of(model: TrajectoryModel, scenes: Sequence[Scene], *, seed: int) -> dict[str, float]:
    """Figures by the names of `LABELS`, over all agents of all scenes.

    Args:
        model: as the node runs it, calibration included.
        scenes: at least one.
        seed: of the draws.
    """
    rows: dict[str, list[np.ndarray]] = {}
    for scene in scenes:
        prediction = model.predict(scene.observed, n_samples=N_SAMPLES, seed=seed)
        truth = scene.future
        ade, fde = best_of_n(prediction.samples, truth)
        mean_ade, mean_fde = mean_path(prediction.mean, truth)
        found = {
            "ade": ade,
            "fde": fde,
            "mean_ade": mean_ade,
            "mean_fde": mean_fde,
            "nll": gaussian_nll(prediction.mean, prediction.covariance, truth).mean(axis=1),
            "levels": levels_of_truth(prediction, truth),
        }
        for name, values in found.items():
            rows.setdefault(name, []).append(values)
    values_of = {name: np.concatenate(entries) for name, entries in rows.items()}
    levels = values_of.pop("levels")
    figures = {name: float(values.mean()) for name, values in values_of.items()}
    r_avg, r_min = reliability_scores(levels)
    return {**figures, "coverage_95": coverage(levels, 0.95), "r_avg": r_avg, "r_min": r_min}


def comparison_table(columns: Mapping[str, Mapping[str, float]], title: str) -> Table:
    """A row per figure, a column per model.

    Args:
        columns: what a column says above -> figures as `figures_of` gives them.
        title: of the table.
    """
    table = Table("", *columns, title=title)
    for name, label in LABELS.items():
        table.add_row(label, *(f"{figures[name]:.3f}" for figures in columns.values()))
    return table


def worse_figures(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """What people call the figures that are worse than before, as far as the table shows it."""

    def badness(name: str, figure: float) -> float:
        value = round(figure, 3)
        if name == "coverage_95":
            return round(abs(value - 0.95), 3)
        return -value if name in ("r_avg", "r_min") else value

    return [
        label
        for name, label in LABELS.items()
        if badness(name, after[name]) > badness(name, before[name])
    ]
