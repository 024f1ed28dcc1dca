from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.metrics.mahalanobis import squared_mahalanobis


def test_distances_of_known_points() -> None:
    mean, covariance = np.zeros((3, 2)), np.broadcast_to(np.diag([4.0, 1.0]), (3, 2, 2))
    points = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]])

    distance_2, log_determinant = squared_mahalanobis(mean, covariance, points)

    np.testing.assert_allclose(distance_2, [0.0, 1.0, 9.0])
    np.testing.assert_allclose(log_determinant, np.log(4.0))


def test_distances_agree_with_the_inverse_of_the_covariance() -> None:
    rng = np.random.default_rng(0)
    mean, points = rng.normal(size=(2, 50, 2))
    root = rng.normal(size=(50, 2, 2))
    covariance = root @ root.swapaxes(1, 2) + 0.01 * np.eye(2)

    distance_2, log_determinant = squared_mahalanobis(mean, covariance, points)

    offset = points - mean
    expected = np.einsum("ai,aij,aj->a", offset, np.linalg.inv(covariance), offset)
    np.testing.assert_allclose(distance_2, expected, rtol=1e-9)
    np.testing.assert_allclose(log_determinant, np.linalg.slogdet(covariance)[1])


@pytest.mark.parametrize("covariance", [np.zeros((2, 2)), np.ones((2, 2))])
def test_a_singular_covariance_has_distance_zero_at_its_mean_only(covariance: np.ndarray) -> None:
    points = np.array([[0.0, 0.0], [0.1, 0.1]])

    distance_2, log_determinant = squared_mahalanobis(
        np.zeros((2, 2)), np.broadcast_to(covariance, (2, 2, 2)), points
    )

    assert distance_2.tolist() == [0.0, np.inf]
    assert log_determinant.tolist() == [-np.inf, -np.inf]
