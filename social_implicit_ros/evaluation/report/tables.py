"""The results of `evaluate_bag` as tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from social_implicit_ros.untrusted_files import printable_text


@dataclass(frozen=True)
class MetricStyle:
    """How a metric is displayed.

    Attributes:
        label: name in tables.
        unit: unit in tables.
        ideal: value of a perfect prediction.
        best: `low`, `high`, the best value, or `narrow`: low among the models whose regions
            cover the ground truth.
    """

    label: str
    unit: str
    ideal: str
    best: str | float


#: Metric -> how it is displayed, in the order of tables.
STYLES: dict[str, MetricStyle] = {
    "best_ade": MetricStyle("ADE, best of N", "m", "low", "low"),
    "best_fde": MetricStyle("FDE, best of N", "m", "low", "low"),
    "mean_ade": MetricStyle("ADE, mean trajectory", "m", "low", "low"),
    "mean_fde": MetricStyle("FDE, mean trajectory", "m", "low", "low"),
    "miss_rate": MetricStyle("miss rate (2 m)", "%", "low", "low"),
    "collision_rate": MetricStyle("collision rate", "%", "low", "low"),
    "amd": MetricStyle("AMD", "", "1.253", 1.2533),
    "amv": MetricStyle("AMV", "m²", "low", "narrow"),
    "kde": MetricStyle("KDE", "nats", "low", "low"),
    "energy": MetricStyle("energy score", "m", "low", "low"),
    "coverage_95": MetricStyle("inside 95 % region", "%", "95", 0.95),
    "r_avg": MetricStyle("R_avg", "%", "100", "high"),
    "r_min": MetricStyle("R_min", "%", "100", "high"),
    "latency_ms_median": MetricStyle("latency, median", "ms", "low", "low"),
    "latency_ms_p99": MetricStyle("latency, p99", "ms", "low", "low"),
}


def metric_text(value: float | None, unit: str) -> str:
    """Formats a metric for tables; a dash if it is unknown."""
    if value is None or math.isnan(value):
        return "-"
    if unit == "count":
        return str(round(value))
    if unit == "%":
        return f"{100.0 * value:.1f}"
    if unit == "ms":
        return f"{value:.2f}"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"


def print_results(results: Mapping[str, Any], console: Console) -> None:
    """Prints the recordings, the metrics of every model, notes and problems."""
    models = results["models"]
    table = Table(title=plain(_title(results)))
    table.add_column("metric", no_wrap=True)
    for name in models:
        table.add_column(plain(short_name(name)), justify="right", min_width=8)
    table.add_column("ideal", justify="right")
    for metric, style in STYLES.items():
        label = f"{style.label} [{style.unit}]" if style.unit else style.label
        cells = (metric_text(model["figures"][metric], style.unit) for model in models.values())
        table.add_row(escape(label), *cells, style.ideal)
    console.print(table)
    for bag in results["bags"]:
        for note in bag["notes"]:
            text = plain(f"{bag['path']}: {note}")
            console.print(text, style="dim", highlight=False, soft_wrap=True)
        if bag["problem"]:
            text = f"[yellow]partly evaluated:[/] {plain(bag['problem'])}"
            console.print(text, highlight=False, soft_wrap=True)
    print_failures(results["failed"], console)


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


#: Metric -> label, and format.
_LABELS: dict[str, tuple[str, str]] = {
    "predicted": ("person-time predicted [%]", "%"),
    "surplus": ("surplus predictions [%]", "%"),
    "id_changes": ("id changes of a person", ".2f"),
    "mean_ade": ("ADE, mean trajectory [m]", ".3f"),
    "mean_fde": ("FDE, mean trajectory [m]", ".3f"),
    "median_fde": ("median FDE [m]", ".3f"),
    "coverage_50": ("inside 50 % region [%]", "%"),
    "coverage_95": ("inside 95 % region [%]", "%"),
    "end_change_m": ("end point, change a tick [m]", ".3f"),
    "radius_change": ("95 % radius, change a tick [%]", "%"),
}
_BY_AGE: dict[str, tuple[str, str]] = {
    "futures": ("n", "d"),
    "mean_ade": ("ADE", ".3f"),
    "mean_fde": ("FDE", ".3f"),
    "median_fde": ("median", ".3f"),
    "coverage_50": ("50 %", "%"),
    "coverage_95": ("95 %", "%"),
}


#: Metrics of each age on the page.
_ON_PAGE = ("mean_fde", "coverage_95")


def print_tracker(results: Mapping[str, Any], console: Console) -> None:
    """Prints the metrics that need an independent ground truth, if there is one."""
    found = _found(results)
    if not found:
        return
    primary = next(iter(found.values()))
    rate_hz = results["settings"]["tick_rate_hz"]
    when = f"at {rate_hz:g} ticks per second" if rate_hz else "at every message"
    table = Table(
        title=f"{primary['people']} people, {primary['person_ticks']} predictions due {when}"
    )
    table.add_column("metric", no_wrap=True)
    for name in found:
        table.add_column(plain(short_name(name)), justify="right", min_width=8)
    for key, (label, form) in _LABELS.items():
        table.add_row(escape(label), *(_text(entry[key], form) for entry in found.values()))
    console.print(table)
    table = Table(title="by age of the track: ADE, FDE and its median in m, coverage in %")
    for column in ("age", "model"):
        table.add_column(column, no_wrap=True)
    for label, _ in _BY_AGE.values():
        table.add_column(label, justify="right")
    for name, entry in found.items():
        groups = [group for group in entry["by_age"] if group["futures"]]
        for group in groups:
            cells = (_text(group[key], form) for key, (_, form) in _BY_AGE.items())
            label = plain(short_name(name))
            table.add_row(group["name"], label, *cells, end_section=group is groups[-1])
    if table.rows:
        console.print(table)


def tracker_rows(results: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """The same for the page: rows of a label and the value of each model.

    Empty without an independent ground truth.
    """
    models = list(_found(results).values())
    if not models:
        return []
    rows = [
        (label, [_text(model[key], form) for model in models])
        for key, (label, form) in _LABELS.items()
    ]
    for at, group in enumerate(models[0]["by_age"]):
        ages = [model["by_age"][at] for model in models]
        for key in _ON_PAGE if group["futures"] else ():
            label, form = _LABELS[key]
            name = f"{label.replace(', mean trajectory', '')}, age {group['name']}"
            rows.append((name, [_text(age[key], form) for age in ages]))
    return rows


def _found(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    models = results["models"]
    return {name: model["tracker"] for name, model in models.items() if "tracker" in model}


def _text(value: float | None, form: str) -> str:
    if value is None:
        return "-"
    return f"{100.0 * value:.1f}" if form == "%" else f"{value:{form}}"
