"""Training losses: nearest of K samples (IMLE), and Social-Loss.

Source: Mohamed et al., ECCV 2022, arXiv 2203.03057, sections 4.3 and 4.4. All terms compare
displacements per step and are averaged within a scene, then over the scenes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

#: Keeps the angle of a standing agent and its gradient finite, square metres.
_ANGLE_GUARD_M2 = 1e-6


#: Weights of the terms of the Social-Loss; the weight of the IMLE term is 1.
WEIGHTS = {"triplet": 1e-4, "distance": 1e-5, "angle": 1e-4}


def social_implicit_losses(
    predicted: torch.Tensor, future: torch.Tensor, scene: torch.Tensor
) -> dict[str, torch.Tensor]:
    """The terms of a batch of scenes, each a scalar.

    Args:
        predicted: (K, A, T, 2) metres relative to each agent's last position, K at least 2.
        future: (A, T, 2) ground truth, likewise.
        scene: (A,) scene of each agent, ascending from 0.

    Returns:
        `imle`, mean absolute error of the nearest sample, metres; `triplet`, distance of the
        nearest to the second sample minus to the farthest one, metres; `distance` and `angle`, mean
        absolute errors of those between agents, metres and radians.
    """
    rank = rank_samples(predicted, future, scene)
    ground_truth = displacements(future)
    agents = torch.arange(len(ground_truth))
    nearest, second, farthest = (
        displacements(predicted[rank[scene, place], agents]) for place in (0, 1, rank.shape[1] - 1)
    )

    def mean(values: torch.Tensor) -> torch.Tensor:
        return scene_mean(values.mean(dim=(1, 2))[:, None], scene).mean()

    first, other = agent_pairs(scene)

    def pairs(measure: Callable[..., torch.Tensor]) -> torch.Tensor:
        expected = measure(ground_truth, first, other)
        return _pair_mean(measure(nearest, first, other), expected, scene[first])

    return {
        "imle": mean((nearest - ground_truth).abs()),
        "triplet": mean((nearest - second).abs()) - mean((nearest - farthest).abs()),
        "distance": pairs(pair_distance),
        "angle": pairs(pair_angle),
    }


def total_loss(losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The weighted sum of the terms."""
    return sum((weight * losses[name] for name, weight in WEIGHTS.items()), losses["imle"])


@torch.no_grad()
def rank_samples(
    predicted: torch.Tensor, future: torch.Tensor, scene: torch.Tensor
) -> torch.Tensor:
    """(scenes, K) indices of the samples by mean absolute error, the nearest first."""
    error = (displacements(predicted) - displacements(future)).abs().mean(dim=(2, 3))
    return scene_mean(error.T, scene).argsort(dim=1)


def displacements(positions: torch.Tensor) -> torch.Tensor:
    """(..., T, 2) positions relative to the last observed one -> displacements per step."""
    return torch.diff(positions, dim=-2, prepend=torch.zeros_like(positions[..., :1, :]))


def scene_mean(values: torch.Tensor, scene: torch.Tensor) -> torch.Tensor:
    """(scenes, N) means over the agents of each scene of (A, N) values; `scene` (A,) ascends."""
    n_scenes = int(scene[-1]) + 1
    total = values.new_zeros((n_scenes, values.shape[1])).index_add(0, scene, values)
    return total / torch.bincount(scene, minlength=n_scenes)[:, None]


def agent_pairs(scene: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Every unordered pair of agents of one scene: two (P,) index tensors, the lower first."""
    sizes = torch.bincount(scene)
    starts = sizes.cumsum(0) - sizes
    pairs = [
        torch.triu_indices(int(size), int(size), offset=1) + start
        for size, start in zip(sizes, starts, strict=True)
    ]
    first, other = torch.cat(pairs, dim=1)
    return first, other


def pair_distance(steps: torch.Tensor, first: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(P, T) distances in metres between the (A, T, 2) displacements of pairs of agents."""
    difference = steps[first] - steps[other]
    return torch.sqrt((difference**2).sum(dim=-1) + _ANGLE_GUARD_M2)


def pair_angle(steps: torch.Tensor, first: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(P, T) unsigned angles in radians between the (A, T, 2) displacements of pairs of agents."""
    a, b = steps[first], steps[other]
    cross = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    dot = (a * b).sum(dim=-1)
    return torch.atan2(cross.abs(), dot + _ANGLE_GUARD_M2)


def _pair_mean(
    predicted: torch.Tensor, ground_truth: torch.Tensor, pair_scene: torch.Tensor
) -> torch.Tensor:
    if len(pair_scene) == 0:
        return predicted.new_zeros(())
    error = (predicted - ground_truth).abs().mean(dim=1, keepdim=True)
    _, dense = torch.unique_consecutive(pair_scene, return_inverse=True)
    return scene_mean(error, dense).mean()
