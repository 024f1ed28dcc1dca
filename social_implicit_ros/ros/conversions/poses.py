"""Places on the ground -> `geometry_msgs`."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Point, Pose, PoseWithCovariance, Quaternion, Vector3

from social_implicit_ros.core.encoding import PERSON_HEIGHT_M
from social_implicit_ros.core.types import FloatArray


def yaw_to_msg(yaw_rad: float) -> Quaternion:
    """A turn about z as a message."""
    return Quaternion(z=float(np.sin(0.5 * yaw_rad)), w=float(np.cos(0.5 * yaw_rad)))


def path_to_msgs(path_m: FloatArray, height_m: float, yaw_rad: FloatArray) -> list[Pose]:
    """The poses along a path.

    Args:
        path_m: (S, 2) metres.
        height_m: z of all of them, metres.
        yaw_rad: (S,) radians.
    """
    height_m = float(height_m)
    halves = 0.5 * yaw_rad
    turns = zip(np.sin(halves).tolist(), np.cos(halves).tolist(), strict=True)
    return [
        Pose(position=Point(x=x, y=y, z=height_m), orientation=Quaternion(z=z, w=w))
        for (x, y), (z, w) in zip(path_m.tolist(), turns, strict=True)
    ]


def pose_with_covariance_to_msg(pose: Pose, covariance: FloatArray) -> PoseWithCovariance:
    """A pose with (36,) its covariance, see `core.planar.pose_covariance`."""
    return PoseWithCovariance(pose=pose, covariance=covariance)


def person_size_to_msg(radius_m: float) -> Vector3:
    """The box around a standing person."""
    return Vector3(x=2.0 * radius_m, y=2.0 * radius_m, z=PERSON_HEIGHT_M)
