"""Predictions are read at other steps than the model's by interpolation."""

from __future__ import annotations

import weakref
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.resample import (
    Steps,
    advance_prediction,
    resample_prediction,
    without_samples,
)
from social_implicit_ros.types import Prediction
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES, sample_moments

MODEL = Steps(0.4, 12)


def random_prediction(seed: int = 0) -> tuple[Prediction, np.ndarray]:
    generator = np.random.default_rng(seed)
    last_m = generator.normal(size=(3, 2)) * 10
    samples = last_m[:, None] + generator.normal(size=(5, 3, 12, 2)).cumsum(axis=2)
    return Prediction(samples, *sample_moments(samples), 0.4), last_m


def test_a_straight_walk_stays_straight_at_any_step() -> None:
    velocity = np.array([1.2, -0.3])
    observed = velocity * 0.4 * np.arange(-1, 1)[:, None] + 100.0
    prediction = ConstantVelocity().predict(observed[None], n_samples=3)
    finer = resample_prediction(prediction, observed[None, -1], Steps(0.1, 48))
    times_s = 0.1 * np.arange(1, 49)
    np.testing.assert_allclose(finer.mean[0], 100.0 + velocity * times_s[:, None], atol=1e-9)
    np.testing.assert_allclose(finer.samples[2], finer.mean, atol=1e-9)
    assert finer.step_s == 0.1


def test_a_prediction_at_the_models_steps_is_returned_unchanged() -> None:
    prediction, last_m = random_prediction()
    assert resample_prediction(prediction, last_m, MODEL) is prediction


@pytest.mark.parametrize(("step_s", "n_steps"), [(0.2, 24), (0.1, 48), (0.4, 5), (0.8, 6)])
def test_values_at_the_models_steps_are_kept(step_s: float, n_steps: int) -> None:
    prediction, last_m = random_prediction()
    other = resample_prediction(prediction, last_m, Steps(step_s, n_steps))
    times_s = step_s * np.arange(1, n_steps + 1)
    at_model_step = np.isclose(times_s / 0.4, np.round(times_s / 0.4))
    steps = np.round(times_s[at_model_step] / 0.4).astype(int) - 1
    for name, axis in (("samples", 2), ("mean", 1), ("covariance", 1)):
        np.testing.assert_allclose(
            np.compress(at_model_step, getattr(other, name), axis),
            np.take(getattr(prediction, name), steps, axis),
            atol=1e-9,
        )


def test_radius_scales_are_interpolated() -> None:
    prediction, last_m = random_prediction()
    assert resample_prediction(prediction, last_m, Steps(0.2, 24)).radius_scales is None
    factors = np.random.default_rng(1).uniform(0.5, 2.0, (3, 12, len(CONFIDENCES)))
    prediction = replace(prediction, radius_scales=factors)

    finer = resample_prediction(prediction, last_m, Steps(0.2, 24)).radius_scales
    late, _ = advance_prediction(prediction, last_m, 0.4)

    assert finer is not None
    np.testing.assert_allclose(finer[:, 1::2], factors)
    np.testing.assert_allclose(finer[:, 0], factors[:, 0])
    np.testing.assert_allclose(finer[:, 2::2], 0.5 * (factors[:, 1:] + factors[:, :-1]))
    np.testing.assert_allclose(late.radius_scales[:, :11], factors[:, 1:])
    np.testing.assert_allclose(late.radius_scales[:, 11], factors[:, 11])


@given(step_s=st.floats(0.01, 4.8), seed=st.integers(0, 100))
def test_covariances_stay_positive_and_the_mean_is_the_samples_mean(
    step_s: float, seed: int
) -> None:
    prediction, last_m = random_prediction(seed)
    other = resample_prediction(prediction, last_m, Steps.within(0.4, 12, step_s=step_s))
    assert np.linalg.eigvalsh(other.covariance).min() > -1e-12
    np.testing.assert_allclose(other.mean, other.samples.mean(axis=0), atol=1e-9)


def test_an_empty_prediction_is_resampled() -> None:
    prediction = ConstantVelocity().predict(np.empty((0, 2, 2)), n_samples=4)
    assert resample_prediction(prediction, np.empty((0, 2)), Steps(0.2, 24)).samples.shape == (
        4,
        0,
        24,
        2,
    )


def test_steps_default_to_the_models() -> None:
    assert Steps.within(0.4, 12) == MODEL


@pytest.mark.parametrize(
    ("step_s", "horizon_s", "n_steps"), [(0.1, 4.8, 48), (0.4, 2.0, 5), (0.3, 1.0, 3), (0.7, 0, 6)]
)
def test_steps_fill_the_horizon(step_s: float, horizon_s: float, n_steps: int) -> None:
    assert Steps.within(0.4, 12, step_s=step_s, horizon_s=horizon_s).n_steps == n_steps


def test_a_horizon_beyond_the_model_is_refused_with_the_longest_possible() -> None:
    with pytest.raises(ValueError, match=r"6 s is beyond the model's 4\.8 s"):
        Steps.within(0.4, 12, horizon_s=6.0)


def test_a_step_longer_than_the_horizon_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than the horizon"):
        Steps.within(0.4, 12, step_s=2.0, horizon_s=1.0)


def test_predictions_without_samples_do_not_keep_them_in_memory() -> None:
    samples = np.zeros((20, 3, 12, 2))
    kept = weakref.ref(samples)
    prediction = Prediction(samples, samples[0].copy(), np.zeros((3, 12, 2, 2)), 0.4)
    del samples

    prediction = without_samples(prediction)

    assert kept() is None
    assert prediction.samples.shape == (0, 3, 12, 2)
