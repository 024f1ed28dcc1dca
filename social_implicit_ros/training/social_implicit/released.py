"""Reads the checkpoints of the released Social-Implicit code."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from social_implicit_ros.training.social_implicit.model import (
    NOISE_WEIGHTS,
    ZONE_BOUNDS_M,
    SocialImplicit,
)
from social_implicit_ros.untrusted_files import UnusableFileError, read_file

#: Larger files are rejected before they are read; a checkpoint has 5,836 numbers.
MAX_FILE_BYTES = 16 * 1024 * 1024
#: Released name -> name here, within one cell.
_SCALARS = {"noise_w": "noise_weight", "global_w": "global_weight", "local_w": "local_weight"}
_STREAMS = {"": "global_stream", "ped.": "local_stream"}
_CONVOLUTIONS = {
    "feat": "spatial",
    "highway_input": "spatial_residual",
    "tpcnn": "temporal",
    "highway": "temporal_residual",
}
#: What `torch.load` raises on damaged files; found by fuzzing.
_LOAD_ERRORS = (
    *(pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, LookupError),
    *(TypeError, AttributeError, AssertionError),
)


def read_released_checkpoint(
    path: Path, noise_weights: Sequence[float] = NOISE_WEIGHTS
) -> SocialImplicit:
    """Reads a released model without executing code in its file.

    The file lacks the scale of the noise in each zone. Zones are chosen as in the released code.

    Raises:
        OSError: the file cannot be opened.
        UnusableFileError: it is not a released checkpoint.
    """
    model = SocialImplicit(noise_weights=noise_weights, zones_by_speed=False)
    assign_released(model, _load_tensors(path), source=str(path))
    return model


def assign_released(
    model: SocialImplicit, state: Mapping[str, torch.Tensor], *, source: str
) -> None:
    """Copies a released state dict into a model; raises UnusableFileError for another model's."""
    names = _names()
    missing, unknown = sorted(set(names) - set(state)), sorted(set(state) - set(names))
    if missing or unknown:
        raise UnusableFileError(
            f"{source} is not a released Social-Implicit checkpoint: "
            f"missing: {_some(missing)}; unknown: {_some(unknown)}"
        )
    parameters = dict(model.named_parameters())
    for released, ours in names.items():
        tensor, parameter = state[released], parameters[ours]
        # The released local stream has 1-D kernels; its scalars have one entry.
        if tensor.shape != _released_shape(parameter, ours):
            raise UnusableFileError(
                f"{source}: {released} has shape {tuple(tensor.shape)}, expected "
                f"{tuple(_released_shape(parameter, ours))}"
            )
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise UnusableFileError(
                f"{source}: {released} has values that are not finite real numbers"
            )
        with torch.no_grad():
            parameter.copy_(tensor.reshape(parameter.shape))


def _load_tensors(path: Path) -> dict[str, torch.Tensor]:
    data = io.BytesIO(read_file(path, MAX_FILE_BYTES))
    try:
        state = torch.load(data, map_location="cpu", weights_only=True)  # noqa: TID251
    except _LOAD_ERRORS as error:
        # The error text of torch recommends unsafe loading, so it is not shown.
        raise UnusableFileError(
            f"{path} cannot be read as a file of tensors: it is damaged, or it contains objects "
            "other than tensors, which are not loaded"
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    ):
        raise UnusableFileError(
            f"{path} contains a {type(state).__name__}, expected a state dict: "
            "a mapping from names to tensors"
        )
    return dict(state)


def _names() -> dict[str, str]:
    """Released parameter name -> name here."""
    of_cell = {
        f"{prefix}{released}.{part}": f"{stream}.{name}.{part}"
        for prefix, stream in _STREAMS.items()
        for released, name in _CONVOLUTIONS.items()
        for part in ("weight", "bias")
    }
    return {
        f"implicit_cells.{zone}.{released}": f"cells.{zone}.{name}"
        for zone in range(len(ZONE_BOUNDS_M))
        for released, name in {**_SCALARS, **of_cell}.items()
    }


def _released_shape(parameter: nn.Parameter, name: str) -> torch.Size:
    if parameter.ndim == 0:
        return torch.Size([1])
    if parameter.ndim == 4 and "local_stream" in name:
        return parameter.shape[:3]
    return parameter.shape


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 3 else shown or "nothing"
