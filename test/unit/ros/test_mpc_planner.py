"""`~/mpc_planner`, read as tud-amr/mpc_planner reads it, by its own rules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mpc_planner_msgs.msg", reason="needs the package mpc_planner_msgs")

from mpc_planner_msgs.msg import ObstacleArray
from support.forecasts import random_forecast, walking_forecast
from support.outputs import decoded, rendered_by

from social_implicit_ros.ros.outputs.mpc_planner import MpcPlanner
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.types import FloatArray
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES, ellipse_axes, radius_at

N, MAX_OBSTACLES, INTEGRATOR_STEP_S = 30, 12, 0.2


#: Regions up to the horizon at the level of the planner's risk: sigmas are those of the forecast.
AS_PREDICTED = {"confidence": 0.95, "risk": 0.05, "horizon_s": 60.0}


def rendered(forecast: Any, **options: Any) -> ObstacleArray:
    changes = {f"mpc_planner.{name}": value for name, value in options.items()}
    return rendered_by(MpcPlanner, forecast, **changes)


@dataclass
class Obstacle:
    """What the planner keeps of an obstacle: (index, position, and steps x y angle major minor)."""

    index: int
    position: FloatArray
    steps: list[tuple[float, ...]]
    is_gaussian: bool


def yaw_of(orientation: Any) -> float:
    x, y, z, w = orientation.x, orientation.y, orientation.z, orientation.w
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def received(message: ObstacleArray, robot_m: FloatArray) -> list[Obstacle]:
    """The planner's callback: checks no lengths, adds dummies, keeps the closest."""
    obstacles = []
    for obstacle in message.obstacles:
        assert len(obstacle.probabilities) == 1, "Multiple modes not yet supported"
        mode = obstacle.gaussians[0]
        steps = [
            (
                pose.pose.position.x,
                pose.pose.position.y,
                yaw_of(pose.pose.orientation),
                mode.major_semiaxis[k],
                mode.minor_semiaxis[k],
            )
            for k, pose in enumerate(mode.mean.poses)
        ]
        position = np.array([obstacle.pose.position.x, obstacle.pose.position.y])
        obstacles.append(Obstacle(obstacle.id, position, steps, mode.major_semiaxis[-1] != 0.0))
    if len(obstacles) > MAX_OBSTACLES:
        distances = [
            min(
                (k + 1) * 0.6 * np.hypot(*(np.array(obstacle.steps[k][:2]) - robot_m))
                for k in range(N)
            )
            for obstacle in obstacles
        ]
        obstacles = [obstacles[place] for place in np.argsort(distances)[:MAX_OBSTACLES]]
    while len(obstacles) < MAX_OBSTACLES:
        far_m = robot_m + 100.0
        obstacles.append(Obstacle(-1, far_m, [(*far_m, 0.0, 0.1, 0.1)] * N, True))
    return obstacles


def constraint_inputs(obstacles: list[Obstacle]) -> FloatArray:
    """(obstacles, N - 1, 5) what the constraints of stages 1 to N - 1 read: step k - 1."""
    return np.array([[obstacle.steps[k - 1] for k in range(1, N)] for obstacle in obstacles])


def ellipsoid_matrix(yaw_rad: float, major_m: float, minor_m: float) -> FloatArray:
    """The planner's ellipsoid constraint: d^T R(yaw)^T diag(...) R(yaw) d >= 1."""
    rotation = np.array([[np.cos(yaw_rad), -np.sin(yaw_rad)], [np.sin(yaw_rad), np.cos(yaw_rad)]])
    return rotation.T @ np.diag([1 / major_m**2, 1 / minor_m**2]) @ rotation


def walkers(n_agents: int, **options: Any) -> Any:
    generator = np.random.default_rng(3)
    positions = generator.uniform(-8, 8, (n_agents, 2))
    velocities = generator.uniform(-1.2, 1.2, (n_agents, 2))
    return walking_forecast(positions, velocities, **options)


@pytest.mark.parametrize("n_agents", [0, 1, 5, 12, 13, 40])
def test_the_planner_reads_n_steps_of_every_obstacle(n_agents: int) -> None:
    obstacles = received(rendered(walkers(n_agents)), np.zeros(2))
    inputs = constraint_inputs(obstacles)
    assert inputs.shape == (MAX_OBSTACLES, N - 1, 5)
    assert np.isfinite(inputs).all()
    assert all(obstacle.is_gaussian for obstacle in obstacles)


def test_step_k_is_read_at_stage_k_plus_one() -> None:
    forecast = walkers(3)
    inputs = constraint_inputs(received(rendered(forecast), np.zeros(2)))[:3]
    velocity = (forecast.prediction.mean[:, 0] - forecast.present_m) / 0.4
    stages_s = INTEGRATOR_STEP_S * np.arange(1, N)
    expected = forecast.present_m[:, None] + velocity[:, None] * stages_s[:, None]
    # Within the model's 4.8 s and beyond, to 5.8 s.
    np.testing.assert_allclose(inputs[..., :2], expected, atol=1e-6)


@pytest.mark.parametrize(("n_steps", "step_s"), [(50, 0.1), (10, 0.5), (24, 0.2), (1, 0.2)])
def test_steps_and_their_number_are_the_planners(n_steps: int, step_s: float) -> None:
    message = rendered(walkers(2), horizon_steps=n_steps, integrator_step_s=step_s)
    for obstacle in message.obstacles:
        mode = obstacle.gaussians[0]
        lengths = {len(mode.mean.poses), len(mode.major_semiaxis), len(mode.minor_semiaxis)}
        assert lengths == {n_steps}
        stamps = [pose.header.stamp for pose in mode.mean.poses]
        times_s = [stamp.sec + 1e-9 * stamp.nanosec - 12.000000345 for stamp in stamps]
        np.testing.assert_allclose(times_s, step_s * np.arange(1, n_steps + 1), atol=1e-6)


def test_axis_aligned_semiaxes_are_the_sigmas_of_the_gaussian_constraint() -> None:
    forecast = walkers(3)
    inputs = constraint_inputs(received(rendered(forecast, **AS_PREDICTED), np.zeros(2)))[:3]
    # Stages 2, 4, ... lie on the model's steps.
    at_steps = inputs[:, 1:24:2]
    covariance = forecast.prediction.covariance
    np.testing.assert_allclose(at_steps[..., 2], 0.0)
    np.testing.assert_allclose(at_steps[..., 3] ** 2, covariance[..., 0, 0])
    np.testing.assert_allclose(at_steps[..., 4] ** 2, covariance[..., 1, 1])


def test_ellipsoid_semiaxes_rotated_by_the_yaw_give_the_covariance() -> None:
    forecast = random_forecast(("1", "2", "3"))
    message = rendered(forecast, **AS_PREDICTED, sigma_convention="ellipsoid")
    for row, obstacle in enumerate(message.obstacles):
        mode = obstacle.gaussians[0]
        for step in range(12):
            k = 2 * step + 1
            yaw = yaw_of(mode.mean.poses[k].pose.orientation)
            turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
            spread = np.diag([mode.major_semiaxis[k] ** 2, mode.minor_semiaxis[k] ** 2])
            np.testing.assert_allclose(
                turn @ spread @ turn.T, forecast.prediction.covariance[row, step], atol=1e-9
            )


def test_clockwise_ellipsoids_are_the_covariance_in_the_planners_constraint() -> None:
    forecast = random_forecast(("1", "2", "3"))
    message = rendered(forecast, **AS_PREDICTED, sigma_convention="ellipsoid_clockwise")
    obstacles = received(message, np.zeros(2))
    for row, obstacle in enumerate(obstacles[:3]):
        for step in range(12):
            _, _, yaw, major, minor = obstacle.steps[2 * step + 1]
            np.testing.assert_allclose(
                ellipsoid_matrix(yaw, major, minor),
                np.linalg.inv(forecast.prediction.covariance[row, step]),
                rtol=1e-6,
                atol=1e-6,
            )


@pytest.mark.parametrize("convention", ["axis_aligned", "ellipsoid", "ellipsoid_clockwise"])
def test_semiaxes_grow_and_are_never_zero(convention: str) -> None:
    for sigmas_m in ((0.2, 0.1), (0.0, 0.0)):
        forecast = walkers(3, sigmas_m=sigmas_m)
        message = rendered(forecast, **AS_PREDICTED, sigma_convention=convention)
        inputs = constraint_inputs(received(message, np.zeros(2)))[:3]
        assert (inputs[..., 3:] > 0).all()
        assert (np.diff(inputs[..., 3:], axis=1) >= 0).all()


def test_the_nearest_people_are_published_if_the_robot_is_known() -> None:
    robot_m = np.array([3.0, -2.0])
    forecast = walkers(40, robot_m=robot_m)
    message = rendered(forecast)
    order = np.argsort(np.linalg.norm(forecast.present_m - robot_m, axis=1))
    assert {obstacle.id for obstacle in message.obstacles} == set(order[:12] + 1)
    positions = [(o.pose.position.x, o.pose.position.y) for o in message.obstacles]
    np.testing.assert_allclose(
        sorted(positions), sorted(map(tuple, forecast.present_m[order[:12]]))
    )


def test_all_people_are_published_if_the_robot_is_not_known() -> None:
    assert len(rendered(walkers(40)).obstacles) == 40


def test_ids_are_the_trackers_own_or_else_positive_and_different() -> None:
    ids = ("7", "people/7", str(2**32 - 1), str(2**31 + 7))
    message = rendered(walking_forecast(np.zeros((4, 2)), np.ones((4, 2)), ids=ids))
    numbers = [obstacle.id for obstacle in message.obstacles]
    assert numbers[0] == 7
    assert len(set(numbers)) == 4
    assert min(numbers) >= 0


def test_ids_stay_with_their_people() -> None:
    output = MpcPlanner(NodeConfig())
    ids = []
    for names in (("a", "b"), ("b",)):
        forecast = walking_forecast(np.zeros((len(names), 2)), np.ones((len(names), 2)), ids=names)
        message = decoded(output.render(forecast), ObstacleArray)
        ids.append([obstacle.id for obstacle in message.obstacles])
    assert ids[1] == ids[0][1:]


def test_the_present_yaw_is_the_direction_of_walking() -> None:
    forecast = walking_forecast(np.array([[1.0, 2.0]]), np.array([[0.0, -1.0]]))
    pose = rendered(forecast).obstacles[0].pose
    assert (pose.position.x, pose.position.y) == (1.0, 2.0)
    assert yaw_of(pose.orientation) == pytest.approx(-np.pi / 2)


@pytest.mark.parametrize(("confidence", "risk"), [(0.5, 0.05), (0.8, 0.1), (0.95, 0.05)])
def test_the_planners_ellipse_at_its_risk_is_the_region(confidence: float, risk: float) -> None:
    forecast = walkers(3)
    factors = np.tile(np.linspace(0.5, 1.5, len(CONFIDENCES)), (3, 12, 1))
    prediction = replace(forecast.prediction, radius_scales=factors)
    message = rendered(
        replace(forecast, prediction=prediction),
        confidence=confidence,
        risk=risk,
        sigma_convention="ellipsoid",
    )

    chi = -2.0 * np.log(risk)  # the quantile that the planner multiplies with
    axes_m, _, _ = ellipse_axes(prediction.covariance)
    region_m = radius_at(prediction, confidence) * axes_m
    for row, obstacle in enumerate(message.obstacles):
        planned_m = np.sqrt(chi) * np.array(obstacle.gaussians[0].major_semiaxis)
        np.testing.assert_allclose(planned_m[1:12:2], region_m[row, :6])


def test_beyond_the_constrained_horizon_poses_have_the_smallest_semiaxes() -> None:
    inputs = constraint_inputs(received(rendered(walkers(3), horizon_s=1.0), np.zeros(2)))[:3]
    assert (inputs[:, :5, 3:] > 0.011).all()
    np.testing.assert_allclose(inputs[:, 5:, 3:], 0.01)
    assert (np.diff(inputs[..., :2], axis=1) != 0).any()  # the mean goes on
