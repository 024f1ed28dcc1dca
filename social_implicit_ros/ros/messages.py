"""Converts numbers to messages: stamps, poses, clouds."""

from __future__ import annotations

from array import array
from functools import lru_cache

import numpy as np
from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Vector3
from numpy.typing import ArrayLike
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from social_implicit_ros.tracks.messages.agent_ids import PERSON_HEIGHT_M
from social_implicit_ros.tracks.messages.point_cloud import point_field_layout
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, IntArray


def stamp_to_msg(stamp_ns: int) -> Time:
    """Integer nanoseconds -> message."""
    return Time(sec=stamp_ns // NS_PER_S, nanosec=stamp_ns % NS_PER_S)


def stamp_numbers(stamps_ns: ArrayLike) -> IntArray:
    """Stamps in the layout of `Time`: (...,) nanoseconds -> (..., 2) seconds, nanoseconds."""
    return np.stack(np.divmod(np.asarray(stamps_ns, dtype=np.int64), NS_PER_S), axis=-1)


def header_to_msg(stamp_ns: int, frame_id: str) -> Header:
    """Stamp in integer nanoseconds and frame -> message."""
    return Header(stamp=stamp_to_msg(stamp_ns), frame_id=frame_id)


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


def points_to_msg(points: np.ndarray, stamp_ns: int, frame_id: str) -> PointCloud2:
    """Builds a cloud.

    Args:
        points: (N,) packed structured array, little endian; its fields become those of the cloud.
        stamp_ns: stamp of the header, integer nanoseconds.
        frame_id: frame of the header.
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
    """Fields of a cloud, shared by all clouds of a type: callers must not modify them."""
    return [
        PointField(name=name, offset=offset, datatype=datatype, count=1)
        for name, offset, datatype in point_field_layout(dtype)
    ]
