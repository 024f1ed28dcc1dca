"""Tracks of a sensor that moves, transformed into the fixed frame over DDS."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import OccupancyGrid
from rclpy.qos import DurabilityPolicy, QoSProfile
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import Trigger
from support.conversation import value_of
from support.ros import NodeUnderTest
from support.tracks import (
    WALKERS,
    S,
    assert_walks_straight,
    positions_at,
    tracks_to_marker_array,
    walkers_at,
)
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from social_implicit_ros.evaluation.published import (
    PublishedPrediction,
    prediction_from_point_cloud,
)
from social_implicit_ros.ros.messages import stamp_to_msg
from social_implicit_ros.tracks.messages.agent_ids import agent_number
from social_implicit_ros.tracks.stamps import stamp_ns_of
from social_implicit_ros.types import Tracks

Start = Callable[..., NodeUnderTest]

#: The person: straight on, head height as the tracker reports it, in `odom`.
PERSON = "people/1"
VELOCITY_M_S = (1.1, -0.4)
HEIGHT_M = 1.7
#: The robot drives a straight line while it turns; its lidar looks backwards and down a little.
ROBOT_VELOCITY_M_S = np.array([0.7, 0.2, 0.0])
ROBOT_TURNS_RAD_S = 0.9
LIDAR_IN_BASE = (Rotation.from_euler("zyx", [2.5, 0.2, 0.0]), np.array([0.3, -0.1, 1.2]))
TF_PERIOD_S = 0.05


def base_in_odom(time_s: float) -> tuple[Rotation, np.ndarray]:
    """Rotation and position of the robot."""
    return Rotation.from_euler("z", ROBOT_TURNS_RAD_S * time_s), ROBOT_VELOCITY_M_S * time_s


def lidar_in_odom(time_s: float) -> tuple[Rotation, np.ndarray]:
    """Rotation and position of the sensor."""
    base, place_m = base_in_odom(time_s)
    mount, offset_m = LIDAR_IN_BASE
    return base * mount, base.apply(offset_m) + place_m


def transform(
    parent: str, child: str, pose: tuple[Rotation, np.ndarray], time_s: float
) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp = stamp_to_msg(round(time_s * S))
    x, y, z, w = pose[0].as_quat()
    rotation = message.transform.rotation
    rotation.x, rotation.y, rotation.z, rotation.w = x, y, z, w
    place = message.transform.translation
    place.x, place.y, place.z = pose[1].tolist()
    return message


def seen_by_lidar(time_s: float) -> MarkerArray:
    """The person as the sensor sees it at that time."""
    rotation, place_m = lidar_in_odom(time_s)
    point_m = np.array([*(np.array(VELOCITY_M_S) * time_s), HEIGHT_M])
    x, y, z = rotation.inv().apply(point_m - place_m)
    tracks = Tracks(round(time_s * S), (PERSON,), np.array([[x, y]]), np.array([z]))
    return tracks_to_marker_array(tracks, "lidar")


class Broadcaster:
    """Publishes transforms as tf2's broadcasters do."""

    def __init__(self, node: Any, *, is_static: bool = False) -> None:
        profile = QoSProfile(depth=100)
        if is_static:
            profile = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        topic = "/tf_static" if is_static else "/tf"
        self._publisher = node.create_publisher(TFMessage, topic, profile)

    def sendTransform(self, *transforms: TransformStamped) -> None:  # noqa: N802 (as tf2's)
        self._publisher.publish(TFMessage(transforms=transforms))


class Robot:
    """Broadcasters of transforms, a tracker, and the node's answers."""

    def __init__(
        self,
        node: NodeUnderTest,
        *,
        moving: Callable[[Any], Any] | None = None,
        static: Callable[[Any], Any] | None = None,
    ) -> None:
        self.node = node
        self.tracks = node.publisher(MarkerArray, "/predictor/tracks")
        self.clouds: list[PointCloud2] = node.collect(PointCloud2, "/predictor/predictions")
        self.reports: list[DiagnosticArray] = node.collect(DiagnosticArray, "/diagnostics")
        self._moving = (moving or Broadcaster)(node.peer.node)
        self._static = (static or partial(Broadcaster, is_static=True))(node.peer.node)
        self._static.sendTransform(transform("base_link", "lidar", LIDAR_IN_BASE, 0.0))
        self._start_s = 0.0
        times_s = self.new_times()

        def heard() -> bool:
            # The node listens to transforms from the first message on that needs one.
            time_s = next(times_s)
            self.drive(time_s)
            self.tracks.publish(seen_by_lidar(time_s))
            return any(cloud.width for cloud in self.clouds)

        node.wait_for(heard, "a prediction from tracks in the lidar's frame")

    def new_times(self) -> Iterator[float]:
        """Times between those of the transforms, later than all earlier ones; clears histories."""
        self._start_s += 1_000.0
        self.node.call(Trigger, "/predictor/reset", Trigger.Request())
        self.clouds.clear()
        start_s = self._start_s + 0.37 * TF_PERIOD_S
        return (start_s + 2 * TF_PERIOD_S * n for n in itertools.count())

    def broadcast_static(self, *more: TransformStamped) -> None:
        """Broadcasts further static transforms."""
        lidar = transform("base_link", "lidar", LIDAR_IN_BASE, 0.0)
        self._static.sendTransform(lidar, *more)

    def drive(self, time_s: float) -> None:
        """Broadcasts the robot's pose before and after a time, never at it."""
        before = np.floor(time_s / TF_PERIOD_S) * TF_PERIOD_S
        for at_s in (before, before + TF_PERIOD_S):
            self._moving.sendTransform(
                transform("odom", "base_link", base_in_odom(at_s), float(at_s))
            )

    def answer_at(self, time_s: float) -> PublishedPrediction | None:
        """The prediction with that stamp, if it has come."""
        stamp_ns = round(time_s * S)
        for cloud in self.clouds:
            if stamp_ns_of(cloud.header.stamp) == stamp_ns:
                return prediction_from_point_cloud(cloud)
        return None

    def follow(self, times_s: Iterator[float], n_messages: int) -> PublishedPrediction:
        """Drives and sees the person; returns the answer to the last message."""
        for time_s in itertools.islice(times_s, n_messages):
            self.drive(time_s)
            self.tracks.publish(seen_by_lidar(time_s))
            answer = self.node.wait_for(
                lambda time_s=time_s: self.answer_at(time_s), f"a prediction at {time_s} s"
            )
        return answer

    def status_with(self, text: str) -> DiagnosticStatus:
        """The first status with a text in its message."""
        return self.node.wait_for(
            lambda: next((r.status[0] for r in self.reports if text in r.status[0].message), None),
            f"a status with {text!r}",
        )

    def skipped(self) -> int:
        """How many agents had no transform, by a report from now on."""
        self.reports.clear()
        self.node.wait_for(lambda: self.reports, "a report")
        return int(value_of(self.reports[0].status[0], "skipped.no_transform"))


def assert_straight_on(prediction: PublishedPrediction) -> None:
    assert prediction.agents.tolist() == [agent_number(PERSON)]
    # 2 mm: positions of some 1e3 m are published as float32, and a pace is 1e3 m at most.
    assert_walks_straight(prediction, PERSON, VELOCITY_M_S, 2e-3)


@pytest.fixture(scope="module")
def module_robot(start_once: Start) -> Robot:
    # The maximum, so that lateness depends on the order of events in a test, not on its speed.
    return Robot(
        start_once(
            tick_rate_hz=0.0, model="constant_velocity", position_noise_m=0.0, transform_wait_s=10.0
        )
    )


@pytest.fixture
def robot(module_robot: Robot) -> Iterator[Robot]:
    yield module_robot
    assert "Traceback" not in module_robot.node.process.output


def test_people_who_walk_straight_are_predicted_straight_by_a_turning_sensor(robot: Robot) -> None:
    """Each message needs the transform of its own stamp: after 0.02 s positions would be wrong."""
    prediction = robot.follow(robot.new_times(), 25)
    assert_straight_on(prediction)
    assert {cloud.header.frame_id for cloud in robot.clouds} == {"odom"}


def test_height_is_passed_through_into_the_fixed_frame(robot: Robot) -> None:
    robot.follow(robot.new_times(), 3)
    cloud = robot.clouds[-1]
    z = np.frombuffer(bytes(cloud.data), np.float32).reshape(cloud.width, -1)[:, 2]
    np.testing.assert_allclose(z, HEIGHT_M, atol=1e-3)


def test_a_transform_that_comes_late_is_still_used(robot: Robot) -> None:
    times_s = robot.new_times()
    robot.follow(times_s, 10)
    before = robot.skipped()
    late_s = next(times_s)
    robot.tracks.publish(seen_by_lidar(late_s))
    assert robot.skipped() == before
    assert robot.answer_at(late_s) is None
    robot.drive(late_s)
    prediction = robot.node.wait_for(lambda: robot.answer_at(late_s), "the late prediction")
    assert_straight_on(prediction)


def test_tracks_of_the_fixed_frame_do_not_wait_for_those_of_another(robot: Robot) -> None:
    times_s = robot.new_times()
    robot.follow(times_s, 3)
    robot.tracks.publish(seen_by_lidar(next(times_s)))  # waits
    for time_s in itertools.islice(times_s, 2):
        robot.tracks.publish(walkers_at(round(time_s * S)))
        answer = robot.node.wait_for(
            lambda time_s=time_s: robot.answer_at(time_s), "a prediction in the fixed frame"
        )
    assert set(answer.agents.tolist()) >= {agent_number(i) for i in WALKERS}


def test_without_a_transform_nobody_is_predicted_and_the_reason_is_logged(restart: Start) -> None:
    node = restart(position_noise_m=0.0, transform_wait_s=0.1)
    robot = Robot(node)
    times_s = robot.new_times()
    before = robot.skipped()
    strays = list(itertools.islice(times_s, 5))
    for time_s in strays:
        robot.drive(time_s)
        robot.tracks.publish(walkers_at(round(time_s * S), frame_id="nowhere"))

    def told() -> bool:
        # No further message, no tick: the wait ends by itself.
        # The first status is that of the node; the second one, its self-evaluation, has no counts.
        status = [report.status[0] for report in robot.reports]
        counts = [int(value_of(s, "skipped.no_transform")) for s in status]
        return bool(counts) and counts[-1] == before + len(strays) * len(WALKERS)

    node.wait_for(told, "all agents of the unknown frame counted")
    texts = [s.message for report in robot.reports for s in report.status]
    assert any("nowhere" in text for text in texts)
    assert "tracks without a transform are skipped" in node.process.output

    # Nobody of the unknown frame is predicted afterwards.
    assert_straight_on(robot.follow(times_s, 12))
    assert not any(robot.answer_at(time_s) for time_s in strays)


def test_covariances_are_rotated_with_the_positions(restart: Start) -> None:
    messages = pytest.importorskip(
        "spencer_tracking_msgs.msg", reason="needs spencer_tracking_msgs (make test builds it)"
    )
    node = restart(
        position_noise_m=0.0,
        tracker="spencer@/spencer",
        add_tracker_covariance=True,
        adaptive_calibration=False,
        transform_wait_s=10.0,
    )
    broadcaster = Broadcaster(node.peer.node, is_static=True)
    pose = (Rotation.from_euler("z", np.pi / 6), np.array([4.0, 2.0, 0.0]))
    broadcaster.sendTransform(transform("odom", "camera", pose, 0.0))
    publisher = node.publisher(messages.TrackedPersons, "/spencer")
    clouds = node.collect(PointCloud2, "/predictor/predictions")
    steps = itertools.count(1)

    def predicted() -> PointCloud2 | None:
        message = messages.TrackedPersons()
        message.header.frame_id = "camera"
        message.header.stamp = stamp_to_msg(next(steps) * S // 10)
        track = messages.TrackedPerson(track_id=1)
        track.pose.pose.position.x = 3.0
        covariance = np.zeros((6, 6))
        covariance[0, 0], covariance[1, 1] = 0.09, 0.01
        track.pose.covariance = covariance.ravel().tolist()
        message.tracks = [track]
        publisher.publish(message)
        return next((cloud for cloud in clouds if cloud.width), None)

    prediction = prediction_from_point_cloud(node.wait_for(predicted, "a prediction"))
    # By hand: 0.09 along 30 degrees, 0.01 across.
    expected = [[0.07, 0.08 * np.sqrt(3) / 4], [0.08 * np.sqrt(3) / 4, 0.03]]
    np.testing.assert_allclose(prediction.covariance[0, -1], expected, atol=1e-6)
    np.testing.assert_allclose(
        prediction.mean[0, -1], [4.0 + 3.0 * np.cos(np.pi / 6), 2.0 + 1.5], atol=1e-5
    )


def test_the_robots_own_position_comes_from_tf(restart: Start) -> None:
    node = restart(
        position_noise_m=0.0,
        robot="tf",
        outputs=["pointcloud", "costmap"],
        costmap__recentre_m=0.0,
    )
    broadcaster = Broadcaster(node.peer.node)
    tracks = node.publisher(MarkerArray, "/predictor/tracks")
    clouds = node.collect(PointCloud2, "/predictor/predictions")
    grids = node.collect(OccupancyGrid, "/predictor/costmap")
    steps = itertools.count(1)

    def around_the_robot() -> bool:
        time_s = next(steps) / 10
        pose = (Rotation.identity(), np.array([50.0, 30.0, 0.0]))
        broadcaster.sendTransform(transform("odom", "base_link", pose, time_s))
        tracks.publish(walkers_at(round(time_s * S)))
        corners = [grid.info.origin.position for grid in grids]
        return any(abs(c.x - 40.0) <= 0.1 and abs(c.y - 20.0) <= 0.1 for c in corners)

    node.wait_for(around_the_robot, "a costmap of 20 m around the robot")
    numbers = {agent_number(i) for i in WALKERS}
    for cloud in clouds:
        assert set(prediction_from_point_cloud(cloud).agents.tolist()) <= numbers


def test_a_transform_that_is_too_late_is_logged_with_parameter_and_delay(restart: Start) -> None:
    node = restart(position_noise_m=0.0, transform_wait_s=0.1)
    robot = Robot(node)
    now_s = time.time()
    robot.drive(now_s - 1.0)
    robot.tracks.publish(seen_by_lidar(now_s))
    status = robot.status_with("increase transform_wait_s")
    assert status.level == DiagnosticStatus.WARN
    assert "tracks wait 0.1 s" in status.message
    assert "'base_link' in 'odom' is known only until" in status.message


def test_two_cameras_with_frames_of_their_own_share_a_topic(robot: Robot) -> None:
    """One of them with a leading slash, as in the transforms of the other."""
    mount = (Rotation.from_euler("z", -1.0), np.array([0.0, 0.5, 1.0]))
    robot.broadcast_static(transform("/base_link", "rear", mount, 0.0))

    def seen_by_rear(time_s: float) -> MarkerArray:
        base, place_m = base_in_odom(time_s)
        at_m = np.array([*(np.array([-0.7, 0.3]) * time_s), HEIGHT_M])
        x, y, z = (base * mount[0]).inv().apply(at_m - base.apply(mount[1]) - place_m)
        tracks = Tracks(round(time_s * S), ("people/2",), np.array([[x, y]]), np.array([z]))
        return tracks_to_marker_array(tracks, "/rear")

    times_s = robot.new_times()
    for time_s in itertools.islice(times_s, 12):
        robot.drive(time_s)
        robot.tracks.publish(seen_by_lidar(time_s))
        robot.node.wait_for(lambda time_s=time_s: robot.answer_at(time_s), "the front's prediction")
        robot.tracks.publish(seen_by_rear(time_s + 0.01))
        both = robot.node.wait_for(
            lambda time_s=time_s: robot.answer_at(time_s + 0.01), "the rear's prediction"
        )
    ends_m = dict(zip(both.agents.tolist(), both.mean[:, -1], strict=True))
    end_s = both.stamp_ns / S + both.times_s[-1]
    np.testing.assert_allclose(
        ends_m[agent_number(PERSON)], np.array(VELOCITY_M_S) * end_s, atol=5e-3
    )
    np.testing.assert_allclose(
        ends_m[agent_number("people/2")], np.array([-0.7, 0.3]) * end_s, atol=5e-3
    )
    assert robot.node.process.output.count("frame /rear is read as rear") == 1


class Localised(Robot):
    """A localisation corrects the pose of `odom` in `map`; the outputs are in `map`."""

    def __init__(self, node: NodeUnderTest) -> None:
        self.yaw, self.shift_m, self.is_localised = 0.5, np.array([3.0, -1.0, 0.0]), True
        self.markers: list[MarkerArray] = node.collect(MarkerArray, "/predictor/markers")
        super().__init__(node)

    def drive(self, time_s: float) -> None:
        super().drive(time_s)
        if self.is_localised:
            pose = (Rotation.from_euler("z", self.yaw), self.shift_m)
            for at_s in (time_s, time_s + TF_PERIOD_S):
                self._moving.sendTransform(transform("map", "odom", pose, at_s))

    def assert_straight_on(self, prediction: PublishedPrediction) -> None:
        times_s = prediction.stamp_ns / S + prediction.times_s
        ways_m = positions_at(times_s, VELOCITY_M_S)
        level_m = np.column_stack([ways_m, np.zeros(len(ways_m))])
        expected_m = Rotation.from_euler("z", self.yaw).apply(level_m) + self.shift_m
        np.testing.assert_allclose(prediction.mean[0], expected_m[:, :2], atol=5e-3)


@pytest.mark.parametrize(
    "frames", [{"fixed_frame": "odom", "publish_frame": "map"}, {"fixed_frame": "map"}]
)
def test_a_correction_of_the_localisation_moves_predictions_but_bends_none(
    restart: Start, frames: dict[str, str]
) -> None:
    node = restart(position_noise_m=0.0, outputs=["pointcloud", "markers"], **frames)
    robot = Localised(node)
    times_s = robot.new_times()
    robot.assert_straight_on(robot.follow(times_s, 15))
    robot.yaw, robot.shift_m = 0.8, np.array([3.4, -0.7, 0.0])

    robot.assert_straight_on(robot.follow(times_s, 1))

    assert {cloud.header.frame_id for cloud in robot.clouds} == {"map"}
    assert {m.header.frame_id for message in robot.markers for m in message.markers} == {"map"}
    robot.node.wait_for(
        lambda: "predictions moved with it, histories did not" in robot.node.process.output,
        "a line in the log",
    )
    robot.reports.clear()
    assert int(value_of(robot.status_with(""), "frame_corrections")) >= 1

    # If the localisation is lost, outputs are cleared, as the transform to `map` is unknown.
    robot.is_localised = False
    lost_s = next(times_s) + 5.0
    robot.drive(lost_s)
    robot.clouds.clear()
    robot.markers.clear()
    robot.tracks.publish(seen_by_lidar(lost_s))
    status = robot.status_with("'odom' in 'map' is known only until")
    (cleared,) = robot.markers[-1].markers
    assert (cleared.action, cleared.header.frame_id) == (Marker.DELETEALL, "map")
    assert not any(cloud.width for cloud in robot.clouds)
    assert status.level == DiagnosticStatus.WARN
    assert "nothing is published in frame map" in status.message


def test_transforms_of_the_real_tf2_are_understood(start: Start) -> None:
    tf2_ros = pytest.importorskip("tf2_ros", reason="needs tf2_ros: source a distribution")
    robot = Robot(
        start(
            tick_rate_hz=0.0, model="constant_velocity", position_noise_m=0.0, transform_wait_s=10.0
        ),
        moving=tf2_ros.TransformBroadcaster,
        static=tf2_ros.StaticTransformBroadcaster,
    )
    assert_straight_on(robot.follow(robot.new_times(), 5))


@pytest.fixture
def without_tf2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes started from now on cannot import tf2_msgs, installed or not."""
    (tmp_path / "tf2_msgs.py").write_text('raise ImportError("not installed")\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")


def test_without_tf2_tracks_of_the_fixed_frame_work_and_others_are_reported(
    without_tf2: None, start: Start
) -> None:
    node = start(tick_rate_hz=0.0, model="constant_velocity")
    tracks = node.publisher(MarkerArray, "/predictor/tracks")
    clouds = node.collect(PointCloud2, "/predictor/predictions")
    reports: list[DiagnosticArray] = node.collect(DiagnosticArray, "/diagnostics")
    stamps_ns = itertools.count(10 * S, S // 10)

    def told() -> DiagnosticStatus | None:
        tracks.publish(walkers_at(next(stamps_ns), frame_id="lidar"))
        statuses: Any = (s for report in reports for s in report.status)
        return next((s for s in statuses if "lidar" in s.message), None)

    status = node.wait_for(told, "a warning")
    assert status.level == DiagnosticStatus.WARN
    assert "tf2_msgs is not installed" in status.message
    assert "set fixed_frame" in status.message
    assert int(value_of(status, "skipped.no_transform")) > 0
    assert not any(cloud.width for cloud in clouds)

    def predicted() -> bool:
        tracks.publish(walkers_at(next(stamps_ns)))
        return any(cloud.width for cloud in clouds)

    node.wait_for(predicted, "a prediction in the fixed frame")
    assert "Traceback" not in node.process.output
