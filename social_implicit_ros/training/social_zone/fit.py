"""Trains Social-Zone: the distribution by likelihood, the modes by IMLE."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from social_implicit_ros.training.social_zone.model import (
    N_OBSERVED,
    VARIANCE_FLOOR,
    Forecast,
    Neighbours,
    SocialZone,
    SocialZoneSizes,
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
        final_weight: weight of the last position in IMLE relative to the whole trajectory.
        mirror: mirror half of the agents.
        speed_sigma: standard deviation of the logarithm of the factor on speeds.
        jitter_m: maximum standard deviation of the tracker noise added to half of the histories.
        short_history_share: share of the agents with 2 to 7 known steps.
        softness_m: initial distance over which other modes than the nearest are trained.
        softness_end_m: the same from 70 % of the steps on.
        trust: see `SocialZone`; chosen by cross-validation over the training recordings.
    """

    iterations: int = 3000
    batch: int = 256
    learning_rate: float = 6e-3
    likelihood_weight: float = 0.1
    final_weight: float = 0.5
    mirror: bool = True
    speed_sigma: float = 0.2
    jitter_m: float = 0.1
    short_history_share: float = 0.3
    softness_m: float = 0.3
    softness_end_m: float = 0.02
    trust: float = 0.5


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
        forecast = model(batch.observed, mask, batch.neighbours)
        softness = settings.softness_m * (1.0 - progress / 0.7)
        loss = settings.likelihood_weight * negative_log_likelihood(
            model, forecast, batch.future
        ) + nearest_future_loss(
            model,
            forecast,
            batch.future,
            softness_m=max(softness, settings.softness_end_m),
            final_weight=settings.final_weight,
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    model.trust = settings.trust
    return model.eval()


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
    noisy = torch.rand(n_agents, 1, 1) < 0.5
    sigma_m = settings.jitter_m * torch.rand(n_agents, 1, 1) * noisy
    noise_m = sigma_m * torch.randn(n_agents, N_OBSERVED, 2)
    positions = torch.cat([positions[:, :N_OBSERVED] + noise_m, positions[:, N_OBSERVED:]], dim=1)
    short = torch.rand(n_agents, 1) < settings.short_history_share
    n_known = torch.where(short, torch.randint(2, N_OBSERVED, (n_agents, 1)), N_OBSERVED)
    mask = (torch.arange(N_OBSERVED) >= N_OBSERVED - n_known).to(torch.float32)
    return Agents(positions, others), mask


def negative_log_likelihood(
    model: SocialZone, forecast: Forecast, future: torch.Tensor
) -> torch.Tensor:
    """Mean over agents and steps of a Student distribution's, in units of the agent's frame.

    With a Gaussian, the few people who do something unexpected, with errors of many sigmas, would
    dominate the loss.
    """
    ground_truth = model.in_frame(future, forecast.frame)
    x, y = (ground_truth - model.basis @ forecast.mean).unbind(dim=-1)
    rows = model.basis @ forecast.spread  # (A, S, T, 2)
    xx, yy = ((rows**2).sum(dim=1) + VARIANCE_FLOOR).unbind(dim=-1)
    xy = (rows[..., 0] * rows[..., 1]).sum(dim=1)
    determinant = xx * yy - xy * xy
    distance_2 = (yy * x * x - 2 * xy * x * y + xx * y * y) / determinant
    return (
        math.log(2 * math.pi)
        + 0.5 * determinant.log()
        + (0.5 * TAIL + 1.0) * torch.log1p(distance_2 / TAIL)
    ).mean()


def nearest_future_loss(
    model: SocialZone,
    forecast: Forecast,
    future: torch.Tensor,
    *,
    softness_m: float,
    final_weight: float,
) -> torch.Tensor:
    """IMLE per agent: distance of the ground truth to the nearest mode.

    The whole trajectory (root mean square, computed from the coefficients) and the last position
    select their nearest mode independently, like ADE and FDE.

    Args:
        model: model of the forecast.
        forecast: forecast of a batch.
        future: (A, T, 2) ground truth relative to the last position, metres.
        softness_m: other modes are weighted by exp(-distance / softness), so that all are trained.
        final_weight: weight of the last position.
    """
    ground_truth = model.coefficients(future, forecast.frame)[:, None]
    error = (forecast.representatives - ground_truth) * forecast.frame.scale[:, None, None, None]
    whole = (error.flatten(2) ** 2).sum(dim=-1).add(1e-6).sqrt()
    final = ((error * model.basis[-1][:, None]).sum(dim=2) ** 2).sum(dim=-1).add(1e-6).sqrt()

    def nearest(distance: torch.Tensor) -> torch.Tensor:
        weight = torch.softmax(-distance.detach() / softness_m, dim=1)
        return (weight * distance).sum(dim=1).mean()

    return nearest(whole) + final_weight * nearest(final)
