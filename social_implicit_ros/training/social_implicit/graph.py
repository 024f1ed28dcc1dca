"""Social-Implicit as it is exported: the same function with far fewer operations.

The network consists of two linear maps and one ReLU, so everything else is multiplied out before
`torch.onnx.export`. Per zone, two matrices remain:

* the first takes the displacements of an agent and its two neighbours to the hidden values of both
  streams, as functions of the noise; it is applied once for all samples;
* the second takes the hidden values of an agent and its neighbours to positions: the temporal
  parts, their residual paths, the fusion weights and the sum over the steps.

Neighbours are agents of the same zone. A zone may be empty, so no tensor has an axis over the
agents of one zone: each agent selects its neighbours and its zone's matrices by index.
"""

from __future__ import annotations

import copy
from typing import cast

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from social_implicit_ros.training.export import constant, exported
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
    return exported(_Graph(model), ["samples"], noise_dimension=N_AXES)


class _Graph:
    """A model as a function of the tensors of a model file, see `models.model_file`."""

    def __init__(self, model: SocialImplicit) -> None:
        # If zones do not depend on the speed, every agent is in the first.
        self.n_zones = len(ZONE_BOUNDS_M) if model.zones_by_speed else 1
        cells = [
            _fold(cast(SocialCell, model.cells[zone]), model.noise_weights[zone])
            for zone in range(self.n_zones)
        ]
        first, noise, second = zip(*cells, strict=True)
        n_rows = _N_ADJACENT * self.n_zones
        #: To hidden values as functions of the noise: constant; and factor of x, factor of y.
        self.still = constant(np.stack(first, axis=1).reshape(n_rows * _N_COLUMNS, -1))
        self.moving = constant(np.stack(noise, axis=1).reshape(n_rows, -1))
        self.second = constant(second)

    def __call__(self, observed: Tensor, mask: Tensor, noise: Tensor) -> tuple[Tensor]:
        """(K, A, 12, 2) positions."""
        del mask
        steps = self._steps(observed)
        above = self._above_bounds(steps)
        # In a zone: above its bound and not above the next bound.
        in_zone = np.eye(self.n_zones) - np.eye(self.n_zones, k=-1)
        belongs = above @ constant(in_zone)
        adjacent = self._neighbours(belongs)
        # Displacements and a one in the columns of the agent's zone, zero in the others: the
        # product with the stacked matrices of all zones equals that with its own.
        rows = steps * (above @ constant(np.repeat(in_zone, _N_COLUMNS, axis=1)))
        # The last row, of zeros, stands for a missing neighbour.
        rows = nn.functional.pad(rows, (0, 0, 0, 1))
        around = rows[adjacent].reshape(-1, len(self.still))
        ones = around[:, _N_STEPS::_N_COLUMNS]
        n_hidden = self.still.shape[1]
        mixed = torch.cat([around @ self.still, ones @ self.moving], dim=1)
        mixed = mixed.reshape(-1, 1 + N_AXES, n_hidden)
        hidden = nn.functional.pad(noise, (1, 0), value=1.0) @ mixed  # (A, K, 66)
        main, residual = hidden.split(n_hidden // 2, dim=2)
        streams = torch.relu(main) + residual
        # Positions, from these and the global stream of both neighbours.
        shared = nn.functional.pad(streams[..., :_N_FEATURES], (0, 0, 0, 0, 0, 1))
        together = torch.cat([shared[adjacent[:, 0]], streams, shared[adjacent[:, 2]]], dim=2)
        positions = together @ self.second[belongs.argmax(dim=1)]
        return (positions.reshape(-1, noise.shape[0], N_PREDICTED, N_AXES).transpose(0, 1),)

    def _steps(self, observed: Tensor) -> Tensor:
        """(A, zones * 15) the 14 displacements and a one, repeated for each zone."""
        # A sum of one position, minus one position, and zeros: exact like a subtraction.
        later, earlier = np.eye(_N_FEATURES, _N_STEPS, k=-N_AXES), np.eye(_N_FEATURES, _N_STEPS)
        difference = np.pad(later - earlier, ((0, 0), (0, 1)))
        one = np.eye(1, _N_COLUMNS, k=_N_STEPS)
        return torch.addmm(
            constant(np.tile(one, self.n_zones)),
            observed.reshape(-1, _N_FEATURES),
            constant(np.tile(difference, self.n_zones)),
        )

    def _above_bounds(self, steps: Tensor) -> Tensor:
        """(A, zones) 1 where an agent's maximum speed is at least the zone's lower bound."""
        # Sum of the squares of x and y of each step, in the columns of the first zone.
        pairs = np.zeros((self.n_zones * _N_COLUMNS, _N_STEPS // N_AXES))
        pairs[:_N_STEPS] = np.repeat(np.eye(_N_STEPS // N_AXES), N_AXES, axis=0)
        fastest = ((steps * steps) @ constant(pairs)).amax(dim=1, keepdim=True)
        return (fastest >= constant(ZONE_BOUNDS_M[: self.n_zones]) ** 2).float()

    def _neighbours(self, belongs: Tensor) -> Tensor:
        """(A, 3) index of the previous agent, itself and the next agent of its zone; A if none."""
        n_agents = belongs.shape[0]
        # The agents of each zone occupy consecutive slots, with an empty slot before and after.
        n_in_zone = belongs.sum(dim=0, keepdim=True)
        # A zone's slots follow those of the previous zones, each with its empty slot.
        before = torch.addmm(
            constant([np.arange(self.n_zones)]),
            n_in_zone,
            constant(np.triu(np.ones((self.n_zones, self.n_zones)), k=1)),
        )
        slot = (belongs * (belongs.cumsum(dim=0) + before)).sum(dim=1).long()
        empty = n_agents * torch.ones(n_agents + self.n_zones + 1, dtype=torch.int64)
        agent_in_slot = empty.scatter(0, slot, torch.arange(n_agents))
        return agent_in_slot[slot[:, None] + torch.tensor([[-1, 0, 1]])]


@torch.no_grad()
def _fold(cell: SocialCell, zone_noise_weight: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrices of one cell, float64.

    There are 33 hidden values before the ReLU and 33 on the residual paths: 16 of the global
    stream, 16 of the local one, and a constant one for the bias.

    Returns:
        (3, 15, 66) from the 14 displacements and the constant one of the previous agent, itself and
        the next agent; to hidden values without noise. (3, 2, 66) change of the hidden values per
        unit of noise, for each of the three. (65, 24) from the global hidden values of the previous
        agent, all of its own and the global ones of the next agent; to positions.
    """
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
    return first.numpy(), noise.numpy(), summed.numpy()


def _spatial(wide: nn.Conv2d, narrow: nn.Conv2d, *, carried: float) -> Tensor:
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
