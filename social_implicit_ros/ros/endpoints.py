"""Publishers and subscriptions of the node, which configure creates and cleanup destroys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher

from social_implicit_ros.ros import bond, qos
from social_implicit_ros.ros.session import Session
from social_implicit_ros.ros.trackers import Tracker

ODOMETRY_TOPIC = "~/odometry"
MAP_TOPIC = "~/map"


@dataclass(frozen=True)
class Callbacks:
    """What to call with a received message.

    Attributes:
        tracks: of a tracker; serialised if the tracker reads bytes.
        odometry: of the robot.
        map_: of the building.
    """

    tracks: Callable[[Tracker, Any], None]
    odometry: Callable[[Odometry], None]
    map_: Callable[[OccupancyGrid], None]


def create_endpoints(
    node: LifecycleNode, session: Session, trackers: Sequence[Tracker], callbacks: Callbacks
) -> None:
    """Adds the endpoints that the session's parameters ask for to the session."""
    for name, output in session.outputs.items():
        session.publishers[name] = node.create_lifecycle_publisher(
            output.message_class,
            output.topic,
            output.qos(),
            qos_overriding_options=qos.overridable(),
        )
    if session.config.bond:
        publisher: Publisher = node.create_publisher(
            bond.status_class(), bond.TOPIC, qos.diagnostics()
        )
        session.bond = bond.Bond(node.get_name(), publisher)
    for tracker in trackers:
        session.subscriptions.append(
            node.create_subscription(
                tracker.message_class,
                tracker.topic,
                partial(callbacks.tracks, tracker),
                qos.tracks(),
                raw=tracker.is_raw,
                qos_overriding_options=qos.overridable(),
            )
        )
    if session.config.use_map:
        session.subscriptions.append(
            node.create_subscription(OccupancyGrid, MAP_TOPIC, callbacks.map_, qos.map_())
        )
    if session.config.robot == "odometry":
        session.subscriptions.append(
            node.create_subscription(Odometry, ODOMETRY_TOPIC, callbacks.odometry, qos.odometry())
        )


def destroy_endpoints(node: LifecycleNode, session: Session) -> None:
    """Destroys the endpoints of a session."""
    for subscription in session.subscriptions:
        node.destroy_subscription(subscription)
    for publisher in session.publishers.values():
        node.destroy_lifecycle_publisher(publisher)
    node.destroy_lifecycle_publisher(session.metrics)
    if session.bond is not None:
        node.destroy_publisher(session.bond.publisher)
