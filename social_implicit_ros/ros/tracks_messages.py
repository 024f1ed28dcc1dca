"""Tracks -> the messages of a tracker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Vector3
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from social_implicit_ros.ros.messages import point_cloud_to_msg, stamp_to_msg
from social_implicit_ros.tracks.agent_ids import agent_number
from social_implicit_ros.tracks.markers import PERSON_HEIGHT_M, PERSON_WIDTH_M, marker_id
from social_implicit_ros.types import Tracks


def tracks_to_marker_array(tracks: Tracks, frame_id: str) -> MarkerArray:
    """One cylinder per pedestrian.

    Args:
        tracks: positions at one stamp.
        frame_id: their coordinate frame.
    """
    stamp = stamp_to_msg(tracks.stamp_ns)
    size = Vector3(x=PERSON_WIDTH_M, y=PERSON_WIDTH_M, z=PERSON_HEIGHT_M)
    colour = ColorRGBA(r=0.2, g=0.5, b=0.9, a=0.8)
    message = MarkerArray()
    for agent_id, (x_m, y_m), z_m in zip(
        tracks.ids, tracks.positions_m.tolist(), tracks.heights_m.tolist(), strict=True
    ):
        marker = Marker(type=Marker.CYLINDER, action=Marker.ADD, scale=size, color=colour)
        marker.header.stamp, marker.header.frame_id = stamp, frame_id
        marker.ns, marker.id = marker_id(agent_id)
        marker.pose.position = Point(x=x_m, y=y_m, z=z_m)
        message.markers.append(marker)
    return message


def tracks_to_point_cloud(tracks: Tracks, frame_id: str) -> PointCloud2:
    """One point per pedestrian: x, y, z as float64, id as uint32 (`tracks.agent_ids`).

    Args:
        tracks: positions at one stamp.
        frame_id: their coordinate frame.
    """
    columns: dict[str, np.ndarray] = {
        "x": tracks.positions_m[:, 0],
        "y": tracks.positions_m[:, 1],
        "z": tracks.heights_m,
        "id": np.array([agent_number(agent_id) for agent_id in tracks.ids], dtype=np.uint32),
    }
    return point_cloud_to_msg(columns, tracks.stamp_ns, frame_id)


#: Tracker mapping -> message type and encoder.
ENCODERS: dict[str, tuple[type, Callable[[Tracks, str], Any]]] = {
    "marker_array": (MarkerArray, tracks_to_marker_array),
    "point_cloud": (PointCloud2, tracks_to_point_cloud),
}
