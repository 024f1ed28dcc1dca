"""`evaluate_dataset`: the leave-one-out table of shipped models beside baselines and reference."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from social_implicit_ros.core.recordings import LEAVE_ONE_OUT
from social_implicit_ros.evaluation.benchmark import (
    DISTRIBUTION_SAMPLES,
    BenchmarkError,
    average_figures,
    evaluate_split,
    load_benchmark_model,
    split_scenes,
)
from social_implicit_ros.evaluation.benchmark_tables import (
    print_all_figures,
    print_displacement,
    print_legend,
)
from social_implicit_ros.evaluation.candidates import candidate, families, parameter_count
from social_implicit_ros.inference.onnx_model import ModelFileError
from social_implicit_ros.inference.registry import BASELINES

#: Where the recordings lie when --data is left out.
DATA_VARIABLE = "SOCIAL_IMPLICIT_DATA"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; returns the exit code, 2 where the request cannot be met."""
    options = parse(arguments)
    try:
        results = evaluate(options)
    except (BenchmarkError, ModelFileError) as error:
        print(f"evaluate_dataset: {error}", file=sys.stderr)
        return 2
    print_results(results, Console(), options.all_metrics)
    if options.json is not None:
        try:
            options.json.write_text(json.dumps(finite_or_null(results), indent=2) + "\n")
        except OSError as error:
            print(f"evaluate_dataset: cannot write {options.json}: {error}", file=sys.stderr)
            return 2
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line; exits with code 2 and a message where it is wrong."""
    parser = argparse.ArgumentParser(prog="evaluate_dataset", description=__doc__)
    default_data = os.environ.get(DATA_VARIABLE)
    parser.add_argument(
        "--data",
        type=Path,
        default=default_data,
        required=default_data is None,
        metavar="DIR",
        help=f"folder that holds eth_ucy/all_data (default: ${DATA_VARIABLE})",
    )
    parser.add_argument(
        "--split",
        action="append",
        choices=tuple(LEAVE_ONE_OUT),
        help="evaluate on this split only; may be repeated (default: all five)",
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="a shipped family or model, or an .onnx path in which {split} stands for the split; "
        "may be repeated (default: every shipped family)",
    )
    parser.add_argument(
        "--all-metrics",
        action="store_true",
        help=f"every metric, from {DISTRIBUTION_SAMPLES} samples (default: ADE and FDE only)",
    )
    parser.add_argument(
        "--k", type=positive_int, default=20, help="samples for ADE and FDE (default: 20)"
    )
    parser.add_argument("--seed", type=non_negative_int, default=0, help="of the draws")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    return parser.parse_args(arguments)


def positive_int(text: str) -> int:
    """An integer from 1 on, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a number from 1 on")
    return value


def non_negative_int(text: str) -> int:
    """An integer from 0 on, for argparse."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is not a number from 0 on")
    return value


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """Evaluates every asked model on every asked split.

    Returns:
        `{"models": {NAME: {"parameters", "held_out", "splits", "average"}}, "reference": {...},
        "samples": int, "distribution_samples": int, "seed": int}`.

    Raises:
        BenchmarkError: no such data, or a model that does not fit the benchmark.
        ModelFileError: no such model.
    """
    splits = options.split or list(LEAVE_ONE_OUT)
    names = dict.fromkeys((*BASELINES, *(options.model or families())))
    # Everything is loaded before anything is computed: a typing error shows at once.
    test_scenes = {split: split_scenes(options.data, split) for split in splits}
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
    }


def reference_figures() -> dict[str, Any]:
    """The reference's figures on this protocol, with their source."""
    text = (resources.files(__package__) / "reference_figures.json").read_text()
    figures: dict[str, Any] = json.loads(text)
    return figures


def print_results(results: dict[str, Any], console: Console, all_metrics: bool) -> None:
    """Prints the tables beside the reference's figures."""
    models = {**results["models"], "reference": results["reference"]}
    splits = list(next(iter(results["models"].values()))["splits"])
    if all_metrics:
        print_all_figures(models, splits, results["samples"], console)
    print_displacement(models, splits, results["samples"], console)
    print_legend(models, splits, results["reference"]["source"], console)


def finite_or_null(value: Any) -> Any:
    """A copy that JSON can hold: figures that are not finite become null."""
    if isinstance(value, dict):
        return {key: finite_or_null(entry) for key, entry in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


if __name__ == "__main__":
    sys.exit(main())
