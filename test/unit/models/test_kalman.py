"""The constant-velocity Kalman filter that predictions are compared with."""

import numpy as np
import pytest

from social_implicit_ros.models.kalman import (
    DENSITIES,
    ConstantVelocityKalman,
    filtered,
    tuned_error_m,
)
from social_implicit_ros.types import FloatArray


def extrapolated(positions_m: FloatArray, density: float, ahead_s: float) -> FloatArray:
    states, _ = filtered(positions_m, 0.1, density)
    return states[:, -1, 0] + ahead_s * states[:, -1, 1]


def test_the_predictor_extrapolates_a_straight_walk() -> None:
    path_m = np.stack([0.5 * np.arange(20), -0.2 * np.arange(20)], axis=1)[None]
    observed = path_m[:, :8].copy()
    observed[:, :3] = np.nan

    prediction = ConstantVelocityKalman().predict(observed)

    assert prediction.mean == pytest.approx(path_m[:, 8:], abs=0.06)
    variance = prediction.covariance[0, :, 0, 0]
    assert (np.diff(variance) > 0).all() and variance[0] < 0.1


@pytest.mark.parametrize("density", DENSITIES[::8])
def test_the_filter_extrapolates_a_constant_velocity(density: float) -> None:
    positions = np.arange(29.0)[:, None] * np.array([0.1, -0.05])
    unknown = positions.copy()
    unknown[5:9] = np.nan
    found = extrapolated(np.stack([positions, unknown + 3.0]), density, 1.2)
    expected = positions[-1] + 12.0 * np.array([0.1, -0.05])
    np.testing.assert_allclose(found, [expected, expected + 3.0], atol=0.02)


def test_tuning_filters_noise_and_follows_turns() -> None:
    rng = np.random.default_rng(0)
    straight = np.arange(41.0)[:, None] * np.array([0.12, 0.0]) + np.zeros((300, 1, 1))
    noisy = straight[:, :29] + rng.normal(0.0, 0.05, (300, 29, 2))
    tuned_m = tuned_error_m([noisy[:100], noisy[100:]], straight[:, 40], 0.1, 1.2)
    last = noisy[:, -1] + 12.0 * (noisy[:, -1] - noisy[:, -2])
    last_m = np.linalg.norm(last - straight[:, 40], axis=1).mean()
    assert tuned_m < 0.1 * last_m
    following = extrapolated(noisy, float(DENSITIES[-1]), 1.2)
    assert tuned_m < np.linalg.norm(following - straight[:, 40], axis=1).mean()
