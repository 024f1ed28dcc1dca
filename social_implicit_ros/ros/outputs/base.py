"""What every output offers the node."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from rclpy.qos import QoSProfile

from social_implicit_ros.prediction.forecast import Forecast


class Output(Protocol):
    """Turns forecasts into messages of one topic.

    It is made from the node's config and never sees the node, which publishes for it.
    """

    topic: ClassVar[str]
    message_class: ClassVar[type]

    def qos(self) -> QoSProfile:
        """Of the topic."""

    def render(self, forecast: Forecast) -> Any:
        """The message to publish, or its serialised bytes."""

    def clear(self, stamp_ns: int) -> Any:
        """The message that takes away what was shown so far, or None where nothing stays."""
