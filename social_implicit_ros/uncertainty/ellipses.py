"""Converts samples to mean and covariance, and confidence levels to ellipses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from social_implicit_ros.types import FloatArray, Prediction

#: Confidence levels at which a prediction scales its ellipses.
CONFIDENCES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
#: (L,) their Mahalanobis radii for a Gaussian: the chi distribution with two degrees of freedom.
GAUSSIAN_RADII: FloatArray = np.sqrt(-2.0 * np.log1p(-np.array(CONFIDENCES)))
#: (L + 2,) the same, with 0 before and a radius beyond all observations after them.
GAUSSIAN_GRID = np.array([0.0, *GAUSSIAN_RADII, 10.0])
#: (L + 2,) index of the confidence level whose factor applies at each grid point.
_LEVEL_OF_GRID = np.array([0, *range(len(CONFIDENCES)), len(CONFIDENCES) - 1])
#: Makes radii strictly ascending, so that every distance has one confidence level.
_ASCENDING: FloatArray = 1.0 + 1e-9 * np.arange(len(GAUSSIAN_GRID), dtype=np.float64)


def sample_moments(samples: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance over the samples.

    Args:
        samples: (K, A, T, 2) positions in metres.

    Returns:
        (A, T, 2) mean in metres and (A, T, 2, 2) covariance in square metres, normalised by K.
    """
    n_samples, *shape = samples.shape
    # A product with ones is several times faster than the sum of numpy.
    ones = np.ones(n_samples)
    flat = samples.reshape(n_samples, -1)
    mean = ones @ flat / n_samples
    deviation = flat - mean
    product = deviation[:, ::2] * deviation[:, 1::2]
    deviation *= deviation
    covariance = np.empty((mean.size // 2, 4))
    covariance[:, 1] = covariance[:, 2] = ones @ product
    covariance[:, ::3] = (ones @ deviation).reshape(-1, 2)
    covariance /= n_samples
    return mean.reshape(shape), covariance.reshape(*shape, 2)


def confidence_to_sigmas(confidence: float) -> float:
    """Mahalanobis radius of the ellipse that contains the fraction `confidence` of a 2-D Gaussian.

    Source: the chi-square distribution with two degrees of freedom, whose quantile is
    -2 ln(1 - confidence).

    Raises:
        ValueError: confidence outside (0, 1).
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}, expected a value in (0, 1)")
    return float(np.sqrt(-2.0 * np.log1p(-confidence)))


def ellipse_axes(covariance: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """One-sigma semi-axes and orientation of 2-D covariances.

    Args:
        covariance: (..., 2, 2) in square metres, symmetric.

    Returns:
        (...,) major semi-axis in metres, (...,) minor semi-axis in metres and (...,) yaw of the
        major axis in radians, in (-pi/2, pi/2].
    """
    xx, xy, yy = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    half_trace = 0.5 * (xx + yy)
    spread = np.hypot(0.5 * (xx - yy), xy)
    major = np.sqrt(np.maximum(half_trace + spread, 0.0))
    # Rounding may make an eigenvalue of a rank-one covariance negative.
    minor = np.sqrt(np.maximum(half_trace - spread, 0.0))
    yaw = 0.5 * np.arctan2(2.0 * xy, xx - yy)
    return major, minor, yaw


def circle_radius_m(covariance: FloatArray) -> FloatArray:
    """(...,) radius, metres, of the circle with the area of the 1-sigma ellipse of covariances."""
    determinant = covariance[..., 0, 0] * covariance[..., 1, 1] - covariance[..., 0, 1] ** 2
    return np.sqrt(np.sqrt(np.maximum(determinant, 0.0)))


def radius_at(prediction: Prediction, confidence: float) -> FloatArray:
    """Mahalanobis radius of the ellipse that covers the ground truth at a confidence level.

    Args:
        prediction: prediction of A agents and T steps.
        confidence: confidence level in (0, 1).

    Returns:
        (A, T) in standard deviations of the prediction's covariance.

    Raises:
        ValueError: confidence outside (0, 1).
    """
    radii: FloatArray = radii_at(prediction, (confidence,))[..., 0]
    return radii


def radii_at(prediction: Prediction, confidences: tuple[float, ...]) -> FloatArray:
    """As `radius_at`, for several confidence levels.

    Args:
        prediction: prediction of A agents and T steps.
        confidences: C of them, in (0, 1).

    Returns:
        (A, T, C) in standard deviations of the prediction's covariance.

    Raises:
        ValueError: a confidence outside (0, 1).
    """
    if prediction.radius_scales is None:
        gaussian = np.array([confidence_to_sigmas(confidence) for confidence in confidences])
        return np.broadcast_to(gaussian, (*prediction.mean.shape[:2], len(gaussian)))
    radii: FloatArray = _radii(prediction.radius_scales).T @ _weights_at(confidences)
    return radii.reshape(*prediction.mean.shape[:2], len(confidences))


@lru_cache(maxsize=16)
def _weights_at(confidences: tuple[float, ...]) -> FloatArray:
    """(L + 2, C) interpolation weights from the columns of `_radii` to confidences, read-only."""
    gaussian = np.array([confidence_to_sigmas(confidence) for confidence in confidences])
    unit_vectors = np.eye(len(GAUSSIAN_GRID))
    weights = np.array([np.interp(gaussian, GAUSSIAN_GRID, unit) for unit in unit_vectors])
    weights.flags.writeable = False
    return weights


def joined_scales(
    predictions: Sequence[Prediction],
    join: Callable[[Sequence[FloatArray]], FloatArray] = np.concatenate,
) -> FloatArray | None:
    """The radius scales of several predictions, joined; None if any prediction has none."""
    known = [p.radius_scales for p in predictions if p.radius_scales is not None]
    return join(known) if len(known) == len(predictions) else None


def gaussian_distance(distance: FloatArray, radius_scales: FloatArray | None) -> FloatArray:
    """Mahalanobis distance that has the same confidence level in a Gaussian.

    The inverse of `radius_at`: the ellipse through a position at this distance has the confidence
    1 - exp(-d^2 / 2), where d is the returned value.

    Args:
        distance: (A, T) in standard deviations; NaN stays NaN.
        radius_scales: (A, T, L) of the prediction.
    """
    if radius_scales is None:
        return distance
    radii, flat = _radii(radius_scales), distance.ravel()
    low = np.minimum((flat >= radii).sum(axis=0), len(GAUSSIAN_GRID) - 1) - 1
    places = np.arange(len(flat))
    low_radius, high_radius = radii[low, places], radii[low + 1, places]
    width = np.diff(GAUSSIAN_GRID)[low]
    found = GAUSSIAN_GRID[low] + width * (flat - low_radius) / (high_radius - low_radius)
    return found.reshape(distance.shape)


def at_confidence(prediction: Prediction, confidence: float) -> Prediction:
    """Rescales covariances so that their Gaussian ellipse has nominal coverage at `confidence`.

    Args:
        prediction: prediction of A agents and T steps.
        confidence: confidence level in (0, 1).

    Raises:
        ValueError: confidence outside (0, 1).
    """
    sigmas = confidence_to_sigmas(confidence)
    if prediction.radius_scales is None:
        return prediction
    factor = radius_at(prediction, confidence) / sigmas
    return Prediction(
        prediction.samples,
        prediction.mean,
        prediction.covariance * (factor * factor)[..., None, None],
        prediction.step_s,
        prediction.radius_scales / factor[..., None],
        prediction.probabilities,
    )


def _radii(radius_scales: FloatArray) -> FloatArray:
    """(L + 2, N) Mahalanobis radii at the confidence levels of the Gaussian radii `GAUSSIAN_GRID`.

    Between two levels of `CONFIDENCES` a radius is linear in that of the Gaussian, below the first
    and beyond the last proportional to it. It never decreases with the confidence. N is the product
    of the axes of `radius_scales` but the last: numpy is slow along short last axes.
    """
    factors = radius_scales.reshape(-1, radius_scales.shape[-1]).T
    radii: FloatArray = factors.take(_LEVEL_OF_GRID, axis=0)
    radii *= GAUSSIAN_GRID[:, None]
    if (radii[1:] < radii[:-1]).any():  # rare, and accumulating is slow
        radii = np.maximum.accumulate(radii, axis=0)
    radii *= _ASCENDING[:, None]
    return radii
