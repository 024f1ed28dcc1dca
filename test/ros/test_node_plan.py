"""The robot's plan over DDS: people make way for where the robot is going to be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import PoseStamped, TransformStamped
from nav_msgs.msg import Odometry, Path
from support.conversation import Conversation
from support.ros import NodeUnderTest
from support.tracks import S, tracks_to_marker_array
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from social_implicit_ros.ros import qos
from social_implicit_ros.ros.messages import header_to_msg
from social_implicit_ros.types import Tracks

#: `site` is turned by 90 degrees in `odom`, with this origin.
ORIGIN_M = np.array([3.0, -5.0])


def person_at(stamp_ns: int) -> MarkerArray:
    """Walks along x at 1 m/s."""
    at_m = np.array([[(stamp_ns / S) % 1000.0, 0.0]])
    return tracks_to_marker_array(Tracks(stamp_ns, ("1",), at_m), "odom")


def robot_at(stamp_ns: int) -> Odometry:
    """Drives ahead of the person, as if to leave."""
    message = Odometry(header=header_to_msg(stamp_ns, "odom"))
    position = message.pose.pose.position
    position.x, position.y = (stamp_ns / S) % 1000.0 + 4.0, -1.0
    return message


def plan_at(stamp_ns: int) -> Path:
    """In `site`: it stops, crosses the person's path and turns towards the person."""
    message = Path(header=header_to_msg(stamp_ns, "site"))
    x_m = (stamp_ns / S) % 1000.0
    for time_s, at_m in (
        (0.0, (x_m + 4.0, -1.0)),
        (1.2, (x_m + 4.0, 0.0)),
        (4.8, (x_m + 1.0, 0.0)),
    ):
        pose = PoseStamped(header=header_to_msg(stamp_ns + round(time_s * S), "site"))
        dx, dy = np.array(at_m) - ORIGIN_M
        pose.pose.position.x, pose.pose.position.y = float(dy), float(-dx)
        message.poses.append(pose)
    return message


def test_a_person_makes_way_for_the_plan_and_an_empty_path_ends_it(
    start: Callable[..., NodeUnderTest],
) -> None:
    node = start(model="default", robot="odometry", tick_rate_hz=0.0, position_noise_m=0.0)
    talk = Conversation(node, person_at)
    odometry = node.publisher(Odometry, "/predictor/odometry")
    plans = node.publisher(Path, "/predictor/plan")
    site = TransformStamped(header=header_to_msg(0, "odom"), child_frame_id="site")
    site.transform.translation.x, site.transform.translation.y = ORIGIN_M.tolist()
    site.transform.rotation.z = site.transform.rotation.w = 0.5**0.5
    static = node.peer.node.create_publisher(TFMessage, "/tf_static", qos.static_transforms())
    static.publish(TFMessage(transforms=[site]))
    stamps_ns = talk.new_stamps()

    def aside_m(plan_of: Callable[[int], Path] | None) -> float:
        stamp_ns = next(stamps_ns)
        odometry.publish(robot_at(stamp_ns))
        if plan_of is not None:
            plans.publish(plan_of(stamp_ns))
        mean = talk.walk(iter([stamp_ns]), 1).mean
        return float(np.abs(mean[..., 1]).max(initial=0.0))

    assert max(aside_m(None) for _ in range(20)) < 0.05
    node.wait_for(lambda: aside_m(plan_at) > 0.2, "a person who makes way")

    def nothing(stamp_ns: int) -> Path:
        return Path(header=header_to_msg(stamp_ns, "site"))

    node.wait_for(lambda: aside_m(nothing) < 0.05, "a person who goes straight on")
