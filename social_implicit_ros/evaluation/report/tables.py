"""The results of `evaluate_bag` as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True)
class FigureStyle:
    """How a figure is written.

    Attributes:
        label: for people.
        unit: `%` and `ms` are written with one digit behind the point, others with three.
        wanted: what a perfect prediction would have.
        best: `low`, `high`, the value that is best, or `narrow`: low among those whose ellipses
            hold the truth.
    """

    label: str
    unit: str
    wanted: str
    best: str | float


#: Figure -> how it is written, in the order of tables.
STYLES: dict[str, FigureStyle] = {
    "best_ade": FigureStyle("ADE, best of N", "m", "low", "low"),
    "best_fde": FigureStyle("FDE, best of N", "m", "low", "low"),
    "mean_ade": FigureStyle("ADE, expected path", "m", "low", "low"),
    "mean_fde": FigureStyle("FDE, expected path", "m", "low", "low"),
    "miss_rate": FigureStyle("miss rate (2 m)", "%", "low", "low"),
    "collision_rate": FigureStyle("collision rate", "%", "low", "low"),
    "amd": FigureStyle("AMD", "", "1.253", 1.2533),
    "amv": FigureStyle("AMV", "m²", "low", "narrow"),
    "kde": FigureStyle("KDE", "nats", "low", "low"),
    "energy": FigureStyle("energy score", "m", "low", "low"),
    "coverage_95": FigureStyle("inside 95 % ellipse", "%", "95", 0.95),
    "r_avg": FigureStyle("R_avg", "%", "100", "high"),
    "r_min": FigureStyle("R_min", "%", "100", "high"),
    "latency_ms_median": FigureStyle("latency, median", "ms", "low", "low"),
    "latency_ms_p99": FigureStyle("latency, p99", "ms", "low", "low"),
}


def figure_text(name: str, value: float | None) -> str:
    """A figure as tables write it; a dash where nothing was seen of it."""
    if value is None or value != value:
        return "-"
    unit = STYLES[name].unit
    if unit == "%":
        return f"{100.0 * value:.1f}"
    if unit == "ms":
        return f"{value:.2f}"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"


def print_results(results: Mapping[str, Any], console: Console) -> None:
    """Prints what was evaluated, the figures of every model, and what went wrong."""
    models = results["models"]
    table = Table(title=_title(results))
    table.add_column("figure", no_wrap=True)
    for name in models:
        table.add_column(_short(name), justify="right", min_width=8)
    table.add_column("wanted", justify="right")
    for figure, style in STYLES.items():
        label = f"{style.label} [{style.unit}]" if style.unit else style.label
        cells = (figure_text(figure, model["figures"][figure]) for model in models.values())
        table.add_row(escape(label), *cells, style.wanted)
    console.print(table)
    for bag in results["bags"]:
        for note in bag["notes"]:
            text = escape(f"{bag['path']}: {note}")
            console.print(text, style="dim", highlight=False, soft_wrap=True)
        if bag["problem"]:
            text = f"[yellow]only a part:[/] {escape(bag['problem'])}"
            console.print(text, highlight=False, soft_wrap=True)
    print_failures(results["failed"], console)


def print_failures(failed: Sequence[Mapping[str, str]], console: Console) -> None:
    """Prints why recordings could not be evaluated."""
    for failure in failed:
        text = f"[red]not evaluated:[/] {escape(failure['reason'])}"
        console.print(text, highlight=False, soft_wrap=True)


def _short(name: str) -> str:
    return Path(name).name.removesuffix(".onnx").replace("_", " ")


def _title(results: Mapping[str, Any]) -> str:
    bags = results["bags"]
    lead = next(iter(results["models"].values()))
    duration_s = sum(bag["duration_s"] for bag in bags)
    what = Path(bags[0]["path"]).name if len(bags) == 1 else f"{len(bags)} recordings"
    return (
        f"{what}: {duration_s:.0f} s, {lead['counts']['futures']} whole futures "
        f"of {lead['counts']['predictions']} predictions"
    )
