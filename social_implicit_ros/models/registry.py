"""Every model by name: baselines, shipped model files, model files by path."""

from __future__ import annotations

import difflib
import math
from pathlib import Path

from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.models.onnx_model import ModelFileError, OnnxModel, shipped_models

#: Models that need no file.
BASELINES = ("constant_velocity", "sampled_constant_velocity")


def load_model(model: str | Path) -> TrajectoryModel:
    """Loads a baseline, a shipped model or a model file.

    Args:
        model: `constant_velocity`, `sampled_constant_velocity`, the name of a shipped model, or
            the path of an `.onnx` file.

    Raises:
        ModelFileError: no such model, or one that cannot be used.
    """
    if model == "constant_velocity":
        return ConstantVelocity()
    if model == "sampled_constant_velocity":
        return ConstantVelocity(heading_sigma_rad=math.radians(25.0))
    names = ("default", *BASELINES, *shipped_models())
    if str(model) not in names and Path(model).suffix != ".onnx":
        near = "".join(
            f" (did you mean {name}?)" for name in difflib.get_close_matches(str(model), names, n=1)
        )
        raise ModelFileError(
            f"no model {str(model)!r}{near}: give the path of an .onnx file, or one of "
            f"{', '.join(names)}"
        )
    return OnnxModel.load(model)


def fingerprint_of(model: TrajectoryModel) -> str:
    """SHA-256 of the file and card that a model's predictions depend on; empty for a baseline."""
    return model.card.fingerprint if isinstance(model, OnnxModel) else ""
