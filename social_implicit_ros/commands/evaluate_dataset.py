"""`evaluate_dataset`: the leave-one-out table of shipped models beside baselines and reference."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib import resources
from typing import Any

from rich.console import Console
from rich.progress import Progress

from social_implicit_ros.commands.benchmark_options import add_benchmark_options
from social_implicit_ros.commands.options import non_negative_float
from social_implicit_ros.evaluation.benchmark.candidates import candidate, families, parameter_count
from social_implicit_ros.evaluation.benchmark.figures import (
    DISTRIBUTION_SAMPLES,
    BenchmarkError,
    average_figures,
    evaluate_split,
    load_benchmark_model,
    split_scenes,
    with_tracker_noise,
    write_json,
)
from social_implicit_ros.evaluation.benchmark.tables import (
    output_console,
    print_all_figures,
    print_displacement,
    print_legend,
)
from social_implicit_ros.models.onnx_model import ModelFileError
from social_implicit_ros.models.registry import BASELINES
from social_implicit_ros.recordings.eth_ucy import LEAVE_ONE_OUT


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; returns the exit code, 2 where the request cannot be met."""
    options = parse(arguments)
    try:
        results = evaluate(options)
        print_results(results, output_console(), options.all_metrics)
        write_json(results, options.json)
    except (BenchmarkError, ModelFileError) as error:
        print(f"evaluate_dataset: {error}", file=sys.stderr)
        return 2
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line; exits with code 2 and a message where it is wrong."""
    parser = argparse.ArgumentParser(prog="evaluate_dataset", description=__doc__)
    add_benchmark_options(parser)
    parser.add_argument(
        "--all-metrics",
        action="store_true",
        help=f"every metric, from {DISTRIBUTION_SAMPLES} samples (default: ADE and FDE only)",
    )
    parser.add_argument(
        "--tracker-noise",
        type=non_negative_float,
        default=0.0,
        metavar="M",
        help="standard deviation, metres, of noise on every observed position; what is to be "
        "predicted stays true (default: 0)",
    )
    return parser.parse_args(arguments)


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Evaluates every asked model on every asked split.

    Returns:
        `{"models": {NAME: {"parameters", "held_out", "splits", "average"}}, "reference": {...},
        "samples": int, "distribution_samples": int, "seed": int, "tracker_noise_m": float}`.

    Raises:
        BenchmarkError: no such data, or a model that does not fit the benchmark.
        ModelFileError: no such model.
    """
    splits = options.split or list(LEAVE_ONE_OUT)
    names = dict.fromkeys((*BASELINES, *(options.model or families())))
    # Everything is loaded before anything is computed: a typing error shows at once.
    test_scenes = {
        split: with_tracker_noise(
            split_scenes(options.data, split), options.tracker_noise, options.seed
        )
        for split in splits
    }
    candidates = [candidate(name) for name in names]
    models = [
        {split: load_benchmark_model(one.files[split]) for split in splits} for one in candidates
    ]
    results = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for one, model_of_split in zip(candidates, models, strict=True):
            figures = {}
            for split, model in model_of_split.items():
                task = progress.add_task(f"{one.name} on {split}", total=len(test_scenes[split]))
                figures[split] = evaluate_split(
                    model,
                    test_scenes[split],
                    n_samples=options.k,
                    seed=options.seed,
                    all_metrics=options.all_metrics,
                    workers=os.cpu_count() or 1,
                    advance=partial(progress.advance, task),
                )
                progress.remove_task(task)
            results[one.name] = {
                "parameters": parameter_count(next(iter(model_of_split.values()))),
                "held_out": [split for split in splits if split in one.held_out],
                "splits": figures,
                "average": average_figures(figures.values()),
            }
    return {
        "models": results,
        "reference": reference_figures(),
        "samples": options.k,
        "distribution_samples": DISTRIBUTION_SAMPLES,
        "seed": options.seed,
        "tracker_noise_m": options.tracker_noise,
    }


def reference_figures() -> dict[str, Any]:
    """The reference's figures on this protocol, with their source."""
    text = (
        resources.files("social_implicit_ros.evaluation.benchmark") / "reference_figures.json"
    ).read_text()
    figures: dict[str, Any] = json.loads(text)
    return figures


def print_results(results: dict[str, Any], console: Console, all_metrics: bool) -> None:
    """Prints the tables beside the reference's figures."""
    # The reference's figures are of the recordings as they are.
    is_noisy = results["tracker_noise_m"] > 0
    models = {**results["models"], **({} if is_noisy else {"reference": results["reference"]})}
    splits = list(next(iter(results["models"].values()))["splits"])
    if all_metrics:
        print_all_figures(models, splits, results["samples"], console)
    print_displacement(models, splits, results["samples"], console)
    print_legend(models, splits, "" if is_noisy else results["reference"]["source"], console)


if __name__ == "__main__":
    sys.exit(main())
