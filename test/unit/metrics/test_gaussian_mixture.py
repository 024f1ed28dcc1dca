from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.metrics.gaussian_mixture import (
    REGULARISATION_M2,
    GaussianMixtures,
    fit_mixtures,
)
from social_implicit_ros.types import FloatArray


def clouds_of(n_modes: int, separation_m: float, n_clouds: int = 6, seed: int = 0) -> FloatArray:
    """(P, 600, 2) points of random Gaussians around random centres, shuffled."""
    rng = np.random.default_rng(seed)
    clouds = []
    for _ in range(n_clouds):
        centre = rng.normal(0, separation_m, (n_modes, 2))
        root = rng.normal(0, 0.3, (n_modes, 2, 2)) + 0.1 * np.eye(2)
        mode = rng.integers(n_modes, size=600)
        noise = rng.normal(size=(600, 2))
        clouds.append(centre[mode] + np.einsum("nij,nj->ni", root[mode], noise))
    return np.array(clouds)


def density(mixtures: GaussianMixtures, points: FloatArray) -> FloatArray:
    """(P, N) densities of points (P, N, 2), written out plainly."""
    result = np.zeros(points.shape[:2])
    for cloud in range(len(points)):
        for k in range(mixtures.n_components[cloud]):
            offset = points[cloud] - mixtures.means[cloud, k]
            covariance = mixtures.covariances[cloud, k]
            form = np.einsum("ni,ij,nj->n", offset, np.linalg.inv(covariance), offset)
            height = 2 * np.pi * np.sqrt(np.linalg.det(covariance))
            result[cloud] += mixtures.weights[cloud, k] * np.exp(-0.5 * form) / height
    return result


def test_one_gaussian_is_one_component_with_the_samples_moments() -> None:
    points = clouds_of(1, 5.0)
    mixtures = fit_mixtures(points)
    assert mixtures.n_components.tolist() == [1] * 6
    np.testing.assert_allclose(mixtures.means[:, 0], points.mean(axis=1))
    for cloud, covariance in zip(points, mixtures.covariances[:, 0], strict=True):
        expected = np.cov(cloud.T, bias=True) + REGULARISATION_M2 * np.eye(2)
        np.testing.assert_allclose(covariance, expected)


@pytest.mark.parametrize("n_points", [1, 2, 3])
def test_there_are_no_more_components_than_points(n_points: int) -> None:
    with np.errstate(invalid="raise", divide="raise"):
        mixtures = fit_mixtures(np.random.default_rng(0).normal(size=(5, n_points, 2)))
    assert mixtures.n_components.max() <= n_points
    assert np.isfinite(mixtures.bic).all()


def test_far_modes_are_found() -> None:
    rng = np.random.default_rng(1)
    centres = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    share = np.array([0.5, 0.3, 0.2])
    mode = rng.choice(3, size=1000, p=share)
    points = centres[mode] + rng.normal(0, 0.2, (1000, 2))
    mixtures = fit_mixtures(points[None])
    assert mixtures.n_components[0] == 3
    order = np.argsort(mixtures.weights[0])[::-1][:3]
    np.testing.assert_allclose(mixtures.weights[0, order], share, atol=0.05)
    np.testing.assert_allclose(mixtures.means[0, order], centres, atol=0.05)
    np.testing.assert_allclose(
        mixtures.covariances[0, order], np.broadcast_to(0.04 * np.eye(2), (3, 2, 2)), atol=0.01
    )
    assert mixtures.weights[0, 3] == 0.0


@pytest.mark.parametrize("n_modes", [1, 2, 4])
def test_bic_is_that_of_the_returned_mixture(n_modes: int) -> None:
    points = clouds_of(n_modes, 2.0)
    mixtures = fit_mixtures(points)
    likelihood = np.log(density(mixtures, points)).sum(axis=1)
    penalty = (6 * mixtures.n_components - 1) * np.log(points.shape[1])
    np.testing.assert_allclose(mixtures.bic, -2 * likelihood + penalty, atol=0.01)


def test_a_mixture_keeps_the_moments_of_its_cloud() -> None:
    points = clouds_of(4, 2.0)
    mixtures = fit_mixtures(points)
    assert mixtures.n_components.max() > 2
    np.testing.assert_allclose(mixtures.weights.sum(axis=1), 1.0)
    mean = np.einsum("pk,pki->pi", mixtures.weights, mixtures.means)
    np.testing.assert_allclose(mean, points.mean(axis=1), atol=1e-9)
    offset = mixtures.means - mean[:, None]
    total = np.einsum("pk,pkij->pij", mixtures.weights, mixtures.covariances)
    total += np.einsum("pk,pki,pkj->pij", mixtures.weights, offset, offset)
    for cloud, covariance in zip(points, total, strict=True):
        expected = np.cov(cloud.T, bias=True) + REGULARISATION_M2 * np.eye(2)
        np.testing.assert_allclose(covariance, expected, atol=1e-9)


def test_a_cloud_is_fitted_the_same_alone_and_among_others() -> None:
    points = np.concatenate([clouds_of(n, 1.0) for n in (1, 2, 3, 4)])
    together = fit_mixtures(points)
    alone = [fit_mixtures(cloud[None]) for cloud in points]
    np.testing.assert_allclose(together.bic, [one.bic[0] for one in alone], rtol=1e-9)


def test_map_coordinates_do_not_cost_digits() -> None:
    points = clouds_of(3, 1.0)
    here, there = fit_mixtures(points), fit_mixtures(points + np.array([4e5, 5e6]))
    np.testing.assert_allclose(there.bic, here.bic, atol=0.05)
    np.testing.assert_array_equal(there.n_components, here.n_components)


def test_degenerate_clouds_are_fitted_and_do_not_affect_others() -> None:
    points = clouds_of(2, 3.0, n_clouds=4)
    expected = fit_mixtures(points[3:]).bic
    points[0] = [1.0, 2.0]
    points[1, :, 1] = 0.0
    points[2, 5] = np.nan
    mixtures = fit_mixtures(points)
    assert mixtures.n_components[0] == 1
    np.testing.assert_allclose(mixtures.means[0, 0], [1.0, 2.0])
    np.testing.assert_allclose(mixtures.covariances[0, 0], REGULARISATION_M2 * np.eye(2))
    assert np.isfinite(mixtures.bic[1])
    assert np.isnan(mixtures.bic[2])
    assert np.isnan(mixtures.means[2, 0]).all()
    assert mixtures.n_components[2] == 1
    np.testing.assert_allclose(mixtures.bic[3], expected[0])


@pytest.mark.filterwarnings("error")
def test_a_component_that_loses_its_points_is_not_kept() -> None:
    # Two places, millimetres wide: a third component ends up with none of the points.
    generator = np.random.default_rng(0)
    places = np.array([[-300.0, 40.0], [200.0, 500.0]])
    for share in (0.05, 0.2, 0.5):
        place = np.where(generator.random((40, 200)) < share, 0, 1)
        clouds = places[place] + generator.normal(0.0, 0.003, (40, 200, 2))
        mixtures = fit_mixtures(clouds)
        assert np.isfinite(mixtures.bic).all()
        assert (mixtures.n_components >= 2).all()


def test_max_components_is_respected_and_wrong_input_is_refused() -> None:
    points = clouds_of(4, 3.0)
    assert fit_mixtures(points, max_components=2).n_components.max() == 2
    assert fit_mixtures(points[:0]).bic.shape == (0,)
    with pytest.raises(ValueError, match="points has shape"):
        fit_mixtures(points[0])
    with pytest.raises(ValueError, match="max_components 0"):
        fit_mixtures(points, max_components=0)
    with pytest.raises(ValueError, match="got 0 points"):
        fit_mixtures(points[:, :0])


@pytest.mark.slow
@pytest.mark.parametrize("separation_m", [0.3, 1.0, 3.0])
def test_scikit_learn_finds_no_better_mixtures(separation_m: float) -> None:
    """Both may stop in a local optimum: over many clouds neither may win."""
    mixture = pytest.importorskip("sklearn.mixture", reason="scikit-learn is the yardstick here")
    points = np.concatenate([clouds_of(n, separation_m, 6, seed=n) for n in (1, 2, 3)])
    ours = fit_mixtures(points)
    theirs = []
    with pytest.importorskip("threadpoolctl").threadpool_limits(1):  # its clouds are too small
        for cloud in points:
            best = np.inf
            for n in range(1, 5):
                bic = mixture.GaussianMixture(n, random_state=0).fit(cloud).bic(cloud)
                if bic >= best:
                    break
                best = bic
            theirs.append(best)
    difference = ours.bic - theirs
    np.testing.assert_allclose(difference[:6], 0.0, atol=0.1)  # one Gaussian each: exact
    assert abs(np.median(difference)) < 0.5
    # 10 is a decisive difference in BIC: a few clouds either way, no more.
    assert np.count_nonzero(difference > 10) <= 3
