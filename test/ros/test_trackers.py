"""From the message of every shipped tracker mapping to a prediction, over DDS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nav_msgs.msg import Odometry
from sensor_msgs.msg import PointCloud2
from support.ros import NodeUnderTest
from support.tracker_messages import MESSAGES

from social_implicit_ros.evaluation.published import prediction_from_point_cloud
from social_implicit_ros.ros.messages import stamp_to_msg
from social_implicit_ros.ros.trackers import import_message
from social_implicit_ros.tracks.messages.agent_ids import agent_number
from social_implicit_ros.tracks.messages.field_path import TrackerSpecError
from social_implicit_ros.tracks.messages.spec import load_tracker_spec, shipped_trackers

S = 1_000_000_000
SPEED_M_S = 1.2

Start = Callable[..., NodeUnderTest]


def require_messages_of(tracker: str) -> type:
    package, _, name = load_tracker_spec(shipped_trackers()[tracker]).message_type.split("/")
    module = pytest.importorskip(
        f"{package}.msg", reason=f"{package} is not installed (scripts/build_test_interfaces.py)"
    )
    return getattr(module, name)


def test_every_shipped_mapping_is_tested() -> None:
    assert set(MESSAGES) == set(shipped_trackers())


@pytest.mark.parametrize("tracker", sorted(MESSAGES))
def test_a_person_in_the_trackers_message_is_predicted(restart: Start, tracker: str) -> None:
    message_class = require_messages_of(tracker)
    build, agent_id = MESSAGES[tracker]
    # A topic for each, as a topic has one type.
    node = restart(tracker=f"{tracker}@/{tracker}", position_noise_m=0.0)
    publisher = node.publisher(message_class, f"/{tracker}")
    clouds = node.collect(PointCloud2, "/predictor/predictions")
    steps = iter(range(1, 10_000))

    def predicted() -> PointCloud2 | None:
        # Published again until both sides know of each other and the track is long enough.
        seconds = 0.4 * next(steps)
        publisher.publish(build(round(seconds * S), SPEED_M_S * seconds, -2.0, "odom"))
        return next((cloud for cloud in clouds if cloud.width), None)

    prediction = prediction_from_point_cloud(node.wait_for(predicted, f"a prediction of {tracker}"))

    assert prediction.agents.tolist() == [agent_number(agent_id)]
    times_s = prediction.stamp_ns / S + prediction.times_s
    expected = np.column_stack([SPEED_M_S * times_s, np.full_like(times_s, -2.0)])
    np.testing.assert_allclose(prediction.mean[0], expected, atol=1e-3)


def test_two_trackers_at_once_keep_their_ids_apart(restart: Start) -> None:
    node = restart(tracker="marker_array@/left/people, point_cloud @ /right/people")
    left, _ = MESSAGES["marker_array"]
    right, _ = MESSAGES["point_cloud"]
    to_left = node.publisher(require_messages_of("marker_array"), "/left/people")
    to_right = node.publisher(require_messages_of("point_cloud"), "/right/people")
    clouds = node.collect(PointCloud2, "/predictor/predictions")
    steps = iter(range(1, 10_000))

    def both_predicted() -> PointCloud2 | None:
        seconds = 0.4 * next(steps)
        to_left.publish(left(round(seconds * S), seconds, 1.0, "odom"))
        to_right.publish(right(round(seconds * S), seconds, -1.0, "odom"))
        return next((c for c in clouds if c.width == 24), None)

    prediction = prediction_from_point_cloud(node.wait_for(both_predicted, "two agents"))
    assert set(prediction.agents.tolist()) == {
        agent_number("0/marker_array/people/42"),
        agent_number("1/point_cloud/42"),
    }


def test_a_mapping_of_the_user_needs_no_code(restart: Start, tmp_path: Path) -> None:
    description = tmp_path / "mine.yaml"
    description.write_text(
        "message_type: visualization_msgs/msg/MarkerArray\n"
        "list: markers\nid: id\nposition: pose.position\n"
        "frame: markers[0].header.frame_id\nstamp: markers[0].header.stamp\n"
    )
    node = restart(tracker=str(description))
    publisher = node.publisher(require_messages_of("marker_array"), "/predictor/tracks")
    clouds = node.collect(PointCloud2, "/predictor/predictions")
    steps = iter(range(1, 10_000))

    def predicted() -> PointCloud2 | None:
        seconds = 0.4 * next(steps)
        publisher.publish(MESSAGES["marker_array"][0](round(seconds * S), seconds, 0.0, "odom"))
        return next((cloud for cloud in clouds if cloud.width), None)

    prediction = prediction_from_point_cloud(node.wait_for(predicted, "a prediction"))
    assert prediction.agents.tolist() == [42]


@pytest.mark.parametrize(
    ("tracker", "told"),
    [
        ("lidar", "no tracker 'lidar': give one of autoware"),
        ("/no/such.yaml", "/no/such.yaml: No such file"),
        ("marker_array, point_cloud", "two trackers on one topic"),
    ],
)
def test_a_tracker_that_cannot_be_used_fails_at_configure_with_the_reason(
    shared_node: NodeUnderTest, tracker: str, told: str
) -> None:
    assert_refused(shared_node, tracker, told)


def assert_refused(node: NodeUnderTest, tracker: str, told: str) -> None:
    node.unconfigure()
    assert node.set_parameters(tracker=tracker).successful
    assert not node.transition("configure")
    assert node.state() == "unconfigured"
    node.wait_for(lambda: told in node.process.output, f"{told!r} in the log")


@pytest.mark.parametrize(
    ("message_type", "position", "told"),
    [
        (
            "visualization_msgs/msg/MarkerArray",
            "pose.place",
            "position: pose.place names no field 'place' of geometry_msgs/msg/Pose; it has",
        ),
        (
            "visualization_msgs/msg/MarkerArray",
            "ns",
            "position: ns is string, expected a point with x and y",
        ),
        (
            "no_such_msgs/msg/Tracks",
            "pose.position",
            "needs the message package no_such_msgs, which is not installed: "
            "install ros-$ROS_DISTRO-no-such-msgs",
        ),
        (
            "visualization_msgs/msg/Tracks",
            "pose.position",
            "needs visualization_msgs/msg/Tracks, but the installed visualization_msgs has only",
        ),
    ],
)
def test_a_mapping_that_does_not_fit_the_installed_messages_fails(
    shared_node: NodeUnderTest, tmp_path: Path, message_type: str, position: str, told: str
) -> None:
    description = tmp_path / "wrong.yaml"
    description.write_text(
        f"message_type: {message_type}\nlist: markers\nid: id\nposition: {position}\n"
        "frame: markers[0].header.frame_id\nstamp: markers[0].header.stamp\n"
    )
    assert_refused(shared_node, str(description), told)


@pytest.mark.parametrize("module", ["code_of_nobody", "code_of_nobody_msgs"])
def test_no_code_is_imported_to_look_for_a_message_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """As `antigravity`, which starts a browser when it is imported."""
    folder = tmp_path / module / "msg"
    folder.mkdir(parents=True)
    for init in (folder.parent / "__init__.py", folder / "__init__.py"):
        init.write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TrackerSpecError, match=f"message package {module}, which is not installed"):
        import_message(f"{module}/msg/X", "tracker 'mine'")


def test_the_robot_is_not_published_as_a_pedestrian(restart: Start) -> None:
    node = restart(robot="odometry")
    tracks = node.publisher(require_messages_of("marker_array"), "/predictor/tracks")
    odometry = node.publisher(Odometry, "/predictor/odometry")
    clouds = node.collect(PointCloud2, "/predictor/predictions")
    steps = iter(range(1, 10_000))

    def predicted() -> PointCloud2 | None:
        seconds = 0.4 * next(steps)
        pose = Odometry()
        pose.header.stamp, pose.header.frame_id = stamp_to_msg(round(seconds * S)), "odom"
        pose.pose.pose.position.x = 0.5 * seconds
        odometry.publish(pose)
        message = MESSAGES["marker_array"][0](round(seconds * S), seconds, 3.0, "odom")
        tracks.publish(message)
        return next((cloud for cloud in clouds if cloud.width), None)

    node.wait_for(predicted, "a prediction")
    assert {cloud.width for cloud in clouds} <= {0, 12}
