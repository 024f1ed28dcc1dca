"""Command-line options that the benchmark's commands share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from social_implicit_ros.core.recordings import LEAVE_ONE_OUT

#: Where the recordings lie when --data is left out.
DATA_VARIABLE = "SOCIAL_IMPLICIT_DATA"


def add_benchmark_options(parser: argparse.ArgumentParser) -> None:
    """Adds --data, --split, --model, --k, --seed and --json."""
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
    parser.add_argument(
        "--seed", type=non_negative_int, default=0, help="of the draws (default: 0)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")


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
