"""Command-line options that the benchmark's commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from social_implicit_ros.commands.options import (
    add_data_option,
    add_seed_option,
    positive_int,
)
from social_implicit_ros.recordings.eth_ucy import LEAVE_ONE_OUT


def add_benchmark_options(parser: argparse.ArgumentParser) -> None:
    """Adds --data, --split, --model, --k, --seed and --json."""
    add_data_option(parser, "eth_ucy/all_data")
    add_model_options(parser)
    parser.add_argument(
        "--k", type=positive_int, default=20, help="samples for ADE and FDE (default: 20)"
    )
    add_seed_option(parser, "of the draws")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Adds --split, --model and --json."""
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
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
