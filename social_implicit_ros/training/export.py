"""Writes a model file and its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from social_implicit_ros.models.card import ModelCard, file_sha256
from social_implicit_ros.recordings.text_formats.eth_ucy import STEP_S


def save_model(
    graph: onnx.ModelProto, path: Path, *, step_s: float = STEP_S, **fields: Any
) -> ModelCard:
    """Writes a model file ending in `.onnx`, and its card as `.json` beside it.

    Raises:
        ValueError: another ending, or the card rejects a value.
    """
    if path.suffix != ".onnx":
        raise ValueError(f"model path is {str(path)!r}, expected one that ends in .onnx")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(graph.SerializeToString(deterministic=True))
    card = ModelCard(
        name=path.stem,
        sha256=file_sha256(path),
        step_s=step_s,
        n_observed=_steps(graph.graph.input, "observed", axis=1),
        n_predicted=_steps(graph.graph.output, "samples", axis=2),
        **fields,
    )
    card.save(path.with_suffix(".json"))
    return card


def _steps(tensors: Any, name: str, axis: int) -> int:
    """Length of a fixed axis of an input or output."""
    (tensor,) = (entry for entry in tensors if entry.name == name)
    return int(tensor.type.tensor_type.shape.dim[axis].dim_value)
