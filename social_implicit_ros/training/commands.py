"""The commands that train, told apart from their modules: those import torch, this does not.

Robots do not train, so the package installs without torch, and its commands say so.
"""

from __future__ import annotations

import sys
from importlib import import_module

_LIBRARIES = ("torch", "onnx")


def import_checkpoint() -> int:
    """Runs `training.import_checkpoint`."""
    return run("social_implicit_ros.training.import_checkpoint")


def train_benchmark() -> int:
    """Runs `training.train_benchmark`."""
    return run("social_implicit_ros.training.train_benchmark")


def train_social_zone() -> int:
    """Runs `training.train_social_zone`."""
    return run("social_implicit_ros.training.train_social_zone")


def run(name: str) -> int:
    """Runs the `main` of a module, whose last name is the command's.

    Args:
        name: of the module.

    Returns:
        The exit code; 2, with the way to install it, where a library is missing.
    """
    command = name.rpartition(".")[2]
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in _LIBRARIES:
            raise
        print(
            f"{command} needs {error.name}, which is not installed: "
            f"{sys.executable} -m pip install {' '.join(_LIBRARIES)}",
            file=sys.stderr,
        )
        return 2
    code: int = module.main()
    return code
