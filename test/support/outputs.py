"""The outputs of the node whose messages are installed."""

from __future__ import annotations

import importlib.util
from typing import Any

from rclpy.serialization import deserialize_message, serialize_message

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.ros.outputs.base import Output
from social_implicit_ros.ros.outputs.registry import OUTPUTS
from social_implicit_ros.settings import NodeConfig

#: Output -> the message package that it needs and that not every distribution has.
_PACKAGES = {
    "mpc_planner": "mpc_planner_msgs",
    "detections": "vision_msgs",
    "autoware": "autoware_perception_msgs",
    "people": "people_msgs",
    "costmap_converter": "costmap_converter_msgs",
}


def installed_outputs() -> list[str]:
    """Names of the outputs that can be loaded here."""
    return [
        name
        for name in OUTPUTS
        if name not in _PACKAGES or importlib.util.find_spec(_PACKAGES[name]) is not None
    ]


def decoded(message: Any, message_class: type) -> Any:
    """A message, or its serialised form, as a subscriber receives it."""
    data = message if isinstance(message, bytes) else serialize_message(message)
    return deserialize_message(data, message_class)


def rendered_by(output: type[Output], forecast: Forecast, **changes: Any) -> Any:
    """The message of a forecast as a subscriber receives it, with changed parameters."""
    message = output(NodeConfig.from_values(changes)).render(forecast)
    return decoded(message, output.message_class)
