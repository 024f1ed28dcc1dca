"""`~/costmap_converter`: people as dynamic obstacles of the TEB local planner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from costmap_converter_msgs.msg import ObstacleArrayMsg, ObstacleMsg
from geometry_msgs.msg import Point32, Polygon, Twist, TwistWithCovariance, Vector3
from rclpy.qos import QoSProfile

from social_implicit_ros.core.forecast import Forecast
from social_implicit_ros.core.planar import mean_velocity_m_s
from social_implicit_ros.ros import qos
from social_implicit_ros.ros.conversions.poses import yaw_to_msg
from social_implicit_ros.ros.conversions.stamps import header_to_msg

if TYPE_CHECKING:
    from social_implicit_ros.ros.parameters import NodeConfig


class CostmapConverter:
    """A circle each, at the header's stamp, with the velocity of the predicted mean.

    TEB walks everybody on with that velocity itself, and takes it to be in the axes of its own
    map frame. `id` is the number under which the agent is published, see `core.agent_ids`.
    """

    topic = "~/costmap_converter"
    message_class = ObstacleArrayMsg

    def __init__(self, config: NodeConfig) -> None:
        """Takes the size of a person."""
        self._frame_id = config.fixed_frame
        self._radius_m = config.person_radius_m

    def qos(self) -> QoSProfile:
        """Of the topic."""
        return qos.predictions()

    def render(self, forecast: Forecast) -> ObstacleArrayMsg:
        """The people at the stamp."""
        prediction = forecast.prediction
        velocities_m_s = mean_velocity_m_s(forecast.present_m, prediction.mean, prediction.step_s)
        header = header_to_msg(forecast.stamp_ns, forecast.frame_id)
        rows = zip(
            forecast.numbers.tolist(),
            forecast.present_m.tolist(),
            forecast.heights_m.tolist(),
            velocities_m_s.tolist(),
            strict=True,
        )
        obstacles = [
            ObstacleMsg(
                header=header,
                polygon=Polygon(points=[Point32(x=x, y=y, z=z)]),
                radius=self._radius_m,
                id=number,
                orientation=yaw_to_msg(np.arctan2(vy, vx)),
                velocities=TwistWithCovariance(twist=Twist(linear=Vector3(x=vx, y=vy))),
            )
            for number, (x, y), z, (vx, vy) in rows
        ]
        return ObstacleArrayMsg(header=header, obstacles=obstacles)

    def clear(self, stamp_ns: int) -> ObstacleArrayMsg:
        """Nobody is there: TEB keeps the last obstacles that it got."""
        return ObstacleArrayMsg(header=header_to_msg(stamp_ns, self._frame_id))
