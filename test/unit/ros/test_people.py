"""`~/people`, read as a social costmap layer reads it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("people_msgs.msg", reason="needs the package people_msgs")

from people_msgs.msg import People as PeopleMessage
from support.forecasts import random_forecast, walking_forecast
from support.outputs import rendered_by

from social_implicit_ros.ros.outputs.people import People
from social_implicit_ros.tracks.stamps import stamp_ns_of


def rendered(forecast: Any, **changes: Any) -> PeopleMessage:
    return rendered_by(People, forecast, **changes)


def test_people_have_their_positions_and_the_trackers_names() -> None:
    forecast = random_forecast(("3", "people/4", "9"))
    message = rendered(forecast)
    assert tuple(person.name for person in message.people) == forecast.ids
    positions = [(p.position.x, p.position.y, p.position.z) for p in message.people]
    np.testing.assert_allclose(positions, np.column_stack([forecast.present_m, forecast.heights_m]))
    assert stamp_ns_of(message.header.stamp) == forecast.stamp_ns
    assert message.header.frame_id == "odom"
    for person in message.people:
        assert person.reliability == 1.0
        assert len(person.tagnames) == len(person.tags)


def test_a_layer_stretches_its_bump_along_the_predicted_velocity() -> None:
    velocities = np.array([[1.2, -0.5], [0.0, 0.0], [-0.3, 0.9]])
    forecast = walking_forecast(np.zeros((3, 2)), velocities)
    for person, (vx, vy) in zip(rendered(forecast).people, velocities, strict=True):
        magnitude = np.hypot(person.velocity.x, person.velocity.y)
        assert magnitude == pytest.approx(np.hypot(vx, vy), abs=1e-9)
        if magnitude > 0:
            angle = np.arctan2(person.velocity.y, person.velocity.x)
            assert angle == pytest.approx(np.arctan2(vy, vx))
        assert person.velocity.z == 0.0
