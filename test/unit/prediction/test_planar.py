"""Headings, velocities and covariances of messages."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.prediction.planar import headings_rad, mean_velocity_m_s, pose_covariance


def test_a_heading_is_the_direction_of_motion_to_a_point() -> None:
    path = np.array([[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]])
    np.testing.assert_allclose(headings_rad(path, 0.4)[0], [0.0, 0.0, np.pi / 2, np.pi])


def test_an_agent_that_stops_keeps_its_heading() -> None:
    path = np.array([[[0.0, 0.0], [0.0, 0.5], [0.01, 0.5], [0.0, 0.5]]])
    np.testing.assert_allclose(headings_rad(path, 0.4)[0], np.pi / 2)


def test_an_agent_that_starts_has_the_heading_of_its_first_motion() -> None:
    path = np.array([[[0.0, 0.0], [0.01, 0.0], [0.0, 0.0], [0.0, -0.5]]])
    np.testing.assert_allclose(headings_rad(path, 0.4)[0], -np.pi / 2)


def test_an_agent_that_never_moves_has_heading_zero() -> None:
    path = np.zeros((2, 5, 2))
    path[1] += [[1e-3, 2e-3]]
    np.testing.assert_array_equal(headings_rad(path, 0.4), 0.0)


def test_headings_of_agents_are_independent() -> None:
    path = np.array([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    np.testing.assert_allclose(headings_rad(path, 0.4), [[0.0, 0.0], [np.pi / 2, np.pi / 2]])


@pytest.mark.parametrize(("step_s", "n_steps"), [(0.4, 12), (0.1, 48), (2.0, 2), (0.4, 1)])
def test_the_velocity_of_a_straight_trajectory_is_exact(step_s: float, n_steps: int) -> None:
    velocity = np.array([[1.2, -0.4], [0.0, 0.0]])
    last = np.array([[3.0, 4.0], [-1.0, 2.0]])
    mean = last[:, None] + velocity[:, None] * step_s * np.arange(1, n_steps + 1)[:, None]
    np.testing.assert_allclose(mean_velocity_m_s(last, mean, step_s), velocity, atol=1e-12)


def test_the_velocity_is_averaged_over_the_first_second() -> None:
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
