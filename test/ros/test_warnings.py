"""Nothing is lost silently: /diagnostics and the log say what, why and how to correct it.

The node warns after two seconds, so that many faults share each of the nodes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import PointCloud2
from support.conversation import predictions_of, value_of
from support.ros import NodeUnderTest, Peer
from visualization_msgs.msg import Marker, MarkerArray

from social_implicit_ros.ros.messages import stamp_to_msg

Start = Callable[..., NodeUnderTest]

#: Class and id of a person are texts of its marker.
DESCRIPTION = """
message_type: visualization_msgs/msg/MarkerArray
list: markers
id: text
no_id: ["-1"]
class: ns
position: pose.position
frame: markers[0].header.frame_id
stamp: markers[0].header.stamp
filters: {class_in: [person, pedestrian], class_out: [car]}
"""
S = 1_000_000_000
PERIOD_S = 0.1
STARTED_S = time.monotonic()


def crowd(ids: Iterable[str], name: str = "person", stamp_ns: int | None = None) -> MarkerArray:
    """People who stand in a row."""
    message, stamp_ns = MarkerArray(), time.time_ns() if stamp_ns is None else stamp_ns
    for n, agent_id in enumerate(ids):
        entry = Marker(text=agent_id, ns=name)
        entry.header.frame_id = "odom"
        entry.header.stamp = stamp_to_msg(stamp_ns)
        entry.pose.position.x = float(n)
        message.markers.append(entry)
    return message


def nowhere(ids: Iterable[str]) -> MarkerArray:
    message = crowd(ids)
    for entry in message.markers:
        entry.pose.position.x = float("nan")
    return message


def in_millimetres(ids: Iterable[str]) -> MarkerArray:
    """People who walk at 1 m/s."""
    message = crowd(ids)
    for entry in message.markers:
        entry.pose.position.x = 1000.0 * (entry.pose.position.x + time.monotonic() - STARTED_S)
    return message


def with_lost(ids: Iterable[str]) -> MarkerArray:
    """The last two are lost, and keep their last stamp."""
    message = crowd(ids)
    for entry in message.markers[-2:]:
        entry.header.stamp.sec -= 3
    return message


def unfilled(ids: Iterable[str]) -> MarkerArray:
    message = crowd(ids)
    for entry in message.markers:
        entry.pose.position.x = 0.0
    return message


def with_cars(ids: Iterable[str]) -> MarkerArray:
    """Most are cars, which are left out on purpose."""
    message = crowd(ids)
    message.markers += [entry for _ in range(2) for entry in crowd(ids).markers]
    for n, entry in enumerate(message.markers):
        entry.header.stamp = message.markers[0].header.stamp
        entry.ns = "person" if n < len(message.markers) // 3 else "car"
    return message


def wait_for_warnings(
    node: NodeUnderTest, tell: Callable[[], None], kinds: Iterable[str]
) -> DiagnosticStatus:
    """Publishes ten times a second until the node warns of all kinds at once."""
    reports: list[DiagnosticArray] = node.collect(DiagnosticArray, "/diagnostics")
    told_s, wanted = 0.0, set(kinds)

    def warned() -> DiagnosticStatus | None:
        nonlocal told_s
        if time.monotonic() - told_s > PERIOD_S:
            told_s = time.monotonic()
            tell()
        for status in predictions_of(reports[-3:]):
            if wanted <= set(value_of(status, "warnings").split(", ")):
                return status
        return None

    status = node.wait_for(warned, f"warnings of {kinds}")
    assert status.level == DiagnosticStatus.WARN
    return status


def assert_logged(node: NodeUnderTest, *parts: str) -> None:
    """A line with all parts is logged, once."""

    def lines() -> list[str]:
        found = node.process.output.splitlines()
        return [line for line in found if all(part in line for part in parts)]

    node.wait_for(lines, f"a line with {parts}")
    assert len(lines()) == 1


def test_faults_are_reported_for_each_tracker(start: Start, tmp_path: Path) -> None:
    description = tmp_path / "texts.yaml"
    description.write_text(DESCRIPTION)
    numbers, stuck_ns = itertools.count(), time.time_ns()
    people = [f"p{n}" for n in range(6)]
    tell: dict[str, Callable[[], MarkerArray]] = {
        "/well": lambda: crowd(people),
        "/mixed": lambda: with_cars(people),
        "/no_ids": lambda: crowd(["-1", "", ""]),
        "/classes": lambda: crowd(people, "human"),
        "/new_ids": lambda: crowd(str(next(numbers)) for _ in range(6)),
        "/one_id": lambda: crowd(["1"] * 6),
        "/twice": lambda: crowd([*people, "p0"]),
        "/late": lambda: crowd(people, stamp_ns=time.time_ns() - 4 * S),
        "/nan": lambda: nowhere(people),
        "/stuck": lambda: crowd(people, stamp_ns=stuck_ns),
        "/unset": lambda: crowd(people, stamp_ns=0),
    }
    trackers = ", ".join(f"{description}@{topic}" for topic in [*tell, "/silent"])
    node = start(tracker=trackers, model="constant_velocity")
    publishers = {topic: node.publisher(MarkerArray, topic) for topic in tell}

    def tell_all() -> None:
        for row, (topic, publisher) in enumerate(publishers.items()):
            message = tell[topic]()
            for marker in message.markers:
                marker.pose.position.y = float(row)
            publisher.publish(message)

    kinds = [
        *(f"nobody./{name}" for name in ("no_ids", "classes", "nan", "stuck", "unset")),
        "lost./one_id",
        "old./stuck",
        "ids./new_ids",
        "duplicates./twice",
        "old./late",
        "no_stamp",
        "silent./silent",
    ]
    status = wait_for_warnings(node, tell_all, kinds)
    for well in ("/well", "/mixed"):
        assert f"{well}," not in f"{value_of(status, 'warnings')},"
    assert_logged(node, "/no_ids", "empty_id", "an id of its own")
    assert_logged(node, "class 'human' is not in [person, pedestrian]: add it to class_in")
    assert_logged(node, "median lifetime of an id on /new_ids is 0.0 s")
    assert_logged(node, "/one_id", "duplicate_id", "seen '")
    assert_logged(node, "on /twice have the id of another entry")
    assert_logged(node, "/late", "max_track_timeout_s")
    assert_logged(node, "/nan", "not_finite")
    assert_logged(node, "nobody on /stuck has been predicted for")
    assert_logged(node, "tracks on /stuck arrive", "s old")
    assert_logged(node, "/unset", "no_stamp", "stamp_source")
    assert_logged(node, "no tracks yet on /silent", "MarkerArray is published on /classes")
    assert "Traceback" not in node.process.output


def test_wrong_units_stamps_and_fields_are_named(start: Start) -> None:
    people = [f"{n}" for n in range(6)]
    tell: dict[str, Callable[[], MarkerArray]] = {
        "/millimetres": lambda: in_millimetres(people),
        "/lost": lambda: with_lost(people),
        "/zeros": lambda: unfilled(people),
    }
    trackers = ", ".join(f"marker_array@{topic}" for topic in tell)
    node = start(tracker=trackers, model="constant_velocity")
    publishers = {topic: node.publisher(MarkerArray, topic) for topic in tell}

    def tell_all() -> None:
        for topic, publisher in publishers.items():
            message = tell[topic]()
            for number, marker in enumerate(message.markers):
                marker.id = number
            publisher.publish(message)

    wait_for_warnings(node, tell_all, ["speed./millimetres", "stamps./lost", "nobody./zeros"])
    assert_logged(node, "people on /millimetres move at", "pose.position must be in metres")
    assert_logged(node, "on /lost have another stamp than their message", "stamp_spread_s")
    assert_logged(node, "/zeros", "unset_position", "in pose.position", "does not fill in")


def test_nobody_predicted_wide_ellipses_too_many_people_and_a_lost_robot(start: Start) -> None:
    messages = pytest.importorskip("vision_msgs.msg")
    node = start(
        tracker="vision_detections",
        model="constant_velocity",
        add_tracker_covariance=True,
        max_agents=4,
        robot="odometry",
    )
    tracks = node.publisher(messages.Detection3DArray, "/predictor/tracks")

    def detections(class_id: str, variance_m2: float) -> Any:
        message = messages.Detection3DArray()
        message.header.stamp, message.header.frame_id = stamp_to_msg(time.time_ns()), "odom"
        for n in range(6):
            result = messages.ObjectHypothesisWithPose()
            result.hypothesis.class_id, result.hypothesis.score = class_id, 0.9
            result.pose.covariance[0] = result.pose.covariance[7] = variance_m2
            found = messages.Detection3D(id=str(n), results=[result])
            found.bbox.center.position.x = float(n)
            message.detections.append(found)
        return message

    status = wait_for_warnings(
        node, lambda: tracks.publish(detections("car", 0.01)), ["nobody./predictor/tracks"]
    )
    assert "nobody on /predictor/tracks has been predicted for" in status.message
    assert "class 'car' is not in [person" in status.message
    wait_for_warnings(
        node,
        lambda: tracks.publish(detections("person", 400.0)),
        ["capacity", "covariance", "robot_lost"],
    )
    assert_logged(node, "has been predicted for", "class 'car'", "class_in")
    assert_logged(node, "more people than max_agents, 4", "raise max_agents")
    assert_logged(node, "variance of 400 m^2 makes the ellipses", "add_tracker_covariance")
    assert_logged(node, "the robot is lost", "nobody publishes nav_msgs/msg/Odometry there")
    assert_logged(node, "resolved: nobody on /predictor/tracks has been predicted")


def test_a_wrong_topic_a_wrong_type_and_no_clock(start: Start) -> None:
    node = start(use_sim_time=True, model="constant_velocity")
    # In a process of its own, as a process knows one type of a topic.
    other = Peer(node.peer.node.context.get_domain_id())
    other.node.create_publisher(PointCloud2, "/predictor/tracks", 1)
    node.peer.node.create_publisher(MarkerArray, "/acme/people", 1)
    # An output of another predictor, which is no tracker.
    context = node.peer.node.context
    second = rclpy.create_node("predictor", namespace="/robot2", context=context)
    second.create_publisher(MarkerArray, "/robot2/predictor/markers", 1)
    kinds = ["clock", "connection", "silent./predictor/tracks"]
    status = wait_for_warnings(node, lambda: None, kinds)
    assert "use_sim_time is true and nobody publishes /clock" in status.message
    found = "visualization_msgs/msg/MarkerArray is published on /acme/people: "
    reports: list[DiagnosticArray] = node.collect(DiagnosticArray, "/diagnostics")
    # Known once the other publisher is discovered, which may be after the log's line.
    node.wait_for(lambda: any(found in s.message for s in predictions_of(reports)), found)
    assert_logged(node, "no tracks yet on /predictor/tracks")
    assert_logged(node, "its type is sensor_msgs/msg/PointCloud2")
    assert_logged(node, "nobody publishes /clock", "ros2 bag play --clock")
    other.close()
    second.destroy_node()

    assert node.transition("deactivate")
    status = wait_for_warnings(node, lambda: None, ["lifecycle"])
    assert "inactive, nobody is predicted" in status.message
    assert_logged(node, "inactive, nobody is predicted", "ros2 lifecycle set")


def test_a_node_that_waits_for_its_manager_says_so(start: Start) -> None:
    node = start(autostart=False, model="constant_velocity")
    reports: list[DiagnosticArray] = node.collect(DiagnosticArray, "/diagnostics")

    def waiting() -> DiagnosticStatus | None:
        return next((s for s in predictions_of(reports) if "unconfigured" in s.message), None)

    status = node.wait_for(waiting, "a report")
    assert status.level == DiagnosticStatus.OK
    assert "waits for its lifecycle manager to configure it (autostart is false)" in status.message
