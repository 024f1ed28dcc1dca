"""`train_benchmark` and `train_social_zone`: train the shipped models of the two families."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from social_implicit_ros.commands import options as opt
from social_implicit_ros.commands.entry_points import reports_errors
from social_implicit_ros.evaluation.terminal import progress_bar
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT
from social_implicit_ros.training.splits import ROBOT_SPLIT, SPLITS
from social_implicit_ros.untrusted_files import did_you_mean

if TYPE_CHECKING:
    from social_implicit_ros.training.social_implicit.trainer import Epoch
    from social_implicit_ros.training.social_zone.evaluate import Accuracy


@reports_errors("train_benchmark")
def train_benchmark(arguments: Sequence[str] | None = None) -> None:
    """Trains Social-Implicit."""
    parser = _parser(
        "train_benchmark",
        "Trains Social-Implicit: a model for each split of the benchmark, and one for robots.",
    )
    text = "passes over the data (default: as the shipped models)"
    parser.add_argument("--epochs", type=opt.positive_int, help=text)
    opt.add(parser, "--out")
    options = parser.parse_args(arguments)
    opt.make_folder(options.out)
    _use_one_thread()
    console = Console()
    for split in options.split or SPLITS:
        _train_social_implicit(split, options, console)


def _train_social_implicit(split: str, options: argparse.Namespace, console: Console) -> None:
    """Trains one model and shows the progress."""
    from social_implicit_ros.training.social_implicit.benchmark import SETTINGS, train_split

    with progress_bar(console) as progress:
        task = progress.add_task(split, total=options.epochs or SETTINGS.epochs)

        def show(epoch: Epoch) -> None:
            text = f"{split}: validation {_metres(*astuple(epoch.validation))} m"
            progress.update(task, advance=1, description=text)

        path, best = train_split(
            options.data,
            split,
            options.out,
            seed=options.seed,
            epochs=options.epochs,
            on_epoch=show,
        )
    errors = _metres(*astuple(best.validation))
    console.print(f"{split}: validation {errors} m after epoch {best.number}")
    console.print(f"wrote {path}")


@reports_errors("train_social_zone")
def train_social_zone(arguments: Sequence[str] | None = None) -> None:
    """Trains and calibrates Social-Zone, or prints a table about its training."""
    parser = _parser(
        "train_social_zone",
        "Trains and calibrates the default model, or prints a table about its training.",
    )
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
    _use_one_thread()
    if options.out is not None:
        _train_social_zone(options)
    elif options.seeds:
        Console().print(_seeds(options))
    else:
        Console().print(_ablation(options))


def _train_social_zone(options: argparse.Namespace) -> None:
    from social_implicit_ros.training.social_zone.train import train_split

    opt.make_folder(options.out)
    for split in options.split or SPLITS:
        card = train_split(options.data, split, options.seed, options.out)
        Console().print(f"wrote {options.out / card.name}.onnx: {card.metrics}")


def _ablation(options: argparse.Namespace) -> Table:
    from social_implicit_ros.training.social_zone.train import ABLATIONS, ablation

    for name in options.ablation:
        if name not in ABLATIONS:
            raise ValueError(
                f"--ablation {name!r}{did_you_mean(name, ABLATIONS)}: expected "
                f"{', '.join(ABLATIONS)}"
            )
    names = options.ablation or list(ABLATIONS)
    table = Table("model", "parameters", "ADE / FDE", "mean trajectory", title="validation, metres")
    splits = options.split or LEAVE_ONE_OUT
    for name, parameters, found in ablation(options.data, splits, options.seed, names):
        table.add_row(name, str(parameters), *_cells(found))
    return table


def _seeds(options: argparse.Namespace) -> Table:
    from social_implicit_ros.training.social_zone.train import seeds

    title = f"{options.seeds} seeds, metres"
    table = Table("scenes", "split", "ADE / FDE", "mean trajectory", title=title)
    splits = options.split or LEAVE_ONE_OUT
    for part, split, mean, spread in seeds(options.data, splits, options.seeds):
        cells = zip(_cells(mean), _cells(spread), strict=True)
        table.add_row(part, split, *(f"{value} +- {deviation}" for value, deviation in cells))
    return table


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=command, description=description)
    opt.add_data_option(parser, "eth_ucy/ and eth_true_rate/")
    opt.add(parser, "--split", choices=SPLITS)
    opt.add(parser, "--seed")
    return parser


def _use_one_thread() -> None:
    # Not before the options are read: torch takes seconds.
    import torch

    # Small matrices gain nothing from a second thread, and one thread makes sums reproducible.
    torch.set_num_threads(1)


def _cells(errors: Accuracy) -> tuple[str, str]:
    return _metres(errors.ade_m, errors.fde_m), _metres(errors.mean_ade_m, errors.mean_fde_m)


def _metres(ade_m: float, fde_m: float) -> str:
    return f"{ade_m:.3f} / {fde_m:.3f}"
