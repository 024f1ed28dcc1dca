"""`~/costmap_converter`, read as the TEB local planner reads custom obstacles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

pytest.importorskip("costmap_converter_msgs.msg", reason="needs costmap_converter_msgs")

from costmap_converter_msgs.msg import ObstacleArrayMsg
from support.forecasts import random_forecast, walking_forecast
from support.outputs import rendered_by

from social_implicit_ros.ros.outputs.costmap_converter import CostmapConverter
from social_implicit_ros.tracks.stamps import stamp_ns_of
from social_implicit_ros.types import FloatArray


@dataclass
class CircularObstacle:
    position_m: FloatArray
    radius_m: float
    velocity_m_s: FloatArray
    is_dynamic: bool

    def at(self, time_s: float) -> FloatArray:
        """TEB's own prediction: constant velocity."""
        return self.position_m + self.velocity_m_s * time_s


def received(message: ObstacleArrayMsg) -> list[CircularObstacle]:
    """TEB's updateObstacleContainerWithCustomObstacles, for circles."""
    obstacles = []
    for obstacle in message.obstacles:
        assert len(obstacle.polygon.points) == 1, "not a circle"
        assert obstacle.radius > 0, "not a circle"
        (point,) = obstacle.polygon.points
        velocity = np.array(
            [obstacle.velocities.twist.linear.x, obstacle.velocities.twist.linear.y]
        )
        is_dynamic = bool(np.linalg.norm(velocity) >= 0.001)
        obstacles.append(
            CircularObstacle(
                np.array([point.x, point.y]),
                obstacle.radius,
                velocity if is_dynamic else np.zeros(2),
                is_dynamic,
            )
        )
    return obstacles


def rendered(forecast: Any, **changes: Any) -> ObstacleArrayMsg:
    return rendered_by(CostmapConverter, forecast, **changes)


def test_teb_predicts_a_straight_walk_as_the_model_does() -> None:
    velocities = np.array([[1.2, -0.5], [0.0, 0.9]])
    forecast = walking_forecast(np.array([[1.0, 2.0], [-3.0, 0.5]]), velocities)
    for row, obstacle in enumerate(received(rendered(forecast))):
        assert obstacle.is_dynamic
        for step, time_s in enumerate(forecast.times_s):
            expected = forecast.prediction.mean[row, step]
            np.testing.assert_allclose(obstacle.at(time_s), expected, atol=1e-5)


def test_a_standing_person_is_a_static_obstacle() -> None:
    (obstacle,) = received(rendered(walking_forecast(np.ones((1, 2)), np.zeros((1, 2)))))
    assert not obstacle.is_dynamic


def test_circles_have_a_persons_radius() -> None:
    forecast = random_forecast(("1", "2"))
    assert [o.radius_m for o in received(rendered(forecast))] == [0.3, 0.3]
    changed = rendered(forecast, person_radius_m=0.45)
    assert [o.radius_m for o in received(changed)] == [0.45, 0.45]


def test_ids_are_those_of_the_agents_and_the_orientation_is_the_heading() -> None:
    forecast = walking_forecast(
        np.zeros((2, 2)), np.array([[0.0, 1.0], [-1.0, 0.0]]), ids=("7", str(2**32 - 1))
    )
    message = rendered(forecast)
    assert [obstacle.id for obstacle in message.obstacles] == [7, 2**32 - 1]
    yaws = [
        2 * np.arctan2(obstacle.orientation.z, obstacle.orientation.w)
        for obstacle in message.obstacles
    ]
    np.testing.assert_allclose(yaws, [np.pi / 2, np.pi])


def test_the_header_of_the_array_has_frame_and_time() -> None:
    forecast = random_forecast(("1",))
    message = rendered(forecast)
    assert message.header.frame_id == "odom"
    assert stamp_ns_of(message.header.stamp) == forecast.stamp_ns
    assert message.obstacles[0].header == message.header
