"""Transforms from tf2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rclpy.node import Node
from rclpy.time import Time

from social_implicit_ros.tracks.transforms import RigidTransform, TransformUnavailableError

if TYPE_CHECKING:
    from geometry_msgs.msg import TransformStamped


class Tf2Lookup:
    """A `TransformLookup` on tf2's buffer, filled from /tf and /tf_static.

    It subscribes at the first lookup: tf2 receives every transform of the robot.
    """

    def __init__(self, node: Node) -> None:
        """Stores the node; does not subscribe."""
        self._node = node
        self._buffer: Any = None
        self._exception: type[Exception] = Exception
        self._is_missing = False

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        """As `TransformLookup.lookup`."""
        return self._look_up(target, source, Time(nanoseconds=stamp_ns))[0]

    def latest(self, target: str, source: str) -> tuple[RigidTransform, int]:
        """As `TransformLookup.latest`."""
        return self._look_up(target, source, Time())

    def _look_up(self, target: str, source: str, time: Time) -> tuple[RigidTransform, int]:
        if self._buffer is None:
            self._listen(target, source)
        try:
            found: TransformStamped = self._buffer.lookup_transform(target, source, time)
        except self._exception as error:
            raise TransformUnavailableError(str(error), may_come=True) from error
        q, t = found.transform.rotation, found.transform.translation
        try:
            pose = RigidTransform.from_quaternion(
                np.array([q.x, q.y, q.z, q.w]), np.array([t.x, t.y, t.z])
            )
        except ValueError as error:
            raise TransformUnavailableError(str(error), may_come=True) from error
        stamp = found.header.stamp
        return pose, stamp.sec * 1_000_000_000 + stamp.nanosec

    def _listen(self, target: str, source: str) -> None:
        """Subscribes; raises TransformUnavailableError where tf2_ros is not installed."""
        try:
            if self._is_missing:
                raise ImportError
            from tf2_ros import Buffer, TransformException, TransformListener
        except ImportError as error:
            self._is_missing = True
            raise TransformUnavailableError(
                f"no transform from frame {source!r} to {target!r}: tf2_ros is not installed; "
                "install ros-$ROS_DISTRO-tf2-ros-py, set fixed_frame to the frame of the tracks, "
                "or let the tracker publish in the fixed frame",
                may_come=False,
            ) from error
        self._exception = TransformException
        self._buffer = Buffer(node=self._node)
        # Runs in the node's executor: a separate thread would outlive a clean shutdown.
        self._listener = TransformListener(self._buffer, self._node, spin_thread=False)
