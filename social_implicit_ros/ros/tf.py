"""Tracks brought into the fixed frame, each at its own stamp, as soon as the transform is known."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from social_implicit_ros.tracks.transforms import RigidTransform, transform_tracks
from social_implicit_ros.types import Tracks

if TYPE_CHECKING:
    from geometry_msgs.msg import TransformStamped
    from rclpy.node import Node

#: Messages that may wait for a transform at once; at 60 Hz about a second of them.
_MAX_WAITING = 64


class TransformMissingError(Exception):
    """A transform is not known, or not yet; the message is tf2's own."""


class TransformLookup(Protocol):
    """Gives transforms, such as tf2's buffer does."""

    def at(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        """The pose of `source` in `target` at a time; raises TransformMissingError."""

    def latest(self, target: str, source: str) -> tuple[RigidTransform, int]:
        """The newest pose of `source` in `target` and its stamp; raises TransformMissingError."""


@dataclass(frozen=True, eq=False)
class _Waiting:
    tracks: Tracks
    frame_id: str
    deadline_s: float


class FrameMover:
    """Moves tracks into the fixed frame; what has no transform yet waits a set time for it."""

    def __init__(self, lookup: TransformLookup, fixed_frame: str, wait_s: float) -> None:
        self._lookup = lookup
        self._fixed_frame = fixed_frame
        self._wait_s = wait_s
        self._waiting: deque[_Waiting] = deque()

    def __len__(self) -> int:
        """How many messages wait for a transform."""
        return len(self._waiting)

    def add(self, tracks: Tracks, frame_id: str, now_s: float) -> None:
        """Takes tracks of another frame; ask `take` for what can be moved."""
        self._waiting.append(_Waiting(tracks, frame_id, now_s + self._wait_s))

    def take(self, now_s: float) -> tuple[list[Tracks], list[tuple[Tracks, str]]]:
        """What can be moved by now, and what has waited in vain.

        Args:
            now_s: the present on a clock that never jumps.

        Returns:
            Tracks in the fixed frame, in the order in which they came, and the tracks given up,
            each with what tf2 said.
        """
        moved: list[Tracks] = []
        given_up: list[tuple[Tracks, str]] = []
        still: deque[_Waiting] = deque()
        too_many = len(self._waiting) - _MAX_WAITING
        for n, entry in enumerate(self._waiting):
            try:
                transform = self._lookup.at(
                    self._fixed_frame, entry.frame_id, entry.tracks.stamp_ns
                )
            except TransformMissingError as error:
                if now_s >= entry.deadline_s or n < too_many:
                    given_up.append((entry.tracks, str(error)))
                else:
                    still.append(entry)
                continue
            moved.append(transform_tracks(entry.tracks, transform))
        self._waiting = still
        return moved, given_up

    def reset(self) -> None:
        """Lets go of everything that waits."""
        self._waiting.clear()


class Tf2Lookup:
    """tf2's buffer, filled from /tf and /tf_static."""

    def __init__(self, node: Node) -> None:
        """Subscribes; raises ImportError where tf2_ros is not installed."""
        from tf2_ros import Buffer, TransformException, TransformListener

        self._exception = TransformException
        self._buffer = Buffer(node=node)
        # In the node's own executor: a thread of its own would outlive a clean shutdown.
        self._listener = TransformListener(self._buffer, node, spin_thread=False)

    def at(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        """As `TransformLookup.at`."""
        from rclpy.time import Time

        return self._look_up(target, source, Time(nanoseconds=stamp_ns))[0]

    def latest(self, target: str, source: str) -> tuple[RigidTransform, int]:
        """As `TransformLookup.latest`."""
        from rclpy.time import Time

        return self._look_up(target, source, Time())

    def close(self) -> None:
        """Ends the subscriptions."""
        self._listener.unregister()

    def _look_up(self, target: str, source: str, time: object) -> tuple[RigidTransform, int]:
        try:
            found: TransformStamped = self._buffer.lookup_transform(target, source, time)
        except self._exception as error:
            raise TransformMissingError(str(error)) from error
        q, t = found.transform.rotation, found.transform.translation
        try:
            pose = RigidTransform.from_quaternion(
                np.array([q.x, q.y, q.z, q.w]), np.array([t.x, t.y, t.z])
            )
        except ValueError as error:
            raise TransformMissingError(str(error)) from error
        stamp = found.header.stamp
        return pose, stamp.sec * 1_000_000_000 + stamp.nanosec
