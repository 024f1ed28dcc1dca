"""A tick becomes what is published: steps, numbers, and nothing that is not finite."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.forecast import Forecast, forecast_from_tick
from social_implicit_ros.prediction.pipeline import PipelineConfig, PredictionPipeline, Tick
from social_implicit_ros.prediction.resample import Steps
from social_implicit_ros.tracks.frames.transforms import RigidTransform
from social_implicit_ros.tracks.messages.agent_ids import AgentNumbers
from social_implicit_ros.types import ROBOT_ID, ObservationWindow, Prediction, SkipReason, Tracks

S = 1_000_000_000


def two_walkers() -> Tick:
    pipeline = PredictionPipeline(
        ConstantVelocity(), PipelineConfig(n_samples=3, position_noise_m=0.0)
    )
    for n in range(20):
        positions_m = np.array([[0.1 * n, 0.0], [5.0, 0.05 * n]])
        pipeline.history.insert(
            Tracks(n * S // 10, ("7", "left"), positions_m, np.array([0.5, 1.5]))
        )
    return pipeline.tick(2 * S)


def test_a_forecast_contains_the_tick_at_the_published_steps() -> None:
    tick = two_walkers()
    forecast = forecast_from_tick(tick, AgentNumbers(), Steps(0.8, 6), "map")
    assert forecast.ids == ("7", "left")
    assert forecast.numbers[0] == 7
    assert forecast.frame_id == "map"
    assert forecast.stamp_ns == 2 * S
    np.testing.assert_allclose(forecast.times_s, [0.8, 1.6, 2.4, 3.2, 4.0, 4.8])
    np.testing.assert_allclose(forecast.prediction.mean, tick.prediction.mean[:, 1::2])
    np.testing.assert_allclose(forecast.heights_m, [0.5, 1.5])


def test_an_agent_without_a_finite_prediction_is_skipped_with_the_reason() -> None:
    tick = two_walkers()
    mean = tick.prediction.mean.copy()
    mean[0, 5, 1] = np.nan
    broken = Prediction(tick.prediction.samples, mean, tick.prediction.covariance, 0.4)
    forecast = forecast_from_tick(
        replace(tick, prediction=broken, skipped={"new": SkipReason.STALE}),
        AgentNumbers(),
        Steps(0.4, 12),
        "",
    )
    assert forecast.ids == ("left",)
    assert forecast.prediction.samples.shape == (3, 1, 12, 2)
    assert forecast.past_m.shape == (1, 8, 2)
    assert forecast.skipped == {"7": SkipReason.NOT_FINITE, "new": SkipReason.STALE}


def test_an_empty_tick_gives_an_empty_forecast() -> None:
    window = ObservationWindow(
        S,
        0.4,
        (),
        np.empty((0, 8, 2)),
        np.empty(0, dtype=np.int64),
        np.empty(0),
        np.empty((0, 2, 2)),
    )
    prediction = ConstantVelocity().predict(np.empty((0, 2, 2)))
    forecast = forecast_from_tick(
        Tick(S, window, prediction, np.empty((0, 2)), {}, {}, prediction),
        AgentNumbers(),
        Steps(0.2, 24),
        "odom",
    )
    assert forecast.prediction.mean.shape == (0, 24, 2)


def test_the_robot_is_a_neighbour_and_never_published() -> None:
    pipeline = PredictionPipeline(ConstantVelocity(), PipelineConfig(position_noise_m=0.0))
    for n in range(3):
        positions = np.array([[0.1 * n, 0.0], [5.0, 0.1 * n]])
        pipeline.history.insert(Tracks(n * S // 10, ("walker", ROBOT_ID), positions))
    pipeline.history.insert(Tracks(S // 5, ("new",), np.zeros((1, 2))))

    forecast = forecast_from_tick(pipeline.tick(S // 5), AgentNumbers(), Steps(0.4, 12), "odom")

    assert forecast.ids == ("walker",)
    assert forecast.prediction.mean.shape == (1, 12, 2)
    assert forecast.robot_m is not None
    np.testing.assert_allclose(forecast.robot_m, [5.0, 0.2])
    assert forecast.skipped == {"new": SkipReason.TOO_FEW_OBSERVATIONS}


def forecast_of_two() -> Forecast:
    """Two people, and the robot at (1, 2)."""
    forecast = forecast_from_tick(two_walkers(), AgentNumbers(), Steps(0.4, 12), "odom")
    covariance = np.broadcast_to([[0.4, 0.1], [0.1, 0.2]], (2, 12, 2, 2))
    prediction = replace(forecast.prediction, covariance=covariance)
    return replace(forecast, prediction=prediction, robot_m=np.array([1.0, 2.0]))


def test_all_positions_are_moved_into_another_frame() -> None:
    """It is turned to the left by a right angle: x becomes y, y becomes -x."""
    before = forecast_of_two()
    half = np.sqrt(0.5)
    pose = RigidTransform.from_quaternion(np.array([0, 0, half, half]), np.array([10.0, 20.0, 3.0]))
    moved = before.in_frame(pose, "map")
    assert moved.frame_id == "map"
    for name, old_m, new_m in (
        ("past", before.past_m, moved.past_m),
        ("mean", before.prediction.mean, moved.prediction.mean),
        ("samples", before.prediction.samples, moved.prediction.samples),
        ("robot", before.robot_m, moved.robot_m),
    ):
        assert old_m is not None and new_m is not None
        expected_m = np.stack([10.0 - old_m[..., 1], 20.0 + old_m[..., 0]], axis=-1)
        np.testing.assert_allclose(new_m, expected_m, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(moved.heights_m, before.heights_m + 3.0)
    np.testing.assert_allclose(moved.prediction.covariance[0, 0], [[0.2, -0.1], [-0.1, 0.4]])


def test_ellipses_turn_with_the_frame() -> None:
    before = forecast_of_two()
    pose = RigidTransform.from_quaternion(np.array([0.0, 0.0, 0.3, 0.8]), np.zeros(3))
    turned = before.in_frame(pose, "map").prediction.covariance
    rotation = pose.rotation[:2, :2]
    np.testing.assert_allclose(turned, rotation @ before.prediction.covariance @ rotation.T)


def test_in_a_tilted_frame_heights_count() -> None:
    """Turned about y by 30 degrees: z has a component along x."""
    before = forecast_of_two()
    tilt = np.radians(15.0)
    quaternion = np.array([0.0, np.sin(tilt), 0.0, np.cos(tilt)])
    moved = before.in_frame(RigidTransform.from_quaternion(quaternion, np.zeros(3)), "map")
    cos, sin = np.cos(2.0 * tilt), np.sin(2.0 * tilt)
    x_m, y_m = before.present_m.T
    expected_m = np.stack([cos * x_m + sin * before.heights_m, y_m], axis=1)
    np.testing.assert_allclose(moved.present_m, expected_m)
    np.testing.assert_allclose(moved.heights_m, cos * before.heights_m - sin * x_m)


def test_the_nearest_agents_are_those_near_the_robot() -> None:
    forecast = forecast_of_two()
    assert forecast.present_m[:, 0] == pytest.approx([2.0, 5.0])
    assert forecast.nearest(1).tolist() == [0]
    assert replace(forecast, robot_m=np.array([6.0, 1.0])).nearest(1).tolist() == [1]
    assert forecast.nearest(2).tolist() == [0, 1]
    assert forecast.nearest(3).tolist() == [0, 1]
    assert replace(forecast, robot_m=None).nearest(1).tolist() == [0, 1]
