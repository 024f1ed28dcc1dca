"""Endpoints that do not match are named; two namespaces are separate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointCloud2
from support.conversation import Conversation, value_of
from support.ros import NodeUnderTest, Peer, ros_arguments, running
from support.tracks import S, walkers_at
from visualization_msgs.msg import Marker, MarkerArray

from social_implicit_ros.ros.processes.domains import reserve_domain

BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(scope="module")
def talk(start_once: Callable[..., NodeUnderTest]) -> Conversation:
    reliable = {"qos_overrides./predictor/tracks.subscription.reliability": "reliable"}
    return Conversation(start_once(tick_rate_hz=0.0, model="constant_velocity", **reliable))


@pytest.fixture(autouse=True)
def recovers(talk: Conversation) -> Iterator[None]:
    yield
    assert len(talk.walk(talk.new_stamps(), 3).agents) == 2
    talk.report(lambda status: value_of(status, "connections_broken") == "0")
    assert "Traceback" not in talk.node.process.output


def told(talk: Conversation, *words: str) -> DiagnosticStatus:
    def is_told(status: DiagnosticStatus) -> bool:
        return all(word in status.message for word in words)

    status = talk.report(is_told)
    assert status.level == DiagnosticStatus.WARN
    assert value_of(status, "connections_broken") == "1"
    return status


def test_a_tracker_of_another_type(talk: Conversation) -> None:
    # In a process of its own, as a process knows one type of a topic.
    other = Peer(talk.node.peer.node.context.get_domain_id())
    other.node.create_publisher(PointCloud2, "/predictor/tracks", 1)
    type_seen = "its type is sensor_msgs/msg/PointCloud2"
    told(talk, "no messages from /peer", type_seen, "or set tracker to point_cloud")
    other.close()


def test_a_tracker_of_another_quality_of_service(talk: Conversation) -> None:
    node = talk.node.peer.node
    publisher = node.create_publisher(MarkerArray, "/predictor/tracks", BEST_EFFORT)
    told(talk, "no messages from /peer on /predictor/tracks", "Best effort", "qos_overrides")
    node.destroy_publisher(publisher)


def test_a_planner_of_another_quality_of_service(talk: Conversation) -> None:
    node = talk.node.peer.node
    subscription = node.create_subscription(
        PointCloud2, "/predictor/predictions", lambda message: None, LATCHED
    )
    told(talk, "/peer receives no messages on /predictor/predictions", "ransient local")
    node.destroy_subscription(subscription)


def test_a_tracker_that_stops_and_starts_again(talk: Conversation) -> None:
    drawn: list[MarkerArray] = talk.node.collect(MarkerArray, "/predictor/markers")
    talk.walk(talk.new_stamps(), 3)
    talk.node.peer.node.destroy_publisher(talk.tracks)

    # This node ticks at messages only.
    def cleared() -> bool:
        return any(m.action == Marker.DELETEALL for array in drawn for m in array.markers)

    talk.node.wait_for(cleared, "markers that are deleted")
    status = talk.report(lambda status: "no tracks on /predictor/tracks for" in status.message)
    assert status.level == DiagnosticStatus.WARN
    talk.tracks = talk.node.publisher(MarkerArray, "/predictor/tracks")


def test_two_nodes_in_two_namespaces(tmp_path: Path) -> None:
    domain = reserve_domain()
    parameters = ros_arguments(tick_rate_hz=0.0, model="constant_velocity")
    with ExitStack() as stack:
        nodes = {}
        for side in ("left", "right"):
            folder = tmp_path / side
            folder.mkdir()
            arguments = [*parameters, "-r", f"__ns:=/{side}"]
            process = running("predictor_node", arguments, domain=domain, folder=folder)
            nodes[side] = stack.enter_context(process)
        peer = Peer(domain)
        stack.callback(peer.close)
        topics = {side: f"/{side}/predictor/tracks" for side in nodes}
        tracks = {side: peer.publisher(MarkerArray, topics[side], nodes[side]) for side in topics}
        clouds = {
            side: peer.collect(PointCloud2, f"/{side}/predictor/predictions") for side in nodes
        }
        reports = peer.collect(DiagnosticArray, "/diagnostics")
        people = {"left": {"a": (1.0, 0.0)}, "right": {"b": (0.0, 1.0), "c": (0.5, 0.5)}}
        stamps_ns = itertools.count(10 * S, S // 10)

        def both_predicted() -> bool:
            stamp_ns = next(stamps_ns)
            for side, publisher in tracks.items():
                publisher.publish(walkers_at(stamp_ns, people[side]))
            return all(any(cloud.width for cloud in clouds[side]) for side in clouds)

        peer.wait_for(both_predicted, "predictions of both nodes", None)
        for side, walkers in people.items():
            # A row for each of a person's twelve steps.
            assert {cloud.width for cloud in clouds[side]} <= {0, 12 * len(walkers)}

        def names() -> set[str]:
            return {status.name for report in reports for status in report.status}

        wanted = {"left/predictor: prediction", "right/predictor: prediction"}
        peer.wait_for(lambda: names() >= wanted, "reports of both nodes", None)
        assert [process.stop() for process in nodes.values()] == [0, 0]
