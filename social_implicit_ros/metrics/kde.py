"""Likelihood of the ground truth under a kernel density estimate of the samples."""

from __future__ import annotations

import math

import numpy as np

from social_implicit_ros.metrics.displacement import require_samples
from social_implicit_ros.metrics.mahalanobis import squared_mahalanobis
from social_implicit_ros.types import BoolArray, FloatArray
from social_implicit_ros.uncertainty.ellipses import sample_moments

#: Minimum log-density, so that one miss does not dominate the mean.
LOG_DENSITY_FLOOR = -20.0


def kde_nll(samples: FloatArray, ground_truth: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Negative log-density of the ground truth: Gaussian kernels with the bandwidth of Scott.

    The same as `scipy.stats.gaussian_kde(...).logpdf`, for all agents and steps at once. The mean
    over agents and steps is the value of a scene, the mean over scenes that of a benchmark.

    Source: the evaluation of Social-Implicit (Mohamed et al., ECCV 2022) after Ivanovic and
    Pavone, "The Trajectron", ICCV 2019, log-density clipped at -20.

    Args:
        samples: (K, A, T, 2) positions in metres.
        ground_truth: (A, T, 2) positions in metres.

    Returns:
        (A, T) in nats, of a density per square metre, at most 20; NaN where a sample or the ground
        truth is not finite. And (A, T) True where no density exists, because the samples coincide
        or lie on a line. Their value is 20; the reference counts coinciding samples as 0 and fails
        on a line.
    """
    require_samples(samples, ground_truth)
    n_samples = len(samples)
    mean, covariance = sample_moments(samples)
    # Scott: bandwidth = K^(-1/6) in two dimensions, times the unbiased covariance.
    scale = n_samples ** (-1.0 / 3.0) * n_samples / max(n_samples - 1, 1)
    bandwidth = covariance * scale
    _, log_determinant = squared_mahalanobis(mean, bandwidth, ground_truth)
    degenerate = np.isneginf(log_determinant)
    bandwidth = np.where(degenerate[..., None, None], np.eye(2), bandwidth)

    xx, xy, yy = bandwidth[..., 0, 0], bandwidth[..., 0, 1], bandwidth[..., 1, 1]
    determinant = xx * yy - xy * xy
    dx, dy = samples[..., 0] - ground_truth[..., 0], samples[..., 1] - ground_truth[..., 1]
    exponent = dx * dx * (-0.5 * yy / determinant)
    exponent += dx * dy * (xy / determinant)
    exponent += dy * dy * (-0.5 * xx / determinant)
    top = exponent.max(axis=0)
    exponent -= top
    log_sum = top + np.log(np.exp(exponent, out=exponent).sum(axis=0))
    log_density = log_sum - math.log(2.0 * math.pi * n_samples) - 0.5 * np.log(determinant)
    unknown = np.isnan(log_density)
    log_density = np.where(degenerate & ~unknown, LOG_DENSITY_FLOOR, log_density)
    return -np.maximum(log_density, LOG_DENSITY_FLOOR), degenerate
