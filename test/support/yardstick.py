"""The paper's model as its authors run it, the reference of the speed benchmark.

Plain convolutions in float64; noise is drawn in the forward pass; the cells of the zones that are
not empty run one after another. Nothing is precomputed, cached or omitted, and nothing is slowed
down.
"""

from __future__ import annotations

import torch
from support.released_cells import Weights
from torch import nn

#: Lower bounds of the zones, metres per step, and the scale of the noise in each.
ZONE_BOUNDS_M = (0.0, 0.01, 0.1, 1.2)
NOISE_WEIGHTS = (0.05, 1.0, 4.0, 8.0)


class PlainSocialImplicit(nn.Module):
    """Social-Implicit with zones by the maximum observed speed, as the paper says."""

    def __init__(self, weights: Weights) -> None:
        """Takes weights with the released names (see `released_cells`)."""
        super().__init__()
        self.bounds = torch.tensor(ZONE_BOUNDS_M, dtype=torch.float64)
        self.implicit_cells = nn.ModuleList(_Cell() for _ in ZONE_BOUNDS_M)
        self.normal = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
        self.double()
        self.load_state_dict(weights)

    def forward(self, displacements: torch.Tensor, n_samples: int) -> torch.Tensor:
        """Predicts displacements.

        Args:
            displacements: (1, 2, 8, A) observed, float64, metres per step.
            n_samples: samples to draw (K).

        Returns:
            (K, 2, 12, A) metres per step.
        """
        noise = self.normal.sample((n_samples,)).double()[..., None, None]
        return self.predict(displacements, noise)

    def predict(self, displacements: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """As `forward`, with (K, 2, 1, 1) noise that is given."""
        fastest = torch.linalg.norm(displacements[0], dim=0).amax(dim=0)
        zones = torch.bucketize(fastest, self.bounds, right=True) - 1
        predicted = displacements.new_zeros((len(noise), 2, 12, displacements.shape[-1]))
        for zone, cell in enumerate(self.implicit_cells):
            here = zones == zone
            if torch.any(here):
                scaled = NOISE_WEIGHTS[zone] * noise
                predicted[..., here] = cell(displacements[..., here].contiguous(), scaled)
        return predicted


class _Cell(nn.Module):
    """The global stream, which convolves over time and agents, and the local one, over time."""

    def __init__(self) -> None:
        super().__init__()
        self.noise_w, self.global_w, self.local_w = (nn.Parameter(torch.zeros(1)) for _ in range(3))
        for name, layer in _layers(nn.Conv2d).items():
            self.add_module(name, layer)
        self.ped = nn.ModuleDict(_layers(nn.Conv1d))

    def forward(self, displacements: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        noisy = displacements + self.noise_w * noise  # (K, xy, time, agents)
        n_samples, _, _, n_agents = noisy.shape
        alone = noisy.permute(0, 3, 1, 2).reshape(n_samples * n_agents, 2, 8)
        alone = _stream(self.ped._modules, alone)
        alone = alone.reshape(n_samples, n_agents, 2, 12).permute(0, 2, 3, 1)
        return self.global_w * _stream(self._modules, noisy) + self.local_w * alone


def _layers(convolution: type[nn.Module]) -> dict[str, nn.Module]:
    return {
        "feat": convolution(2, 2, 3, padding=1),
        "highway_input": convolution(2, 2, 1),
        "tpcnn": convolution(8, 12, 3, padding=1),
        "highway": convolution(8, 12, 1),
    }


def _stream(layers: dict[str, nn.Module | None], values: torch.Tensor) -> torch.Tensor:
    """(N, xy, 8, ...) -> (N, xy, 12, ...)."""
    values = torch.relu(layers["feat"](values)) + layers["highway_input"](values)
    values = values.transpose(1, 2)  # time in the place of the channels
    values = layers["tpcnn"](values) + layers["highway"](values)
    return values.transpose(1, 2)
