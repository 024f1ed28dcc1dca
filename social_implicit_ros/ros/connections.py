"""Who would talk to the node and cannot: another type or quality of service on its topics."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

_NEVER = Duration(nanoseconds=2**63 - 1)


def broken_connections(
    node: Node, subscriptions: Iterable[Subscription], publishers: Iterable[Publisher]
) -> list[str]:
    """A line for everybody on the node's topics with whom no message can be exchanged.

    The middleware drops such a pair without a word to whoever looks at the node's topics: to
    them a tracker seems silent.

    Args:
        node: asks the middleware.
        subscriptions: of the node.
        publishers: of the node.
    """
    lines = []
    for subscription in subscriptions:
        topic, wanted = subscription.topic_name, _type_name(subscription.msg_type)
        for other in node.get_publishers_info_by_topic(topic):
            problem = _problem(other, wanted, other.qos_profile, subscription.qos_profile)
            if problem:
                lines.append(f"nothing is heard from {_name(other)} on {topic}: {problem}")
    for publisher in publishers:
        topic, offered = publisher.topic_name, _type_name(publisher.msg_type)
        for other in node.get_subscriptions_info_by_topic(topic):
            problem = _problem(other, offered, publisher.qos_profile, other.qos_profile)
            if problem:
                lines.append(f"{_name(other)} cannot hear {topic}: {problem}")
    return lines


def _problem(
    other: TopicEndpointInfo, ours: str, offered: QoSProfile, requested: QoSProfile
) -> str:
    if other.topic_type != ours:
        return f"its type is {other.topic_type}, this node's {ours}; remap one of the two"
    compatibility, reason = qos_check_compatible(_told(offered), _told(requested))
    if compatibility != QoSCompatibility.ERROR:
        return ""
    return (
        f"{reason.strip().rstrip(';.')}; change its quality of service, or this node's by "
        "qos_overrides"
    )


def _told(profile: QoSProfile) -> QoSProfile:
    """A profile as the middleware tells of it, where a duration that is not set never ends."""
    told = copy(profile)
    for name in ("deadline", "liveliness_lease_duration"):
        if getattr(profile, name).nanoseconds == 0:
            setattr(told, name, _NEVER)
    return told


def _type_name(message_class: Any) -> str:
    package, kind, *_ = message_class.__module__.split(".")
    return f"{package}/{kind}/{message_class.__name__}"


def _name(other: TopicEndpointInfo) -> str:
    return f"{other.node_namespace.rstrip('/')}/{other.node_name}"
