"""Trains Social-Zone: the modes by IMLE, their mixture by maximum likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from social_implicit_ros.training.social_zone.model import (
    N_OBSERVED,
    Mixture,
    Neighbours,
    SocialZone,
    SocialZoneSizes,
    differences,
)
from social_implicit_ros.types import FloatArray

#: Neighbours per agent in training; more within the social range are very rare.
MAX_NEIGHBOURS = 12
#: Position of padding, beyond every social range, metres.
FAR_M = 1e4
#: Degrees of freedom of the Student distribution whose likelihood is maximised.
TAIL = 12.0


@dataclass(frozen=True)
class FitSettings:
    """Hyperparameters of the training.

    Attributes:
        iterations: optimiser steps.
        batch: agents per step.
        learning_rate: initial learning rate; it falls along a half cosine.
        likelihood_weight: weight of the likelihood relative to the IMLE terms.
        share_weight: weight of the likelihood of the nearest mode, likewise.
        final_weight: weight of the last position in IMLE relative to the whole trajectory.
        mirror: mirror half of the agents.
        speed_sigma: standard deviation of the logarithm of the factor on speeds.
        jitter_m: maximum standard deviation of the tracker noise added to half of the histories.
        correlation: maximum correlation of this noise from step to step (Ornstein-Uhlenbeck).
        grid_m: maximum resolution of the positions of `grid_share` of the histories.
        dropped_share: share of the positions that are interpolated, as if a tracker missed them.
        turn_share: share of the agents that walk a bend.
        turn_rad: minimum and maximum change of heading per step in a bend. Smaller changes also
            occur in straight walking, where a model must not extrapolate them.
        turn_steps: mean number of steps that a bend continues after the last observation.
        short_history_share: share of the agents with 2 to 7 known steps.
        softness_m: initial length scale of the weights by which modes other than the nearest are
            trained, too.
        softness_end_m: the same from 70 % of the iterations on.
        trust: see `SocialZone`; chosen by cross-validation over the training recordings.
        sharpness: factor on the logits of the modes after training. Likely modes are ordinary
            motions, so a factor above 1 moves the mean towards what most people do.
    """

    iterations: int = 6000
    batch: int = 512
    learning_rate: float = 6e-3
    likelihood_weight: float = 0.1
    share_weight: float = 0.05
    final_weight: float = 0.5
    mirror: bool = True
    speed_sigma: float = 0.2
    jitter_m: float = 0.1
    correlation: float = 0.6
    grid_m: float = 0.1
    grid_share: float = 0.05
    dropped_share: float = 0.02
    turn_share: float = 0.03
    turn_rad: tuple[float, float] = (0.08, 0.22)
    turn_steps: float = 8.0
    short_history_share: float = 0.3
    softness_m: float = 0.3
    softness_end_m: float = 0.02
    trust: float = 0.65
    sharpness: float = 1.0


@dataclass(frozen=True)
class Agents:
    """The agents of many scenes, to be drawn independently.

    Attributes:
        positions: (A, 20, 2) float32 metres relative to each scene's centre.
        others: (A, N, 2, 2) last two positions of the nearest other agents, padded far away.
    """

    positions: torch.Tensor
    others: torch.Tensor

    def __len__(self) -> int:
        """Number of agents."""
        return len(self.positions)

    def take(self, index: torch.Tensor) -> Agents:
        """The agents at an index."""
        return Agents(self.positions[index], self.others[index])

    @property
    def observed(self) -> torch.Tensor:
        """(A, 8, 2) positions in metres."""
        return self.positions[:, :N_OBSERVED]

    @property
    def future(self) -> torch.Tensor:
        """(A, 12, 2) positions relative to the last observed one, metres."""
        return self.positions[:, N_OBSERVED:] - self.positions[:, N_OBSERVED - 1 : N_OBSERVED]

    @property
    def neighbours(self) -> Neighbours:
        """Neighbours of each agent."""
        own = self.positions[:, None, N_OBSERVED - 1]
        velocity = own - self.positions[:, None, N_OBSERVED - 2]
        return Neighbours(
            self.others[:, :, 1] - own, self.others[:, :, 1] - self.others[:, :, 0] - velocity
        )


def agents_of_scenes(scenes: Sequence[FloatArray]) -> Agents:
    """Packs scenes of (A, 20, 2) positions in metres."""
    positions, others = [], []
    for scene in scenes:
        last = scene[:, N_OBSERVED - 1]
        centred = scene - last.mean(axis=0)
        distance = np.linalg.norm(last[:, None] - last, axis=-1)
        np.fill_diagonal(distance, np.inf)
        n_others = min(len(scene) - 1, MAX_NEIGHBOURS)
        nearest = np.argsort(distance, axis=1)[:, :n_others]
        nearby = np.full((len(scene), MAX_NEIGHBOURS, 2, 2), FAR_M)
        nearby[:, :n_others] = centred[nearest, N_OBSERVED - 2 : N_OBSERVED]
        positions.append(centred)
        others.append(nearby)
    return Agents(
        torch.from_numpy(np.concatenate(positions).astype(np.float32)),
        torch.from_numpy(np.concatenate(others).astype(np.float32)),
    )


def fit(
    agents: Agents,
    *,
    seed: int,
    settings: FitSettings | None = None,
    sizes: SocialZoneSizes | None = None,
) -> SocialZone:
    """Trains a model; the seed decides the initial values and all draws."""
    settings = settings or FitSettings()
    torch.manual_seed(seed)
    model = SocialZone(sizes)
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    for iteration in range(settings.iterations):
        progress = iteration / settings.iterations
        warm = min(1.0, (iteration + 1) / 100)
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * progress))
        batch = agents.take(torch.randint(len(agents), (settings.batch,)))
        batch, mask = augment(batch, settings)
        mixture = model(batch.observed, mask, batch.neighbours)
        softness = settings.softness_m * (1.0 - progress / 0.7)
        loss = training_loss(
            model, mixture, batch.future, settings, max(softness, settings.softness_end_m)
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    model.trust = settings.trust
    with torch.no_grad():
        for values in model.shares.parameters():
            values.mul_(settings.sharpness)
    return model.eval()


def training_loss(
    model: SocialZone,
    mixture: Mixture,
    future: torch.Tensor,
    settings: FitSettings,
    softness_m: float,
) -> torch.Tensor:
    """Weighted sum of the likelihoods and the IMLE terms of a batch."""
    return (
        settings.likelihood_weight * negative_log_likelihood(model, mixture, future)
        + settings.share_weight * share_loss(model, mixture, future)
        + nearest_future_loss(
            model, mixture, future, softness_m=softness_m, final_weight=settings.final_weight
        )
    )


def augment(batch: Agents, settings: FitSettings) -> tuple[Agents, torch.Tensor]:
    """Returns mirrored, faster or slower, noisy and shortened copies.

    Rotations are not needed: inputs are in the frame of each agent's heading.

    Returns:
        The agents, and the (A, 8) mask of their histories.
    """
    n_agents = len(batch)
    factor = torch.exp(settings.speed_sigma * torch.randn(n_agents, 1)).clamp(0.4, 2.2)
    side = torch.ones(n_agents, 1)
    if settings.mirror:
        side = torch.where(torch.rand(n_agents, 1) < 0.5, -1.0, 1.0)
    change = torch.cat([factor, factor * side], dim=1)
    positions = batch.positions * change[:, None]
    others = batch.others * change[:, None, None]
    positions = _with_bends(positions, settings)
    positions = torch.cat(
        [_as_tracked(positions[:, :N_OBSERVED], settings), positions[:, N_OBSERVED:]], dim=1
    )
    short = torch.rand(n_agents, 1) < settings.short_history_share
    n_known = torch.where(short, torch.randint(2, N_OBSERVED, (n_agents, 1)), N_OBSERVED)
    mask = (torch.arange(N_OBSERVED) >= N_OBSERVED - n_known).to(torch.float32)
    return Agents(positions, others), mask


def _as_tracked(observed: torch.Tensor, settings: FitSettings) -> torch.Tensor:
    """(A, 8, 2) positions as a tracker reports them: some noisy, on a grid, or interpolated."""
    n_agents = len(observed)
    noisy = torch.rand(n_agents, 1) < 0.5
    sigma_m = settings.jitter_m * torch.rand(n_agents, 1) * noisy
    correlation = settings.correlation * torch.rand(n_agents, 1)
    correlation = correlation * (torch.rand(n_agents, 1) < 0.25)
    noise = [torch.randn(n_agents, 2)]
    for _ in range(N_OBSERVED - 1):
        fresh = (1.0 - correlation**2).sqrt() * torch.randn(n_agents, 2)
        noise.append(correlation * noise[-1] + fresh)
    seen = observed + sigma_m[:, None] * torch.stack(noise, dim=1)
    on_grid = torch.rand(n_agents, 1, 1) < settings.grid_share
    resolution_m = (settings.grid_m * torch.rand(n_agents, 1, 1)).clamp_min(1e-3)
    seen = torch.where(on_grid, (seen / resolution_m).round() * resolution_m, seen)
    between = 0.5 * (seen[:, :-2] + seen[:, 2:])
    dropped = torch.rand(n_agents, N_OBSERVED - 2, 1) < settings.dropped_share
    middle = torch.where(dropped, between, seen[:, 1:-1])
    return torch.cat([seen[:, :1], middle, seen[:, -1:]], dim=1)


def _with_bends(positions: torch.Tensor, settings: FitSettings) -> torch.Tensor:
    """(A, 20, 2) positions; some agents turn steadily until some steps after the observation."""
    n_agents, n_steps, _ = positions.shape
    bends = (torch.rand(n_agents, 1) < settings.turn_share).to(torch.float32)
    low_rad, high_rad = settings.turn_rad
    rate_rad = low_rad + (high_rad - low_rad) * torch.rand(n_agents, 1)
    rate_rad = torch.where(torch.rand(n_agents, 1) < 0.5, -rate_rad, rate_rad) * bends
    lasting = -settings.turn_steps * torch.log(torch.rand(n_agents, 1).clamp_min(1e-6))
    step = torch.arange(1, n_steps, dtype=torch.float32) - (N_OBSERVED - 1)
    angle = rate_rad * torch.minimum(step.expand(n_agents, -1), lasting)
    cos, sin = angle.cos(), angle.sin()
    steps = differences(positions)
    x, y = steps.unbind(dim=-1)
    turned = torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1)
    # Turned about the last observed position, so that the relative positions of neighbours stay.
    path = torch.cat([torch.zeros(n_agents, 1, 2), turned.cumsum(dim=1)], dim=1)
    last = N_OBSERVED - 1
    return path - path[:, last : last + 1] + positions[:, last : last + 1]


def negative_log_likelihood(
    model: SocialZone, mixture: Mixture, future: torch.Tensor
) -> torch.Tensor:
    """Negative log-likelihood of Student distributions with the moments of the mixture.

    Sum for one distribution about the mean and one about the centre; mean over agents and steps, in
    units of the agent's frame. With Gaussians, the few people with errors of many sigmas would
    dominate the loss.
    """
    ground_truth = model.in_frame(future, mixture.frame)
    moments = model.moments(mixture)
    fixed = tuple(values.detach() for values in moments)
    return _student_loss(ground_truth - model.basis @ mixture.mean, moments) + _student_loss(
        ground_truth - model.basis @ mixture.centre, fixed
    )


def _student_loss(error: torch.Tensor, moments: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """The loss of (A, T, 2) errors with the (A, T) moments of `SocialZone.moments`."""
    x, y = error.unbind(dim=-1)
    xx, yy, xy = moments
    determinant = xx * yy - xy * xy
    distance_2 = (yy * x * x - 2 * xy * x * y + xx * y * y) / determinant
    return (
        math.log(2 * math.pi)
        + 0.5 * determinant.log()
        + (0.5 * TAIL + 1.0) * torch.log1p(distance_2 / TAIL)
    ).mean()


def nearest_future_loss(
    model: SocialZone,
    mixture: Mixture,
    future: torch.Tensor,
    *,
    softness_m: float,
    final_weight: float,
) -> torch.Tensor:
    """IMLE per agent: distance of the ground truth to the nearest mode.

    The whole trajectory (root mean square, computed from the coefficients) and the last position
    select their nearest mode independently, like ADE and FDE.

    Args:
        model: model of the mixture.
        mixture: mixture of a batch.
        future: (A, T, 2) ground truth relative to the last position, metres.
        softness_m: other modes are weighted by exp(-distance / softness), so that all are trained.
        final_weight: weight of the last position.
    """
    whole, final = _mode_errors_m(model, mixture, future)

    def nearest(distance: torch.Tensor) -> torch.Tensor:
        weight = torch.softmax(-distance.detach() / softness_m, dim=1)
        return (weight * distance).sum(dim=1).mean()

    return nearest(whole) + final_weight * nearest(final)


def share_loss(model: SocialZone, mixture: Mixture, future: torch.Tensor) -> torch.Tensor:
    """Negative log-probability of the mode nearest to the ground truth, by whole trajectories."""
    whole, _ = _mode_errors_m(model, mixture, future)
    return torch.nn.functional.cross_entropy(mixture.logits, whole.detach().argmin(dim=1))


def _mode_errors_m(
    model: SocialZone, mixture: Mixture, future: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(A, R) distances of the modes: root mean square over the steps, and at the last one."""
    ground_truth = model.coefficients(future, mixture.frame)[:, None]
    error = (mixture.representatives - ground_truth) * mixture.frame.scale[:, None, None, None]
    whole = (error.flatten(2) ** 2).sum(dim=-1).add(1e-6).sqrt()
    final = ((error * model.basis[-1][:, None]).sum(dim=2) ** 2).sum(dim=-1).add(1e-6).sqrt()
    return whole, final
