"""Tables of the benchmark for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from social_implicit_ros.evaluation.benchmark.robot_metrics import ROBOT_ROWS
from social_implicit_ros.evaluation.benchmark.split_metrics import DISTRIBUTION_SAMPLES, ROWS, Row
from social_implicit_ros.evaluation.report.tables import metric_text
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT

#: The row of means over the splits, as `Results` names it.
AVERAGE = "average"


#: Characters of the widest lines, those of `evaluate_navigation` with intervals in each column.
FILE_COLUMNS = 150
#: One model: parameters, held_out, splits, average; see `leave_one_out`.
ModelResults = Mapping[str, Any]


def output_console() -> Console:
    """Console for tables: a narrow terminal wraps their lines, in place of lost columns."""
    return Console(width=max(Console().width, FILE_COLUMNS), emoji=False)


def print_displacement(
    models: Mapping[str, ModelResults], splits: Sequence[str], n_samples: int, console: Console
) -> None:
    """Prints ADE / FDE: a row per split, a column per model."""
    table = Table(title=f"ADE / FDE in metres, best of {n_samples}")
    table.add_column("split", no_wrap=True)
    for name in models:
        table.add_column(_heading(name), justify="right", min_width=13)
    for row in _rows(splits):
        cells = []
        for model in models.values():
            metrics, mark = _metrics(model, row), "" if _held_out(model, row, splits) else "*"
            cells.append(f"{metrics['ade']:.3f} / {metrics['fde']:.3f}{mark}")
        table.add_row(row, *cells)
    table.rows[-1].end_section = True  # the rich of ROS Humble has no add_section
    table.add_row("parameters", *(str(model["parameters"]) for model in models.values()))
    console.print(table)


def print_all_metrics(
    models: Mapping[str, ModelResults], splits: Sequence[str], n_samples: int, console: Console
) -> None:
    """Prints every metric: a table per split and per folder of robot recordings."""
    for row in _rows(splits):
        marks = {
            name: "*" if not _held_out(model, row, splits) else "" for name, model in models.items()
        }
        columns = {
            _heading(name) + marks[name]: _metrics(model, row) for name, model in models.items()
        }
        _print_metrics(row, columns, ROWS, console)
    kinds = {kind: None for model in models.values() for kind in model.get("robot", {})}
    for kind in kinds:
        columns = {_heading(n): m["robot"][kind] for n, m in models.items() if m.get("robot")}
        _print_metrics(f"robot/{kind}", columns, ROBOT_ROWS, console)
    console.print(
        f"ade to collision_rate from {n_samples} samples (except mean_ade, mean_fde), the others "
        f"from {DISTRIBUTION_SAMPLES}; a dash: unknown."
    )


def _print_metrics(
    title: str,
    columns: Mapping[str, Mapping[str, float]],
    rows: Mapping[str, Row],
    console: Console,
) -> None:
    """Prints a row per metric that a column has, and a column per model."""
    table = Table(title=title)
    for column in ("metric", "unit", "ideal"):
        table.add_column(column, no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right", min_width=8)
    for name, row in rows.items():
        if any(name in metrics for metrics in columns.values()):
            cells = (metric_text(metrics.get(name), row.unit) for metrics in columns.values())
            table.add_row(name, row.unit, row.ideal, *cells)
    console.print(table)


def print_legend(
    models: Mapping[str, ModelResults], splits: Sequence[str], source: str, console: Console
) -> None:
    """Prints the meaning of the mark, if it is used, and the source of the reference, if any."""
    if not all(_held_out(model, row, splits) for model in models.values() for row in splits):
        console.print(
            "* trained on these recordings too: not held out, not comparable with the others."
        )
    if source:
        console.print(f"reference: {source}.")


def _heading(name: str) -> str:
    return name.replace("_", " ")  # so that a long name wraps between words


def _rows(splits: Sequence[str]) -> list[str]:
    """The splits, and their average if all are present."""
    return [*splits, AVERAGE] if len(splits) == len(LEAVE_ONE_OUT) else list(splits)


def _metrics(model: ModelResults, row: str) -> Mapping[str, float]:
    metrics: Mapping[str, float] = model[AVERAGE] if row == AVERAGE else model["splits"][row]
    return metrics


def _held_out(model: ModelResults, row: str, splits: Sequence[str]) -> bool:
    return all(split in model["held_out"] for split in (splits if row == AVERAGE else [row]))
