"""From samples to mean, covariance and ellipse."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.core.types import FloatArray


def sample_moments(samples: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance over the samples.

    Args:
        samples: (K, A, T, 2) positions in metres.

    Returns:
        (A, T, 2) mean in metres and (A, T, 2, 2) covariance in square metres, normalised by K.
    """
    mean = samples.mean(axis=0)
    dx, dy = np.moveaxis(samples - mean, -1, 0)
    xx, xy, yy = (dx * dx).mean(axis=0), (dx * dy).mean(axis=0), (dy * dy).mean(axis=0)
    covariance = np.stack([xx, xy, xy, yy], axis=-1).reshape(*mean.shape, 2)
    return mean, covariance


def confidence_to_sigmas(confidence: float) -> float:
    """The Mahalanobis radius that holds the share `confidence` of a 2-D Gaussian.

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
    # Rounding may push a rank-one covariance a little below zero.
    minor = np.sqrt(np.maximum(half_trace - spread, 0.0))
    yaw = 0.5 * np.arctan2(2.0 * xy, xx - yy)
    return major, minor, yaw
