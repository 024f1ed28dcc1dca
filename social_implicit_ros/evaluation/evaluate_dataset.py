"""`evaluate_dataset`: the leave-one-out table of shipped models beside baselines and reference."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from social_implicit_ros.core.recordings import LEAVE_ONE_OUT, Scene
from social_implicit_ros.evaluation.benchmark import (
    BenchmarkError,
    average_figures,
    evaluate_split,
    split_scenes,
)
from social_implicit_ros.evaluation.candidates import (
    Candidate,
    candidate,
    families,
    parameter_count,
)
from social_implicit_ros.inference.onnx_model import ModelFileError
from social_implicit_ros.inference.registry import BASELINES, load_model

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
    print_results(results, Console())
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
        `{"models": {NAME: {"parameters", "held_out", "splits", "average"}}, "reference": ...}`.

    Raises:
        BenchmarkError: no such data, or a model that does not fit the benchmark.
        ModelFileError: no such model.
    """
    splits = options.split or list(LEAVE_ONE_OUT)
    names = options.model or list(families())
    candidates = [candidate(name) for name in dict.fromkeys((*BASELINES, *names))]
    test_scenes = {split: split_scenes(options.data, split) for split in splits}
    models = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        for one in candidates:
            models[one.name] = _evaluate_candidate(one, test_scenes, options, progress)
    return {"models": models, "reference": reference_figures(), "k": options.k}


def _evaluate_candidate(
    one: Candidate,
    test_scenes: dict[str, list[Scene]],
    options: argparse.Namespace,
    progress: Progress,
) -> dict[str, Any]:
    figures = {}
    parameters = 0
    for split, found in test_scenes.items():
        model = load_model(one.files[split])
        parameters = parameter_count(model)
        task = progress.add_task(f"{one.name} on {split}", total=len(found))
        figures[split] = evaluate_split(
            model,
            found,
            n_samples=options.k,
            seed=options.seed,
            advance=lambda task=task: progress.advance(task),  # type: ignore[misc]
        )
        progress.remove_task(task)
    return {
        "parameters": parameters,
        "held_out": [split for split in test_scenes if split in one.held_out],
        "splits": figures,
        "average": average_figures(figures.values()),
    }


def reference_figures() -> dict[str, Any]:
    """The reference's figures on this protocol, with their source."""
    text = (resources.files(__package__) / "reference_figures.json").read_text()
    figures: dict[str, Any] = json.loads(text)
    return figures


def finite_or_null(value: Any) -> Any:
    """A copy that JSON can hold: figures that are not finite become null."""
    if isinstance(value, dict):
        return {key: finite_or_null(entry) for key, entry in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_results(results: dict[str, Any], console: Console) -> None:
    """Prints ADE / FDE of every split and model, and what the marks mean."""
    models = {**results["models"], "reference": results["reference"]}
    splits = list(next(iter(results["models"].values()))["splits"])
    rows = [*splits, "average"] if len(splits) == len(LEAVE_ONE_OUT) else splits
    table = Table(title=f"ADE / FDE in metres, best of {results['k']}")
    table.add_column("split", no_wrap=True)
    for name in models:
        table.add_column(name.replace("_", " "), justify="right", min_width=13)
    for row in rows:
        parts = splits if row == "average" else [row]
        cells = [_displacement_cell(model, row, parts) for model in models.values()]
        table.add_row(row, *cells)
    table.add_section()
    table.add_row("parameters", *(str(model["parameters"]) for model in models.values()))
    console.print(table)
    if any(_not_held_out(model, splits) for model in models.values()):
        console.print(
            "* one model, trained on these recordings too: not held out, "
            "so not comparable with the others"
        )
    console.print(f"reference: {results['reference']['source']}.")


def _displacement_cell(model: dict[str, Any], row: str, parts: Sequence[str]) -> str:
    figures = model["average"] if row == "average" else model["splits"][row]
    mark = "*" if _not_held_out(model, parts) else ""
    return f"{figures['ade']:.3f} / {figures['fde']:.3f}{mark}"


def _not_held_out(row: dict[str, Any], splits: Sequence[str]) -> bool:
    return any(split not in row.get("held_out", splits) for split in splits)


if __name__ == "__main__":
    sys.exit(main())
