"""Command-line options that several commands share."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path

from social_implicit_ros.recordings.eth_ucy import LEAVE_ONE_OUT
from social_implicit_ros.recordings.text import FRAMES_PER_SECOND

#: Environment variable with the folder of the recordings, where --data is left out.
DATA_VARIABLE = "SOCIAL_IMPLICIT_DATA"

#: Help of the argument BAG.
BAG_HELP = (
    "rosbag2 folder, .mcap or .db3 file (or such a file compressed: .zstd), a folder of such, a "
    "pattern, or ETH/UCY text"
)


def add_tracks_options(parser: argparse.ArgumentParser, default: str = "by type") -> None:
    """Adds --tracks, the topic, and --tracker, the mapping of its messages, with its default."""
    parser.add_argument(
        "--tracks",
        metavar="TOPIC",
        help="topic of the tracks; may be left out if only one topic qualifies",
    )
    parser.add_argument(
        "--tracker",
        metavar="NAME|FILE",
        help=f"tracker mapping, as the node's parameter tracker (default: {default})",
    )


def add_frame_rate_option(parser: argparse.ArgumentParser) -> None:
    """Adds --frames-per-second, of a text recording."""
    parser.add_argument(
        "--frames-per-second",
        type=float,
        default=FRAMES_PER_SECOND,
        help="rate of a text recording's frame numbers, default: %(default)s, as in ETH/UCY "
        "files, where 10 frames are 0.4 s; seq_eth has 15",
    )


def add_data_option(
    parser: argparse.ArgumentParser, content: str, *, required: bool = True
) -> None:
    """Adds --data; an environment variable is its default.

    Args:
        parser: of the command.
        content: folders that it must hold, for the help.
        required: the command needs it.
    """
    default = os.environ.get(DATA_VARIABLE)
    parser.add_argument(
        "--data",
        type=Path,
        default=default,
        required=required and default is None,
        metavar="DIR",
        help=f"folder that holds {content} (default: ${DATA_VARIABLE})",
    )


def add_seed_option(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Adds --seed; `purpose` says in the help what is drawn with it."""
    parser.add_argument(
        "--seed", type=non_negative_int, default=0, help=f"{purpose} (default: %(default)s)"
    )


def add_split_option(parser: argparse.ArgumentParser, splits: Sequence[str], help: str) -> None:
    """Adds --split, one of `splits`, which may be repeated."""
    text = f"{help}; may be repeated (default: all)"
    parser.add_argument("--split", action="append", choices=tuple(splits), help=text)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Adds --split, --model and --json, of the benchmark."""
    add_split_option(parser, tuple(LEAVE_ONE_OUT), "evaluate on this split only")
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="a shipped family or model, or an .onnx path in which {split} stands for the split; "
        "may be repeated (default: every shipped family)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the metrics here")


def add_benchmark_options(parser: argparse.ArgumentParser) -> None:
    """Adds --data, --split, --model, --k, --seed and --json."""
    add_data_option(parser, "eth_ucy/all_data")
    add_model_options(parser)
    parser.add_argument(
        "--k", type=positive_int, default=20, help="samples for ADE and FDE (default: 20)"
    )
    add_seed_option(parser, "of the samples")


def add_training_options(parser: argparse.ArgumentParser, splits: Sequence[str]) -> None:
    """Adds --data, --split and --seed, of commands that train the shipped models."""
    add_data_option(parser, "eth_ucy/ and eth_true_rate/")
    add_split_option(parser, splits, "train this model only")
    add_seed_option(parser, "of all random numbers")


def positive_int(text: str) -> int:
    """An integer from 1 on, for argparse."""
    return int(_at_least(1, int(text)))


def non_negative_int(text: str) -> int:
    """An integer from 0 on, for argparse."""
    return int(_at_least(0, int(text)))


def non_negative_float(text: str) -> float:
    """A finite number from 0 on, for argparse."""
    return _at_least(0, float(text))


def _at_least(minimum: int, value: float) -> float:
    if not minimum <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{value} is not a number from {minimum} on")
    return value
