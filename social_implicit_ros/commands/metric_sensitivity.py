"""`metric_sensitivity`: how much each metric responds to a shift of every prediction."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from social_implicit_ros.commands.entry_points import reports_errors
from social_implicit_ros.commands.options import add_benchmark_options
from social_implicit_ros.evaluation.benchmark.sensitivity import METRIC_NAMES, metric_sensitivity
from social_implicit_ros.evaluation.benchmark.split_metrics import Metrics
from social_implicit_ros.evaluation.output_files import write_json
from social_implicit_ros.evaluation.terminal import output_console
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT


@reports_errors("metric_sensitivity")
def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        prog="metric_sensitivity",
        description="Shifts every prediction and prints how much each metric responds.",
    )
    add_benchmark_options(parser)
    options = parser.parse_args(arguments)
    results = metric_sensitivity(
        options.data,
        options.split or list(LEAVE_ONE_OUT),
        options.model or (),
        n_samples=options.k,
        seed=options.seed,
        console=Console(stderr=True),
    )
    write_json(results, options.json)
    for name, splits in results["models"].items():
        print_sensitivity(name, splits, output_console())


def print_sensitivity(name: str, splits: dict[str, dict[str, Metrics]], console: Console) -> None:
    """Prints the metrics of one model, and their change in percent relative to no shift."""
    title = f"{name}\nevery prediction shifted in x and in y"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("split", "shift m", *METRIC_NAMES):
        table.add_column(heading, justify="left" if heading == "split" else "right", no_wrap=True)
    for split, metrics_of_shift in splits.items():
        unshifted = metrics_of_shift["0"]
        for shift, metrics in metrics_of_shift.items():
            cells = (_cell(metrics[name], unshifted[name]) for name in METRIC_NAMES)
            table.add_row(split if shift == "0" else "", shift, *cells)
        table.rows[-1].end_section = True  # the rich of ROS Humble has no add_section
    console.print(table)


def _cell(value: float, unshifted: float) -> str:
    if value == unshifted:
        return f"{value:.3f}     "
    return f"{value:.3f} {100.0 * (value - unshifted) / abs(unshifted):+3.0f}%"


if __name__ == "__main__":
    sys.exit(main())
