from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from social_implicit_ros.metrics.amd import (
    mahalanobis_distances,
    mean_covariance_eigenvalue,
    mixture_distances,
)
from social_implicit_ros.metrics.gaussian_mixture import (
    REGULARISATION_M2,
    GaussianMixtures,
    fit_mixtures,
)
from social_implicit_ros.metrics.kde import kde_nll
from social_implicit_ros.types import FloatArray


def mixture(weights: list[float], means: FloatArray, covariances: FloatArray) -> GaussianMixtures:
    """One mixture of the given components."""
    return GaussianMixtures(
        weights=np.array([weights]),
        means=np.array([means], dtype=np.float64),
        covariances=np.array([covariances], dtype=np.float64),
        n_components=np.array([len(weights)]),
        bic=np.zeros(1),
    )


def plain_distance(model: GaussianMixtures, truth: FloatArray) -> float:
    """Tipping's closed form of one mixture, component by component, without logarithms."""
    weights, means = model.weights[0], model.means[0]
    v = weights @ means - truth
    numerator, denominator = np.zeros((2, 2)), 0.0
    for weight, mean, covariance in zip(weights, means, model.covariances[0], strict=True):
        precision = np.linalg.inv(covariance)
        u = mean - truth
        b2 = 1.0 / (v @ precision @ v)
        a = b2 * (v @ precision @ u)
        z = u @ precision @ u - b2 * (v @ precision @ u) ** 2
        met = math.sqrt(math.pi * b2 / 2) * math.exp(-z / 2)
        met *= erf((1 - a) / math.sqrt(2 * b2)) - erf(-a / math.sqrt(2 * b2))
        numerator += weight * met * precision
        denominator += weight * met
    return math.sqrt(v @ (numerator / denominator) @ v)


def random_mixture(rng: np.random.Generator, n: int) -> GaussianMixtures:
    root = rng.normal(size=(n, 2, 2))
    covariances = root @ root.swapaxes(1, 2) + 0.1 * np.eye(2)
    return mixture(rng.dirichlet(np.ones(n)).tolist(), rng.normal(size=(n, 2)), covariances)


def test_one_component_is_the_mahalanobis_distance() -> None:
    model = mixture([1.0], np.zeros((1, 2)), np.diag([4.0, 1.0])[None])
    assert mixture_distances(model, np.array([[4.0, 0.0]]))[0] == pytest.approx(2.0)
    assert mixture_distances(model, np.array([[0.0, 3.0]]))[0] == pytest.approx(3.0)


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_the_closed_form_is_tippings(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    model, truth = random_mixture(rng, n), rng.normal(0, 3, 2)
    distances, undefined = mixture_distances(model, truth[None])
    assert distances[0] == pytest.approx(plain_distance(model, truth), rel=1e-6)
    assert not undefined[0]


def test_the_closed_form_agrees_with_the_integral_along_the_path() -> None:
    """The precisions weighted by the density along the path, here summed step by step."""
    rng = np.random.default_rng(3)
    model, truth = random_mixture(rng, 3), np.array([2.0, -1.0])
    v = model.weights[0] @ model.means[0] - truth
    points = truth + np.linspace(0, 1, 20_001)[:, None] * v
    precision = np.linalg.inv(model.covariances[0])
    offset = points[:, None] - model.means[0]
    form = np.einsum("nki,kij,nkj->nk", offset, precision, offset)
    share = (model.weights[0] * np.exp(-0.5 * form)).sum(axis=0)
    share /= share.sum()
    expected = math.sqrt(v @ np.einsum("k,kij->ij", share, precision) @ v)
    assert mixture_distances(model, truth[None])[0] == pytest.approx(expected, rel=1e-4)


def test_where_the_published_arithmetic_divides_zero_by_zero_it_is_counted() -> None:
    tight = np.broadcast_to(1e-6 * np.eye(2), (2, 2, 2))
    model = mixture([0.5, 0.5], np.array([[-1.0, 0.0], [1.0, 0.0]]), tight)
    truth = np.array([0.0, 1.0])  # the path to (0, 0) passes both at 1000 sigmas
    with pytest.raises(ZeroDivisionError):
        plain_distance_with_python_floats(model, truth)
    distances, undefined = mixture_distances(model, truth[None])
    assert undefined.tolist() == [True]
    assert distances[0] == pytest.approx(1000.0)


def plain_distance_with_python_floats(model: GaussianMixtures, truth: FloatArray) -> float:
    """As `plain_distance`; Python's own division refuses 0 / 0 instead of giving NaN."""
    with np.errstate(invalid="raise"):
        try:
            return plain_distance(model, truth)
        except FloatingPointError as error:
            raise ZeroDivisionError from error


def test_ground_truth_at_the_mean_has_distance_zero() -> None:
    model = mixture([1.0], np.ones((1, 2)), np.eye(2)[None])
    distances, undefined = mixture_distances(model, np.ones((1, 2)))
    assert distances.tolist() == [0.0]
    assert undefined.tolist() == [True]


def test_a_calibrated_gaussian_has_an_amd_of_1_253() -> None:
    rng = np.random.default_rng(0)
    root = np.array([[0.5, 0.0], [0.3, 0.2]])
    truth = rng.normal(size=(600, 4, 2)) @ root.T
    samples = rng.normal(size=(300, 600, 4, 2)) @ root.T
    amd = mahalanobis_distances(samples, truth)[0].mean()
    assert amd == pytest.approx(math.sqrt(math.pi / 2), rel=0.03)
    wide = mahalanobis_distances(2.0 * samples, truth)[0].mean()
    assert wide == pytest.approx(amd / 2, rel=0.03)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(-np.pi, np.pi), st.floats(-1e4, 1e4))
def test_moving_and_turning_everything_changes_nothing(
    seed: int, angle: float, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=(200, 2, 3, 2)) + 3.0 * rng.integers(2, size=(200, 1, 1, 2))
    truth = rng.normal(size=(2, 3, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    before, _ = mahalanobis_distances(samples, truth, max_components=1)
    after, _ = mahalanobis_distances(
        samples @ turn.T + shift, truth @ turn.T + shift, max_components=1
    )
    np.testing.assert_allclose(after, before, rtol=1e-5)
    amv = mean_covariance_eigenvalue(samples)
    assert mean_covariance_eigenvalue(samples @ turn.T + shift) == pytest.approx(amv, rel=1e-6)


def test_amv_of_known_spreads() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(20_000, 1, 2, 2)) * [[[3.0, 1.0], [1.0, 1.0]]]
    # The mean of diag(9, 1) and diag(1, 1) is diag(5, 1).
    assert mean_covariance_eigenvalue(samples) == pytest.approx(5.0, rel=0.03)


def test_amv_is_that_of_the_fitted_mixtures() -> None:
    rng = np.random.default_rng(1)
    samples = rng.normal(size=(500, 3, 4, 2)) + 4.0 * rng.integers(2, size=(500, 3, 1, 2))
    clouds = samples.transpose(1, 2, 0, 3).reshape(-1, 500, 2)
    mixtures = fit_mixtures(clouds)
    assert mixtures.n_components.max() > 1
    centre = np.einsum("pk,pki->pi", mixtures.weights, mixtures.means)
    offset = mixtures.means - centre[:, None]
    covariance = np.einsum("pk,pkij->pij", mixtures.weights, mixtures.covariances)
    covariance += np.einsum("pk,pki,pkj->pij", mixtures.weights, offset, offset)
    expected = np.linalg.eigvalsh(covariance.mean(axis=0)).max()
    assert mean_covariance_eigenvalue(samples) == pytest.approx(expected, rel=1e-9)


def test_distances_from_coinciding_samples_are_in_millimetres() -> None:
    samples, truth = np.zeros((50, 1, 2, 2)), np.zeros((1, 2, 2))
    truth[0, 1] = [0.0, 0.3]
    distances, _ = mahalanobis_distances(samples, truth)
    np.testing.assert_allclose(distances, [[0.0, 300.0]])
    assert mean_covariance_eigenvalue(samples) == pytest.approx(REGULARISATION_M2)


def test_nan_is_not_hidden() -> None:
    rng = np.random.default_rng(0)
    samples, truth = rng.normal(size=(50, 2, 2, 2)), np.zeros((2, 2, 2))
    samples[7, 0, 1, 0] = np.nan
    distances, undefined = mahalanobis_distances(samples, truth)
    assert np.isnan(distances).tolist() == [[False, True], [False, False]]
    assert not undefined.any()
    assert np.isnan(mean_covariance_eigenvalue(samples))


def test_values_of_the_published_code() -> None:
    """What the reference's own AMD, AMV and KDE give for these samples (scikit-learn 1.9)."""
    rng = np.random.default_rng(7)
    mode = rng.integers(3, size=(400, 2, 1, 1))
    noise = rng.normal(0, 0.2, (400, 2, 3, 2)) * [1.0, 0.5]
    samples = noise + np.array([0.0, 1.5, -2.0])[mode] * [1.0, 0.3]
    truth = rng.normal(0, 0.6, (2, 3, 2))
    distances, _ = mahalanobis_distances(samples, truth)
    expected = [[3.578642, 4.394384, 4.888207], [4.897233, 3.481358, 1.601484]]
    np.testing.assert_allclose(distances, expected, rtol=1e-5)
    assert mean_covariance_eigenvalue(samples) == pytest.approx(2.306164, rel=1e-6)
    assert kde_nll(samples, truth)[0].mean() == pytest.approx(2.414374, rel=1e-6)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"metric\.samples"):
        mahalanobis_distances(np.zeros((5, 3, 2, 2)), np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="truth"):
        mixture_distances(mixture([1.0], np.zeros((1, 2)), np.eye(2)[None]), np.zeros((2, 2)))
