"""`~/people`: positions and predicted velocities, for social costmap layers."""

from __future__ import annotations

import numpy as np
from people_msgs.msg import People as PeopleMessage
from people_msgs.msg import Person

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.planar import mean_velocity_m_s
from social_implicit_ros.ros.messages import point_numbers, velocity_numbers
from social_implicit_ros.ros.outputs.base import ListOutput
from social_implicit_ros.ros.outputs.cdr_writer import text_bytes


class People(ListOutput):
    """One `Person` per person at the header's stamp, with the velocity of the mean trajectory.

    `name` is the tracker's id. The velocity is in the header's frame.
    """

    topic = "~/people"
    message_class = PeopleMessage

    def render(self, forecast: Forecast) -> bytes:
        """A serialised People message with the people at the stamp."""
        prediction = forecast.prediction
        velocities_m_s = mean_velocity_m_s(forecast.present_m, prediction.mean, prediction.step_s)
        names = [text_bytes(agent_id) for agent_id in forecast.ids]
        return self.serialised(
            forecast,
            [len(name) for name in names],
            {
                "name": np.frombuffer(b"".join(names), np.uint8),
                "position": point_numbers(forecast.present_m, forecast.heights_m),
                "velocity": velocity_numbers(velocities_m_s),
            },
        )

    def entries(self, shape: int) -> list[Person]:
        """Template of a person, for the number of bytes of the name."""
        return [Person(name=" " * shape, reliability=1.0)]
