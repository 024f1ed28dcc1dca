"""The command of this folder, told apart from its module: that imports torch, this does not."""

from __future__ import annotations

from social_implicit_ros.core.commands import run
from social_implicit_ros.training.commands import LIBRARIES


def train_model() -> int:
    """Runs `tuning.train_model`."""
    return run("social_implicit_ros.tuning.train_model", *LIBRARIES)
