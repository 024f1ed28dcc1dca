"""Places on the ground -> `geometry_msgs`."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Vector3

from social_implicit_ros.ros.outputs.encoding import PERSON_HEIGHT_M
from social_implicit_ros.types import FloatArray


def orientation_numbers(yaw_rad: FloatArray) -> FloatArray:
    """Turns about z as `Quaternion` holds them: (...,) radians -> (..., 4) x, y, z, w."""
    numbers = np.zeros((*yaw_rad.shape, 4))
    numbers[..., 2], numbers[..., 3] = np.sin(0.5 * yaw_rad), np.cos(0.5 * yaw_rad)
    return numbers


def point_numbers(positions_m: FloatArray, heights_m: FloatArray) -> FloatArray:
    """Places as `Point` holds them: (A, ..., 2) and (A,) z, metres -> (A, ..., 3) x, y, z."""
    numbers = np.empty((*positions_m.shape[:-1], 3))
    numbers[..., :2] = positions_m
    numbers[..., 2] = heights_m.reshape(-1, *[1] * (positions_m.ndim - 2))
    return numbers


def pose_numbers(positions_m: FloatArray, heights_m: FloatArray, yaw_rad: FloatArray) -> FloatArray:
    """Places and headings as `Pose` holds them.

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
    """Velocities in the plane as `Vector3` and `Point` hold them: (A, 2) -> (A, 3) m/s."""
    return point_numbers(velocities_m_s, np.zeros(len(velocities_m_s)))


def person_size_to_msg(radius_m: float) -> Vector3:
    """The box around a standing person."""
    return Vector3(x=2.0 * radius_m, y=2.0 * radius_m, z=PERSON_HEIGHT_M)
