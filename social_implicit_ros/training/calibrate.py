"""Finds the calibration of a model on recordings that it was not trained on; numpy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from social_implicit_ros.core.metrics.calibration import (
    CONFIDENCE_GRID,
    reliability_curve,
    squared_mahalanobis,
)
from social_implicit_ros.core.types import FloatArray
from social_implicit_ros.core.uncertainty import Calibration, speed_weights

#: Knots, m/s: standing, drifting, strolling, walking, walking fast.
SPEEDS_M_S = (0.0, 0.15, 0.5, 1.0, 1.5)
#: Factors on a standard deviation that are tried.
FACTORS = tuple(np.exp(np.linspace(np.log(0.5), np.log(6.0), 60)))
#: How much an ellipse of 95 % that holds too little counts, beside the whole curve: a robot relies
#: on it more than on the others.
WEIGHT_95 = 0.25
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
        speed_m_s: (A,) observed speeds.
    """

    error: FloatArray
    ellipse: FloatArray
    samples: FloatArray
    speed_m_s: FloatArray


def calibrate(residuals: Residuals) -> Calibration:
    """The factors that make a model's ellipses and samples hold."""
    zero = np.zeros_like(residuals.error)
    ellipse_2, _ = squared_mahalanobis(zero, residuals.ellipse, residuals.error)
    samples_2, _ = squared_mahalanobis(zero, residuals.samples, residuals.error)
    weights = speed_weights(residuals.speed_m_s, SPEEDS_M_S)
    nearest = weights.argmax(axis=1)
    used = [knot for knot in range(len(SPEEDS_M_S)) if np.sum(nearest == knot) >= MIN_AGENTS] or [
        int(np.bincount(nearest).argmax())
    ]
    ellipse, samples = [], []
    for knot in range(len(SPEEDS_M_S)):
        source = min(used, key=lambda other: abs(other - knot))
        agents = nearest == source
        ellipse.append(_per_step(ellipse_2[agents], reliability_factor))
        samples.append(_per_step(samples_2[agents], distance_factor))
    return Calibration(SPEEDS_M_S, tuple(ellipse), tuple(samples))


def reliability_factor(distance_2: FloatArray) -> float:
    """The factor whose reliability curve is nearest to the diagonal.

    Args:
        distance_2: any shape, squared Mahalanobis distances of the truth.
    """
    confidence = np.array(CONFIDENCE_GRID)
    best, best_gap = 1.0, np.inf
    for factor in FACTORS:
        _, inside = reliability_curve(-np.expm1(-0.5 * distance_2 / factor**2))
        gap = np.abs(inside - confidence).mean() + WEIGHT_95 * max(0.0, 0.95 - inside[94])
        if gap < best_gap:
            best, best_gap = float(factor), gap
    return best


def distance_factor(distance_2: FloatArray) -> float:
    """The factor that gives the truth the mean distance of an honest Gaussian."""
    return float(np.sqrt(distance_2).mean() / HONEST_DISTANCE)


def _per_step(distance_2: FloatArray, factor: Callable[[FloatArray], float]) -> tuple[float, ...]:
    n_steps = distance_2.shape[1]
    return tuple(
        round(factor(distance_2[:, max(0, step - STEPS_BESIDE) : step + STEPS_BESIDE + 1]), 4)
        for step in range(n_steps)
    )
