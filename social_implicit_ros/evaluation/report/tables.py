"""The results of `evaluate_bag` as tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from social_implicit_ros.untrusted_files import printable_text

#: Minimum coverage of 95 % regions whose width is compared.
COVERS = 0.85


@dataclass(frozen=True)
class MetricStyle:
    """How a metric of `evaluate_bag` is displayed.

    Attributes:
        label: name in tables.
        unit: unit in tables.
        meaning: one line for the report; docs/evaluation.md says more.
        ideal: value of a perfect prediction.
        best: `low`, `high`, the best value, or `narrow`: low among the models whose regions
            cover the ground truth, see `COVERS`.
        digits: decimals of a value that is neither a share nor a latency.
    """

    label: str
    unit: str
    meaning: str = ""
    ideal: str = "low"
    best: str | float = "low"
    digits: int = 3

    @property
    def heading(self) -> str:
        """Label and unit."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label


#: Metric of all predictions -> how it is displayed, in the order of tables.
STYLES: dict[str, MetricStyle] = {
    "best_ade": MetricStyle(
        "ADE, best of N", "m", "mean distance of the best of N samples from the ground truth"
    ),
    "best_fde": MetricStyle("FDE, best of N", "m", "the same at the end of the horizon"),
    "mean_ade": MetricStyle(
        "ADE, mean trajectory", "m", "mean distance of the mean trajectory from the ground truth"
    ),
    "mean_fde": MetricStyle("FDE, mean trajectory", "m", "the same at the end of the horizon"),
    "miss_rate": MetricStyle(
        "miss rate (2 m)", "%", "share of predictions without a sample within 2 m at the end"
    ),
    "collision_rate": MetricStyle(
        "collision rate", "%", "share of people whose samples pass within 0.2 m of another person's"
    ),
    "amd": MetricStyle(
        "AMD", "", "error in units of the predicted spread: 1.253 if calibrated", "1.253", 1.2533
    ),
    "amv": MetricStyle(
        "AMV", "m²", "width of predictions: among calibrated ones, lower is better", best="narrow"
    ),
    "kde": MetricStyle(
        "KDE", "nats", "negative log-likelihood of the ground truth in the density of all samples"
    ),
    "energy": MetricStyle(
        "energy score", "m", "mean sample error minus half the mean distance between samples"
    ),
    "coverage_95": MetricStyle(
        "inside 95 % region", "%", "share of ground truth inside the 95 % region", "95", 0.95
    ),
    "r_avg": MetricStyle(
        "R_avg", "%", "mean agreement of confidence and coverage; 95 is good", "100", "high"
    ),
    "r_min": MetricStyle(
        "R_min", "%", "the same at the worst confidence and step; 90 is good", "100", "high"
    ),
    "latency_ms_median": MetricStyle(
        "latency, median", "ms", "time for histories and model of a tick, on the evaluating machine"
    ),
    "latency_ms_p99": MetricStyle(
        "latency, p99", "ms", "the same, exceeded by one tick in a hundred"
    ),
}
#: The same for metrics against an independent ground truth.
TRACKER_STYLES: dict[str, MetricStyle] = {
    "predicted": MetricStyle("person-time predicted", "%"),
    "surplus": MetricStyle("surplus predictions", "%"),
    "id_changes": MetricStyle("id changes of a person", "", digits=2),
    "mean_ade": STYLES["mean_ade"],
    "mean_fde": STYLES["mean_fde"],
    "median_fde": MetricStyle("median FDE", "m"),
    "coverage_50": MetricStyle("inside 50 % region", "%"),
    "coverage_95": STYLES["coverage_95"],
    "end_change_m": MetricStyle("end point, change a tick", "m"),
    "radius_change": MetricStyle("95 % radius, change a tick", "%"),
}
#: Metrics of tracks of one age -> heading on the terminal, and label on the page.
_BY_AGE = {
    "mean_ade": "ADE",
    "mean_fde": "FDE",
    "median_fde": "median",
    "coverage_50": "50 %",
    "coverage_95": "95 %",
}
_BY_AGE_ON_PAGE = {"mean_fde": "FDE [m]", "coverage_95": "inside 95 % region [%]"}


def metric_text(value: float | None, unit: str, digits: int = 3) -> str:
    """Formats a metric for tables; a dash if it is unknown."""
    if value is None or math.isnan(value):
        return "-"
    if unit == "count":
        return str(round(value))
    if unit == "%":
        return f"{100.0 * value:.1f}"
    if unit == "ms":
        return f"{value:.2f}"
    return f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:.3g}"


def print_results(results: Mapping[str, Any], console: Console) -> None:
    """Prints the recordings, the metrics of every model, notes and problems."""
    models = results["models"]
    table = _table_of_models(plain(_title(results)), models)
    table.add_column("ideal", justify="right")
    for metric, style in STYLES.items():
        cells = (metric_text(model["figures"][metric], style.unit) for model in models.values())
        table.add_row(escape(style.heading), *cells, style.ideal)
    console.print(table)
    for bag in results["bags"]:
        for note in bag["notes"]:
            text = plain(f"{bag['path']}: {note}")
            console.print(text, style="dim", highlight=False, soft_wrap=True)
        if bag["problem"]:
            text = f"[yellow]partly evaluated:[/] {plain(bag['problem'])}"
            console.print(text, highlight=False, soft_wrap=True)
    print_failures(results["failed"], console)


def metric_rows(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of the page's table: label, meaning, ideal, a text for each model, and `best`."""
    figures = [model["figures"] for model in results["models"].values()]
    return [
        {
            "label": style.heading,
            "meaning": style.meaning,
            "ideal": style.ideal,
            "cells": [metric_text(of_model[name], style.unit) for of_model in figures],
            "best": _best(name, figures),
        }
        for name, style in STYLES.items()
    ]


def _best(metric: str, figures: Sequence[Mapping[str, float | None]]) -> list[int]:
    """Indices of the models with the best value; empty for a single model."""
    best = STYLES[metric].best

    def badness(of_model: Mapping[str, float | None]) -> float:
        value, coverage = of_model[metric], of_model["coverage_95"] or 0.0
        if value is None or (best == "narrow" and coverage < COVERS):
            return math.inf
        if isinstance(best, float):
            return abs(math.log(max(value, 1e-9) / best))
        return -value if best == "high" else value

    of_models = [badness(of_model) for of_model in figures]
    least = min(of_models)
    return [i for i, bad in enumerate(of_models) if bad == least < math.inf and len(figures) > 1]


def print_failures(failed: Sequence[Mapping[str, str]], console: Console) -> None:
    """Prints why recordings could not be evaluated."""
    for failure in failed:
        text = f"[red]not evaluated:[/] {plain(failure['reason'])}"
        console.print(text, highlight=False, soft_wrap=True)


def plain(text: str) -> str:
    """Escapes text of recordings, so that it is neither markup nor a terminal command."""
    return escape(printable_text(text))


def short_name(name: str) -> str:
    """Name of a model in tables."""
    return Path(name).name.removesuffix(".onnx").replace("_", " ")


def _title(results: Mapping[str, Any]) -> str:
    bags = results["bags"]
    primary = next(iter(results["models"].values()))
    duration_s = sum(bag["duration_s"] for bag in bags)
    what = Path(bags[0]["path"]).name if len(bags) == 1 else f"{len(bags)} recordings"
    return (
        f"{what}: {duration_s:.0f} s, {primary['counts']['futures']} of "
        f"{primary['counts']['predictions']} predictions with complete ground truth"
    )


def print_tracker(results: Mapping[str, Any], console: Console) -> None:
    """Prints the metrics that need an independent ground truth, if there is one."""
    found = _found(results)
    if not found:
        return
    primary = next(iter(found.values()))
    rate_hz = results["settings"]["tick_rate_hz"]
    when = f"at {rate_hz:g} ticks per second" if rate_hz else "at every message"
    title = f"{primary['people']} people, {primary['person_ticks']} predictions due {when}"
    table = _table_of_models(title, found)
    for key, style in TRACKER_STYLES.items():
        table.add_row(escape(style.heading), *_cells(key, found.values()))
    console.print(table)
    table = Table(title="by age of the track: ADE, FDE and its median in m, coverage in %")
    for column in ("age", "model"):
        table.add_column(column, no_wrap=True)
    for heading in ("n", *_BY_AGE.values()):
        table.add_column(heading, justify="right")
    for name, entry in found.items():
        groups = [group for group in entry["by_age"] if group["futures"]]
        for group in groups:
            cells = (cell for key in _BY_AGE for cell in _cells(key, [group]))
            row = group["name"], plain(short_name(name)), str(group["futures"]), *cells
            table.add_row(*row, end_section=group is groups[-1])
    if table.rows:
        console.print(table)


def tracker_rows(results: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """The same for the page: rows of a label and the value of each model.

    Empty without an independent ground truth.
    """
    models = list(_found(results).values())
    if not models:
        return []
    rows = [(style.heading, _cells(key, models)) for key, style in TRACKER_STYLES.items()]
    for of_models in zip(*(model["by_age"] for model in models), strict=True):
        if of_models[0]["futures"]:
            rows += [
                (f"{label}, age {of_models[0]['name']}", _cells(key, of_models))
                for key, label in _BY_AGE_ON_PAGE.items()
            ]
    return rows


def _cells(metric: str, of_models: Iterable[Mapping[str, Any]]) -> list[str]:
    """The values of a metric of `TRACKER_STYLES`, as text."""
    style = TRACKER_STYLES[metric]
    return [metric_text(values[metric], style.unit, style.digits) for values in of_models]


def _table_of_models(title: str, models: Iterable[str]) -> Table:
    table = Table(title=title)
    table.add_column("metric", no_wrap=True)
    for name in models:
        table.add_column(plain(short_name(name)), justify="right", min_width=8)
    return table


def _found(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    models = results["models"]
    return {name: model["tracker"] for name, model in models.items() if "tracker" in model}
