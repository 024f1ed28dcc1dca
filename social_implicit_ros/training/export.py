"""Writes a model file with its card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from social_implicit_ros.models.card import ModelCard, file_sha256
from social_implicit_ros.recordings.eth_ucy import STEP_S


def save_model(
    graph: onnx.ModelProto,
    path: Path,
    *,
    architecture: str,
    description: str,
    parameters: int,
    step_s: float = STEP_S,
    noise_sequence: str = "independent",
    training: dict[str, Any] | None = None,
    metrics: dict[str, Any] | None = None,
    calibration: dict[str, Any] | None = None,
    interaction_range_m: float | None = None,
) -> ModelCard:
    """Writes `path` and, beside it, the card as `.json`.

    Args:
        graph: as `training.onnx_graph.GraphBuilder.model` makes it.
        path: where to write, ending in `.onnx`; the stem becomes the model's name.
        architecture: e.g. `social_implicit`.
        description: one sentence for people.
        parameters: trainable parameters that can change the output.
        step_s: seconds between two steps.
        noise_sequence: see `core.noise`.
        training: whatever it takes to make the file again.
        metrics: figures measured on it, metres.
        calibration: see `core.model_card.ModelCard`.
        interaction_range_m: see there.

    Returns:
        The card.

    Raises:
        ValueError: a path that does not end in `.onnx`, or a value the card refuses.
    """
    if path.suffix != ".onnx":
        raise ValueError(f"model path is {str(path)!r}, expected one that ends in .onnx")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(graph.SerializeToString(deterministic=True))
    card = ModelCard(
        name=path.stem,
        architecture=architecture,
        description=description,
        sha256=file_sha256(path),
        parameters=parameters,
        step_s=step_s,
        n_observed=_steps(graph.graph.input, "observed", axis=1),
        n_predicted=_steps(graph.graph.output, "samples", axis=2),
        noise_sequence=noise_sequence,
        interaction_range_m=interaction_range_m,
        training=training or {},
        metrics=metrics or {},
        calibration=calibration or {},
    )
    card.save(path.with_suffix(".json"))
    return card


def _steps(tensors: Any, name: str, axis: int) -> int:
    """Length of a fixed axis of one of the graph's inputs or outputs."""
    (tensor,) = (entry for entry in tensors if entry.name == name)
    return int(tensor.type.tensor_type.shape.dim[axis].dim_value)
