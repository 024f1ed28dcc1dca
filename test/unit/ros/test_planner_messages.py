"""Serialised messages equal those built as objects, for any people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("autoware_perception_msgs.msg", reason="needs autoware_perception_msgs")
pytest.importorskip("costmap_converter_msgs.msg", reason="needs costmap_converter_msgs")
pytest.importorskip("mpc_planner_msgs.msg", reason="needs mpc_planner_msgs")
pytest.importorskip("people_msgs.msg", reason="needs people_msgs")
pytest.importorskip("vision_msgs.msg", reason="needs vision_msgs")

from support.forecasts import random_forecast
from support.outputs import decoded
from support.planner_messages import BUILDERS

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.ros.messages import header_to_msg
from social_implicit_ros.ros.outputs.registry import load_output
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.tracks.messages.agent_ids import agent_number

#: Semi-axes are those of the forecast.
AS_PREDICTED = {"mpc_planner.confidence": 0.95, "mpc_planner.horizon_s": 60.0}
IDS = st.one_of(
    # Few characters: hypothesis needs seconds to list all of Unicode.
    st.text("ab7-/ \0\u00e9\u0667\u4f60\U0001f6b6", max_size=20),
    st.integers(0, 1000).map(lambda length: "x" * length),
    st.integers(0, 10_000).map(str),
    st.uuids().map(str),
)
CASTS = st.lists(IDS, unique=True, max_size=12).map(tuple)


@st.composite
def forecasts(draw: st.DrawFn) -> Forecast:
    """Any number of people anywhere, with the robot or without it."""
    forecast = random_forecast(
        draw(CASTS),
        n_samples=draw(st.integers(1, 6)),
        n_steps=draw(st.sampled_from([1, 5, 12])),
        seed=draw(st.integers(0, 1000)),
    )
    robot_m = draw(st.sampled_from([None, np.array([100.0, 99.0])]))
    return replace(forecast, stamp_ns=draw(st.integers(0, 2**31 * 10**9 - 10**12)), robot_m=robot_m)


@pytest.mark.parametrize("name", sorted(BUILDERS))
@settings(max_examples=15, deadline=None)
@given(
    ticks=st.lists(forecasts(), min_size=1, max_size=3),
    frame_id=st.sampled_from(["odom", "m", "a_long/frame_name"]),
    max_obstacles=st.integers(1, 12),
)
def test_bytes_equal_the_message_built_as_objects(
    name: str, ticks: list[Forecast], frame_id: str, max_obstacles: int
) -> None:
    ids = {agent_id for tick in ticks for agent_id in tick.ids}
    # Of two ids with one number, such as '' and '0', that of the earlier tick keeps it.
    assume(len({agent_number(agent_id) % (2**31 - 1) for agent_id in ids}) == len(ids))
    changes = {"fixed_frame": frame_id, "mpc_planner.max_obstacles": max_obstacles}
    config = NodeConfig.from_values({**AS_PREDICTED, **changes})
    output = load_output(name, config)
    for tick in ticks:
        forecast = replace(tick, frame_id=frame_id)
        expected = decoded(BUILDERS[name](forecast, config), output.message_class)
        rendered = output.render(forecast)
        assert isinstance(rendered, bytes)
        assert decoded(rendered, output.message_class) == expected


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_a_changing_number_of_people_is_serialised_like_objects(name: str) -> None:
    config = NodeConfig.from_values(AS_PREDICTED)
    output = load_output(name, config)
    # Ids begin at 90, so from the eleventh person on they have three digits.
    for n_agents in (1, 9, 10, 11, 10, 0, 25):
        forecast = random_forecast(tuple(map(str, range(90, 90 + n_agents))), seed=n_agents)
        expected = decoded(BUILDERS[name](forecast, config), output.message_class)
        assert decoded(output.render(forecast), output.message_class) == expected


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_without_people_and_when_cleared_it_is_an_empty_message(name: str) -> None:
    output, forecast = load_output(name, NodeConfig()), random_forecast(())
    for message in (output.render(forecast), output.clear(forecast.stamp_ns)):
        header = header_to_msg(forecast.stamp_ns, "odom")
        assert decoded(message, output.message_class) == output.message_class(header=header)
