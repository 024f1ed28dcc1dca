"""Reads Social-Zone back from the file that was written of it, to train it further.

A file holds constants that its writer has computed from the weights, most of them copies, some of
them sums with factors. Every constant is affine in the weights, so the writer itself can be asked
which weight stands where: it writes models with weights made up for the question, and the answers
are compared with the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from social_implicit_ros.core.model_card import ModelCard
from social_implicit_ros.core.types import BoolArray, FloatArray, IntArray
from social_implicit_ros.training.social_zone import SocialZone, SocialZoneSizes
from social_implicit_ros.training.social_zone_graph import social_zone_graph

ARCHITECTURE = "social_zone"
#: Weights are numbered by two digits of this base, which float32 tells apart as factors.
_BASE = 64
#: How far a factor may be from a whole number, as constants are float32.
_NEARLY_WHOLE = 1e-3
#: How far constants may be from the file's where all weights were found.
_ROUNDING = 1e-5


class ModelReadError(ValueError):
    """A model file cannot be trained further; the message says why."""


def read_social_zone(path: Path, card: ModelCard) -> tuple[SocialZone, float]:
    """The model of which a file was written.

    Args:
        path: the `.onnx` file.
        card: of the file.

    Returns:
        The model, and the floor under the spread of its samples (`sample_floor_m`).

    Raises:
        ModelReadError: another architecture, a card that does not say how the model was made, or
            a file that another version of this package wrote.
    """
    if card.architecture != ARCHITECTURE:
        raise ModelReadError(
            f"model {card.name!r} is a {card.architecture}; only models of the architecture "
            f"{ARCHITECTURE} can be trained further, such as the default"
        )
    sizes, trust, sample_floor_m = _made_with(card)
    model = SocialZone(sizes)
    model.trust = trust
    file = onnx.load(path)
    writer = _Writer(model, sample_floor_m)
    foreign = ModelReadError(
        f"{path} was not written by this version of the package: train it anew, or use the "
        "version that wrote it"
    )
    if _operations(file) != _operations(writer.graph(np.zeros(writer.n_weights))):
        raise foreign
    constants = _constants(file)
    weights = _weights(writer, constants)
    # What was read is what was written, or the file is of another make.
    if not np.allclose(writer.constants(weights), constants, rtol=_ROUNDING, atol=_ROUNDING):
        raise foreign
    return model.eval(), sample_floor_m


class _Writer:
    """Writes graphs of one make with any weights."""

    def __init__(self, model: SocialZone, sample_floor_m: float) -> None:
        self._model, self._sample_floor_m = model, sample_floor_m
        self.n_weights = sum(values.numel() for values in model.parameters())

    def graph(self, weights: FloatArray) -> onnx.ModelProto:
        """The graph with (W,) weights, which the model has from now on."""
        torch.nn.utils.vector_to_parameters(
            torch.from_numpy(weights.astype(np.float32)), self._model.parameters()
        )
        return social_zone_graph(self._model, sample_floor_m=self._sample_floor_m)

    def constants(self, weights: FloatArray) -> FloatArray:
        """(C,) all numbers in the graph with (W,) weights."""
        return _constants(self.graph(weights))


def _weights(writer: _Writer, constants: FloatArray) -> FloatArray:
    """(W,) the weights of which a writer makes (C,) constants.

    First those that stand in some constant alone, with or without a factor; they show in the
    numbers that they are multiplied by. Then the others, one by one.
    """
    places, factors, offsets = _places_of_single(writer)
    weights = np.zeros(writer.n_weights)
    known = places >= 0
    weights[known] = (constants[places[known]] - offsets[places[known]]) / factors[known]
    rest = writer.constants(weights)
    for weight in np.flatnonzero(~known):
        alone = np.array(weights)
        alone[weight] = 1.0
        effect = writer.constants(alone) - rest
        if effect.any():
            # Others that are not known yet have constants of their own.
            place = np.abs(effect).argmax()
            weights[weight] = (constants[place] - rest[place]) / effect[place]
    return weights


def _places_of_single(writer: _Writer) -> tuple[IntArray, FloatArray, FloatArray]:
    """Where each weight stands alone.

    Returns:
        (W,) the place of a constant that is offset + factor * weight, -1 where there is none, (W,)
        that factor, and (C,) the offsets.
    """
    number = np.arange(writer.n_weights)
    draw = np.random.default_rng(0)
    probe, other = draw.uniform(0.5, 1.0, (2, writer.n_weights))
    offsets = writer.constants(np.zeros(writer.n_weights))
    effect = writer.constants(probe) - offsets
    depends = np.abs(effect) > _NEARLY_WHOLE
    digits, whole = [], depends
    for digit in (number // _BASE, number % _BASE):
        ratio = np.ones_like(effect)
        np.divide(writer.constants(probe * (1 + digit)) - offsets, effect, out=ratio, where=depends)
        digits.append(np.rint(ratio).astype(np.int64) - 1)
        whole = whole & _is_digit(ratio)
    found = np.where(whole, _BASE * digits[0] + digits[1], -1)
    found[found >= writer.n_weights] = -1
    factor = np.where(found >= 0, effect / probe[found], 0.0)
    # Sums of several may look like one; they do not with other weights.
    expected = offsets + factor * other[found]
    found[np.abs(writer.constants(other) - expected) > 1e-5] = -1
    places = np.full(writer.n_weights, -1)
    # The largest factor comes last and stays: it rounds least.
    order = np.argsort(np.abs(factor), kind="stable")
    order = order[found[order] >= 0]
    places[found[order]] = order
    return places, factor[places], offsets


def _is_digit(ratio: FloatArray) -> BoolArray:
    nearest = np.rint(ratio)
    return (np.abs(ratio - nearest) < _NEARLY_WHOLE) & (nearest >= 1) & (nearest <= 2 * _BASE)


def _made_with(card: ModelCard) -> tuple[SocialZoneSizes, float, float]:
    """Sizes, trust and sample floor, as the card tells them."""
    made: Mapping[str, Any] = card.training
    try:
        return (
            SocialZoneSizes(**made["sizes"]),
            float(made["settings"]["trust"]),
            float(made["sample_floor_m"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelReadError(
            f"the card of model {card.name!r} does not say how it was made ({error!r}): expected "
            "sizes, settings.trust and sample_floor_m"
        ) from error


def _operations(model: onnx.ModelProto) -> list[tuple[str, list[tuple[int, ...]]]]:
    """The operations in order, each with the shapes of its constants."""
    shapes = {entry.name: tuple(entry.dims) for entry in model.graph.initializer}
    return [
        (node.op_type, [shapes.get(name, ()) for name in node.input]) for node in model.graph.node
    ]


def _constants(model: onnx.ModelProto) -> FloatArray:
    """(C,) all numbers of a graph, in the order in which operations use them."""
    stored = {
        entry.name: numpy_helper.to_array(entry).ravel().astype(np.float64)
        for entry in model.graph.initializer
        if entry.data_type == onnx.TensorProto.FLOAT
    }
    return np.concatenate(
        [stored[name] for node in model.graph.node for name in node.input if name in stored]
    )
