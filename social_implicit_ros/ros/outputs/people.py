"""`~/people`: where people are and how they set out, for social costmap layers."""

from __future__ import annotations

import numpy as np
from people_msgs.msg import People as PeopleMessage
from people_msgs.msg import Person
from rclpy.qos import QoSProfile

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.planar import mean_velocity_m_s
from social_implicit_ros.ros import qos
from social_implicit_ros.ros.definitions import list_writer
from social_implicit_ros.ros.messages import header_to_msg, point_numbers, velocity_numbers
from social_implicit_ros.ros.outputs.cdr_writer import text_bytes
from social_implicit_ros.settings import NodeConfig


class People:
    """A person each, at the header's stamp, with the velocity of the predicted mean.

    `name` is the tracker's id. The velocity is in the axes of the header's frame.
    """

    topic = "~/people"
    message_class = PeopleMessage

    def __init__(self, config: NodeConfig) -> None:
        """Takes the frame."""
        self._frame_id = config.fixed_frame
        self._writer = list_writer(
            PeopleMessage, entries_of=_person, rewritten=("name", "position", "velocity")
        )

    def qos(self) -> QoSProfile:
        """Of the topic."""
        return qos.predictions()

    def render(self, forecast: Forecast) -> bytes:
        """The people at the stamp, a serialised People."""
        prediction = forecast.prediction
        velocities_m_s = mean_velocity_m_s(forecast.present_m, prediction.mean, prediction.step_s)
        names = [text_bytes(agent_id) for agent_id in forecast.ids]
        return self._writer.write(
            PeopleMessage(header=header_to_msg(forecast.stamp_ns, forecast.frame_id)),
            [len(name) for name in names],
            {
                "name": np.frombuffer(b"".join(names), np.uint8),
                "position": point_numbers(forecast.present_m, forecast.heights_m),
                "velocity": velocity_numbers(velocities_m_s),
            },
        )

    def clear(self, stamp_ns: int) -> PeopleMessage:
        """Nobody is there: layers keep the last people that they got."""
        return PeopleMessage(header=header_to_msg(stamp_ns, self._frame_id))


def _person(n_name_bytes: int) -> list[Person]:
    """What people with names so long have in common."""
    return [Person(name=" " * n_name_bytes, reliability=1.0)]
