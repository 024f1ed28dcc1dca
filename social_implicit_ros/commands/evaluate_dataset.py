"""`evaluate_dataset`: the leave-one-out table of shipped models beside baselines and reference."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from social_implicit_ros.commands import options as opt
from social_implicit_ros.evaluation.benchmark.leave_one_out import leave_one_out
from social_implicit_ros.evaluation.benchmark.split_metrics import DISTRIBUTION_SAMPLES
from social_implicit_ros.evaluation.benchmark.tables import (
    output_console,
    print_all_metrics,
    print_displacement,
    print_legend,
)
from social_implicit_ros.evaluation.output_files import write_json
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT


@opt.reports_errors("evaluate_dataset")
def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    options = parse(arguments)
    results = leave_one_out(
        options.data,
        options.split or list(LEAVE_ONE_OUT),
        options.model or (),
        n_samples=options.k,
        seed=options.seed,
        all_metrics=options.all_metrics,
        tracker_noise_m=options.tracker_noise,
        console=Console(stderr=True),
    )
    write_json(results, options.json)
    print_results(results, output_console(), options.all_metrics)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with code 2 and a message if it is invalid."""
    parser = argparse.ArgumentParser(prog="evaluate_dataset", description=__doc__)
    opt.add_benchmark_options(parser)
    add = parser.add_argument
    text = f"every metric, from {DISTRIBUTION_SAMPLES} samples (default: ADE and FDE only)"
    add("--all-metrics", action="store_true", help=text)
    text = "standard deviation of noise on every observed position, metres (default: 0)"
    add("--tracker-noise", type=opt.non_negative_float, default=0.0, metavar="M", help=text)
    return parser.parse_args(arguments)


def print_results(results: dict[str, Any], console: Console, all_metrics: bool) -> None:
    """Prints the tables beside the metrics of the reference."""
    # The reference was evaluated without noise.
    is_noisy = results["tracker_noise_m"] > 0
    models = {**results["models"], **({} if is_noisy else {"reference": results["reference"]})}
    splits = list(next(iter(results["models"].values()))["splits"])
    if all_metrics:
        print_all_metrics(models, splits, results["samples"], console)
    print_displacement(models, splits, results["samples"], console)
    print_legend(models, splits, "" if is_noisy else results["reference"]["source"], console)


if __name__ == "__main__":
    sys.exit(main())
