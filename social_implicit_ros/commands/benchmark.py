"""`evaluate_dataset` and `metric_sensitivity`: tables of the leave-one-out benchmark."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from social_implicit_ros.commands import options as opt
from social_implicit_ros.commands.entry_points import reports_errors
from social_implicit_ros.evaluation.benchmark import sensitivity
from social_implicit_ros.evaluation.benchmark.leave_one_out import ROBOT_ROWS, leave_one_out
from social_implicit_ros.evaluation.benchmark.split_metrics import ROWS, Metrics
from social_implicit_ros.evaluation.output_files import write_json
from social_implicit_ros.evaluation.report.tables import metric_text
from social_implicit_ros.evaluation.terminal import output_console
from social_implicit_ros.metrics.table import DISTRIBUTION_SAMPLES, Metric
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT

#: Name of the row of means over the splits, also in the results.
AVERAGE = "average"
#: One model: parameters, held_out, splits, average; see `leave_one_out`.
ModelResults = Mapping[str, Any]


@reports_errors("evaluate_dataset")
def evaluate_dataset(arguments: Sequence[str] | None = None) -> None:
    """Prints the leave-one-out table."""
    parser = argparse.ArgumentParser(
        prog="evaluate_dataset",
        description="Prints the leave-one-out table of the shipped models, the baselines and the "
        "reference.",
    )
    opt.add_benchmark_options(parser)
    add = parser.add_argument
    text = f"every metric, from {DISTRIBUTION_SAMPLES} samples (default: ADE and FDE only)"
    add("--all-metrics", action="store_true", help=text)
    text = "standard deviation of noise on every observed position, metres (default: 0)"
    add("--tracker-noise", type=opt.non_negative_float, default=0.0, metavar="M", help=text)
    options = parser.parse_args(arguments)
    results = leave_one_out(
        **_request(options),
        all_metrics=options.all_metrics,
        tracker_noise_m=options.tracker_noise,
    )
    write_json(results, options.json)
    _print_results(results, output_console(), options.all_metrics)


@reports_errors("metric_sensitivity")
def metric_sensitivity(arguments: Sequence[str] | None = None) -> None:
    """Prints how much each metric responds to a shift of every prediction."""
    parser = argparse.ArgumentParser(
        prog="metric_sensitivity",
        description="Shifts every prediction and prints how much each metric responds.",
    )
    opt.add_benchmark_options(parser)
    options = parser.parse_args(arguments)
    results = sensitivity.metric_sensitivity(**_request(options))
    write_json(results, options.json)
    for name, splits in results["models"].items():
        _print_sensitivity(name, splits, output_console())


def _request(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments that both evaluations take."""
    return {
        "data": options.data,
        "splits": options.split or list(LEAVE_ONE_OUT),
        "models": options.model or (),
        "n_samples": options.k,
        "seed": options.seed,
        "console": Console(stderr=True),
    }


def _print_results(results: dict[str, Any], console: Console, all_metrics: bool) -> None:
    """Prints the tables; the reference is one of the columns."""
    # The reference was evaluated without noise.
    is_noisy = results["tracker_noise_m"] > 0
    models = {**results["models"], **({} if is_noisy else {"reference": results["reference"]})}
    splits = list(next(iter(results["models"].values()))["splits"])
    if all_metrics:
        _print_all_metrics(models, splits, results["samples"], console)
    _print_displacement(models, splits, results["samples"], console)
    _print_legend(models, splits, "" if is_noisy else results["reference"]["source"], console)


def _print_displacement(
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


def _print_all_metrics(
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
    rows: Mapping[str, Metric],
    console: Console,
) -> None:
    """Prints a row per metric that a column has, and a column per model."""
    table = Table(title=title)
    for column in ("metric", "unit", "ideal"):
        table.add_column(column, no_wrap=True)
    for heading in columns:
        table.add_column(heading, justify="right", min_width=8)
    for name, metric in rows.items():
        if any(name in metrics for metrics in columns.values()):
            cells = (metric_text(metrics.get(name), metric.unit) for metrics in columns.values())
            table.add_row(name, metric.unit, metric.ideal, *cells)
    console.print(table)


def _print_legend(
    models: Mapping[str, ModelResults], splits: Sequence[str], source: str, console: Console
) -> None:
    """Prints the meaning of the mark, if it is used, and the source of the reference, if any."""
    if not all(_held_out(model, row, splits) for model in models.values() for row in splits):
        console.print(
            "* trained on these recordings too, or not known to be held out (the file of a model "
            "that is held out on SPLIT is NAME_SPLIT.onnx): not comparable with the others."
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


def _print_sensitivity(name: str, splits: dict[str, dict[str, Metrics]], console: Console) -> None:
    """Prints the metrics of one model, and their change in percent relative to no shift."""
    title = f"{name}\nevery prediction shifted in x and in y"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("split", "shift m", *sensitivity.METRIC_NAMES):
        table.add_column(heading, justify="left" if heading == "split" else "right", no_wrap=True)
    for split, metrics_of_shift in splits.items():
        unshifted = metrics_of_shift["0"]
        for shift, metrics in metrics_of_shift.items():
            cells = (_changed(metrics[name], unshifted[name]) for name in sensitivity.METRIC_NAMES)
            table.add_row(split if shift == "0" else "", shift, *cells)
        table.rows[-1].end_section = True  # the rich of ROS Humble has no add_section
    console.print(table)


def _changed(value: float, unshifted: float) -> str:
    if value == unshifted:
        return f"{value:.3f}     "
    return f"{value:.3f} {100.0 * (value - unshifted) / abs(unshifted):+3.0f}%"
