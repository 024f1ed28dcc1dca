"""The squared Mahalanobis distance in the plane."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.types import FloatArray, require_shape


def squared_mahalanobis(
    mean: FloatArray, covariance: FloatArray, ground_truth: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Squared Mahalanobis distance of the ground truth, and ln det of the covariance.

    Args:
        mean: (..., 2) mean positions in metres.
        covariance: (..., 2, 2) in square metres, symmetric.
        ground_truth: (..., 2) positions in metres.

    Returns:
        (...,) squared distance, without unit, and (...,) ln det(covariance). Where the covariance
        is singular (all samples equal or on a line) the latter is -inf, and the distance is 0 for
        a ground truth that equals the mean, infinite for any other.
    """
    require_shape("metric", "covariance", covariance, (*ground_truth.shape[:-1], 2, 2))
    require_shape("metric", "mean", mean, ground_truth.shape)
    xx, xy, yy = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    dx, dy = np.moveaxis(ground_truth - mean, -1, 0)
    determinant = xx * yy - xy * xy
    # By rounding, the determinant of a rank-one matrix is about 1e-16 of its diagonal product.
    singular = determinant <= 1e-12 * xx * yy
    safe = np.where(singular, 1.0, determinant)
    distance_2 = (yy * dx * dx - 2.0 * xy * dx * dy + xx * dy * dy) / safe
    degenerate = np.where((dx == 0.0) & (dy == 0.0), 0.0, np.inf)
    distance_2 = np.where(singular, degenerate, np.maximum(distance_2, 0.0))
    log_determinant = np.where(singular, -np.inf, np.log(safe))
    return distance_2, log_determinant
