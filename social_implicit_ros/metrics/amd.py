"""AMD and AMV: distance of the ground truth from the predicted distribution, and its spread.

Source: Mohamed et al., "Social-Implicit", ECCV 2022, section 3, with the mixture distance of
Tipping, "Deriving cluster analytic distance functions from Gaussian mixture models", ICANN 1999.

AMD is not "lower is better": a calibrated Gaussian has a mean distance of sqrt(pi / 2) = 1.253.
Below it the prediction is too wide, above it too narrow; among calibrated ones, AMV is sharpness.
"""

from __future__ import annotations

import numpy as np

from social_implicit_ros.metrics.displacement import require_samples
from social_implicit_ros.metrics.gaussian_mixture import (
    MAX_COMPONENTS,
    REGULARISATION_M2,
    GaussianMixtures,
    fit_mixtures,
)
from social_implicit_ros.types import BoolArray, FloatArray, require_shape
from social_implicit_ros.uncertainty.ellipses import ellipse_axes, sample_moments


def mahalanobis_distances(
    samples: FloatArray, ground_truth: FloatArray, *, max_components: int = MAX_COMPONENTS
) -> tuple[FloatArray, BoolArray]:
    """Distance of the ground truth from the mixture of the samples of each agent at each step.

    The mean over agents and steps is the AMD of a scene, the mean over scenes that of a benchmark.

    Args:
        samples: (K, A, T, 2) positions in metres.
        ground_truth: (A, T, 2) positions in metres.
        max_components: maximum number of components of a mixture, which BIC chooses.

    Returns:
        (A, T) distances without unit, and (A, T) where they are undefined, see `mixture_distances`.
        If all samples coincide, the mixture is a Gaussian with the standard deviation of the
        regularisation, 1 mm, so that the distance is in millimetres.
    """
    require_samples(samples, ground_truth)
    mixtures = fit_sample_mixtures(samples, max_components=max_components)
    values, undefined = mixture_distances(mixtures, ground_truth.reshape(-1, 2))
    return values.reshape(ground_truth.shape[:2]), undefined.reshape(ground_truth.shape[:2])


def fit_sample_mixtures(
    samples: FloatArray, *, max_components: int = MAX_COMPONENTS
) -> GaussianMixtures:
    """A * T mixtures fitted to (K, A, T, 2) samples in metres, agent by agent, step by step."""
    require_shape("metric", "samples", samples, ("K", "A", "T", 2))
    clouds = np.ascontiguousarray(np.moveaxis(samples, 0, -1)).reshape(-1, 2, len(samples))
    return fit_mixtures(clouds.swapaxes(1, 2), max_components=max_components)


def mixture_distances(
    mixtures: GaussianMixtures, ground_truth: FloatArray
) -> tuple[FloatArray, BoolArray]:
    """Tipping's distances between (P, 2) points, metres, and the means of P mixtures.

    The metric along the straight path between the two is the sum of the precisions of the
    components, each weighted by its density along the path. As in the reference, the density of a
    component is taken without the determinant of its covariance.

    Returns:
        (P,) distances, NaN where a value is not finite; and (P,) True where they are undefined, as
        the published arithmetic divides 0 by 0: every component lies more than about 38 sigmas
        beside the path from the ground truth to the mean of the mixture or 8 sigmas beyond its
        ends, or the path has length 0. Here distances are computed in logarithms and valid there.
    """
    # Imported where it is used: it takes half the time of a command that only reads its options.
    from scipy.special import erf, logsumexp

    require_shape("mixture_distances", "ground_truth", ground_truth, (len(mixtures.weights), 2))
    mean = (mixtures.weights[..., None] * mixtures.means).sum(axis=1)
    path = np.broadcast_to((mean - ground_truth)[:, None], mixtures.means.shape)
    to_component = mixtures.means - ground_truth[:, None]

    used = mixtures.weights > 0.0
    covariances = np.where(used[..., None, None], mixtures.covariances, np.eye(2))
    precision = _inverse(covariances)
    path_2 = _form(path, precision, path)
    no_path = path_2 == 0.0
    safe_path_2 = np.where(no_path, 1.0, path_2)
    # The path is ground_truth + t * (mean - ground_truth); the density is largest at t = along.
    along = _form(path, precision, to_component) / safe_path_2
    # Rounding may make the squared distance of the line from the component negative.
    across_2 = np.maximum(
        _form(to_component, precision, to_component) - along**2 * safe_path_2, 0.0
    )
    length = np.sqrt(safe_path_2)
    log_density = (
        0.5 * np.log(2.0 * np.pi / safe_path_2)
        - 0.5 * across_2
        + _log_normal_between(-along * length, (1.0 - along) * length)
    )
    log_share = np.where(used, np.log(np.where(used, mixtures.weights, 1.0)) + log_density, -np.inf)
    share = np.exp(log_share - logsumexp(log_share, axis=1, keepdims=True))
    values = np.sqrt((share * path_2).sum(axis=1))

    half_width = np.sqrt(0.5) * length
    plain = np.exp(-0.5 * across_2) * (erf((1.0 - along) * half_width) - erf(-along * half_width))
    undefined = (np.where(used, mixtures.weights * plain, 0.0).sum(axis=1) == 0.0) | (
        no_path.all(axis=1)
    )
    return values, undefined


def mean_covariance_eigenvalue(samples: FloatArray) -> float:
    """AMV of a scene: the largest eigenvalue of the mean mixture covariance, square metres, or NaN.

    Expectation-maximisation preserves the first two moments, so the covariance of a mixture is that
    of the (K, A, T, 2) samples plus the regularisation for any number of components. Therefore no
    mixture is fitted. The value of a benchmark is the mean over its scenes.
    """
    require_shape("metric", "samples", samples, ("K", "A", "T", 2))
    _, covariance = sample_moments(samples)
    major, _, _ = ellipse_axes(covariance.mean(axis=(0, 1)))
    return float(major**2 + REGULARISATION_M2)


def _inverse(matrix: FloatArray) -> FloatArray:
    """(..., 2, 2) inverse of symmetric matrices."""
    xx, xy, yy = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 1]
    adjugate = np.stack([yy, -xy, -xy, xx], axis=-1).reshape(matrix.shape)
    return adjugate / (xx * yy - xy * xy)[..., None, None]


def _form(left: FloatArray, matrix: FloatArray, right: FloatArray) -> FloatArray:
    """(...,) left^T matrix right."""
    return np.einsum("...i,...ij,...j->...", left, matrix, right)


def _log_normal_between(low: FloatArray, high: FloatArray) -> FloatArray:
    """(...,) ln of the probability of the standard normal between low and high, low < high."""
    from scipy.special import log_ndtr

    # log_ndtr is precise in the lower tail; the upper one is its mirror image.
    upper = low > 0.0
    low, high = np.where(upper, -high, low), np.where(upper, -low, high)
    log_high = log_ndtr(high)
    return log_high + np.log(-np.expm1(np.minimum(log_ndtr(low) - log_high, -1e-300)))
