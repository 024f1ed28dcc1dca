"""Social-Implicit as an ONNX graph: the same function with far fewer operations.

The network consists of two linear maps and one ReLU, so everything else is multiplied out at
export. Per zone, two matrices remain:

* the first takes the displacements of an agent and its two neighbours to the hidden values of both
  streams, as functions of the noise; it is applied once for all samples;
* the second takes the hidden values of an agent and its neighbours to positions: the temporal
  parts, their residual paths, the fusion weights and the sum over the steps.

Neighbours are agents of the same zone. A zone may be empty, so no tensor has an axis over the
agents of one zone: each agent selects its neighbours and its zone's matrices by index.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import cast

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import nn

from social_implicit_ros.training.onnx_graph import GraphBuilder
from social_implicit_ros.training.social_implicit.model import (
    N_AXES,
    N_OBSERVED,
    N_PREDICTED,
    ZONE_BOUNDS_M,
    SocialCell,
    SocialImplicit,
    spatial_bias,
    spatial_matrix,
    temporal_bias,
    temporal_matrix,
)

#: Displacements of an agent, step-major; hidden values of a stream.
_N_FEATURES = N_OBSERVED * N_AXES
#: Displacements that are not zero by definition.
_N_STEPS = _N_FEATURES - N_AXES
#: These and a constant one.
_N_COLUMNS = _N_STEPS + 1
#: Previous agent, agent, next agent.
_N_ADJACENT = 3


def social_implicit_graph(model: SocialImplicit) -> onnx.ModelProto:
    """The model as an ONNX graph, for any number of agents and samples."""
    # If zones do not depend on the speed, every agent is in the first.
    n_zones = len(ZONE_BOUNDS_M) if model.zones_by_speed else 1
    cells = [
        _fold(cast(SocialCell, model.cells[zone]), model.noise_weights[zone])
        for zone in range(n_zones)
    ]
    builder = GraphBuilder()
    steps = _steps(builder, n_zones)
    above = _above_bounds(builder, steps, n_zones)
    # In a zone: above its bound and not above the next bound.
    in_zone = np.eye(n_zones) - np.eye(n_zones, k=-1)
    belongs = builder.node("MatMul", above, builder.constant(in_zone))
    adjacent = _neighbours(builder, belongs, n_zones)
    in_columns = builder.constant(np.repeat(in_zone, _N_COLUMNS, axis=1))
    rows = builder.node("Mul", steps, builder.node("MatMul", above, in_columns))
    samples = _cells(builder, rows, belongs, adjacent, cells)
    return builder.model(
        samples, n_observed=N_OBSERVED, n_predicted=N_PREDICTED, noise_dimension=N_AXES
    )


def _steps(builder: GraphBuilder, n_zones: int) -> str:
    """(A, zones * 15) the 14 displacements and a one, repeated for each zone."""
    node, indices, constant = builder.node, builder.indices, builder.constant
    flat = node("Reshape", "observed", indices([-1, _N_FEATURES]))
    # A sum of one position, minus one position, and zeros: exact like a subtraction.
    later, earlier = np.eye(_N_FEATURES, _N_STEPS, k=-N_AXES), np.eye(_N_FEATURES, _N_STEPS)
    difference = np.pad(later - earlier, ((0, 0), (0, 1)))
    one = np.eye(1, _N_COLUMNS, k=_N_STEPS)
    return node(
        "Gemm", flat, constant(np.tile(difference, n_zones)), constant(np.tile(one, n_zones))
    )


def _above_bounds(builder: GraphBuilder, steps: str, n_zones: int) -> str:
    """(A, zones) 1 where an agent's maximum speed is at least the zone's lower bound."""
    node, constant = builder.node, builder.constant
    squares = node("Mul", steps, steps)
    # Sum of the squares of x and y of each step, in the columns of the first zone.
    pairs = np.zeros((n_zones * _N_COLUMNS, _N_STEPS // N_AXES))
    pairs[:_N_STEPS] = np.repeat(np.eye(_N_STEPS // N_AXES), N_AXES, axis=0)
    squared_speeds = node("MatMul", squares, constant(pairs))
    fastest = node("ReduceMax", squared_speeds, axes=[1], keepdims=1)
    bounds = np.array(ZONE_BOUNDS_M[:n_zones], dtype=np.float32) ** 2
    above = node("GreaterOrEqual", fastest, constant([bounds]))
    return node("Cast", above, to=TensorProto.FLOAT)


def _neighbours(builder: GraphBuilder, belongs: str, n_zones: int) -> str:
    """(A, 3) index of the previous agent, itself and the next agent of its zone; A if none."""
    node, indices, constant = builder.node, builder.indices, builder.constant
    # The agents of each zone occupy consecutive slots, with an empty slot before and after.
    place = node("CumSum", belongs, indices(0))
    n_in_zone = node("ReduceSum", belongs, indices([0]), keepdims=1)
    # A zone's slots follow those of the previous zones, each with its empty slot.
    before = node(
        "Gemm",
        n_in_zone,
        constant(np.triu(np.ones((n_zones, n_zones)), k=1)),
        constant([np.arange(n_zones)]),
    )
    slots_in_zones = node("Mul", belongs, node("Add", place, before))
    slot = node("ReduceSum", slots_in_zones, indices([1]), keepdims=0)
    slot = node("Cast", slot, to=TensorProto.INT64)

    count = node("Shape", belongs, start=0, end=1)
    n_slots = node("Add", count, indices([n_zones + 1]))
    empty = node("Expand", count, n_slots)
    agents = node("Range", indices(0), node("Squeeze", count), indices(1))
    agent_in_slot = node("ScatterElements", empty, slot, agents)
    around = node("Add", node("Unsqueeze", slot, indices([1])), indices([[-1, 0, 1]]))
    return node("Gather", agent_in_slot, around)


def _cells(
    builder: GraphBuilder, rows: str, belongs: str, adjacent: str, cells: list[_FoldedCell]
) -> str:
    """(K, A, 12, 2) positions.

    Args:
        builder: of the graph.
        rows: (A, zones * 15) displacements and a one in the columns of the agent's zone, zero in
            the others: the product with the stacked matrices of all zones equals that with its own.
        belongs: (A, zones) 1 in the agent's zone.
        adjacent: (A, 3) previous agent, itself, and next agent; A if none.
        cells: one for each zone.
    """
    node, indices, constant = builder.node, builder.indices, builder.constant
    # The last row, of zeros, stands for a missing neighbour.
    rows = node("Pad", rows, indices([0, 0, 1, 0]))
    n_columns = _N_ADJACENT * len(cells) * _N_COLUMNS
    around = node("Gather", rows, adjacent)
    around = node("Reshape", around, indices([-1, n_columns]))

    # Hidden values as functions of the noise: constant, factor of x, factor of y.
    first, noise = (
        np.stack([getattr(cell, name) for cell in cells], axis=1) for name in ("first", "noise")
    )
    still = constant(first.reshape(n_columns, -1))
    moving = constant(noise.reshape(_N_ADJACENT * len(cells), -1))
    ones = indices(np.arange(_N_STEPS, n_columns, _N_COLUMNS))
    mixed = node(
        "Concat",
        node("MatMul", around, still),
        node("MatMul", node("Gather", around, ones, axis=1), moving),
        axis=1,
    )
    mixed = node("Reshape", mixed, indices([-1, 1 + N_AXES, first.shape[-1]]))
    draws = node("Pad", "noise", indices([0, 1, 0, 0]), constant(1.0))
    hidden = node("MatMul", draws, mixed)

    last = indices([2])
    half, full = indices([first.shape[-1] // 2]), indices([first.shape[-1]])
    main = node("Slice", hidden, indices([0]), half, last)
    residual = node("Slice", hidden, half, full, last)
    streams = node("Add", node("Relu", main), residual)

    # Positions, from these and the global stream of both neighbours.
    shared = node("Slice", streams, indices([0]), indices([_N_FEATURES]), last)
    shared = node("Pad", shared, indices([0, 0, 0, 1, 0, 0]))
    before, after = (
        node("Gather", shared, node("Gather", adjacent, indices(place), axis=1)) for place in (0, 2)
    )
    together = node("Concat", before, streams, after, axis=2)
    zone = node("ArgMax", belongs, axis=1, keepdims=0)
    second = constant(np.stack([cell.second for cell in cells]))
    positions = node("MatMul", together, node("Gather", second, zone))
    positions = node("Transpose", positions, perm=[1, 0, 2])
    return node("Reshape", positions, indices([0, 0, N_PREDICTED, N_AXES]))


@dataclass(frozen=True, eq=False)
class _FoldedCell:
    """The matrices of one cell, float64.

    There are 33 hidden values before the ReLU and 33 on the residual paths: 16 of the global
    stream, 16 of the local one, and a constant one for the bias.

    Attributes:
        first: (3, 15, 66) from the 14 displacements and the constant one of the previous agent,
            itself and the next agent; to hidden values without noise.
        noise: (3, 2, 66) change of the hidden values per unit of noise, for each of the three.
        second: (65, 24) from the global hidden values of the previous agent, all of its own and the
            global ones of the next agent; to positions.
    """

    first: np.ndarray
    noise: np.ndarray
    second: np.ndarray


@torch.no_grad()
def _fold(cell: SocialCell, zone_noise_weight: float) -> _FoldedCell:
    cell = copy.deepcopy(cell).double()
    wide, narrow = cell.global_stream, cell.local_stream
    spatial = torch.cat(
        [
            _spatial(wide.spatial, narrow.spatial, carried=0.0),
            _spatial(wide.spatial_residual, narrow.spatial_residual, carried=1.0),
        ],
        dim=-1,
    )
    # All steps have the same noise. The first displacement is zero by definition.
    noise = spatial[:, :-1].unflatten(1, (N_OBSERVED, N_AXES)).sum(dim=1)
    noise = zone_noise_weight * cell.noise_weight * noise
    first = spatial[:, N_AXES:]

    before, own, after = temporal_matrix(wide.temporal.weight).split(_N_FEATURES)
    own = own + temporal_matrix(wide.temporal_residual.weight)
    alone = temporal_matrix(narrow.temporal.weight)
    alone = alone + temporal_matrix(narrow.temporal_residual.weight)
    bias = cell.global_weight * (
        temporal_bias(wide.temporal) + temporal_bias(wide.temporal_residual)
    ) + cell.local_weight * (
        temporal_bias(narrow.temporal) + temporal_bias(narrow.temporal_residual)
    )
    second = torch.cat(
        [
            cell.global_weight * before,
            cell.global_weight * own,
            cell.local_weight * alone,
            bias[None],
            cell.global_weight * after,
        ]
    )
    summed = second.unflatten(1, (N_PREDICTED, N_AXES)).cumsum(dim=1).flatten(1)
    return _FoldedCell(first.numpy(), noise.numpy(), summed.numpy())


def _spatial(wide: nn.Conv2d, narrow: nn.Conv2d, *, carried: float) -> torch.Tensor:
    """(3, 17, 33) spatial convolutions of both streams, with their biases."""
    folded = torch.zeros(_N_ADJACENT, _N_FEATURES + 1, 2 * _N_FEATURES + 1, dtype=torch.float64)
    for number, convolution in enumerate((wide, narrow)):
        matrix = spatial_matrix(convolution.weight).unflatten(0, (-1, _N_FEATURES))
        # A convolution of width 1 fills the middle one of the three.
        first = (_N_ADJACENT - len(matrix)) // 2
        columns = slice(number * _N_FEATURES, (number + 1) * _N_FEATURES)
        folded[first : first + len(matrix), :-1, columns] = matrix
    bias = torch.cat([spatial_bias(wide), spatial_bias(narrow), torch.tensor([carried])])
    folded[_N_ADJACENT // 2, -1] = bias
    return folded
