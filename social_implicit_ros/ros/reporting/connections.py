"""Checks the connections of the node: incompatible endpoints, topics without publishers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from copy import copy
from functools import cache
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

from social_implicit_ros.prediction.health.snapshot import Endpoint, Surroundings
from social_implicit_ros.prediction.robot_plan import PATH
from social_implicit_ros.prediction.walls import OCCUPANCY_GRID
from social_implicit_ros.tracks.messages.decoder import ODOMETRY
from social_implicit_ros.tracks.messages.spec import load_tracker_spec, shipped_trackers

#: Maximum number of topics that a warning names.
_MAX_TOPICS = 3
#: Type -> name of the topic below the node and of its launch argument; all others are tracks.
_SUBSCRIBED = {ODOMETRY: "odometry", OCCUPANCY_GRID: "map", PATH: "plan"}
#: Name of a node until the middleware has received it.
_UNKNOWN = "_NODE_NAME_UNKNOWN_"
_INFINITE = Duration(nanoseconds=2**63 - 1)


def surroundings_of(
    node: Node, subscriptions: Sequence[Subscription], publishers: Collection[Publisher]
) -> Surroundings:
    """State of the node's subscriptions, publishers and clock according to the ROS graph."""
    endpoints = [_endpoint(node, subscription) for subscription in subscriptions]
    simulated = node.get_parameter("use_sim_time").value
    clocks = node.get_publishers_info_by_topic("/clock") if simulated else ()
    names = node.get_node_names_and_namespaces()
    return Surroundings(
        {endpoint.topic: endpoint for endpoint in endpoints},
        tuple(_broken_connections(node, subscriptions, publishers)),
        clocks=tuple(sorted(map(_name, clocks))),
        lacks_clock=bool(simulated) and not clocks,
        waits_for_manager=not node.get_parameter("autostart").value,
        n_namesakes=max(names.count((node.get_name(), node.get_namespace())) - 1, 0),
    )


def _endpoint(node: Node, subscription: Subscription) -> Endpoint:
    topic, wanted = subscription.topic_name, _type_name(subscription.msg_type)
    if any(other.topic_type == wanted for other in node.get_publishers_info_by_topic(topic)):
        return Endpoint(topic, wanted)
    # Nor do predictors in other namespaces publish tracks.
    own = node.get_name()
    elsewhere = [
        name
        for name, offered in node.get_topic_names_and_types()
        if wanted in offered
        and name != topic
        and any(
            other.topic_type == wanted and other.node_name != own
            for other in node.get_publishers_info_by_topic(name)
        )
    ]
    hint = where_to_find(wanted, sorted(elsewhere), node.get_parameter("tracker").value)
    return Endpoint(topic, wanted, hint)


def where_to_find(message_type: str, topics: Sequence[str], tracker: str) -> str:
    """That nobody publishes a type on the node's topic, and how to subscribe to another one.

    Args:
        message_type: `package/msg/Type`.
        topics: other topics on which other nodes publish this type.
        tracker: the parameter `tracker`.
    """
    hint = f"nobody publishes {message_type} there"
    if not topics:
        return hint
    name = _SUBSCRIBED.get(message_type, "tracks")
    fix = f"remap ~/{name}, or launch with {name}:={topics[0]}"
    if name == "tracks" and "@" in tracker:
        fix = "name that topic in the parameter tracker"
    return f"{hint}; {message_type} is published on {', '.join(topics[:_MAX_TOPICS])}: {fix}"


def _broken_connections(
    node: Node, subscriptions: Iterable[Subscription], publishers: Collection[Publisher]
) -> list[str]:
    """A line for each endpoint that cannot exchange messages with the node.

    DDS silently does not match endpoints with incompatible QoS or types: the tracker then only
    seems to be silent.
    """
    lines = []
    own = {publisher.topic_name for publisher in publishers}
    for subscription in subscriptions:
        topic, wanted = subscription.topic_name, _type_name(subscription.msg_type)
        if topic in own:
            lines.append(f"this node receives its own output on {topic}; remap one of them")
        for other in node.get_publishers_info_by_topic(topic):
            problem = _problem(other, wanted, other.qos_profile, subscription.qos_profile)
            tracker = _tracker_of(other.topic_type) if other.topic_type != wanted else ""
            if problem:
                fix = f", or set tracker to {tracker}" if tracker else ""
                lines.append(f"no messages from {_name(other)} on {topic}: {problem}{fix}")
    for publisher in publishers:
        topic, offered = publisher.topic_name, _type_name(publisher.msg_type)
        for other in node.get_subscriptions_info_by_topic(topic):
            problem = _problem(other, offered, publisher.qos_profile, other.qos_profile)
            if problem:
                lines.append(f"{_name(other)} receives no messages on {topic}: {problem}")
    return lines


def _problem(
    other: TopicEndpointInfo, ours: str, offered: QoSProfile, requested: QoSProfile
) -> str:
    if other.topic_type != ours:
        return f"its type is {other.topic_type}, this node's is {ours}; remap one of them"
    compatibility, reason = qos_check_compatible(_as_in_graph(offered), _as_in_graph(requested))
    if compatibility != QoSCompatibility.ERROR:
        return ""
    return (
        f"{reason.strip().rstrip(';.')}; change its QoS, or the QoS of this node by the "
        "parameters qos_overrides"
    )


@cache
def _tracker_of(message_type: str) -> str:
    """Name of the shipped mapping for a message type; empty if there is none."""
    for name, file in shipped_trackers().items():
        if load_tracker_spec(file).message_type == message_type:
            return name
    return ""


def _as_in_graph(profile: QoSProfile) -> QoSProfile:
    """A profile as the graph reports it: unset durations are infinite."""
    reported = copy(profile)
    for name in ("deadline", "liveliness_lease_duration"):
        if getattr(profile, name).nanoseconds == 0:
            setattr(reported, name, _INFINITE)
    return reported


def _type_name(message_class: Any) -> str:
    package, kind, *_ = message_class.__module__.split(".")
    return f"{package}/{kind}/{message_class.__name__}"


def _name(other: TopicEndpointInfo) -> str:
    if other.node_name == _UNKNOWN:
        return "a node that was just discovered"
    return f"{other.node_namespace.rstrip('/')}/{other.node_name}"
