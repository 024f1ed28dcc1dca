"""A tick becomes what is published: steps, numbers, and nothing that is not finite."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.forecast import forecast_from_tick
from social_implicit_ros.prediction.pipeline import PipelineConfig, PredictionPipeline, Tick
from social_implicit_ros.prediction.resample import Steps
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
