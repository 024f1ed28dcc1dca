"""Headings, velocities and covariances that messages want beside positions."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.prediction.planar import headings_rad, mean_velocity_m_s, pose_covariance


def test_a_heading_is_the_direction_in_which_a_point_is_arrived_at() -> None:
    path = np.array([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]])
    np.testing.assert_allclose(headings_rad(path, 0.4)[0], [0.0, 0.0, np.pi / 2, np.pi])


def test_who_stops_keeps_looking_where_he_went() -> None:
    path = np.array([[[0.0, 0.0], [0.0, 0.5], [0.01, 0.5], [0.0, 0.5]]])
    np.testing.assert_allclose(headings_rad(path, 0.4)[0], np.pi / 2)


def test_who_sets_out_looks_where_he_will_go() -> None:
    path = np.array([[[0.0, 0.0], [0.01, 0.0], [0.0, 0.0], [0.0, -0.5]]])
    np.testing.assert_allclose(headings_rad(path, 0.4)[0], -np.pi / 2)


def test_who_stands_looks_along_x() -> None:
    path = np.zeros((2, 5, 2))
    path[1] += [[1e-3, 2e-3]]
    np.testing.assert_array_equal(headings_rad(path, 0.4), 0.0)


def test_everybody_has_a_heading_of_their_own() -> None:
    path = np.array([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    np.testing.assert_allclose(headings_rad(path, 0.4), [[0.0, 0.0], [np.pi / 2, np.pi / 2]])


@pytest.mark.parametrize(("step_s", "n_steps"), [(0.4, 12), (0.1, 48), (2.0, 2), (0.4, 1)])
def test_a_straight_walk_has_its_velocity(step_s: float, n_steps: int) -> None:
    velocity = np.array([[1.2, -0.4], [0.0, 0.0]])
    last = np.array([[3.0, 4.0], [-1.0, 2.0]])
    mean = last[:, None] + velocity[:, None] * step_s * np.arange(1, n_steps + 1)[:, None]
    np.testing.assert_allclose(mean_velocity_m_s(last, mean, step_s), velocity, atol=1e-12)


def test_the_velocity_is_that_of_the_first_second() -> None:
    mean = np.zeros((1, 12, 2))
    mean[0, :, 0] = [1.0, 1.0, *[50.0] * 10]
    np.testing.assert_allclose(mean_velocity_m_s(np.zeros((1, 2)), mean, 0.5), [[1.0, 0.0]])


def test_a_pose_covariance_has_the_position_and_an_unknown_yaw() -> None:
    covariance = np.array([[[0.4, 0.1], [0.1, 0.3]]])
    matrix = pose_covariance(covariance).reshape(6, 6)
    np.testing.assert_array_equal(matrix[:2, :2], covariance[0])
    # x, y, z, roll, pitch, yaw: any yaw is possible.
    assert matrix[5, 5] == pytest.approx(np.var(np.linspace(-np.pi, np.pi, 100_001)), rel=1e-4)
    matrix[:2, :2] = matrix[5, 5] = 0.0
    assert not matrix.any()
