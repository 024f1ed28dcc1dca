"""Fits Gaussian mixtures to many point clouds in the plane at once.

AMD needs a mixture for every agent at every step: tens of thousands of small fits. Fitting them
together keeps the arithmetic in numpy. A point enters only through its features 1, x, y, x^2, xy,
y^2: log-densities are the matrix product of coefficients and features, and the next parameters are
computed from the sums of responsibilities times features.

Source: expectation-maximisation as in scikit-learn 1.x `GaussianMixture` with full covariances
and its defaults (tolerance, iterations, regularisation, start from k-means), with the number of
components chosen by BIC as in the evaluation of Social-Implicit (Mohamed et al., ECCV 2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from social_implicit_ros.types import FloatArray, IntArray, require_shape
from social_implicit_ros.uncertainty.ellipses import ellipse_axes

#: As in the reference: 1 component, then more while BIC decreases, up to this number.
MAX_COMPONENTS = 4
#: scikit-learn's defaults: added to variances (m^2), and to component masses.
REGULARISATION_M2 = 1e-6
MASS_FLOOR = 10.0 * np.finfo(np.float64).eps
#: EM stops when the mean log-likelihood increases by less than this, or after MAX_ITERATIONS.
TOLERANCE = 1e-3
MAX_ITERATIONS = 100
#: Points per cloud and rounds of k-means of the initialisation.
START_POINTS = 128
START_ROUNDS = 4
#: Points per batch. With fewer, the overhead of numpy calls dominates, as few clouds of a batch
#: iterate for long; more do not fit the processor's cache.
_CHUNK_POINTS = 96_000
_LOG_2_PI = math.log(2.0 * math.pi)


@dataclass(frozen=True, eq=False)
class GaussianMixtures:
    """One mixture per point cloud, C components each; unused components have weight 0.

    Attributes:
        weights: (P, C) shares that sum to 1 over the components.
        means: (P, C, 2) in metres.
        covariances: (P, C, 2, 2) in square metres.
        n_components: (P,) components in use.
        bic: (P,) Bayesian information criterion of the chosen mixture.
    """

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    n_components: IntArray
    bic: FloatArray

    def __post_init__(self) -> None:
        require_shape("GaussianMixtures", "weights", self.weights, ("P", "C"))
        n_clouds, n_components = self.weights.shape
        for name, shape in (
            ("means", (n_clouds, n_components, 2)),
            ("covariances", (n_clouds, n_components, 2, 2)),
            ("n_components", (n_clouds,)),
            ("bic", (n_clouds,)),
        ):
            require_shape("GaussianMixtures", name, getattr(self, name), shape)


def fit_mixtures(points: FloatArray, *, max_components: int = MAX_COMPONENTS) -> GaussianMixtures:
    """Fits a mixture to (P, N, 2) points in metres; it has more components while BIC decreases.

    Points that all coincide give one component with the regularisation as covariance. A cloud with
    a value that is not finite gives one component of NaN. A mixture has at most as many components
    as points.

    Raises:
        ValueError: a wrong shape, no point, or `max_components` below 1.
    """
    require_shape("fit_mixtures", "points", points, ("P", "N", 2))
    n_clouds, n_points, _ = points.shape
    if n_points == 0 or max_components < 1:
        raise ValueError(
            f"fit_mixtures got {n_points} points per cloud and max_components "
            f"{max_components}, expected at least 1 of each"
        )
    chunk = max(1, _CHUNK_POINTS // n_points)
    parts = [
        _fit_chunk(points[first : first + chunk], max_components)
        for first in range(0, max(n_clouds, 1), chunk)
    ]
    return GaussianMixtures(*(np.concatenate(rows) for rows in zip(*parts, strict=True)))


def _fit_chunk(
    points: FloatArray, max_components: int
) -> tuple[FloatArray, FloatArray, FloatArray, IntArray, FloatArray]:
    """The fields of `GaussianMixtures` for clouds (P, N, 2)."""
    n_clouds, n_points, _ = points.shape
    centre = points.mean(axis=1)
    features = _features(points, centre)
    total = features.mean(axis=2)
    moments = np.zeros((n_clouds, max_components, 6))
    moments[:, 0] = total
    n_components = np.ones(n_clouds, dtype=np.int64)
    one = _coefficients(total[:, None])
    best_bic = _bic(np.einsum("pkf,pf->p", one, total), n_points, 1)

    growing = np.arange(n_clouds)  # clouds whose BIC still decreases
    current = total[:, None]
    for n in range(2, min(max_components, n_points) + 1):
        start = _start(features, current)
        current, log_likelihood = _expectation_maximisation(features, total[growing], start)
        bic = _bic(log_likelihood, n_points, n)
        better = bic < best_bic[growing]
        growing, current, features = growing[better], current[better], features[better]
        if len(growing) == 0:
            break
        best_bic[growing] = bic[better]
        n_components[growing] = n
        moments[growing, :n] = current

    weights, x, y, xx, xy, yy = _parameters(moments)
    means = np.stack([x, y], axis=-1) + centre[:, None]
    covariances = np.stack([xx, xy, xy, yy], axis=-1).reshape(*weights.shape, 2, 2)
    unused = np.arange(max_components) >= n_components[:, None]
    weights[unused], means[unused], covariances[unused] = 0.0, 0.0, 0.0
    return weights, means, covariances, n_components, best_bic


def _features(points: FloatArray, centre: FloatArray) -> FloatArray:
    """(P, 6, N): 1, x, y, x^2, xy, y^2 of the points relative to the centre of its cloud."""
    n_clouds, n_points, _ = points.shape
    features = np.empty((n_clouds, 6, n_points))
    features[:, 0] = 1.0
    x, y = features[:, 1], features[:, 2]
    np.subtract(points[..., 0], centre[:, :1], out=x)
    np.subtract(points[..., 1], centre[:, 1:], out=y)
    np.multiply(x, x, out=features[:, 3])
    np.multiply(x, y, out=features[:, 4])
    np.multiply(y, y, out=features[:, 5])
    return features


def _parameters(moments: FloatArray) -> tuple[FloatArray, ...]:
    """Weight, mean x, mean y and covariance xx, xy, yy of components; each (P, K)."""
    weight: FloatArray = moments[..., 0] + MASS_FLOOR
    x: FloatArray = moments[..., 1] / weight
    y: FloatArray = moments[..., 2] / weight
    xx: FloatArray = moments[..., 3] / weight - x * x + REGULARISATION_M2
    xy: FloatArray = moments[..., 4] / weight - x * y
    yy: FloatArray = moments[..., 5] / weight - y * y + REGULARISATION_M2
    return weight, x, y, xx, xy, yy


def _coefficients(moments: FloatArray) -> FloatArray:
    """(P, K, 6) coefficients of ln(weight * density) in the features."""
    weight, x, y, xx, xy, yy = _parameters(moments)
    determinant = xx * yy - xy * xy
    # A component without points has moments of rounding errors: the likelihood becomes NaN,
    # so that a mixture with fewer components is selected.
    determinant[(weight <= 0.0) | (determinant <= 0.0)] = np.nan
    linear_x = (yy * x - xy * y) / determinant
    linear_y = (xx * y - xy * x) / determinant
    half = -0.5 / determinant
    # ln(weight) - ln(det) / 2 in one logarithm, then the quadratic form at the origin.
    log_scale = np.log(weight / np.sqrt(determinant)) - _LOG_2_PI
    constant = log_scale - 0.5 * (linear_x * x + linear_y * y)
    return np.stack([constant, linear_x, linear_y, half * yy, xy / determinant, half * xx], axis=-1)


def _bic(log_likelihood: FloatArray, n_points: int, n_components: int) -> FloatArray:
    """BIC of mean log-likelihoods (P,); a full 2-D component has 6 parameters, weights sum to 1."""
    return -2.0 * n_points * log_likelihood + (6 * n_components - 1) * math.log(n_points)


def _start(features: FloatArray, moments: FloatArray) -> FloatArray:
    """Moments (P, K + 1, 6) to start from: the widest of K components split, then k-means.

    k-means runs for a few rounds on the first points only: any prefix of independent or of
    low-discrepancy draws is representative.
    """
    weight, x, y, xx, xy, yy = _parameters(moments)
    major, _, yaw = ellipse_axes(np.stack([xx, xy, xy, yy], axis=-1).reshape(*xx.shape, 2, 2))
    clouds, widest = np.arange(len(moments)), np.argmax(weight * major**2, axis=1)
    half_x, half_y = (major * np.cos(yaw))[clouds, widest], (major * np.sin(yaw))[clouds, widest]
    x, y = (
        np.column_stack([x, x[clouds, widest] + half_x]),
        np.column_stack([y, y[clouds, widest] + half_y]),
    )
    x[clouds, widest] -= half_x
    y[clouds, widest] -= half_y
    centres = np.stack([x, y], axis=-1)

    first_points = np.ascontiguousarray(features[:, :, :START_POINTS])
    for _ in range(START_ROUNDS):
        sums = _nearest(first_points, centres) @ first_points.swapaxes(1, 2)
        count = sums[..., :1]
        centres = np.where(count > 0.0, sums[..., 1:3] / np.maximum(count, 1.0), centres)
    return sums / first_points.shape[2]


def _nearest(features: FloatArray, centres: FloatArray) -> FloatArray:
    """(P, K, N) 1 if centre k is the nearest to a point, else 0."""
    half_square = 0.5 * (centres * centres).sum(axis=-1, keepdims=True)
    closeness = np.concatenate([-half_square, centres], axis=-1) @ features[:, :3]
    return (closeness == closeness.max(axis=1, keepdims=True)).astype(np.float64)


def _expectation_maximisation(
    features: FloatArray, total: FloatArray, moments: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Iterates every cloud until its own likelihood converges, from (P, K, 6) moments.

    Densities are relative to that of component 0. Of its log-density only the mean is needed, which
    follows from the moments; its responsibilities are 1 minus those of the others.

    Returns:
        (P, K, 6) moments and (P,) the mean log-likelihood per point of their mixture.
    """
    n_clouds, _, n_points = features.shape
    final_moments, final_likelihood = moments.copy(), np.full(n_clouds, np.nan)
    clouds, previous = np.arange(n_clouds), np.full(n_clouds, -np.inf)
    rising = np.full(n_clouds, True)
    for _ in range(MAX_ITERATIONS):
        coefficients = _coefficients(moments)
        log_ratio = (coefficients[:, 1:] - coefficients[:, :1]) @ features
        top = np.maximum(log_ratio.max(axis=1), 0.0)
        log_ratio -= top[:, None]
        # Sums over points need double precision; the responsibility of one point does not.
        share = log_ratio.astype(np.float32)
        np.exp(share, out=share)
        mass = np.exp(-top.astype(np.float32)) + share.sum(axis=1)
        share /= mass[:, None]
        likelihood = np.einsum("pf,pf->p", coefficients[:, 0], total)
        likelihood += (top + np.log(mass)).mean(axis=1)

        final_moments[clouds[rising]] = moments[rising]
        final_likelihood[clouds[rising]] = likelihood[rising]
        rising &= likelihood - previous >= TOLERANCE
        n_rising = np.count_nonzero(rising)
        if n_rising == 0:
            break
        if n_rising < 0.7 * len(clouds):  # copying the features costs about one iteration
            clouds, likelihood, share = clouds[rising], likelihood[rising], share[rising]
            features, total, rising = features[rising], total[rising], rising[rising]
        previous = likelihood
        others = share.astype(np.float64) @ features.swapaxes(1, 2) / n_points
        first = total - others.sum(axis=1)
        moments = np.concatenate([first[:, None], others], axis=1)
    return final_moments, final_likelihood
