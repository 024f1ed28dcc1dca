"""`~/costmap_converter`: people as dynamic obstacles of the TEB local planner."""

from __future__ import annotations

import numpy as np
from costmap_converter_msgs.msg import ObstacleArrayMsg, ObstacleMsg
from geometry_msgs.msg import Point32, Polygon
from std_msgs.msg import Header

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.planar import mean_velocity_m_s
from social_implicit_ros.ros.messages import (
    orientation_numbers,
    point_numbers,
    stamp_numbers,
    velocity_numbers,
)
from social_implicit_ros.ros.outputs.base import ListOutput
from social_implicit_ros.settings import NodeConfig


class CostmapConverter(ListOutput):
    """A circle per person at the header's stamp, with the velocity of the mean trajectory.

    TEB extrapolates with that velocity itself and reads it in its own map frame. `id` is the
    agent's number, see `tracks.agent_ids`.
    """

    topic = "~/costmap_converter"
    message_class = ObstacleArrayMsg

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self._radius_m = config.person_radius_m

    def render(self, forecast: Forecast) -> bytes:
        """A serialised ObstacleArrayMsg with the people at the stamp."""
        prediction = forecast.prediction
        velocities_m_s = mean_velocity_m_s(forecast.present_m, prediction.mean, prediction.step_s)
        n_agents = len(forecast.ids)
        return self.serialised(
            forecast,
            [None] * n_agents,
            {
                "header.stamp": np.tile(stamp_numbers(forecast.stamp_ns), n_agents),
                "polygon.points": point_numbers(forecast.present_m, forecast.heights_m),
                "id": forecast.numbers,
                "orientation": orientation_numbers(
                    np.arctan2(velocities_m_s[:, 1], velocities_m_s[:, 0])
                ),
                "velocities.twist.linear": velocity_numbers(velocities_m_s),
            },
        )

    def entries(self, shape: None) -> list[ObstacleMsg]:
        """Template of all obstacles."""
        return [
            ObstacleMsg(
                header=Header(frame_id=self._frame_id),
                polygon=Polygon(points=[Point32()]),
                radius=self._radius_m,
            )
        ]
