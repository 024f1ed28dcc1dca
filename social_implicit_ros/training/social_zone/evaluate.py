"""Errors of Social-Zone, and the residuals for its calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from social_implicit_ros.recordings.text_formats.eth_ucy import STEP_S
from social_implicit_ros.training.calibrate import Residuals
from social_implicit_ros.training.social_zone.fit import Agents
from social_implicit_ros.training.social_zone.model import N_OBSERVED, VARIANCE_FLOOR, SocialZone
from social_implicit_ros.uncertainty.calibration import observed_motion

#: Standard deviations of the tracker noise in the calibration data, metres.
TRACKER_NOISES_M = (0.0, 0.005, 0.01, 0.02, 0.05)


@dataclass(frozen=True)
class Accuracy:
    """Errors averaged over agents, metres: of the nearest mode, and of the mean trajectory."""

    ade_m: float
    fde_m: float
    mean_ade_m: float
    mean_fde_m: float


@torch.no_grad()
def accuracy(model: SocialZone, agents: Agents) -> Accuracy:
    """Computes errors with full histories."""
    mixture = model(agents.observed, torch.ones(len(agents), N_OBSERVED), agents.neighbours)
    futures = model.paths(mixture.representatives, mixture.frame)  # (A, R, T, 2)
    errors = (futures - agents.future[:, None]).norm(dim=-1)
    mean = (model.paths(mixture.mean, mixture.frame) - agents.future).norm(dim=-1)
    nearest = errors.mean(dim=2).amin(dim=1), errors[..., -1].amin(dim=1)
    return Accuracy(*(round(float(value.mean()), 4) for value in (*nearest, mean, mean[:, -1])))


def with_tracker_noise(agents: Agents, seed: int) -> Agents:
    """Copies of the agents with each of `TRACKER_NOISES_M` on histories; futures are unchanged."""
    generator = torch.Generator().manual_seed(seed)
    positions, others = [], []
    for sigma_m in TRACKER_NOISES_M:
        noisy = agents.positions.clone()
        noisy[:, :N_OBSERVED] += sigma_m * torch.randn(agents.observed.shape, generator=generator)
        positions.append(noisy)
        noise_m = sigma_m * torch.randn(agents.others.shape, generator=generator)
        others.append(agents.others + noise_m)
    return Agents(torch.cat(positions), torch.cat(others))


@torch.no_grad()
def residuals(model: SocialZone, agents: Agents) -> Residuals:
    """Errors of the mean, with the covariances of the distribution."""
    mask = torch.ones(len(agents), N_OBSERVED)
    mixture = model(agents.observed, mask, agents.neighbours)
    error = agents.future - model.paths(mixture.mean, mixture.frame)
    rows = torch.cat(
        [mixture.probabilities.sqrt()[..., None, None] * mixture.around, mixture.spread], dim=1
    )
    paths = model.paths(rows, mixture.frame).double().numpy()  # (A, R + S, T, 2)
    covariance = np.einsum("astx,asty->atxy", paths, paths)
    scale_m = mixture.frame.scale.double().numpy()
    covariance += VARIANCE_FLOOR * scale_m[:, None, None, None] ** 2 * np.eye(2)
    motion = observed_motion(agents.observed.numpy(), mask.numpy(), STEP_S)
    return Residuals(error.double().numpy(), covariance, motion, np.ones(len(agents)))
