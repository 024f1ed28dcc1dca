"""The results of `evaluate_bag` as tables for a terminal."""

from __future__ import annotations

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
    """How a metric is written.

    Attributes:
        ideal: the value of a perfect prediction.
        best: `low`, `high`, the best value, or `narrow`: low among the models whose regions
            cover the ground truth.
    """

    label: str
    unit: str
    ideal: str
    best: str | float


#: Metric -> how it is written, in the order of tables.
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


def metric_text(name: str, value: float | None) -> str:
    """A metric as tables write it; a dash where it is unknown."""
    if value is None or value != value:
        return "-"
    unit = STYLES[name].unit
    if unit == "%":
        return f"{100.0 * value:.1f}"
    if unit == "ms":
        return f"{value:.2f}"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"


def print_results(results: Mapping[str, Any], console: Console) -> None:
    """Prints what was evaluated, the metrics of every model, and the problems."""
    models = results["models"]
    table = Table(title=plain(_title(results)))
    table.add_column("metric", no_wrap=True)
    for name in models:
        table.add_column(plain(short_name(name)), justify="right", min_width=8)
    table.add_column("ideal", justify="right")
    for metric, style in STYLES.items():
        label = f"{style.label} [{style.unit}]" if style.unit else style.label
        cells = (metric_text(metric, model["figures"][metric]) for model in models.values())
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
    """Shown as it is: names in recordings are neither markup nor commands of a terminal."""
    return escape(printable_text(text))


def short_name(name: str) -> str:
    """A model's name as tables write it."""
    return Path(name).name.removesuffix(".onnx").replace("_", " ")


def _title(results: Mapping[str, Any]) -> str:
    bags = results["bags"]
    lead = next(iter(results["models"].values()))
    duration_s = sum(bag["duration_s"] for bag in bags)
    what = Path(bags[0]["path"]).name if len(bags) == 1 else f"{len(bags)} recordings"
    return (
        f"{what}: {duration_s:.0f} s, {lead['counts']['futures']} of "
        f"{lead['counts']['predictions']} predictions with complete ground truth"
    )
