"""What training minimises: the nearest of K samples (IMLE), and the Social-Loss.

Source: Mohamed et al., ECCV 2022, arXiv 2203.03057, sections 4.3 and 4.4. All terms compare
displacements per step; all are averaged within a scene, then over the scenes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

#: Keeps the angle of a standing agent, and its gradient, finite; square metres.
_ANGLE_GUARD_M2 = 1e-6


@dataclass(frozen=True)
class LossWeights:
    """Weights of the Social-Loss beside the IMLE term, whose weight is 1.

    Attributes:
        triplet: of the triplet term.
        distance: of the distances between agents.
        angle: of the angles between agents' displacements, per radian.
    """

    triplet: float = 1e-4
    distance: float = 1e-5
    angle: float = 1e-4


@dataclass(frozen=True)
class Losses:
    """The terms of one batch, each a scalar.

    Attributes:
        imle: mean absolute error of the nearest sample, metres.
        triplet: how much nearer the second sample is to the first than the farthest one, metres.
        distance: mean absolute error of the distances between agents, metres.
        angle: mean absolute error of the angles between agents, radians.
    """

    imle: torch.Tensor
    triplet: torch.Tensor
    distance: torch.Tensor
    angle: torch.Tensor

    def total(self, weights: LossWeights) -> torch.Tensor:
        """The weighted sum."""
        return (
            self.imle
            + weights.triplet * self.triplet
            + weights.distance * self.distance
            + weights.angle * self.angle
        )


def social_implicit_losses(
    predicted: torch.Tensor, future: torch.Tensor, scene: torch.Tensor
) -> Losses:
    """All terms for a batch of scenes.

    Args:
        predicted: (K, A, T, 2) predicted positions relative to each agent's last one, metres,
            K at least 2.
        future: (A, T, 2) what came to pass, likewise.
        scene: (A,) scene of each agent, ascending from 0.
    """
    rank = rank_samples(predicted, future, scene)
    truth = displacements(future)
    agents = torch.arange(len(truth))
    nearest, second, farthest = (
        displacements(predicted[rank[scene, place], agents]) for place in (0, 1, rank.shape[1] - 1)
    )

    def mean(values: torch.Tensor) -> torch.Tensor:
        return scene_mean(values.mean(dim=(1, 2))[:, None], scene).mean()

    first, other = agent_pairs(scene)
    pair_scene = scene[first]
    return Losses(
        imle=mean((nearest - truth).abs()),
        triplet=mean((nearest - second).abs()) - mean((nearest - farthest).abs()),
        distance=_pair_mean(
            pair_distance(nearest, first, other), pair_distance(truth, first, other), pair_scene
        ),
        angle=_pair_mean(
            pair_angle(nearest, first, other), pair_angle(truth, first, other), pair_scene
        ),
    )


@torch.no_grad()
def rank_samples(
    predicted: torch.Tensor, future: torch.Tensor, scene: torch.Tensor
) -> torch.Tensor:
    """Orders the samples of each scene by their mean absolute error, the nearest first.

    Args:
        predicted: (K, A, T, 2) predicted positions relative to each agent's last one, metres.
        future: (A, T, 2) what came to pass, likewise.
        scene: (A,) scene of each agent, ascending from 0.

    Returns:
        (scenes, K) samples.
    """
    error = (displacements(predicted) - displacements(future)).abs().mean(dim=(2, 3))
    return scene_mean(error.T, scene).argsort(dim=1)


def displacements(positions: torch.Tensor) -> torch.Tensor:
    """(..., T, 2) positions relative to the last observed one -> displacements per step."""
    return torch.diff(positions, dim=-2, prepend=torch.zeros_like(positions[..., :1, :]))


def scene_mean(values: torch.Tensor, scene: torch.Tensor) -> torch.Tensor:
    """Mean over the agents of each scene.

    Args:
        values: (A, N) values per agent.
        scene: (A,) scene of each agent, ascending from 0.

    Returns:
        (scenes, N).
    """
    n_scenes = int(scene[-1]) + 1
    total = values.new_zeros((n_scenes, values.shape[1])).index_add(0, scene, values)
    return total / torch.bincount(scene, minlength=n_scenes)[:, None]


def agent_pairs(scene: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Every unordered pair of agents that share a scene.

    Args:
        scene: (A,) scene of each agent, ascending from 0.

    Returns:
        Two (P,) index tensors, the first below the second.
    """
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
    predicted: torch.Tensor, truth: torch.Tensor, pair_scene: torch.Tensor
) -> torch.Tensor:
    if len(pair_scene) == 0:
        return predicted.new_zeros(())
    error = (predicted - truth).abs().mean(dim=1, keepdim=True)
    _, dense = torch.unique_consecutive(pair_scene, return_inverse=True)
    return scene_mean(error, dense).mean()
