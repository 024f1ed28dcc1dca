"""What commands of this package read from their command line alike."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

#: Where the recordings lie when --data is left out.
DATA_VARIABLE = "SOCIAL_IMPLICIT_DATA"


def add_data_option(
    parser: argparse.ArgumentParser, content: str, *, required: bool = True
) -> None:
    """Adds --data, which the environment may answer.

    Args:
        parser: of the command.
        content: which folders it must hold, for the help.
        required: the command can do nothing without.
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
    """Adds --seed.

    Args:
        parser: of the command.
        purpose: what is drawn with it, for the help.
    """
    parser.add_argument(
        "--seed", type=non_negative_int, default=0, help=f"{purpose} (default: %(default)s)"
    )


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


def non_negative_float(text: str) -> float:
    """A finite number from 0 on, for argparse."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 on")
    return value
