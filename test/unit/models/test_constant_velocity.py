"""The constant-velocity baseline extrapolates the last displacement, with or without turns."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.types import FloatArray

#: Two people who turned before their last step, by (0.3, -0.4) and (0, 1) m.
ENDS_M = np.array([[[4.7, 2.4], [5.0, 2.0]], [[1.0, 1.0], [1.0, 2.0]]])
MOVES_M = np.array([[0.3, -0.4], [0.0, 1.0]])


def walk() -> FloatArray:
    observed = np.random.default_rng(0).normal(0.0, 3.0, (2, 8, 2))
    observed[:, -2:] = ENDS_M
    return observed


def test_the_last_displacement_is_repeated() -> None:
    prediction = ConstantVelocity(n_predicted=3).predict(walk(), n_samples=2)
    expected_m = ENDS_M[:, 1, None] + MOVES_M[:, None] * np.arange(1, 4)[:, None]
    np.testing.assert_allclose(prediction.mean, expected_m)
    np.testing.assert_allclose(prediction.samples, [expected_m] * 2)
    assert not prediction.covariance.any()


@pytest.mark.parametrize("sigma_deg", [5.0, 25.0])
def test_samples_turn_by_normal_angles_and_keep_the_speed(sigma_deg: float) -> None:
    model = ConstantVelocity(heading_sigma_rad=np.radians(sigma_deg))
    prediction = model.predict(walk(), n_samples=4000)
    moved_m = prediction.samples - ENDS_M[:, 1, None]  # (K, A, T, 2)
    lengths_m = np.array([0.5, 1.0])[:, None] * np.arange(1, 13)
    np.testing.assert_allclose(np.hypot(*np.moveaxis(moved_m, -1, 0)), [lengths_m] * 4000)
    turns = moved_m @ (MOVES_M[:, :, None] * [[1.0], [1.0]])  # along the last displacement
    angles = np.arccos(np.clip(turns[..., 0] / (lengths_m * lengths_m[:, :1]), -1.0, 1.0))
    assert np.degrees(np.sqrt((angles**2).mean(axis=0))) == pytest.approx(sigma_deg, rel=0.05)
    left = MOVES_M[:, None, 0] * moved_m[..., 1] - MOVES_M[:, None, 1] * moved_m[..., 0] > 0.0
    assert left.mean() == pytest.approx(0.5, abs=0.03)
    np.testing.assert_allclose(prediction.mean, prediction.samples.mean(axis=0))
    off_m = prediction.samples - prediction.mean
    covariance = np.einsum("kati,katj->atij", off_m, off_m) / 4000
    np.testing.assert_allclose(prediction.covariance, covariance, rtol=1e-3, atol=1e-9)
