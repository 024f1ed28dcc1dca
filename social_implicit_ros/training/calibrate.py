"""Finds the calibration of a model on recordings that it was not trained on; numpy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from social_implicit_ros.metrics.reliability import squared_mahalanobis
from social_implicit_ros.types import FloatArray, IntArray
from social_implicit_ros.uncertainty.ellipses import (
    CONFIDENCES,
    GAUSSIAN_RADII,
    Calibration,
    ObservedMotion,
    motion_weights,
)

#: Knots, m/s: standing, drifting, strolling, walking, walking fast.
SPEEDS_M_S = np.array([0.0, 0.15, 0.5, 1.0, 1.5])
#: Knots, metres: drawn by hand, a good tracker (1.5 cm), a poor one (5 cm).
ROUGHNESSES_M = np.array([0.03, 0.1, 0.3])
#: The confidence at which the covariance alone is true: the one that planners look at.
CONFIDENCE = 0.95
#: The least factor on the ellipse of a confidence: where half of the people do not move at all,
#: their share fits into an ellipse of no size.
LEAST_LEVEL_FACTOR = 0.02
#: Mean Mahalanobis distance of an honest Gaussian in two dimensions.
HONEST_DISTANCE = float(np.sqrt(np.pi / 2.0))
#: A knot needs this many agents; below, it takes its neighbour's factors.
MIN_AGENTS = 30
#: Steps before and after that are looked at together, so that factors do not follow chance.
STEPS_BESIDE = 1


@dataclass(frozen=True, eq=False)
class Residuals:
    """What a model predicted, and what came to pass.

    Attributes:
        error: (A, T, 2) truth minus mean, metres.
        ellipse: (A, T, 2, 2) covariance, square metres.
        samples: (A, T, 2, 2) covariance of the samples, square metres.
        motion: observed, of the same agents.
    """

    error: FloatArray
    ellipse: FloatArray
    samples: FloatArray
    motion: ObservedMotion


def calibrate(residuals: Residuals) -> Calibration:
    """The factors that make a model's ellipses and samples hold."""
    zero = np.zeros_like(residuals.error)
    ellipse_2, _ = squared_mahalanobis(zero, residuals.ellipse, residuals.error)
    samples_2, _ = squared_mahalanobis(zero, residuals.samples, residuals.error)
    nearest = nearest_knots(residuals.motion)
    n_speeds, n_roughnesses = len(SPEEDS_M_S), len(ROUGHNESSES_M)
    n_agents = np.bincount(nearest, minlength=n_speeds * n_roughnesses)
    used = np.flatnonzero(n_agents >= min(MIN_AGENTS, int(n_agents.max())))
    places = np.stack(np.divmod(np.arange(len(n_agents)), n_roughnesses), axis=-1)
    apart = np.abs(places[:, None] - places[used]).sum(axis=2)
    ellipse, samples, levels = [], [], []
    for source in used[apart.argmin(axis=1)]:
        found = _per_step(ellipse_2[nearest == source], level_factors)
        widths = found[:, CONFIDENCES.index(CONFIDENCE)]
        ellipse.append(widths)
        levels.append(found / widths[:, None])
        samples.append(_per_step(samples_2[nearest == source], distance_factor))
    tables = (
        np.array(factors).reshape(n_speeds, n_roughnesses, *factors[0].shape)
        for factors in (ellipse, samples, levels)
    )
    return Calibration(SPEEDS_M_S, ROUGHNESSES_M, *tables)


def nearest_knots(motion: ObservedMotion) -> IntArray:
    """(A,) the knot that counts most for each agent, numbered speed by speed."""
    weights = motion_weights(motion, SPEEDS_M_S, ROUGHNESSES_M)
    return np.asarray(weights.reshape(len(weights), -1).argmax(axis=1))


def distance_factor(distance_2: FloatArray) -> float:
    """The factor that gives the truth the mean distance of an honest Gaussian."""
    return float(np.sqrt(distance_2).mean() / HONEST_DISTANCE)


def level_factors(distance_2: FloatArray) -> FloatArray:
    """(L,) the factor of each confidence in `CONFIDENCES` whose ellipse holds its share.

    Source: split conformal prediction (Vovk et al., 2005) with the Mahalanobis distance as score.

    Args:
        distance_2: any shape, squared Mahalanobis distances of the truth.
    """
    radii = np.sqrt(np.quantile(distance_2, CONFIDENCES, method="higher"))
    return np.maximum(radii / GAUSSIAN_RADII, LEAST_LEVEL_FACTOR)


def _per_step(
    distance_2: FloatArray, value: Callable[[FloatArray], FloatArray | float]
) -> FloatArray:
    """(T, ...) the value at every step, found on it and those beside it."""
    n_steps = distance_2.shape[1]
    return np.array(
        [
            value(distance_2[:, max(0, step - STEPS_BESIDE) : step + STEPS_BESIDE + 1])
            for step in range(n_steps)
        ]
    )
