"""The robot's position: jumps are accepted only if they last."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.localisation.robot_gate import RobotGate
from social_implicit_ros.prediction.pipeline import PipelineConfig
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.frames.transforms import RigidTransform
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.messages.decoder import robot_from_odometry
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import ROBOT_ID, Tracks

STEP_NS = NS_PER_S // 20


def odometry(n: int, x_m: float, speed_m_s: float = 0.0, w: float = 1.0) -> SimpleNamespace:
    """Message number n at 20 Hz."""
    second, nanosecond = divmod(100 * NS_PER_S + n * STEP_NS, NS_PER_S)
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(sec=second, nanosec=nanosecond)),
        pose=SimpleNamespace(
            pose=SimpleNamespace(
                position=SimpleNamespace(x=x_m, y=0.0, z=0.0),
                orientation=SimpleNamespace(x=0.0, y=0.0, z=0.0, w=w),
            )
        ),
        twist=SimpleNamespace(twist=SimpleNamespace(linear=SimpleNamespace(x=speed_m_s, y=0, z=0))),
    )


def drive(messages: list[SimpleNamespace]) -> tuple[list[float | None], list[str]]:
    """The robot's x at a tick after each message, and the refusals."""
    config = PredictorConfig(robot="odometry", fixed_frame="odom", pipeline=PipelineConfig())
    predictor = Predictor(ConstantVelocity(), config, TransformBuffer())
    found: list[float | None] = []
    texts: list[str] = []
    for message in messages:
        robot = robot_from_odometry(message)
        update = predictor.add_robot(robot, "odom", robot.stamp_ns)
        texts += [refusal.text for refusal in update.refusals]
        robot_m = predictor.tick(robot.stamp_ns).robot_m
        found.append(None if robot_m is None else float(robot_m[0]))
    return found, texts


def places(*jumps: tuple[int, int, float], n: int = 60) -> list[SimpleNamespace]:
    """The robot at 200 m; from message a to b elsewhere."""
    at_m = np.full(n, 200.0)
    for begin, end, x_m in jumps:
        at_m[begin:end] = x_m
    return [odometry(k, x_m) for k, x_m in enumerate(at_m.tolist())]


@pytest.mark.parametrize("n_outliers", [1, 2, 5, 15])
@pytest.mark.parametrize("at_m", [230.0, 203.0, -1e6])
def test_outliers_in_a_row_do_not_move_the_robot(n_outliers: int, at_m: float) -> None:
    found, texts = drive(places((20, 20 + n_outliers, at_m)))
    assert {round(x_m) for x_m in found[1:] if x_m is not None} == {200}
    assert found[-1] == 200.0
    assert len(texts) == n_outliers and "jumps by" in texts[0]


def test_two_publishers_on_one_topic_do_not_move_the_robot() -> None:
    found, texts = drive(places(*((n, n + 1, 230.0) for n in range(20, 60, 2))))
    assert {round(x_m) for x_m in found[1:] if x_m is not None} == {200}
    assert len(texts) == 20


def test_a_robot_that_was_carried_away_is_accepted_after_a_second() -> None:
    found, _ = drive(places((20, 60, 230.0)))
    assert 230.0 not in found[:40]
    assert found[42:] == [230.0] * 18


def test_a_jump_through_several_places_is_accepted_after_it_ends() -> None:
    found, _ = drive(places((20, 30, 230.0), (30, 39, 260.0), (39, 60, 290.0)))
    assert {round(x_m) for x_m in found[1:59] if x_m is not None} == {200}


def test_a_pose_that_is_frozen_while_the_robot_drives_is_lost() -> None:
    found, texts = drive([odometry(n, min(n, 20) * 0.05, 1.0) for n in range(80)])
    assert found[20] is not None and found[-1] is None
    assert "does not change at a reported speed of 1.0 m/s" in texts[0]
    assert not drive([odometry(n, 1.0, 0.01) for n in range(80)])[1]


def test_a_slow_robot_with_odometry_at_1_khz_is_not_frozen() -> None:
    gate = RobotGate(TrackHistory(PipelineConfig()), PredictorConfig())
    for n in range(3000):
        velocity = np.array([[0.2, 0.0, 0.0]])
        at_m = np.array([[0.2e-3 * n, 0.0]])
        robot = Tracks(n * NS_PER_S // 1000, (ROBOT_ID,), at_m, velocities_m_s=velocity)
        assert gate.problem_of(robot, 10.0) == ""


def test_a_robot_that_starts_after_a_rest_is_not_frozen() -> None:
    at_m, speeds_m_s = np.maximum(np.arange(120) - 82, 0) * 0.02, np.arange(120) > 79
    messages = [odometry(n, at_m[n], 0.5 * speeds_m_s[n]) for n in range(120)]
    assert drive(messages)[1] == []


def test_a_robot_whose_message_is_repeated_is_lost() -> None:
    messages = places(n=20)
    config = PredictorConfig(robot="odometry", fixed_frame="odom", pipeline=PipelineConfig())
    predictor = Predictor(ConstantVelocity(), config, TransformBuffer())
    for message in messages:
        robot = robot_from_odometry(message)
        predictor.add_robot(robot, "odom", robot.stamp_ns)
    for n in range(30):
        now_ns = robot.stamp_ns + n * STEP_NS
        predictor.add_robot(robot, "odom", now_ns)
        is_known = predictor.tick(now_ns).robot_m is not None
    assert not is_known


def test_a_pose_without_orientation_has_no_position() -> None:
    found, _ = drive([odometry(n, 200.0, w=1.0 if n < 10 else float("nan")) for n in range(60)])
    assert found[9] == 200.0 and found[-1] is None


def test_odometry_whose_clock_jumps_back_is_accepted_at_once() -> None:
    messages = [odometry(n, 200.0) for n in range(200, 230)]
    messages += [odometry(n, 200.0) for n in range(100, 110)]
    config = PredictorConfig(robot="odometry", fixed_frame="odom", pipeline=PipelineConfig())
    predictor = Predictor(ConstantVelocity(), config, TransformBuffer())
    for message in messages:
        robot = robot_from_odometry(message)
        predictor.add_robot(robot, "odom", 200 * NS_PER_S)
    assert predictor.tick(robot.stamp_ns).robot_m is not None


class Poses(TransformBuffer):
    """The robot's pose by the transforms, with a stamp in seconds."""

    stamp_s = 100.0

    def latest(self, target: str, source: str) -> tuple[RigidTransform, int]:
        return RigidTransform(np.eye(3), np.zeros(3)), round(self.stamp_s * NS_PER_S)


@pytest.mark.parametrize(("stamp_s", "is_known"), [(100.0, True), (0.0, True), (1e9, False)])
def test_a_pose_by_transforms_may_be_static_but_not_from_the_future(
    stamp_s: float, is_known: bool
) -> None:
    poses = Poses()
    config = PredictorConfig(robot="tf", fixed_frame="odom", pipeline=PipelineConfig())
    predictor = Predictor(ConstantVelocity(), config, poses)
    for n in range(10):
        poses.stamp_s = stamp_s and stamp_s + 0.1 * n
        forecast = predictor.tick(100 * NS_PER_S + n * NS_PER_S // 10)
    assert (forecast.robot_m is not None) == is_known
    assert (not predictor.refusals) == is_known
