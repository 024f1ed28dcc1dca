"""Finds the calibration of a model on recordings that it was not trained on; numpy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from social_implicit_ros.core.metrics.calibration import squared_mahalanobis
from social_implicit_ros.core.types import FloatArray
from social_implicit_ros.core.uncertainty import CONFIDENCES, Calibration, speed_weights

#: Knots, m/s: standing, drifting, strolling, walking, walking fast.
SPEEDS_M_S = (0.0, 0.15, 0.5, 1.0, 1.5)
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
    ellipse, samples, levels = [], [], []
    for knot in range(len(SPEEDS_M_S)):
        source = min(used, key=lambda other: abs(other - knot))
        agents = nearest == source
        found = np.array(_per_step(ellipse_2[agents], level_factors))
        widths = found[:, CONFIDENCES.index(CONFIDENCE)]
        ellipse.append(_rounded(widths))
        levels.append(tuple(map(_rounded, found / widths[:, None])))
        samples.append(_rounded(np.array(_per_step(samples_2[agents], distance_factor))))
    return Calibration(SPEEDS_M_S, tuple(ellipse), tuple(samples), tuple(levels))


def distance_factor(distance_2: FloatArray) -> float:
    """The factor that gives the truth the mean distance of an honest Gaussian."""
    return float(np.sqrt(distance_2).mean() / HONEST_DISTANCE)


def level_factors(distance_2: FloatArray) -> FloatArray:
    """(L,) the factor of each confidence in `CONFIDENCES` whose ellipse holds its share.

    Source: split conformal prediction (Vovk et al., 2005) with the Mahalanobis distance as score.

    Args:
        distance_2: any shape, squared Mahalanobis distances of the truth.
    """
    gaussian = np.sqrt(-2.0 * np.log1p(-np.array(CONFIDENCES)))
    radii = np.sqrt(np.quantile(distance_2, CONFIDENCES, method="higher"))
    return np.maximum(radii / gaussian, LEAST_LEVEL_FACTOR)


_Value = TypeVar("_Value")


def _per_step(distance_2: FloatArray, value: Callable[[FloatArray], _Value]) -> list[_Value]:
    n_steps = distance_2.shape[1]
    return [
        value(distance_2[:, max(0, step - STEPS_BESIDE) : step + STEPS_BESIDE + 1])
        for step in range(n_steps)
    ]


def _rounded(factors: FloatArray) -> tuple[float, ...]:
    return tuple(factors.round(4).tolist())
