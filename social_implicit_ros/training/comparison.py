"""Metrics of a model on windows of a recording, as a table of before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from social_implicit_ros.metrics.table import FEW_SAMPLES, METRICS, measured, reduced
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.recordings.text_formats.eth_ucy import Scene

#: Metric -> label.
LABELS: Mapping[str, str] = {
    "ade": f"ADE, best of {FEW_SAMPLES}, m",
    "fde": f"FDE, best of {FEW_SAMPLES}, m",
    "mean_ade": "ADE, mean trajectory, m",
    "mean_fde": "FDE, mean trajectory, m",
    "nll": "negative log-likelihood, nats",
    "coverage_95": "coverage of the 95 % region",
    "r_avg": "R_avg",
    "r_min": "R_min",
}
_NAMES = ("minADE", "minFDE", "ADE_mean", "FDE_mean", "NLL", "coverage_95", "R_avg", "R_min")


def evaluate_model(
    model: TrajectoryModel, scenes: Sequence[Scene], *, seed: int
) -> dict[str, float]:
    """Metrics by the names of `LABELS`, averaged over all agents of one or more scenes."""
    metrics = {label: METRICS[name] for label, name in zip(LABELS, _NAMES, strict=True)}
    predictions = (
        model.predict(scene.observed, n_samples=FEW_SAMPLES, seed=seed) for scene in scenes
    )
    values = [
        measured(metrics.values(), prediction, scene.observed, scene.future)
        for prediction, scene in zip(predictions, scenes, strict=True)
    ]
    return reduced(metrics, values)


def comparison_table(columns: Mapping[str, Mapping[str, float]], title: str) -> Table:
    """A row per metric, a column per model: header -> metrics, see `evaluate_model`."""
    table = Table("", *columns, title=title)
    for name, label in LABELS.items():
        table.add_row(label, *(f"{metrics[name]:.3f}" for metrics in columns.values()))
    return table


def worse_metrics(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """Labels of the metrics that are worse than before, at the precision of the table."""

    def loss(name: str, metric: float) -> float:
        value = round(metric, 3)
        if name == "coverage_95":
            return round(abs(value - 0.95), 3)
        return -value if name in ("r_avg", "r_min") else value

    return [
        label
        for name, label in LABELS.items()
        if loss(name, after[name]) > loss(name, before[name])
    ]
