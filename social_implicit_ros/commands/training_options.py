"""Command-line options that the commands which train the shipped models share."""

from __future__ import annotations

import argparse

from social_implicit_ros.commands.options import add_data_option, add_seed_option
from social_implicit_ros.training.social_implicit.data import SPLITS


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Adds --data, --split and --seed."""
    add_data_option(parser, "eth_ucy/ and eth_true_rate/")
    parser.add_argument(
        "--split",
        action="append",
        choices=SPLITS,
        help="train this model only; may be repeated (default: all)",
    )
    add_seed_option(parser, "of everything drawn")
