"""Trains and calibrates the default model, or prints a table about its training."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from social_implicit_ros.commands import options as opt
from social_implicit_ros.commands.entry_points import reports_errors
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT
from social_implicit_ros.training.splits import ROBOT_SPLIT, SPLITS
from social_implicit_ros.untrusted_files import did_you_mean

if TYPE_CHECKING:
    from social_implicit_ros.training.social_zone.evaluate import Accuracy


@reports_errors("train_social_zone")
def main(arguments: Sequence[str] | None = None) -> None:
    """Trains models or prints a table."""
    options = parse(arguments)
    # Not before the options are read: torch takes seconds.
    import torch

    from social_implicit_ros.training.social_zone import train

    # Small matrices gain nothing from a second thread, and one thread makes sums reproducible.
    torch.set_num_threads(1)
    console = Console()
    splits = options.split or LEAVE_ONE_OUT
    if options.ablation is not None:
        for name in options.ablation:
            if name not in train.ABLATIONS:
                raise ValueError(
                    f"--ablation {name!r}{did_you_mean(name, train.ABLATIONS)}: expected "
                    f"{', '.join(train.ABLATIONS)}"
                )
        names = options.ablation or list(train.ABLATIONS)
        table = Table("model", "parameters", "ADE / FDE", "mean trajectory")
        table.title = "validation, metres"
        for name, parameters, found in train.ablation(options.data, splits, options.seed, names):
            table.add_row(name, str(parameters), *_plain(found))
        console.print(table)
    elif options.seeds:
        table = Table("scenes", "split", "ADE / FDE", "mean trajectory")
        table.title = f"{options.seeds} seeds, metres"
        for part, split, mean, spread in train.seeds(options.data, splits, options.seeds):
            cells = zip(_plain(mean), _plain(spread), strict=True)
            table.add_row(part, split, *(f"{value} +- {deviation}" for value, deviation in cells))
        console.print(table)
    else:
        opt.make_folder(options.out)
        for split in options.split or SPLITS:
            card = train.train_split(options.data, split, options.seed, options.out)
            console.print(f"wrote {options.out / card.name}.onnx: {card.metrics}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with code 2 and a message on an error."""
    parser = argparse.ArgumentParser(prog="train_social_zone", description=__doc__)
    opt.add_data_option(parser, "eth_ucy/ and eth_true_rate/")
    opt.add(parser, "--split", choices=SPLITS)
    opt.add(parser, "--seed")
    task = parser.add_mutually_exclusive_group(required=True)
    opt.add(task, "--out", required=False)
    text = "print an ablation study on the validation scenes (default: of all changes)"
    task.add_argument("--ablation", nargs="*", metavar="CHANGE", help=text)
    text = "print mean and standard deviation over N seeds on validation and test scenes"
    task.add_argument("--seeds", type=opt.positive_int, metavar="N", help=text)
    options = parser.parse_args(arguments)
    if options.out is None and ROBOT_SPLIT in (options.split or ()):
        parser.error(
            f"--split {ROBOT_SPLIT} is only trained (--out): tables need leave-one-out splits"
        )
    return options


def _plain(errors: Accuracy) -> tuple[str, str]:
    return (
        f"{errors.ade_m:.3f} / {errors.fde_m:.3f}",
        f"{errors.mean_ade_m:.3f} / {errors.mean_fde_m:.3f}",
    )


if __name__ == "__main__":
    sys.exit(main())
