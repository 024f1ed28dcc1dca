"""The node never publishes a wrong picture with the level OK."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import OccupancyGrid, Odometry
from support.conversation import STEP_NS, Conversation
from support.ros import NodeUnderTest

from social_implicit_ros.ros.messages import stamp_to_msg

Start = Callable[..., NodeUnderTest]


def odometry_at(stamp_ns: int, x_m: float) -> Odometry:
    message = Odometry()
    message.header.stamp, message.header.frame_id = stamp_to_msg(stamp_ns), "odom"
    message.pose.pose.position.x = x_m
    return message


@pytest.mark.parametrize("fault", ["silent", "jumping"])
def test_the_costmap_stays_while_the_robot_is_lost(start: Start, fault: str) -> None:
    node = start(tick_rate_hz=0.0, robot="odometry", outputs="[pointcloud,costmap]")
    talk = Conversation(node)
    odometry = node.publisher(Odometry, "/predictor/odometry")
    grids = node.collect(OccupancyGrid, "/predictor/costmap")
    stamps_ns = talk.new_stamps()

    def around_the_robot() -> bool:
        stamp_ns = next(stamps_ns)
        odometry.publish(odometry_at(stamp_ns, 200.0))
        talk.walk(iter([stamp_ns]), 1)
        return bool(grids) and abs(grids[-1].info.origin.position.x - 190.0) < 0.11

    node.wait_for(around_the_robot, "a costmap around the robot")
    grids.clear()
    for n, stamp_ns in enumerate(itertools.islice(stamps_ns, 25)):
        if fault == "jumping":
            odometry.publish(odometry_at(stamp_ns, 230.0 if n == 10 else 200.0))
        talk.walk(iter([stamp_ns + STEP_NS // 2]), 1)
    node.wait_for(lambda: len(grids) >= 20, "costmaps without the robot")
    assert {round(grid.info.origin.position.x) for grid in grids} == {190}
    status = talk.report_since(lambda status: "the robot is lost" in status.message)
    assert status.level == DiagnosticStatus.WARN
