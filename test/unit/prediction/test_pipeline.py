"""The pipeline turns tracks into predictions at a stamp."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.pipeline import PipelineConfig, PredictionPipeline
from social_implicit_ros.types import FloatArray, Prediction, SkipReason, Tracks
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES, sample_moments

S = 1_000_000_000


def test_straight_walkers_keep_their_velocity_from_the_tick_on() -> None:
    pipeline = PredictionPipeline(
        ConstantVelocity(), PipelineConfig(n_samples=3, position_noise_m=0.0)
    )
    velocities = np.array([[1.0, 0.0], [0.0, -0.5]])
    for n in range(30):
        pipeline.history.insert(Tracks(n * S // 10, ("a", "b"), velocities * 0.1 * n))

    tick = pipeline.tick(round(3.05 * S))

    assert tick.window.ids == ("a", "b")
    assert tick.prediction.samples.shape == (3, 2, 12, 2)
    steps_s = 3.05 + 0.4 * np.arange(1, 13)
    np.testing.assert_allclose(
        tick.prediction.mean, velocities[:, None] * steps_s[:, None], atol=1e-9
    )


def test_everybody_is_predicted_or_skipped_with_a_reason() -> None:
    pipeline = PredictionPipeline(ConstantVelocity(), PipelineConfig(position_noise_m=0.0))
    for n in range(20):
        ids = ("old",) if n < 5 else ("walks",)
        pipeline.history.insert(Tracks(n * S // 10, ids, np.array([[0.1 * n, 0.0]])))
    pipeline.history.insert(Tracks(2 * S, ("new",), np.array([[9.0, 9.0]])))

    tick = pipeline.tick(2 * S)

    assert tick.window.ids == ("walks",)
    assert tick.skipped == {
        "old": SkipReason.STALE,
        "new": SkipReason.TOO_FEW_OBSERVATIONS,
    }
    assert len(pipeline.history) == 2


@pytest.mark.parametrize("sigma_rad", [0.0, 0.4])
def test_empty_scene_gives_an_empty_prediction(sigma_rad: float) -> None:
    model = ConstantVelocity(heading_sigma_rad=sigma_rad)
    tick = PredictionPipeline(model, PipelineConfig(position_noise_m=0.0)).tick(S)
    assert tick.prediction.samples.shape == (20, 0, 12, 2)
    assert tick.prediction.mean.shape == (0, 12, 2)


def test_drawn_headings_have_the_mean_and_covariance_of_their_samples() -> None:
    observed = np.random.default_rng(3).normal(size=(5, 8, 2)).cumsum(axis=1)
    model = ConstantVelocity(heading_sigma_rad=0.4)
    prediction = model.predict(observed, n_samples=7)
    mean, covariance = sample_moments(prediction.samples)
    np.testing.assert_allclose(prediction.mean, mean)
    np.testing.assert_allclose(prediction.covariance, covariance, atol=1e-12)
    first_m = np.linalg.norm(prediction.samples[:, :, 0] - observed[:, -1], axis=2)
    speed_m = np.linalg.norm(observed[:, -1] - observed[:, -2], axis=1)
    np.testing.assert_allclose(first_m, np.tile(speed_m, (7, 1)))


@pytest.mark.parametrize(("field", "value"), [("n_samples", 0), ("seed", -1)])
def test_bad_config_names_the_field(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=field):
        PipelineConfig(**{field: value})


def test_tracker_covariance_is_added_if_the_option_is_set() -> None:
    for asked, expected in ((True, 0.04), (False, 0.0)):
        config = PipelineConfig(add_tracker_covariance=asked, position_noise_m=0.0)
        pipeline = PredictionPipeline(ConstantVelocity(), config)
        for n in range(3):
            pipeline.history.insert(
                Tracks(
                    n * S // 10,
                    ("a",),
                    np.array([[0.1 * n, 0.0]]),
                    covariances_m2=0.04 * np.eye(3)[None],
                )
            )
        covariance = pipeline.tick(S // 5).prediction.covariance
        expected_m2 = np.broadcast_to(expected * np.eye(2), (1, 12, 2, 2))
        np.testing.assert_allclose(covariance, expected_m2, atol=1e-12)


def test_a_late_tick_shifts_the_prediction_and_widens_its_ellipses() -> None:
    pipeline = PredictionPipeline(
        ConstantVelocity(heading_sigma_rad=0.3), PipelineConfig(n_samples=50, position_noise_m=0.0)
    )
    for n in range(30):
        pipeline.history.insert(Tracks(n * S // 10, ("a",), np.array([[0.1 * n, 0.0]])))
    in_time = pipeline.tick(round(2.9 * S))

    late = pipeline.tick(round(3.3 * S))

    # 0.4 s is one step: the same trajectory, shifted by one step.
    assert late.window.stamp_ns == in_time.window.stamp_ns
    np.testing.assert_allclose(late.present_m, in_time.prediction.mean[:, 0])
    for name in ("mean", "covariance"):
        np.testing.assert_allclose(
            getattr(late.prediction, name)[:, :-1], getattr(in_time.prediction, name)[:, 1:]
        )
    np.testing.assert_allclose(
        late.prediction.samples[:, :, :-1], in_time.prediction.samples[:, :, 1:]
    )
    sigmas = late.prediction.covariance[0, :, 1, 1]
    assert (np.diff(sigmas) > 0).all()


def test_an_agent_missing_in_the_newest_message_is_extrapolated() -> None:
    pipeline = PredictionPipeline(ConstantVelocity(), PipelineConfig(position_noise_m=0.0))
    for n in range(20):
        ids = ("a", "b") if n < 17 else ("a",)
        positions = np.array([[0.1 * n, 0.0], [0.1 * n, 5.0]])[: len(ids)]
        pipeline.history.insert(Tracks(n * S // 10, ids, positions))
    tick = pipeline.tick(2 * S)
    np.testing.assert_allclose(tick.present_m, [[2.0, 0.0], [2.0, 5.0]], atol=1e-9)


class WithLevels(ConstantVelocity):
    """A model whose 50 % ellipses equal a Gaussian's and whose 95 % ellipses are twice as large."""

    def predict(
        self,
        observed: FloatArray,
        *,
        n_samples: int = 20,
        seed: int = 0,
        planned_m: FloatArray | None = None,
    ) -> Prediction:
        prediction = super().predict(observed, n_samples=n_samples, seed=seed)
        factors = np.where(np.array(CONFIDENCES) < 0.9, 1.0, 2.0)
        shape = prediction.mean.shape[:2]
        return replace(
            prediction,
            covariance=np.broadcast_to(np.eye(2), (*shape, 2, 2)),
            radius_scales=np.broadcast_to(factors, (*shape, len(factors))),
        )


@pytest.mark.parametrize(("confidence", "variance"), [(0.5, 1.0), (0.95, 4.0)])
def test_covariances_have_correct_coverage_at_the_configured_confidence(
    confidence: float, variance: float
) -> None:
    pipeline = PredictionPipeline(
        WithLevels(), PipelineConfig(confidence=confidence, position_noise_m=0.0)
    )
    for n in range(2):
        pipeline.history.insert(Tracks(n * S, ("a",), np.array([[0.1 * n, 0.0]])))

    covariance = pipeline.tick(S).prediction.covariance

    np.testing.assert_allclose(covariance, np.broadcast_to(variance * np.eye(2), covariance.shape))


def test_a_jump_of_years_takes_neither_time_nor_memory() -> None:
    pipeline = PredictionPipeline(ConstantVelocity(), PipelineConfig(position_noise_m=0.0))
    for n in range(3):
        pipeline.history.insert(Tracks(S + n * S // 10, ("a",), np.array([[0.1 * n, 0.0]])))

    tick = pipeline.tick((2**31 - 1) * S)

    assert tick.skipped == {"a": SkipReason.STALE}
    assert tick.prediction.mean.shape == (0, 12, 2)
