"""The released Social-Cell with plain convolutions, as a reference for tests."""

from __future__ import annotations

import torch
from torch.nn import functional

Weights = dict[str, torch.Tensor]


def random_checkpoint(seed: int = 0) -> Weights:
    """A state dict with the names and shapes of the released checkpoints."""
    shapes: dict[str, tuple[int, ...]] = {
        "noise_w": (1,),
        "global_w": (1,),
        "local_w": (1,),
        "feat": (2, 2, 3, 3),
        "highway_input": (2, 2, 1, 1),
        "highway": (12, 8, 1, 1),
        "tpcnn": (12, 8, 3, 3),
        "ped.feat": (2, 2, 3),
        "ped.highway_input": (2, 2, 1),
        "ped.highway": (12, 8, 1),
        "ped.tpcnn": (12, 8, 3),
    }
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return 0.3 * torch.randn(*shape, generator=generator, dtype=torch.float64)

    weights: Weights = {}
    for zone in range(4):
        for name, shape in shapes.items():
            key = f"implicit_cells.{zone}.{name}"
            if len(shape) == 1:
                weights[key] = draw(*shape)
            else:
                weights[f"{key}.weight"] = draw(*shape)
                weights[f"{key}.bias"] = draw(shape[0])
    return weights


def predict_cell(
    weights: Weights, zone: int, steps: torch.Tensor, noise: torch.Tensor, noise_weight: float
) -> torch.Tensor:
    """Predicts the agents of one zone.

    Args:
        weights: with released names.
        zone: number of the cell.
        steps: (A, 8, 2) observed displacements.
        noise: (K, 2).
        noise_weight: scale of the noise in this zone.

    Returns:
        (K, A, 12, 2) predicted displacements.
    """

    def get(name: str) -> torch.Tensor:
        return weights[f"implicit_cells.{zone}.{name}"].to(steps.dtype)

    def convolve(name: str, values: torch.Tensor) -> torch.Tensor:
        kernel = get(f"{name}.weight")
        operation = functional.conv2d if kernel.ndim == 4 else functional.conv1d
        return operation(values, kernel, get(f"{name}.bias"), padding=kernel.shape[2] // 2)

    noisy = steps + get("noise_w") * noise_weight * noise[:, None, None]  # (K, A, 8, 2)

    wide = noisy.permute(0, 3, 2, 1)  # (K, xy, time, agents)
    wide = torch.relu(convolve("feat", wide)) + convolve("highway_input", wide)
    wide = wide.transpose(1, 2)  # (K, time, xy, agents)
    wide = convolve("tpcnn", wide) + convolve("highway", wide)
    wide = wide.permute(0, 3, 1, 2)

    alone = noisy.flatten(0, 1).transpose(1, 2)  # (K * A, xy, time)
    alone = torch.relu(convolve("ped.feat", alone)) + convolve("ped.highway_input", alone)
    alone = alone.transpose(1, 2)  # (K * A, time, xy)
    alone = convolve("ped.tpcnn", alone) + convolve("ped.highway", alone)
    alone = alone.unflatten(0, noisy.shape[:2])

    return get("global_w") * wide + get("local_w") * alone
