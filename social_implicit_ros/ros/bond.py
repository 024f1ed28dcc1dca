"""The node's side of a bond, by which Nav2's lifecycle manager detects that the node died."""

from __future__ import annotations

import uuid
from importlib import import_module
from typing import Any

from rclpy.publisher import Publisher

from social_implicit_ros.ros.messages import header_to_msg

TOPIC = "bond"  # in the node's namespace
PERIOD_S = 0.25
#: Time without heartbeats after which the other side is considered dead; Nav2's bond_timeout.
_TIMEOUT_S = 4.0


def status_class() -> type:
    """The message class of a bond; raises ValueError if its package is not installed."""
    try:
        found: type = import_module("bond.msg").Status
    except ImportError as error:
        raise ValueError(
            "bond is true, but the messages of bonds cannot be imported "
            f"({error}): sudo apt install ros-$ROS_DISTRO-bond, or set bond to false"
        ) from error
    return found


class Bond:
    """Sends heartbeats while the node is active, and a last message when it is deactivated.

    Source: the protocol of `bond_core`. The manager's side has the same `id`, the name of the
    node, and listens for another `instance_id`.
    """

    def __init__(self, name: str, publisher: Publisher) -> None:
        """Sends nothing yet.

        Args:
            name: name of the node, as in the manager's `node_names`.
            publisher: publishes `status_class` on `TOPIC`.
        """
        self._name, self.publisher = name, publisher
        self._instance = str(uuid.uuid4())

    def send(self, stamp_ns: int, *, is_active: bool) -> None:
        """Sends a heartbeat, every `PERIOD_S`; or, at the end, that the node stops on purpose."""
        status: Any = self.publisher.msg_type(
            header=header_to_msg(stamp_ns, ""),
            id=self._name,
            instance_id=self._instance,
            active=is_active,
            heartbeat_timeout=_TIMEOUT_S,
            heartbeat_period=PERIOD_S,
        )
        self.publisher.publish(status)
