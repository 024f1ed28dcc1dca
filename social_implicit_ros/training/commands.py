"""The commands of this folder; robots do not train, so the package installs without torch."""

from __future__ import annotations

from social_implicit_ros.core.commands import run

#: What training needs beside all the rest.
LIBRARIES = ("torch", "onnx")


def import_checkpoint() -> int:
    """Runs `training.import_checkpoint`."""
    return run("social_implicit_ros.training.import_checkpoint", *LIBRARIES)


def train_benchmark() -> int:
    """Runs `training.train_benchmark`."""
    return run("social_implicit_ros.training.train_benchmark", *LIBRARIES)


def train_social_zone() -> int:
    """Runs `training.train_social_zone`."""
    return run("social_implicit_ros.training.train_social_zone", *LIBRARIES)
