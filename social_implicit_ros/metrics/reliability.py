"""Coverage and reliability: is the ground truth in the ellipse of confidence c with frequency c?

The confidence level of a position is the confidence of the smallest ellipse that covers it. For a
calibrated prediction it is uniform in 0..1. All metrics here are computed from these levels.
"""

from __future__ import annotations

import numpy as np

from social_implicit_ros.metrics.mahalanobis import squared_mahalanobis
from social_implicit_ros.types import FloatArray, Prediction, require_shape
from social_implicit_ros.uncertainty.ellipses import gaussian_distance

#: Confidences of the reliability curve: 0.01 to 0.99.
CONFIDENCE_GRID: tuple[float, ...] = tuple(i / 100 for i in range(1, 100))


def confidence_levels(
    mean: FloatArray,
    covariance: FloatArray,
    ground_truth: FloatArray,
    radius_scales: FloatArray | None = None,
) -> FloatArray:
    """Confidence of the smallest ellipse that covers each ground-truth position.

    Source: the chi-square distribution with two degrees of freedom, 1 - exp(-d^2 / 2).

    Args:
        mean: (..., 2) mean positions in metres.
        covariance: (..., 2, 2) in square metres.
        ground_truth: (..., 2) positions in metres.
        radius_scales: (..., L) of the prediction; None for Gaussian ellipses.

    Returns:
        (...,) in 0..1; 1 where a singular covariance does not cover the ground truth; NaN where an
        input is not finite.
    """
    distance_2, _ = squared_mahalanobis(mean, covariance, ground_truth)
    if radius_scales is not None:
        distance_2 = gaussian_distance(np.sqrt(distance_2), radius_scales) ** 2
    return -np.expm1(-0.5 * distance_2)


def ground_truth_levels(prediction: Prediction, ground_truth: FloatArray) -> FloatArray:
    """(A, T) `confidence_levels` of (A, T, 2) positions, metres, in the ellipses predicted."""
    return confidence_levels(
        prediction.mean, prediction.covariance, ground_truth, prediction.radius_scales
    )


def coverage(levels: FloatArray, confidence: float) -> float:
    """Fraction of `confidence_levels` inside the ellipse of a confidence; NaN counts as outside.

    Raises:
        ValueError: confidence outside (0, 1).
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}, expected a value in (0, 1)")
    return float(np.mean(levels <= confidence)) if levels.size else float("nan")


def reliability_curve(levels: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The reliability diagram of `confidence_levels` of any shape; NaN counts as outside.

    Returns:
        (99,) confidences 0.01 to 0.99 and (99,) fractions f(c) of ground-truth positions inside.
    """
    confidence = np.array(CONFIDENCE_GRID)
    if levels.size == 0:
        return confidence, np.full(confidence.shape, np.nan)
    ordered = np.sort(levels, axis=None)  # NaN last, so beyond every confidence
    return confidence, np.searchsorted(ordered, confidence, side="right") / ordered.size


def reliability_scores(levels: FloatArray) -> tuple[float, float]:
    """R_avg = 1 - mean |c - f(c)| and R_min = 1 - max |c - f(c)| over confidences and steps.

    Both are 1 if calibrated, and NaN if there are no (A, T) levels; a level of NaN counts as
    outside. Unlike in `pooled_reliability_scores`, too wide regions at one step do not compensate
    for too narrow ones at another.

    Source: Hetzel et al., arXiv 2410.06905; they ask R_avg >= 0.95 and R_min >= 0.90.
    """
    require_shape("metric", "levels", levels, ("A", "T"))
    return scores_of_curves(np.array([reliability_curve(step)[1] for step in levels.T]))


def pooled_reliability_scores(levels: FloatArray) -> tuple[float, float]:
    """As `reliability_scores`, but f(c) is the fraction over levels of any shape, not per step."""
    return scores_of_curves(reliability_curve(levels)[1])


def scores_of_curves(frequency: FloatArray) -> tuple[float, float]:
    """R_avg and R_min of (..., 99) fractions inside the region of each of `CONFIDENCE_GRID`."""
    gap = np.abs(frequency - np.array(CONFIDENCE_GRID))
    return float(1.0 - gap.mean()), float(1.0 - gap.max())
