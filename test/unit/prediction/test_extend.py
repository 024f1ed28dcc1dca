"""Beyond the model's horizon predictions are extrapolated, with growing ellipses."""

from __future__ import annotations

import numpy as np
import pytest
from support.benchmark_data import DATA, needs_recordings

from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.resample import Steps, moments_at, resample_prediction
from social_implicit_ros.recordings.text_formats.text import Recording, load_recording
from social_implicit_ros.types import FloatArray, Prediction
from social_implicit_ros.uncertainty.ellipses import sample_moments


def random_prediction(n_steps: int = 12, n_agents: int = 3) -> tuple[Prediction, FloatArray]:
    generator = np.random.default_rng(0)
    last_m = generator.normal(size=(n_agents, 2)) * 10
    steps = generator.normal(size=(8, n_agents, n_steps, 2))
    samples = last_m[:, None] + steps.cumsum(axis=2)
    return Prediction(samples, *sample_moments(samples), 0.4), last_m


@pytest.mark.parametrize("steps", [Steps(0.4, 12), Steps(0.2, 24), Steps(0.3, 7)])
def test_within_the_horizon_a_prediction_is_resampled(steps: Steps) -> None:
    prediction, last_m = random_prediction()
    mean, covariance = moments_at(prediction, last_m, steps.times_s)
    resampled = resample_prediction(prediction, last_m, steps)
    np.testing.assert_allclose(mean, resampled.mean)
    np.testing.assert_allclose(covariance, resampled.covariance)


@pytest.mark.parametrize("steps", [Steps(0.2, 30), Steps(0.1, 200), Steps(0.7, 20), Steps(5.0, 2)])
def test_beyond_the_horizon_velocities_are_constant(steps: Steps) -> None:
    prediction, last_m = random_prediction()
    mean, covariance = moments_at(prediction, last_m, steps.times_s)
    assert mean.shape == (3, steps.n_steps, 2)
    assert covariance.shape == (3, steps.n_steps, 2, 2)
    beyond_s = steps.step_s * np.arange(1, steps.n_steps + 1) - 4.8
    velocity = (prediction.mean[:, -1] - prediction.mean[:, -2]) / 0.4
    expected = prediction.mean[:, -1:] + velocity[:, None] * beyond_s[:, None]
    np.testing.assert_allclose(mean[:, beyond_s > 0], expected[:, beyond_s > 0], atol=1e-9)


def test_the_covariance_grows_from_the_last_one_and_keeps_its_shape() -> None:
    prediction, last_m = random_prediction()
    _, covariance = moments_at(prediction, last_m, Steps(0.4, 24).times_s)
    np.testing.assert_allclose(covariance[:, 11], prediction.covariance[:, 11])
    shares = covariance[:, 12:] / covariance[:, 11:12]
    np.testing.assert_allclose(shares, np.broadcast_to(shares[:1, :, :1, :1], shares.shape))
    growth = shares[0, :, 0, 0]
    assert 1.0 < growth[0] < 1.3
    assert (np.diff(growth) > 0).all()
    # At twice the time, sigma has grown by 2 to the power of 1.25.
    assert growth[-1] == pytest.approx(2.0**2.5)


def test_covariances_stay_positive_semi_definite() -> None:
    prediction, last_m = random_prediction()
    _, covariance = moments_at(prediction, last_m, Steps(0.17, 60).times_s)
    assert np.linalg.eigvalsh(covariance).min() > 0


def test_a_single_step_is_extrapolated_from_the_present() -> None:
    prediction, last_m = random_prediction(n_steps=1)
    mean, _ = moments_at(prediction, last_m, Steps(0.4, 3).times_s)
    np.testing.assert_allclose(mean[:, 2], last_m + 3 * (prediction.mean[:, 0] - last_m))


def test_an_empty_prediction_is_extrapolated() -> None:
    prediction, last_m = random_prediction(n_agents=0)
    mean, covariance = moments_at(prediction, last_m, Steps(0.2, 30).times_s)
    assert (mean.shape, covariance.shape) == ((0, 30, 2), (0, 30, 2, 2))


def walks_of(recording: Recording, n_steps: int) -> FloatArray:
    """(N, n_steps, 2) every stretch of so many steps of everybody, metres."""
    walks = []
    for person in np.unique(recording.ids):
        path = recording.positions_m[recording.ids == person]
        assert (np.diff(recording.frames[recording.ids == person]) == 10).all()
        walks += [path[first : first + n_steps] for first in range(len(path) - n_steps + 1)]
    return np.array(walks)


@needs_recordings
def test_an_extrapolated_ellipse_has_the_coverage_of_the_last_one() -> None:
    recording = load_recording(DATA / "eth_ucy/all_data/crowds_zara01.txt")
    walks = walks_of(recording, n_steps=8 + 15)[::5]
    observed, future = walks[:, :8], walks[:, 8:]
    prediction = load_model("social_zone_zara1").predict(observed, n_samples=1)

    mean, covariance = moments_at(prediction, observed[:, -1], Steps(0.4, 15).times_s)

    errors = (future - mean)[..., None]
    distances = (errors.swapaxes(-1, -2) @ np.linalg.solve(covariance, errors))[..., 0, 0]
    held = {
        level: (distances < -2.0 * np.log(1.0 - level)).mean(axis=0) for level in (0.5, 0.8, 0.95)
    }
    assert len(walks) > 300
    for level, shares in held.items():
        assert shares[14] == pytest.approx(shares[11], abs=0.05), level
