"""The walls of a map: predictions end before them, and a missing map is a warning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from nav_msgs.msg import OccupancyGrid
from support.conversation import Conversation
from support.ros import NodeUnderTest
from support.tracks import S, walkers_at
from visualization_msgs.msg import MarkerArray

from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.recordings.bag_writer import serialised_map
from social_implicit_ros.ros import qos

WALL_X_M = 2.0


def wall() -> FloorPlan:
    """A wall from x = 2 to 3 m."""
    occupied = np.zeros((200, 200), dtype=bool)
    occupied[:, 120:130] = True
    return FloorPlan(occupied, 0.1, (-10.0, -10.0))


def towards_the_wall(stamp_ns: int) -> MarkerArray:
    """Walks at 1 m/s from x = -1 m; a thousand seconds later the next one does."""
    message = walkers_at(stamp_ns, {"1": (1.0, 0.0)})
    for marker in message.markers:
        marker.pose.position.x = (stamp_ns / S) % 1000.0 - 1.0
    return message


def test_predictions_end_before_the_walls_of_the_map(start: Callable[..., NodeUnderTest]) -> None:
    node = start(model="constant_velocity", tick_rate_hz=0.0, use_map=True)
    talk = Conversation(node, towards_the_wall)
    talk.report(lambda status: "no usable map yet on /predictor/map" in status.message)
    through = talk.walk(talk.new_stamps(), 10)
    assert through.mean[0, -1, 0] > WALL_X_M + 1.0

    publisher = node.peer.node.create_publisher(OccupancyGrid, "/predictor/map", qos.map_())
    publisher.publish(serialised_map(wall(), 0, "odom"))
    talk.report(lambda status: "no map" not in status.message)
    before = talk.walk(talk.new_stamps(), 10)
    np.testing.assert_allclose(before.mean[0, -1], [WALL_X_M, 0.0], atol=0.2)
    assert (before.mean[..., 0] < WALL_X_M).all()
