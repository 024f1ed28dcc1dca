"""The results of `evaluate_bag --tracker-faults` and `--ground-truth` as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from social_implicit_ros.evaluation.report.tables import plain, short_name

#: Metric -> label, and how it is written.
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


#: Metrics of each age that the page shows.
_ON_PAGE = ("mean_fde", "coverage_95")


def print_tracker(results: Mapping[str, Any], console: Console) -> None:
    """Prints the metrics that need an independent ground truth, if there was one."""
    found = _found(results)
    if not found:
        return
    lead = next(iter(found.values()))
    rate_hz = results["settings"]["tick_rate_hz"]
    when = f"at {rate_hz:g} ticks per second" if rate_hz else "at every message"
    table = Table(title=f"{lead['people']} people, {lead['person_ticks']} predictions due {when}")
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
    """The same for the page: label, and value of each model; empty without such a ground truth."""
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
