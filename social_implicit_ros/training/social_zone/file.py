"""Reads Social-Zone from a model file, to train it further.

The constants of the graph are computed from the weights; the weights are in the file's metadata.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from social_implicit_ros.models.card import ModelCard
from social_implicit_ros.training.social_zone.graph import WEIGHTS, social_zone_graph
from social_implicit_ros.training.social_zone.model import SocialZone, SocialZoneSizes
from social_implicit_ros.types import FloatArray

ARCHITECTURE = "social_zone"
#: Tolerance of the constants, whose rounding depends on the machine.
_ROUNDING = 1e-5


class ModelReadError(ValueError):
    """A model file cannot be trained further; the message says why."""


def read_social_zone(path: Path, card: ModelCard) -> SocialZone:
    """The model that a file was written from; raises ModelReadError for another's file."""
    if card.architecture != ARCHITECTURE:
        raise ModelReadError(
            f"model {card.name!r} is a {card.architecture}; only models of the architecture "
            f"{ARCHITECTURE} can be trained further, such as the default"
        )
    sizes, trust = _made_with(card)
    model = SocialZone(sizes)
    model.trust = trust
    file = onnx.load(path)
    foreign = ModelReadError(
        f"{path} was not written by this version of the package: train it again, or use the "
        "version that wrote it"
    )
    texts = [entry.value for entry in file.metadata_props if entry.key == WEIGHTS]
    weights = np.frombuffer(base64.b64decode("".join(texts)), dtype="<f4")
    if len(weights) != sum(values.numel() for values in model.parameters()):
        raise foreign
    torch.nn.utils.vector_to_parameters(torch.from_numpy(weights.copy()), model.parameters())
    again = social_zone_graph(model)
    # The weights must give the graph in the file.
    if _operations(file) != _operations(again) or not np.allclose(
        _constants(file), _constants(again), rtol=_ROUNDING, atol=_ROUNDING
    ):
        raise foreign
    return model.eval()


def _made_with(card: ModelCard) -> tuple[SocialZoneSizes, float]:
    """Sizes and trust from the card."""
    made: Mapping[str, Any] = card.training
    try:
        return SocialZoneSizes(**made["sizes"]), float(made["settings"]["trust"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelReadError(
            f"the card of model {card.name!r} lacks training parameters ({error!r}): expected "
            "sizes and settings.trust"
        ) from error


def _operations(model: onnx.ModelProto) -> list[tuple[str, list[tuple[int, ...]]]]:
    """The operations in order, each with the shapes of its constants."""
    shapes = {entry.name: tuple(entry.dims) for entry in model.graph.initializer}
    return [
        (node.op_type, [shapes.get(name, ()) for name in node.input]) for node in model.graph.node
    ]


def _constants(model: onnx.ModelProto) -> FloatArray:
    """(C,) all constants of a graph, in the order of the operations."""
    stored = {
        entry.name: numpy_helper.to_array(entry).ravel().astype(np.float64)
        for entry in model.graph.initializer
        if entry.data_type == onnx.TensorProto.FLOAT
    }
    return np.concatenate(
        [stored[name] for node in model.graph.node for name in node.input if name in stored]
    )
