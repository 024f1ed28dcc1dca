"""Numbers <-> messages: stamps, poses, clouds, odometry, and the messages of a tracker."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Point, Vector3
from nav_msgs.msg import OccupancyGrid
from numpy.typing import ArrayLike
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.tracks.messages.agent_ids import agent_number
from social_implicit_ros.tracks.messages.markers import PERSON_HEIGHT_M, PERSON_WIDTH_M, marker_id
from social_implicit_ros.tracks.messages.point_cloud import point_cloud_data, point_field_layout
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, IntArray, Tracks


def stamp_to_msg(stamp_ns: int) -> Time:
    """Integer nanoseconds -> message."""
    return Time(sec=stamp_ns // NS_PER_S, nanosec=stamp_ns % NS_PER_S)


def stamp_numbers(stamps_ns: ArrayLike) -> IntArray:
    """Stamps in the layout of `Time`: (...,) nanoseconds -> (..., 2) seconds, nanoseconds."""
    return np.stack(np.divmod(np.asarray(stamps_ns, dtype=np.int64), NS_PER_S), axis=-1)


def header_to_msg(stamp_ns: int, frame_id: str) -> Header:
    """Stamp in integer nanoseconds and frame -> message."""
    return Header(stamp=stamp_to_msg(stamp_ns), frame_id=frame_id)


def grid_of_floor_plan(plan: FloorPlan, frame_id: str) -> OccupancyGrid:
    """A floor plan -> message: 100 where occupied; `frame_id` where the plan has none."""
    grid = OccupancyGrid(header=header_to_msg(0, plan.frame_id or frame_id))
    grid.info.resolution = plan.resolution_m
    grid.info.height, grid.info.width = plan.occupied.shape
    grid.info.origin.position.x, grid.info.origin.position.y = plan.origin_m
    grid.info.origin.orientation.z = math.sin(0.5 * plan.yaw_rad)
    grid.info.origin.orientation.w = math.cos(0.5 * plan.yaw_rad)
    grid.data = array("b", (100 * plan.occupied).astype(np.int8).tobytes())
    return grid


def duration_to_msg(duration_s: float) -> Duration:
    """Seconds -> message."""
    duration_ns = round(duration_s * NS_PER_S)
    return Duration(sec=duration_ns // NS_PER_S, nanosec=duration_ns % NS_PER_S)


def orientation_numbers(yaw_rad: FloatArray) -> FloatArray:
    """Rotations about z in the layout of `Quaternion`: (...,) radians -> (..., 4) x, y, z, w."""
    numbers = np.zeros((*yaw_rad.shape, 4))
    numbers[..., 2], numbers[..., 3] = np.sin(0.5 * yaw_rad), np.cos(0.5 * yaw_rad)
    return numbers


def point_numbers(positions_m: FloatArray, heights_m: FloatArray) -> FloatArray:
    """Positions in the layout of `Point`: (A, ..., 2) and (A,) z, metres -> (A, ..., 3) x, y, z."""
    numbers = np.empty((*positions_m.shape[:-1], 3))
    numbers[..., :2] = positions_m
    numbers[..., 2] = heights_m.reshape(-1, *[1] * (positions_m.ndim - 2))
    return numbers


def pose_numbers(positions_m: FloatArray, heights_m: FloatArray, yaw_rad: FloatArray) -> FloatArray:
    """Positions and headings in the layout of `Pose`.

    Args:
        positions_m: (A, ..., 2) metres.
        heights_m: (A,) z in metres.
        yaw_rad: (A, ...) radians.

    Returns:
        (A, ..., 7) x, y, z of the position, x, y, z, w of the orientation.
    """
    points = point_numbers(positions_m, heights_m)
    return np.concatenate([points, orientation_numbers(yaw_rad)], axis=-1)


def velocity_numbers(velocities_m_s: FloatArray) -> FloatArray:
    """Planar velocities in the layout of `Vector3` and `Point`: (A, 2) -> (A, 3) m/s."""
    return point_numbers(velocities_m_s, np.zeros(len(velocities_m_s)))


def person_size_to_msg(radius_m: float) -> Vector3:
    """The bounding box of a standing person."""
    return Vector3(x=2.0 * radius_m, y=2.0 * radius_m, z=PERSON_HEIGHT_M)


def point_cloud_to_msg(columns: dict[str, np.ndarray], stamp_ns: int, frame_id: str) -> PointCloud2:
    """Builds a cloud with one point per row.

    Args:
        columns: field name -> (N,) values; their numpy types become the types of the fields.
        stamp_ns: of the header, integer nanoseconds.
        frame_id: of the header.
    """
    return points_to_msg(point_cloud_data(columns), stamp_ns, frame_id)


def points_to_msg(points: np.ndarray, stamp_ns: int, frame_id: str) -> PointCloud2:
    """Builds a cloud.

    Args:
        points: (N,) packed structured array, little endian; its fields become those of the cloud.
        stamp_ns: of the header, integer nanoseconds.
        frame_id: of the header.
    """
    message = PointCloud2()
    message.header = header_to_msg(stamp_ns, frame_id)
    message.height, message.width = 1, len(points)
    message.fields = _point_fields(points.dtype)
    message.is_bigendian = False
    message.point_step = points.dtype.itemsize
    message.row_step = points.nbytes
    # The setter takes an array of bytes as it is and checks anything else element by element.
    message.data = array("B", points.tobytes())
    message.is_dense = True
    return message


@lru_cache(maxsize=16)
def _point_fields(dtype: np.dtype) -> list[PointField]:
    """The same objects for every cloud of a type; nobody changes them."""
    return [
        PointField(name=name, offset=offset, datatype=datatype, count=1)
        for name, offset, datatype in point_field_layout(dtype)
    ]


def tracks_to_marker_array(tracks: Tracks, frame_id: str) -> MarkerArray:
    """One cylinder per pedestrian."""
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
    """One point per pedestrian: x, y, z as float64, id as uint32 (`tracks.agent_ids`)."""
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
