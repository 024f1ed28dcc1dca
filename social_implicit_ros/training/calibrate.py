"""Computes a model's calibration on recordings outside its training data; numpy only."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from social_implicit_ros.metrics.mahalanobis import squared_mahalanobis
from social_implicit_ros.types import FloatArray, IntArray
from social_implicit_ros.uncertainty.calibration import Calibration, ObservedMotion, motion_weights
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES, GAUSSIAN_RADII

#: Grid points, m/s: standing, drifting, strolling, walking, walking fast.
SPEEDS_M_S = np.array([0.0, 0.15, 0.5, 1.0, 1.5])
#: Grid points of the jerk RMS, metres: manual annotation, tracker noise of 1.5 cm and of 5 cm.
JERK_RMS_M = np.array([0.03, 0.1, 0.3])
#: The confidence at which the Gaussian of the covariance alone has nominal coverage.
CONFIDENCE = 0.95
#: Minimum radius scale: where half of the agents do not move at all, the 50 % region has no size.
MIN_RADIUS_SCALE = 0.02
#: Mean Mahalanobis distance of a calibrated Gaussian in two dimensions.
CALIBRATED_DISTANCE = float(np.sqrt(np.pi / 2.0))
#: A grid point with fewer agents takes the factors of the nearest one with enough.
MIN_AGENTS = 30
#: Steps before and after each step that are pooled with it to reduce variance.
POOLED_STEPS = 1
#: Weight of the prior calibration at each grid point, in people. Without it, a few people who stand
#: still throughout would shrink the ellipses of all standing people to nothing.
PRIOR_PEOPLE = 20.0


@dataclass(frozen=True, eq=False)
class Residuals:
    """Prediction errors of A agents, with predicted covariances.

    Attributes:
        error: (A, T, 2) ground truth minus mean, metres.
        ellipse: (A, T, 2, 2) predicted covariance, square metres.
        samples: (A, T, 2, 2) covariance of the samples, square metres.
        motion: observed motion of the same agents.
    """

    error: FloatArray
    ellipse: FloatArray
    samples: FloatArray
    motion: ObservedMotion


def calibrate(residuals: Residuals) -> Calibration:
    """The factors that give a model's ellipses and samples nominal coverage."""
    zero = np.zeros_like(residuals.error)
    ellipse_2, _ = squared_mahalanobis(zero, residuals.ellipse, residuals.error)
    samples_2, _ = squared_mahalanobis(zero, residuals.samples, residuals.error)
    nearest = nearest_grid_points(residuals.motion)
    n_speeds, n_jerks = len(SPEEDS_M_S), len(JERK_RMS_M)
    n_agents = np.bincount(nearest, minlength=n_speeds * n_jerks)
    used = np.flatnonzero(n_agents >= min(MIN_AGENTS, int(n_agents.max())))
    indices = np.stack(np.divmod(np.arange(len(n_agents)), n_jerks), axis=-1)
    distance = np.abs(indices[:, None] - indices[used]).sum(axis=2)
    ellipse, samples, levels = [], [], []
    for source in used[distance.argmin(axis=1)]:
        found = _per_step(ellipse_2[nearest == source], radius_scales)
        widths = found[:, CONFIDENCES.index(CONFIDENCE)]
        ellipse.append(widths)
        levels.append(found / widths[:, None])
        samples.append(_per_step(samples_2[nearest == source], distance_factor))
    tables = (
        np.array(factors).reshape(n_speeds, n_jerks, *factors[0].shape)
        for factors in (ellipse, samples, levels)
    )
    return Calibration(SPEEDS_M_S, JERK_RMS_M, *tables)


def calibrate_from(prior: Calibration, residuals: Residuals, people: IntArray) -> Calibration:
    """The factors of few people, shrunk towards those of a prior calibration.

    The logarithms of the factors are averaged, weighted by the number of different people at a
    grid point, since windows of one person are correlated.

    Args:
        prior: the prior calibration.
        residuals: residuals of A agents.
        people: (A,) number of the person, equal for windows of the same person.
    """
    found = calibrate(residuals)
    nearest = nearest_grid_points(residuals.motion)
    shape = found.ellipse.shape[:2]
    n_people = np.array(
        [len(np.unique(people[nearest == point])) for point in range(math.prod(shape))]
    )
    share = (n_people / (n_people + PRIOR_PEOPLE)).reshape(shape)
    speeds_m_s, jerks_m = np.meshgrid(found.speeds_m_s, found.roughnesses_m, indexing="ij")
    grid = ObservedMotion(speeds_m_s.ravel(), jerks_m.ravel())

    def between(before: FloatArray, now: FloatArray) -> FloatArray:
        """before^(1 - share) * now^share."""
        weights = share.reshape(*shape, *(1,) * (now.ndim - 2))
        return np.asarray(before.reshape(now.shape) ** (1.0 - weights) * now**weights)

    return replace(
        found,
        ellipse=between(prior.ellipse_factors(grid), found.ellipse),
        samples=between(prior.sample_factors(grid), found.samples),
        levels=between(prior.level_factors(grid), found.levels),
    )


def nearest_grid_points(motion: ObservedMotion) -> IntArray:
    """(A,) flat index of the grid point with the largest weight for each agent."""
    weights = motion_weights(motion, SPEEDS_M_S, JERK_RMS_M)
    return np.asarray(weights.reshape(len(weights), -1).argmax(axis=1))


def distance_factor(distance_2: FloatArray) -> float:
    """The factor on a covariance's radii that gives the mean distance of a calibrated Gaussian."""
    return float(np.sqrt(distance_2).mean() / CALIBRATED_DISTANCE)


def radius_scales(distance_2: FloatArray) -> FloatArray:
    """(L,) the radius scale of each of `CONFIDENCES` that gives squared distances nominal coverage.

    Source: split conformal prediction (Vovk et al., 2005) with the Mahalanobis distance as score.
    """
    radii = np.sqrt(np.quantile(distance_2, CONFIDENCES, method="higher"))
    return np.maximum(radii / GAUSSIAN_RADII, MIN_RADIUS_SCALE)


def _per_step(
    distance_2: FloatArray, value: Callable[[FloatArray], FloatArray | float]
) -> FloatArray:
    """(T, ...) the value at every step, computed on it and the pooled steps."""
    n_steps = distance_2.shape[1]
    return np.array(
        [
            value(distance_2[:, max(0, step - POOLED_STEPS) : step + POOLED_STEPS + 1])
            for step in range(n_steps)
        ]
    )
