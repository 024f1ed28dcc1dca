"""Models by name: baselines, shipped model files, and model files by path."""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path

from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.models.model_file import ModelFileError
from social_implicit_ros.models.onnx_model import OnnxModel
from social_implicit_ros.untrusted_files import did_you_mean, user_path

#: The model that `default` refers to.
DEFAULT_MODEL = "social_zone"
#: Models that need no file.
BASELINES = ("constant_velocity", "sampled_constant_velocity")


def load_model(model: str | Path) -> TrajectoryModel:
    """Loads a baseline, a shipped model or a model file.

    Args:
        model: `default`, a baseline, the name of a shipped model, or the path of an `.onnx` file.

    Raises:
        ModelFileError: no such model, or it cannot be used.
    """
    if model == "constant_velocity":
        return ConstantVelocity()
    if model == "sampled_constant_velocity":
        return ConstantVelocity(heading_sigma_rad=math.radians(25.0))
    return OnnxModel.load(model_path(model))


def shipped_models() -> tuple[str, ...]:
    """Names of the model files in the package."""
    files = resources.files("social_implicit_ros.models.weights").iterdir()
    return tuple(sorted(Path(entry.name).stem for entry in files if entry.name.endswith(".onnx")))


def model_path(model: str | Path) -> Path:
    """The path of `default`, of a shipped model, or of a model file.

    Raises:
        ModelFileError: neither a name nor a path that ends in `.onnx`.
    """
    if Path(model).suffix == ".onnx":
        return user_path(model)
    name = DEFAULT_MODEL if model == "default" else str(model)
    if name in shipped_models():
        return Path(str(resources.files("social_implicit_ros.models.weights") / f"{name}.onnx"))
    if name in BASELINES:
        raise ModelFileError(f"{name} is a baseline, which has no file: give a model that has one")
    names = ("default", *BASELINES, *shipped_models())
    raise ModelFileError(
        f"no model {name!r}{did_you_mean(name, names)}: give the path of an .onnx file, or one of "
        f"{', '.join(names)}"
    )


def fingerprint_of(model: TrajectoryModel) -> str:
    """SHA-256 of the file and card that affect a model's predictions; empty for a baseline."""
    return model.card.fingerprint if isinstance(model, OnnxModel) else ""
