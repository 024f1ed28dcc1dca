"""Tracks wait for their transform; histories and forecasts have frames of their own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from support.bags import transform_message
from support.forecasts import random_forecast
from support.typestore import STORE

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.localisation.frames import TransformQueue
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.settings import PipelineConfig, PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.frames.transform_messages import TF_MESSAGE
from social_implicit_ros.tracks.frames.transforms import RigidTransform, TransformUnavailableError
from social_implicit_ros.types import Tracks

S = 1_000_000_000


class Poses:
    """A lookup with known transforms: each stamp shifts by its own number of metres."""

    def __init__(self) -> None:
        self.known_ns: set[int] = set()
        self.may_come = True

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        if stamp_ns not in self.known_ns:
            raise TransformUnavailableError(
                f"no {source} in {target} at {stamp_ns}", may_come=self.may_come
            )
        return RigidTransform(np.eye(3), np.array([float(stamp_ns), 0.0, 0.0]))

    def latest(self, target: str, source: str) -> tuple[RigidTransform, int]:
        raise AssertionError("not asked for here")


def tracks(stamp_ns: int) -> Tracks:
    return Tracks(stamp_ns, ("a",), np.array([[1.0, 2.0]]))


def test_each_message_is_transformed_at_its_own_stamp() -> None:
    poses = Poses()
    poses.known_ns = {1, 2}
    queue = TransformQueue(poses, wait_s=0.2)
    queue.add(tracks(1), "camera", 10 * S)
    queue.add(tracks(2), "camera", 10 * S)
    moved, timed_out = queue.take("odom", 10 * S)
    assert [entry.positions_m.tolist() for entry in moved] == [[[2.0, 2.0]], [[3.0, 2.0]]]
    assert timed_out == []
    assert len(queue) == 0


def test_a_message_without_a_transform_waits_then_times_out_with_the_reason() -> None:
    poses = Poses()
    queue = TransformQueue(poses, wait_s=0.2)
    queue.add(tracks(1), "camera", 10 * S)
    queue.add(tracks(2), "camera", 10 * S + S // 10)
    assert queue.take("odom", 10 * S + S // 10) == ([], [])
    poses.known_ns = {2}
    moved, timed_out = queue.take("odom", 10 * S + S // 5)
    assert [entry.stamp_ns for entry in moved] == [2]
    assert [(entry.stamp_ns, why) for entry, why in timed_out] == [(1, "no camera in odom at 1")]
    assert len(queue) == 0


def test_the_queue_is_bounded_and_drops_the_oldest_first() -> None:
    queue = TransformQueue(Poses(), wait_s=100.0)
    timed_out = []
    for n in range(200):
        queue.add(tracks(n), "camera", 0)
        timed_out += queue.take("odom", 0)[1]
    assert len(queue) + len(timed_out) == 200
    assert len(queue) <= 64
    assert [entry.stamp_ns for entry, _ in timed_out] == list(range(len(timed_out)))


def test_a_message_that_no_later_transform_can_help_does_not_wait() -> None:
    poses = Poses()
    poses.may_come = False
    queue = TransformQueue(poses, wait_s=10.0)
    queue.add(tracks(1), "camera", 0)
    moved, timed_out = queue.take("odom", 0)
    assert moved == [] and len(timed_out) == 1
    assert len(queue) == 0


def test_clear_drops_waiting_messages() -> None:
    queue = TransformQueue(Poses(), wait_s=1.0)
    queue.add(tracks(1), "camera", 0)
    queue.clear()
    assert queue.take("odom", 5 * S) == ([], [])


def test_a_transform_later_than_allowed_names_the_parameter_and_the_delay() -> None:
    buffer = TransformBuffer()
    add(buffer, "odom", "camera", 9.5)
    queue = TransformQueue(buffer, wait_s=0.2)
    queue.add(tracks(10 * S), "camera", round(10.1 * S))
    ((_, reason),) = queue.take("odom", round(10.3 * S))[1]
    assert "its newest transform is 0.80 s old, and tracks wait 0.2 s" in reason
    assert "increase transform_wait_s" in reason


def test_stamps_ahead_of_the_clock_are_not_reported_as_late_transforms() -> None:
    buffer = TransformBuffer()
    add(buffer, "odom", "camera", 10.0)
    queue = TransformQueue(buffer, wait_s=0.2)
    queue.add(tracks(round(10.45 * S)), "camera", round(10.15 * S))
    ((_, reason),) = queue.take("odom", round(10.35 * S))[1]
    assert "stamped 0.30 s ahead of this node's clock" in reason
    assert "synchronise the clocks" in reason and "transform_wait_s" not in reason


def test_the_clocks_of_tracker_and_transforms_may_differ() -> None:
    """It is 400 ahead. Transforms of its own clock are preferred, and awaited."""
    poses = Poses()
    queue = TransformQueue(poses, wait_s=0.2)
    for known_ns, x_m in ((1500, 1501.0), (1100, 1101.0)):
        queue.add(tracks(1500), "camera", 10 * S, 400)
        poses.known_ns = {1100}
        assert queue.take("odom", 10 * S) == ([], [])
        poses.known_ns.add(known_ns)
        ((moved,), timed_out) = queue.take("odom", 10 * S + S // 5)
        assert moved.positions_m[0, 0] == x_m and timed_out == []
    queue.add(tracks(1500), "camera", 10 * S)
    assert len(queue.take("odom", 11 * S)[1]) == 1


def test_a_transform_of_another_clock_is_not_reported_as_late() -> None:
    buffer = TransformBuffer()
    add(buffer, "odom", "camera", 9.5)
    queue = TransformQueue(buffer, wait_s=0.2)
    queue.add(tracks(1000 * S), "camera", 1000 * S)
    ((_, reason),) = queue.take("odom", 1001 * S)[1]
    assert "has stopped, or has another clock" in reason and "use_sim_time" in reason
    assert "transform_wait_s" not in reason


def add(
    buffer: TransformBuffer,
    parent: str,
    child: str,
    time_s: float,
    xyz: tuple[float, float, float] = (0.0, 0.0, 0.0),
    yaw: float = 0.0,
) -> None:
    message = transform_message(parent, child, round(time_s * S), xyz=xyz, yaw=yaw)
    buffer.add(bytes(STORE.serialize_cdr(message, TF_MESSAGE)), is_static=False)


class Robot:
    """Drives straight on in `odom`; a localisation corrects the pose of `odom` in `map`."""

    def __init__(self, **frames: str) -> None:
        self.buffer = TransformBuffer()
        config = PredictorConfig(
            tick_rate_hz=0.0, pipeline=PipelineConfig(position_noise_m=0.0), **frames
        )
        self.predictor = Predictor(ConstantVelocity(), config, self.buffer)
        self.yaw, self.shift_m = 0.0, (0.0, 0.0)

    def sees(self, time_s: float, frame_id: str = "base", *, localised: bool = True) -> Forecast:
        """One person at (2 + t, 1) in `odom`; returns what is published."""
        if localised:
            add(self.buffer, "map", "odom", time_s, (*self.shift_m, 0.0), self.yaw)
        add(self.buffer, "odom", "base", time_s, (0.5 * time_s, 0.0, 0.0))
        seen_m = np.array([[2.0 + time_s, 1.0]])
        if frame_id == "base":
            seen_m = seen_m - [0.5 * time_s, 0.0]
        elif frame_id == "map":
            seen_m = self.in_map(seen_m)
        stamp_ns = round(time_s * S)
        self.predictor.add_tracks(Tracks(stamp_ns, ("a",), seen_m), frame_id, stamp_ns)
        return self.predictor.published(self.predictor.tick(stamp_ns))[0]

    def in_map(self, points_m: np.ndarray) -> np.ndarray:
        matrix = Rotation.from_euler("z", self.yaw).as_matrix()[:2, :2]
        return points_m @ matrix.T + self.shift_m


@pytest.mark.parametrize(
    "frames",
    [
        {"fixed_frame": "odom", "publish_frame": "map"},
        {"fixed_frame": "map"},
        {"fixed_frame": "/map"},
    ],
)
@pytest.mark.parametrize("frame_id", ["base", "odom"])
def test_a_correction_of_the_localisation_is_not_taken_for_motion(frames, frame_id) -> None:
    robot = Robot(**frames)
    for n in range(30):
        forecast = robot.sees(1.0 + n / 10, frame_id)
    np.testing.assert_allclose(forecast.prediction.mean[0, -1], [2.0 + 3.9 + 4.8, 1.0], atol=1e-6)
    robot.yaw, robot.shift_m = 0.3, (0.5, -0.2)

    forecast = robot.sees(4.0, frame_id)

    assert forecast.frame_id == "map"
    expected_m = robot.in_map(np.array([2.0 + 4.0 + 4.8, 1.0]))
    np.testing.assert_allclose(forecast.prediction.mean[0, -1], expected_m, atol=1e-6)
    assert robot.predictor.counters()["frame_corrections"] == 1


def test_tracks_that_arrive_in_the_corrected_frame_are_kept_in_it() -> None:
    robot = Robot(fixed_frame="odom", publish_frame="map")
    for n in range(30):
        robot.sees(1.0 + n / 10, "map")
    robot.shift_m = (0.0, 0.5)

    forecast = robot.sees(4.0, "map")

    np.testing.assert_allclose(forecast.prediction.mean[0, -1], [10.8, 1.5], atol=1e-6)


def test_tracks_with_different_paths_to_the_fixed_frame_are_kept_in_it() -> None:
    """A camera on a wall does not take part in the odometry of a robot."""
    robot = Robot(fixed_frame="map")
    robot.sees(1.0)
    assert robot.predictor.tick(S).frame_id == "odom"

    robot.sees(1.1, "map")

    assert robot.predictor.tick(round(1.1 * S)).frame_id == "map"


def test_the_newest_pose_of_the_published_frame_is_used_for_a_while_and_no_longer() -> None:
    robot = Robot(fixed_frame="odom", publish_frame="map")
    robot.shift_m = (3.0, 0.0)
    for n in range(10):
        robot.sees(1.0 + n / 10)

    assert robot.sees(2.5, localised=False).present_m[0] == pytest.approx([7.5, 1.0])
    with pytest.raises(TransformUnavailableError, match="'odom' in 'map' is known only until"):
        robot.sees(3.1, localised=False)


def test_a_forecast_in_another_frame_keeps_relative_positions() -> None:
    forecast = random_forecast(("a", "b", "c"))
    rotation = Rotation.from_euler("z", 0.7)
    shift_m = np.array([3.0, -2.0, 0.5])
    pose = RigidTransform(rotation.as_matrix(), shift_m)

    moved = forecast.in_frame(pose, "map")

    def expected_m(positions_m: np.ndarray) -> np.ndarray:
        level = np.concatenate([positions_m, np.zeros((*positions_m.shape[:-1], 1))], axis=-1)
        flat = level.reshape(-1, 3)
        return (rotation.apply(flat) + shift_m).reshape(level.shape)[..., :2]

    assert moved.frame_id == "map"
    before, after = forecast.prediction, moved.prediction
    np.testing.assert_allclose(after.samples, expected_m(before.samples), atol=1e-9)
    np.testing.assert_allclose(after.mean, expected_m(before.mean), atol=1e-9)
    np.testing.assert_allclose(moved.present_m, expected_m(forecast.present_m), atol=1e-9)
    np.testing.assert_allclose(moved.heights_m, forecast.heights_m + 0.5)
    direction = np.array([math.cos(0.2), math.sin(0.2)])
    turned = np.array([math.cos(0.9), math.sin(0.9)])
    np.testing.assert_allclose(
        turned @ after.covariance @ turned, direction @ before.covariance @ direction
    )
    back = moved.in_frame(pose.inverse(), forecast.frame_id)
    np.testing.assert_allclose(back.prediction.samples, before.samples, atol=1e-9)
    np.testing.assert_allclose(back.heights_m, forecast.heights_m)
