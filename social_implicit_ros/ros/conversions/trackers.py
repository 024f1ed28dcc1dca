"""The trackers that the node understands, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from social_implicit_ros.core.decoding import DECODERS, frame_id_of
from social_implicit_ros.core.types import Tracks

#: Name that a user gives -> ROS type of the messages. A new tracker is added here and, with how
#: to decode it, in `core.decoding`.
TRACKERS = {
    "marker_array": "visualization_msgs/msg/MarkerArray",
    "point_cloud": "sensor_msgs/msg/PointCloud2",
}


@dataclass(frozen=True)
class Tracker:
    """How to subscribe to a tracker.

    Attributes:
        name: as the user gives it.
        message_class: of the topic.
        decode: message -> tracks, or None where the message says no time; raises ValueError for
            a message that cannot be understood.
        frame_id_of: message -> its coordinate frame.
    """

    name: str
    message_class: type
    decode: Callable[[Any], Tracks | None]
    frame_id_of: Callable[[Any], str]


def load_tracker(name: str) -> Tracker:
    """Imports what a tracker's messages need.

    Args:
        name: one of `TRACKERS`.

    Raises:
        ValueError: an unknown tracker, or a message package that is not installed.
    """
    if name not in TRACKERS:
        raise ValueError(f"no tracker {name!r}: choose one of {', '.join(TRACKERS)}")
    package, _, class_name = TRACKERS[name].split("/")
    try:
        message_class = getattr(import_module(f"{package}.msg"), class_name)
    except ImportError as error:
        raise ValueError(
            f"tracker {name!r} needs the message package {package}, which cannot be imported "
            f"({error}): install it, or source the workspace that has it"
        ) from error
    return Tracker(name, message_class, DECODERS[TRACKERS[name]], frame_id_of)
