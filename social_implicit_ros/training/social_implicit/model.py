"""Social-Implicit in PyTorch: Social-Zones, one Social-Cell per zone.

Source: Mohamed et al., "Social-Implicit: Rethinking Trajectory Prediction Evaluation and The
Effectiveness of Implicit Maximum Likelihood Estimation", ECCV 2022, arXiv 2203.03057, section 4.

The model reads displacements. Each agent belongs to a zone by its speed. The agents of one zone are
adjacent, in order, on the axis over which the zone's cell convolves.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from social_implicit_ros.recordings.text_formats.eth_ucy import N_OBSERVED, N_PREDICTED

N_AXES = 2
#: Lower bounds of the Social-Zones, metres per step.
ZONE_BOUNDS_M = (0.0, 0.01, 0.1, 1.2)
#: Scale of the noise in each zone, before the learnt scale (section 4 and released settings).
NOISE_WEIGHTS = (0.05, 1.0, 4.0, 8.0)
#: Neighbours to each side that the global stream convolves over.
GLOBAL_REACH = 1


class Stream(nn.Module):
    """One stream of a Social-Cell: a spatial part over time, then a temporal part over x and y.

    Both parts are zero-padded convolutions of three taps along their own axis and, with a reach
    above zero, over the neighbours on the agent axis; each has a residual path of one tap. The
    global stream reaches one agent to each side, the local stream none, which makes its
    convolutions one-dimensional.

    The short axis (8 steps, or x and y) is unrolled, so that a convolution becomes one matrix per
    neighbour. On a CPU this is several times faster than `Conv2d` with two channels.
    """

    def __init__(self, reach: int) -> None:
        super().__init__()
        width = 2 * reach + 1
        self.reach = reach
        self.spatial = nn.Conv2d(N_AXES, N_AXES, (3, width))
        self.spatial_residual = nn.Conv2d(N_AXES, N_AXES, 1)
        self.temporal = nn.Conv2d(N_OBSERVED, N_PREDICTED, (3, width))
        self.temporal_residual = nn.Conv2d(N_OBSERVED, N_PREDICTED, 1)

    def forward(self, displacements: torch.Tensor, occupied: torch.Tensor) -> torch.Tensor:
        """(S, K, 24) predicted displacements, step-major.

        Args:
            displacements: (S, K, 16) observed displacements, step-major, zero where not occupied.
            occupied: (S, 1, 1) 1 for an agent, 0 for a separator between scenes.
        """
        hidden = torch.relu(self._spatial(self.spatial, displacements))
        hidden = hidden + self._spatial(self.spatial_residual, displacements)
        # A separator must equal the padding at the ends, in the next convolution too.
        hidden = hidden * occupied
        residual = self._temporal(self.temporal_residual, hidden)
        return self._temporal(self.temporal, hidden) + residual

    @staticmethod
    def _spatial(convolution: nn.Conv2d, values: torch.Tensor) -> torch.Tensor:
        matrix = spatial_matrix(convolution.weight)
        return _beside(values, convolution) @ matrix + spatial_bias(convolution)

    @staticmethod
    def _temporal(convolution: nn.Conv2d, values: torch.Tensor) -> torch.Tensor:
        matrix = temporal_matrix(convolution.weight)
        return _beside(values, convolution) @ matrix + temporal_bias(convolution)


class SocialCell(nn.Module):
    """A global and a local stream on the same noisy displacements, fused by learnt weights."""

    def __init__(self) -> None:
        super().__init__()
        self.global_stream = Stream(GLOBAL_REACH)
        self.local_stream = Stream(0)
        self.noise_weight = nn.Parameter(torch.tensor(0.1))
        self.global_weight = nn.Parameter(torch.tensor(0.5))
        self.local_weight = nn.Parameter(torch.tensor(0.5))

    def forward(
        self, displacements: torch.Tensor, noise: torch.Tensor, occupied: torch.Tensor
    ) -> torch.Tensor:
        """(S, K, 24) predicted displacements, step-major.

        Args:
            displacements: (S, 1, 8, 2) observed displacements, zero where not occupied.
            noise: (S, K, 1, 2) noise, scaled for the zone.
            occupied: (S, 1, 1) 1 for an agent, 0 for a separator.
        """
        noisy = displacements + self.noise_weight * noise
        noisy = noisy.reshape(-1, noise.shape[1], N_OBSERVED * N_AXES) * occupied
        local = self.local_weight * self.local_stream(noisy, occupied)
        return self.global_weight * self.global_stream(noisy, occupied) + local


class SocialImplicit(nn.Module):
    """The whole model: 5,836 parameters.

    Attributes:
        noise_dimension: length of a noise vector; one is drawn per sample and scene.
    """

    noise_dimension = N_AXES

    def __init__(
        self, *, noise_weights: Sequence[float] = NOISE_WEIGHTS, zones_by_speed: bool = True
    ) -> None:
        """Creates the cells.

        Args:
            noise_weights: scale of the noise in each zone.
            zones_by_speed: choose zones by the maximum observed speed, as in the paper. False: as
                in the released code, which uses the first observed displacement; its loader sets
                that to zero, so that every agent is in zone 0.
        """
        super().__init__()
        self.zones_by_speed = zones_by_speed
        self.cells = nn.ModuleList(SocialCell() for _ in ZONE_BOUNDS_M)
        self.noise_weights = tuple(noise_weights)

    def forward(
        self,
        observed: torch.Tensor,
        mask: torch.Tensor,
        noise: torch.Tensor,
        scene: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(K, A, T, 2) predicted positions in metres relative to each agent's last position.

        Args:
            observed: (A, H, 2) positions in metres relative to each scene's centre, unknown
                leading steps extrapolated, see `models.features.ModelInput`.
            mask: (A, H) 1 where a step was observed; not used by the paper's model.
            noise: (K, D) standard normal noise of one scene, or (K, A, D), equal within a scene.
            scene: (A,) scene of each agent, ascending from 0; one scene if left out. Scenes do not
                affect each other.
        """
        del mask
        n_agents = len(observed)
        if scene is None:
            scene = torch.zeros(n_agents, dtype=torch.int64)
        if noise.ndim == 2:
            noise = noise[:, None].expand(-1, n_agents, -1)
        displacements = observed_displacements(observed)
        zones = self.zones(displacements)
        predicted = observed.new_zeros((n_agents, len(noise), N_PREDICTED * N_AXES))
        for zone, cell in enumerate(self.cells):
            agents = torch.nonzero(zones == zone).squeeze(1)
            if len(agents) > 0:
                zone_noise = self.noise_weights[zone] * noise[:, agents].transpose(0, 1)
                output = _predict_zone(cell, displacements[agents], zone_noise, scene[agents])
                predicted = predicted.index_copy(0, agents, output)
        steps = predicted.reshape(n_agents, len(noise), N_PREDICTED, N_AXES)
        return steps.cumsum(dim=2).transpose(0, 1)

    def zones(self, displacements: torch.Tensor) -> torch.Tensor:
        """(A,) int64 zone of each agent, 0 to 3, by (A, 8, 2) displacements in metres."""
        if not self.zones_by_speed:
            return torch.zeros(len(displacements), dtype=torch.int64)
        squared_speed = (displacements**2).sum(dim=2).amax(dim=1)
        squared_bounds = torch.tensor(ZONE_BOUNDS_M[1:]) ** 2
        return (squared_speed[:, None] >= squared_bounds).sum(dim=1)


def used_parameters(model: SocialImplicit) -> int:
    """Number of parameters that affect the output; without zones by speed, one cell's."""
    used = model if model.zones_by_speed else model.cells[0]
    return sum(parameter.numel() for parameter in used.parameters())


def observed_displacements(observed: torch.Tensor) -> torch.Tensor:
    """(A, H, 2) positions -> displacements, metres; the first is 0, as in the released loader."""
    return torch.cat([torch.zeros_like(observed[:, :1]), observed[:, 1:] - observed[:, :-1]], dim=1)


def _predict_zone(
    cell: nn.Module, displacements: torch.Tensor, noise: torch.Tensor, scene: torch.Tensor
) -> torch.Tensor:
    """(A, K, 24) displacements, step-major, of the agents of a zone, scene after scene on one axis.

    Takes their (A, 8, 2) observed displacements, (A, K, 2) noise, scaled for the zone, and (A,)
    scene, ascending.
    """
    slots = separated_slots(scene)
    n_slots = int(slots[-1]) + 1
    occupied = noise.new_zeros((n_slots, 1, 1)).index_fill(0, slots, 1.0)
    spread = noise.new_zeros((n_slots, 1, N_OBSERVED, N_AXES))
    spread = spread.index_copy(0, slots, displacements[:, None])
    spread_noise = noise.new_zeros((n_slots, noise.shape[1], N_AXES))
    spread_noise = spread_noise.index_copy(0, slots, noise)
    output: torch.Tensor = cell(spread, spread_noise[:, :, None], occupied)
    return output[slots]


def separated_slots(scene: torch.Tensor) -> torch.Tensor:
    """(A,) scene of each agent -> int64 slots from 0, with an empty one between two scenes."""
    changes = torch.cat([scene.new_zeros(1), (scene[1:] != scene[:-1]).to(scene.dtype)])
    return torch.arange(len(scene)) + changes.cumsum(dim=0)


def spatial_matrix(kernel: torch.Tensor) -> torch.Tensor:
    """(neighbours * 16, 16) of a (2, 2, taps over time, neighbours) kernel, time unrolled."""
    unrolled = torch.einsum("oidn,dts->ntiso", kernel, _taps(kernel, N_OBSERVED))
    return unrolled.reshape(-1, N_OBSERVED * N_AXES)


def temporal_matrix(kernel: torch.Tensor) -> torch.Tensor:
    """(neighbours * 16, 24) of a (12, 8, taps over x and y, neighbours) kernel, unrolled."""
    unrolled = torch.einsum("oidn,dts->nitos", kernel, _taps(kernel, N_AXES))
    return unrolled.reshape(-1, N_PREDICTED * N_AXES)


def spatial_bias(convolution: nn.Conv2d) -> torch.Tensor:
    """(16,) bias of a spatial convolution, the same at every step."""
    assert convolution.bias is not None
    return convolution.bias.repeat(N_OBSERVED)


def temporal_bias(convolution: nn.Conv2d) -> torch.Tensor:
    """(24,) bias of a temporal convolution, the same for x and y."""
    assert convolution.bias is not None
    return convolution.bias.repeat_interleave(N_AXES)


def _taps(kernel: torch.Tensor, length: int) -> torch.Tensor:
    """(taps, length, length) 1 where a tap connects an input to an output, zero-padded ends."""
    n_taps = kernel.shape[2]
    place = torch.arange(length)
    offset = torch.arange(n_taps) - n_taps // 2
    connected = place[None, :, None] == place[None, None, :] + offset[:, None, None]
    return connected.to(kernel.dtype)


def _beside(values: torch.Tensor, convolution: nn.Conv2d) -> torch.Tensor:
    """(S, K, F) -> (S, K, neighbours * F): each slot's neighbours, zero beyond the ends."""
    reach = convolution.weight.shape[3] // 2
    if reach == 0:
        return values
    padded = nn.functional.pad(values, (0, 0, 0, 0, reach, reach))
    n_slots = values.shape[0]
    return torch.cat([padded[shift : shift + n_slots] for shift in range(2 * reach + 1)], dim=-1)
