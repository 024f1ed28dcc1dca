"""Stamps that are late or early for the transforms: people seem to move when the robot turns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from support.bags import transform_message
from support.typestore import STORE

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.localisation.stamp_shift import StampShift
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.frames.transform_messages import TF_MESSAGE
from social_implicit_ros.tracks.frames.transforms import RigidTransform
from social_implicit_ros.types import FloatArray, Tracks

S = 1_000_000_000
START_NS = 1000 * S
IDS = tuple("abcdef")
GENERATOR = np.random.default_rng(0)
FIRST_M = GENERATOR.uniform(-8.0, 8.0, (6, 2))
VELOCITIES_M_S = GENERATOR.uniform(-0.7, 0.7, (6, 2))


def people_at(time_s: float) -> FloatArray:
    """(A, 2) positions as a tracker sees them, metres."""
    noise = np.random.default_rng(round(time_s * 1e3)).normal(0.0, 0.04, (6, 2))
    return FIRST_M + VELOCITIES_M_S * (time_s - 20.0) + noise


def yaw_at(time_s: float) -> float:
    """Heading of a robot that turns to and fro at up to 1.2 rad/s."""
    return float(1.2 * np.sin(time_s))


def pose_at(time_s: float, yaw_rad: float) -> RigidTransform:
    """Of the robot, which drives at 0.4 m/s."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    rotation = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return RigidTransform(rotation, np.array([0.4 * time_s - 8.0, 0.0, 0.0]))


def seen_by_robot(time_s: float, late_s: float) -> Tracks:
    """People in the robot's frame, with a stamp that is late."""
    pose = pose_at(time_s, yaw_at(time_s))
    positions_m = (people_at(time_s) - pose.translation_m[:2]) @ pose.rotation[:2, :2]
    return Tracks(START_NS + round((time_s + late_s) * S), IDS, positions_m)


def true_pose(stamp_ns: int) -> RigidTransform:
    """Of the robot at a stamp."""
    time_s = (stamp_ns - START_NS) / S
    return pose_at(time_s, yaw_at(time_s))


def found_s(late_s: float, yaw: Callable[[float], float] = yaw_at, n_people: int = 6) -> float:
    """The shift that is found in 40 s, seconds."""
    shift = StampShift()

    def known_pose(stamp_ns: int) -> RigidTransform:
        time_s = (stamp_ns - START_NS) / S
        return pose_at(time_s, yaw(time_s))

    for time_s in np.arange(0.0, 40.0, 0.1).tolist():
        tracks = seen_by_robot(time_s, late_s)
        shift.observe(tracks.of_agents(np.arange(n_people)), known_pose)
    return shift.shift_ns / S


@pytest.mark.parametrize("late_s", [-0.1, 0.08, 0.2])
def test_stamps_that_are_late_or_early_are_found(late_s: float) -> None:
    assert found_s(late_s) == pytest.approx(late_s, abs=0.015)


def test_correct_stamps_are_not_shifted() -> None:
    assert found_s(0.0) == 0.0


def test_jitter_of_the_pose_is_not_taken_for_a_shift() -> None:
    def jittering(time_s: float) -> float:
        noise = np.random.default_rng(round(1e4 + time_s * 1e3)).normal(0.0, 0.02)
        return yaw_at(time_s) + float(noise)

    assert found_s(0.0, jittering) == 0.0


@pytest.mark.parametrize("seed", [2, 3, 6])
def test_jitter_of_stamps_is_not_taken_for_a_shift(seed: int) -> None:
    shift, generator = StampShift(), np.random.default_rng(seed)
    for time_s in np.arange(0.0, 40.0, 0.1).tolist():
        tracks = seen_by_robot(time_s, late_s=generator.normal(0.0, 0.06))
        shift.observe(tracks, true_pose)
        assert shift.shift_ns == 0


def test_without_turns_of_the_robot_no_shift_is_found() -> None:
    shift = StampShift()

    def straight(stamp_ns: int) -> RigidTransform:
        x_m = 0.5 * ((stamp_ns - START_NS) / S) ** 3
        return RigidTransform(np.eye(3), np.array([x_m, 0.0, 0.0]))

    for tenth in range(100):
        shift.observe(Tracks(START_NS + tenth * S // 10, IDS[:4], np.zeros((4, 2))), straight)
    assert shift.shift_ns == 0


def test_two_people_are_too_few_to_find_a_shift() -> None:
    assert found_s(0.2, n_people=2) == 0.0


def test_missing_poses_give_no_shift() -> None:
    shift = StampShift()
    for time_s in np.arange(0.0, 5.0, 0.1).tolist():
        shift.observe(seen_by_robot(time_s, 0.1), lambda stamp_ns: None)
    assert shift.shift_ns == 0


def errors_m(late_s: float) -> FloatArray:
    """Distances of people from where they are predicted to be after 4.8 s, at the end."""
    predictor = Predictor(
        ConstantVelocity(), PredictorConfig(fixed_frame="odom"), lookup := TransformBuffer()
    )
    found = []
    for tenth in range(600):
        time_s = tenth / 10.0
        for step in range(2):
            at_s = time_s + step / 20.0
            message = transform_message(
                "odom",
                "base_link",
                START_NS + round(at_s * S),
                xyz=(0.4 * at_s - 8.0, 0.0, 0.0),
                yaw=yaw_at(at_s),
            )
            lookup.add(bytes(STORE.serialize_cdr(message, TF_MESSAGE)), is_static=False)
        now_ns = START_NS + round((time_s + 0.3) * S)
        if tenth > 10:
            predictor.add_tracks(seen_by_robot(time_s - 0.3, late_s), "base_link", now_ns)
        if tenth > 400:
            forecast, _ = predictor.published(predictor.tick(START_NS + round(time_s * S)))
            rows = [IDS.index(agent_id) for agent_id in forecast.ids]
            assert len(rows) == len(IDS)
            end_m = (FIRST_M + VELOCITIES_M_S * (time_s + 4.8 - 20.0))[rows]
            found.append(np.hypot(*(forecast.prediction.mean[:, -1] - end_m).T))
    assert predictor.counters()["stamp_shift_ms"] == pytest.approx(1000 * late_s, abs=15)
    assert predictor.stamp_shift_ns("") / S == pytest.approx(late_s, abs=0.015)
    # People jump as the shift is found: that is no correction of a localisation.
    assert predictor.counters()["frame_corrections"] == 0
    return np.array(found)


@pytest.mark.slow
def test_predictions_are_as_good_as_with_correct_stamps() -> None:
    assert errors_m(-0.1).mean() < 1.2 * errors_m(0.0).mean()
