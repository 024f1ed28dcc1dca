"""Social-Implicit as an ONNX graph: the same function in far fewer operations.

Between the input and the output stand two linear maps and one ReLU, so everything else is
multiplied out beforehand. Per zone, two matrices remain:

* the first takes the displacements of an agent and its two neighbours, and the noise, to the
  hidden values of both streams; its part for the displacements is computed once for all samples;
* the second takes the hidden values of an agent and its neighbours to positions: it holds the
  temporal parts, their residual paths, the fusion weights and the sum over the steps.

Neighbours are agents of the same zone. A zone may be empty, so no tensor has an axis over the
agents of one zone: each agent looks up its neighbours and its zone's matrices by index.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import onnx
import torch
from onnx import TensorProto

from social_implicit_ros.training.onnx_graph import GraphBuilder
from social_implicit_ros.training.social_implicit import (
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

#: An agent's displacements, step-major, and one stream's hidden values.
_N_FEATURES = N_OBSERVED * N_AXES
#: The displacements that are not zero by definition.
_N_STEPS = _N_FEATURES - N_AXES
#: The agent before, the agent itself, the agent after.
_N_BESIDE = 3


def social_implicit_graph(model: SocialImplicit) -> onnx.ModelProto:
    """The model as an ONNX graph, for any number of agents and samples.

    Args:
        model: a trained or imported model.
    """
    # Where zones do not depend on the speed, everybody is in the first.
    n_zones = len(ZONE_BOUNDS_M) if model.zones_by_speed else 1
    cells = [
        _fold(cast(SocialCell, model.cells[zone]), model.noise_weights[zone])
        for zone in range(n_zones)
    ]
    builder = GraphBuilder()
    steps = _displacements(builder)
    belongs = _zones(builder, steps, n_zones)
    beside = _neighbours(builder, belongs, n_zones)
    samples = _cells(builder, steps, belongs, beside, cells)
    return builder.model(
        samples, n_observed=N_OBSERVED, n_predicted=N_PREDICTED, noise_dimension=N_AXES
    )


def _displacements(builder: GraphBuilder) -> str:
    """(A, 7, 2) displacements between the observed steps."""
    axis = builder.indices([1])
    earlier = builder.node("Slice", "observed", builder.indices([0]), builder.indices([-1]), axis)
    later = builder.node(
        "Slice", "observed", builder.indices([1]), builder.indices([N_OBSERVED]), axis
    )
    return builder.node("Sub", later, earlier)


def _zones(builder: GraphBuilder, steps: str, n_zones: int) -> str:
    """(A, zones) 1 where an agent's maximum speed lies in the zone."""
    squares = builder.node("Mul", steps, steps)
    squared_speeds = builder.node("ReduceSum", squares, builder.indices([2]), keepdims=0)
    fastest = builder.node("ReduceMax", squared_speeds, axes=[1], keepdims=1)
    lower = np.array(ZONE_BOUNDS_M[:n_zones], dtype=np.float32) ** 2
    above = builder.node("GreaterOrEqual", fastest, builder.constant([lower]))
    below = builder.node("Less", fastest, builder.constant([[*lower[1:], math.inf]]))
    return builder.node("Cast", builder.node("And", above, below), to=TensorProto.FLOAT)


def _neighbours(builder: GraphBuilder, belongs: str, n_zones: int) -> str:
    """(A, 3) index of the agent before, itself and the agent after in its zone; A for nobody.

    The agents of each zone stand in a row of slots, with an empty slot before and behind each row.
    """
    place = builder.node("CumSum", belongs, builder.indices(0))
    n_in_zone = builder.node("ReduceSum", belongs, builder.indices([0]), keepdims=0)
    room = builder.node("Add", n_in_zone, builder.constant(1.0))
    first = builder.node("CumSum", room, builder.indices(0), exclusive=1)
    candidates = builder.node("Mul", belongs, builder.node("Add", place, first))
    slot = builder.node("ReduceSum", candidates, builder.indices([1]), keepdims=0)
    slot = builder.node("Cast", slot, to=TensorProto.INT64)

    count = builder.node("Shape", belongs, start=0, end=1)
    n_slots = builder.node("Add", count, builder.indices([n_zones + 1]))
    nobody = builder.node("Expand", count, n_slots)
    agents = builder.node(
        "Range",
        builder.indices(0),
        builder.node("Squeeze", count),
        builder.indices(1),
    )
    taken = builder.node("ScatterElements", nobody, slot, agents)
    around = builder.node(
        "Add",
        builder.node("Unsqueeze", slot, builder.indices([1])),
        builder.indices([[-1, 0, 1]]),
    )
    return builder.node("Gather", taken, around)


def _cells(
    builder: GraphBuilder, steps: str, belongs: str, beside: str, cells: list[_FoldedCell]
) -> str:
    """(K, A, 12, 2) positions, from the matrices of each agent's zone."""
    zone = builder.node("ArgMax", belongs, axis=1, keepdims=0)
    first, first_bias, noise, second, second_bias = (
        np.stack([getattr(cell, name) for cell in cells])
        for name in ("first", "first_bias", "noise", "second", "second_bias")
    )

    # What the displacements contribute, the same in all samples: (A, 64).
    flat = builder.node("Reshape", steps, builder.indices([-1, _N_STEPS]))
    rows = builder.node("Concat", flat, builder.constant(np.zeros((1, _N_STEPS))), axis=0)
    around = builder.node("Gather", rows, beside)
    around = builder.node("Reshape", around, builder.indices([-1, 1, _N_BESIDE * _N_STEPS]))
    by_zone = builder.node("Mul", builder.node("Unsqueeze", belongs, builder.indices([2])), around)
    by_zone = builder.node("Reshape", by_zone, builder.indices([-1, first.shape[1] * len(cells)]))
    still = builder.node("MatMul", by_zone, builder.constant(first.reshape(-1, first.shape[2])))
    still = builder.node("Add", still, builder.node("Gather", builder.constant(first_bias), zone))

    # What the noise contributes: (A, K, 64). A neighbour that is not there has none.
    count = builder.node("Shape", belongs, start=0, end=1)
    present = builder.node("Cast", builder.node("Less", beside, count), to=TensorProto.FLOAT)
    moving = builder.node(
        "MatMul",
        builder.node("Unsqueeze", present, builder.indices([1])),
        builder.node("Gather", builder.constant(noise.reshape(len(cells), _N_BESIDE, -1)), zone),
    )
    moving = builder.node("Reshape", moving, builder.indices([-1, N_AXES, noise.shape[-1]]))
    moving = builder.node("MatMul", "noise", moving)

    hidden = builder.node("Add", moving, builder.node("Unsqueeze", still, builder.indices([1])))
    # Before the ReLU and on the residual path, each of the global, then of the local stream.
    half, last = builder.indices([2 * _N_FEATURES]), builder.indices([2])
    main = builder.node("Slice", hidden, builder.indices([0]), half, last)
    residual = builder.node("Slice", hidden, half, builder.indices([4 * _N_FEATURES]), last)
    streams = builder.node("Add", builder.node("Relu", main), residual)

    shared = builder.node(
        "Slice", streams, builder.indices([0]), builder.indices([_N_FEATURES]), last
    )
    # One more row, of zeros, for the neighbour that is not there.
    shared = builder.node("Pad", shared, builder.indices([0, 0, 0, 1, 0, 0]))
    before, after = (
        builder.node(
            "Gather", shared, builder.node("Gather", beside, builder.indices(place), axis=1)
        )
        for place in (0, 2)
    )
    together = builder.node("Concat", before, streams, after, axis=2)
    positions = builder.node(
        "Add",
        builder.node("MatMul", together, builder.node("Gather", builder.constant(second), zone)),
        builder.node("Gather", builder.constant(second_bias[:, None]), zone),
    )
    positions = builder.node("Transpose", positions, perm=[1, 0, 2])
    return builder.node("Reshape", positions, builder.indices([0, 0, N_PREDICTED, N_AXES]))


@dataclass(frozen=True, eq=False)
class _FoldedCell:
    """One cell multiplied out, in float64; F is 4 * 16 hidden values.

    Hidden values are those before the ReLU, then those of the residual paths, each of the global,
    then of the local stream.

    Attributes:
        first: (3 * 14, F) displacements of the agent before, itself and the one after.
        first_bias: (F,).
        noise: (3, 2, F) noise as each of the three brings it in.
        second: (64, 24) the global hidden values of the agent before, its own global and local
            ones, the global ones of the agent after; to positions.
        second_bias: (24,).
    """

    first: np.ndarray
    first_bias: np.ndarray
    noise: np.ndarray
    second: np.ndarray
    second_bias: np.ndarray


@torch.no_grad()
def _fold(cell: SocialCell, zone_noise_weight: float) -> _FoldedCell:
    cell = copy.deepcopy(cell).double()
    wide, narrow = cell.global_stream, cell.local_stream
    paths = (wide.spatial, narrow.spatial, wide.spatial_residual, narrow.spatial_residual)

    spatial = torch.zeros(_N_BESIDE, _N_FEATURES, len(paths), _N_FEATURES, dtype=torch.float64)
    for number, convolution in enumerate(paths):
        matrix = spatial_matrix(convolution.weight).unflatten(0, (-1, _N_FEATURES))
        # A path that sees only the agent itself fills the middle one of the three.
        first = (_N_BESIDE - len(matrix)) // 2
        spatial[first : first + len(matrix), :, number] = matrix
    spatial = spatial.flatten(2)
    noise = spatial.unflatten(1, (N_OBSERVED, N_AXES)).sum(dim=1)

    before, own, after = temporal_matrix(wide.temporal.weight).split(_N_FEATURES)
    own = own + temporal_matrix(wide.temporal_residual.weight)
    alone = temporal_matrix(narrow.temporal.weight)
    alone = alone + temporal_matrix(narrow.temporal_residual.weight)
    weight_global, weight_local = cell.global_weight, cell.local_weight
    second = torch.cat(
        [weight_global * before, weight_global * own, weight_local * alone, weight_global * after]
    )
    second_bias = weight_global * (
        temporal_bias(wide.temporal) + temporal_bias(wide.temporal_residual)
    ) + weight_local * (temporal_bias(narrow.temporal) + temporal_bias(narrow.temporal_residual))
    return _FoldedCell(
        # The first displacement is zero by definition.
        first=spatial[:, N_AXES:].flatten(0, 1).numpy(),
        first_bias=torch.cat([spatial_bias(convolution) for convolution in paths]).numpy(),
        noise=(zone_noise_weight * cell.noise_weight * noise).numpy(),
        second=_summed_over_steps(second).numpy(),
        second_bias=_summed_over_steps(second_bias).numpy(),
    )


def _summed_over_steps(displacements: torch.Tensor) -> torch.Tensor:
    """(..., 24) displacements -> (..., 24) positions."""
    return displacements.unflatten(-1, (N_PREDICTED, N_AXES)).cumsum(dim=-2).flatten(-2)
