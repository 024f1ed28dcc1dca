"""`~/people`: where people are and how they set out, for social costmap layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geometry_msgs.msg import Point
from people_msgs.msg import People as PeopleMessage
from people_msgs.msg import Person
from rclpy.qos import QoSProfile

from social_implicit_ros.core.forecast import Forecast
from social_implicit_ros.core.planar import mean_velocity_m_s
from social_implicit_ros.ros import qos
from social_implicit_ros.ros.conversions.stamps import header_to_msg

if TYPE_CHECKING:
    from social_implicit_ros.ros.parameters import NodeConfig


class People:
    """A person each, at the header's stamp, with the velocity of the predicted mean.

    `name` is the tracker's id. The velocity is in the axes of the header's frame.
    """

    topic = "~/people"
    message_class = PeopleMessage

    def __init__(self, config: NodeConfig) -> None:
        """Takes no options."""
        self._frame_id = config.fixed_frame

    def qos(self) -> QoSProfile:
        """Of the topic."""
        return qos.predictions()

    def render(self, forecast: Forecast) -> PeopleMessage:
        """The people at the stamp."""
        prediction = forecast.prediction
        velocities_m_s = mean_velocity_m_s(forecast.present_m, prediction.mean, prediction.step_s)
        rows = zip(
            forecast.ids,
            forecast.present_m.tolist(),
            forecast.heights_m.tolist(),
            velocities_m_s.tolist(),
            strict=True,
        )
        people = [
            Person(
                name=agent_id,
                position=Point(x=x, y=y, z=z),
                velocity=Point(x=vx, y=vy),
                reliability=1.0,
            )
            for agent_id, (x, y), z, (vx, vy) in rows
        ]
        header = header_to_msg(forecast.stamp_ns, forecast.frame_id)
        return PeopleMessage(header=header, people=people)

    def clear(self, stamp_ns: int) -> PeopleMessage:
        """Nobody is there: layers keep the last people that they got."""
        return PeopleMessage(header=header_to_msg(stamp_ns, self._frame_id))
