"""Exports a network to ONNX and writes a model file and its card."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from social_implicit_ros.models.card import ModelCard, file_sha256
from social_implicit_ros.models.model_file import AGENT_AXIS, INPUTS
from social_implicit_ros.recordings.text_formats.eth_ucy import N_OBSERVED, N_PREDICTED, STEP_S

#: Runs on onnxruntime 1.12 (2022) and newer.
OPSET = 17


class _Module(nn.Module):
    """Wraps a function as a module, which the exporter needs."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        super().__init__()
        self.forward = forward


def exported(
    forward: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]],
    outputs: Sequence[str],
    *,
    noise_dimension: int,
) -> onnx.ModelProto:
    """Traces a network, for any number of agents and samples.

    Args:
        forward: (A, 8, 2) observed, (A, 8) mask and (K, D) noise to the outputs, see
            `models.model_file`, by operations on tensors and constants.
        outputs: names of the outputs.
        noise_dimension: length of a noise vector (D).
    """
    example = (
        torch.ones(3, N_OBSERVED, 2),
        torch.ones(3, N_OBSERVED),
        torch.ones(2, noise_dimension),
    )
    axes = {"observed": {0: "A"}, "mask": {0: "A"}, "noise": {0: "K"}}
    axes |= {name: {AGENT_AXIS[name]: "A"} for name in outputs}
    axes["samples"][0] = "K"
    file: Any = io.BytesIO()
    with warnings.catch_warnings():
        # Warnings about constants, which are intended, and about the exporter's successor, which
        # needs onnxscript.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Module(forward).eval(),
            example,
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(outputs),
            dynamic_axes=axes,
        )
    model = onnx.load_from_string(file.getvalue())
    # Sets the fixed lengths that the exporter could not infer.
    for tensor, values in zip(model.graph.output, forward(*example), strict=True):
        for axis, length in enumerate(values.shape):
            if axis not in axes[tensor.name]:
                tensor.type.tensor_type.shape.dim[axis].dim_value = length
    onnx.checker.check_model(model, full_check=True)
    return model


def constant(values: ArrayLike) -> Tensor:
    """A constant of a network that is exported."""
    return torch.from_numpy(np.array(values, dtype=np.float32))


def save_model(graph: onnx.ModelProto, path: Path, **fields: Any) -> ModelCard:
    """Writes a model file ending in `.onnx`, and its card as `.json` beside it.

    Raises:
        ValueError: the path does not end in `.onnx`, or a field of the card is invalid.
    """
    if path.suffix != ".onnx":
        raise ValueError(f"model path is {str(path)!r}, expected one that ends in .onnx")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(graph.SerializeToString(deterministic=True))
    card = ModelCard(
        name=path.stem,
        sha256=file_sha256(path),
        step_s=STEP_S,
        n_observed=N_OBSERVED,
        n_predicted=N_PREDICTED,
        **fields,
    )
    card.save(path.with_suffix(".json"))
    return card
