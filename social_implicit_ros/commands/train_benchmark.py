"""Trains Social-Implicit: a model for each split of the benchmark, and one for robots."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from social_implicit_ros.commands import options as opt
from social_implicit_ros.commands.entry_points import reports_errors
from social_implicit_ros.evaluation.terminal import progress_bar
from social_implicit_ros.training.splits import SPLITS

if TYPE_CHECKING:
    from social_implicit_ros.training.social_implicit.trainer import Accuracy, Epoch


@reports_errors("train_benchmark")
def main(arguments: Sequence[str] | None = None) -> None:
    """Trains the models."""
    options = parse(arguments)
    # Not before the options are read: torch takes seconds.
    import torch

    opt.make_folder(options.out)
    # Small matrices gain nothing from a second thread, and one thread makes sums reproducible.
    torch.set_num_threads(1)
    console = Console()
    for split in options.split or SPLITS:
        console.print(f"wrote {_train(split, options, console)}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with code 2 and a message on an error."""
    parser = argparse.ArgumentParser(prog="train_benchmark", description=__doc__)
    opt.add_data_option(parser, "eth_ucy/ and eth_true_rate/")
    opt.add(parser, "--split", choices=SPLITS)
    opt.add(parser, "--seed", "--out")
    text = "passes over the data (default: as the shipped models)"
    parser.add_argument("--epochs", type=opt.positive_int, help=text)
    return parser.parse_args(arguments)


def _train(split: str, options: argparse.Namespace, console: Console) -> Path:
    """Trains one model and shows the progress; returns the path of its file."""
    from social_implicit_ros.training.social_implicit.benchmark import SETTINGS, train_split

    with progress_bar(console) as progress:
        task = progress.add_task(split, total=options.epochs or SETTINGS.epochs)

        def show(epoch: Epoch) -> None:
            text = f"{split}: validation {_plain(epoch.validation)}"
            progress.update(task, advance=1, description=text)

        path, best = train_split(
            options.data,
            split,
            options.out,
            seed=options.seed,
            epochs=options.epochs,
            on_epoch=show,
        )
    console.print(f"{split}: validation {_plain(best.validation)} after epoch {best.number}")
    return path


def _plain(errors: Accuracy) -> str:
    return f"{errors.ade_m:.3f} / {errors.fde_m:.3f} m"


if __name__ == "__main__":
    sys.exit(main())
