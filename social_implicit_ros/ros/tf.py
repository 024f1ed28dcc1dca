"""Receives transforms."""

from __future__ import annotations

from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from social_implicit_ros.ros import qos
from social_implicit_ros.ros.timers import steady_timer
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.frames.transforms import TransformUnavailableError

#: Period of reading transforms without a lookup, seconds, so that the queue does not overflow.
_PERIOD_S = 0.1


class _Polled(CallbackGroup):
    """Keeps subscriptions out of the executor, which takes 0.4 ms per message."""

    def can_execute(self, entity: Any) -> bool:
        """Never."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Never."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Does nothing."""


class TransformListener:
    """Fills a `TransformBuffer` from /tf and /tf_static, from its first lookup on.

    A robot publishes hundreds of transforms a second, of which few matter. They are read
    serialised, all at once, when a transform is looked up. If all tracks are in the fixed frame,
    no lookup happens and the node does not subscribe.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._subscriptions: list[tuple[Subscription, bool]] = []  # and whether it is static
        self._polled = _Polled()
        self.buffer = TransformBuffer(before_lookup=self._before_lookup)

    def _before_lookup(self, target: str, source: str) -> None:
        if not self._subscriptions:
            self._subscribe(target, source)
        self._read()

    def _subscribe(self, target: str, source: str) -> None:
        """Subscribes; raises TransformUnavailableError if tf2_msgs is not installed."""
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError as error:
            raise TransformUnavailableError(
                f"no transform from {source!r} to {target!r}: tf2_msgs is not installed; install "
                "ros-$ROS_DISTRO-tf2-msgs, set fixed_frame to the frame of the tracks, or let the "
                "tracker publish in the fixed frame",
                may_come=False,
            ) from error

        def subscription(topic: str, profile: QoSProfile) -> Subscription:
            return self._node.create_subscription(
                TFMessage,
                topic,
                lambda message: None,  # never called
                profile,
                callback_group=self._polled,
                raw=True,
                qos_overriding_options=qos.overridable(),
            )

        self._subscriptions = [
            (subscription("/tf_static", qos.static_transforms()), True),
            (subscription("/tf", qos.transforms()), False),
        ]
        self._timer = steady_timer(self._node, _PERIOD_S, self._read)

    def _read(self) -> None:
        """Adds all transforms that have arrived."""
        for subscription, is_static in self._subscriptions:
            handle, kind = subscription.handle, subscription.msg_type
            with handle:
                while (taken := handle.take_message(kind, True)) is not None:
                    self._add(taken[0], is_static=is_static)

    def _add(self, data: bytes, *, is_static: bool) -> None:
        try:
            self.buffer.add(data, is_static=is_static)
        except ValueError as error:
            self._node.get_logger().warning(
                f"transforms cannot be read: {error}", throttle_duration_sec=5.0
            )
