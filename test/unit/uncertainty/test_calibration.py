"""A calibration gives ellipses nominal coverage and depends smoothly on the motion."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from social_implicit_ros.metrics.reliability import (
    confidence_levels,
    coverage,
    pooled_reliability_scores,
)
from social_implicit_ros.types import FloatArray
from social_implicit_ros.uncertainty.calibration import (
    Calibration,
    ObservedMotion,
    observed_motion,
    speed_weights,
)
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES, sample_moments

N_STEPS = 3
#: Histories with a large jerk have ellipses of twice the size.
CALIBRATION = Calibration(
    speeds_m_s=np.array([0.0, 1.0, 2.0]),
    roughnesses_m=np.array([0.0, 0.1]),
    ellipse=np.array([[1.0, 2.0, 3.0], [2.0, 2.0, 2.0], [0.5, 0.5, 4.0]])[:, None]
    * np.array([[1.0], [2.0]]),
    samples=np.array([1.0, 3.0, 1.0])[:, None, None] * np.ones((2, N_STEPS)),
    levels=np.ones((3, 2, N_STEPS, len(CONFIDENCES))),
)


def smooth(speeds_m_s: list[float] | FloatArray) -> ObservedMotion:
    """People of these speeds who walk straight."""
    speeds = np.asarray(speeds_m_s, dtype=np.float64)
    return ObservedMotion(speeds, np.zeros(len(speeds)))


def ellipse_factors(motion: ObservedMotion, calibration: Calibration = CALIBRATION) -> FloatArray:
    """(A, T) factors on the standard deviations of agents with this motion."""
    ones = np.broadcast_to(np.eye(2), (len(motion.speed_m_s), calibration.n_steps, 2, 2))
    return np.sqrt(calibration.calibrated(ones, motion)[0][..., 0, 0])


def random_covariances(generator: np.random.Generator, *shape: int) -> np.ndarray:
    factor = generator.normal(size=(*shape, 2, 2))
    return factor @ np.swapaxes(factor, -1, -2) + 0.01 * np.eye(2)


def test_an_agent_at_a_grid_point_gets_its_factors() -> None:
    factors = ellipse_factors(smooth([1.0, 2.0, 0.0]))

    np.testing.assert_allclose(factors, [[2.0, 2.0, 2.0], [0.5, 0.5, 4.0], [1.0, 2.0, 3.0]])


def test_factors_are_constant_beyond_the_last_grid_point() -> None:
    samples, mean = np.ones((1, 1, N_STEPS, 2)), np.zeros((1, N_STEPS, 2))
    far, last = (CALIBRATION.spread(samples, mean, smooth([speed])) for speed in (9.0, 2.0))
    np.testing.assert_allclose(far, last)


def test_at_most_two_weights_are_above_zero_and_their_sum_is_one() -> None:
    weights = speed_weights(np.linspace(0.0, 3.0, 301), CALIBRATION.speeds_m_s)

    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert weights.min() >= 0.0
    assert (weights > 0).sum(axis=1).max() == 2


def test_ellipses_do_not_jump_when_somebody_walks_a_little_faster() -> None:
    speeds = np.linspace(0.0, 3.0, 3001)

    factors = ellipse_factors(smooth(speeds))
    change = np.abs(np.diff(np.log(factors), axis=0))

    assert change.max() < 0.02


def test_ellipses_grow_with_the_jerk_of_a_history() -> None:
    roughnesses = np.linspace(0.0, 0.2, 201)
    motion = ObservedMotion(np.ones(201), roughnesses)

    factors = ellipse_factors(motion)[:, 0]

    np.testing.assert_allclose(factors[[0, 100, 200]], [2.0, 4.0, 4.0])
    assert all(np.diff(factors) >= 0)


def test_one_grid_point_is_enough() -> None:
    single = Calibration(
        np.zeros(1),
        np.zeros(1),
        np.full((1, 1, 1), 2.0),
        np.full((1, 1, 1), 3.0),
        np.ones((1, 1, 1, len(CONFIDENCES))),
    )

    np.testing.assert_allclose(ellipse_factors(smooth([0.0, 5.0]), single), 2.0)


def test_a_calibrated_covariance_stays_positive_semi_definite() -> None:
    generator = np.random.default_rng(0)
    covariance = random_covariances(generator, 40, N_STEPS)

    calibrated, _ = CALIBRATION.calibrated(covariance, smooth(generator.uniform(0, 3, 40)))

    np.testing.assert_allclose(calibrated, np.swapaxes(calibrated, -1, -2))
    assert np.linalg.eigvalsh(calibrated).min() > 0


def test_samples_are_scaled_like_their_covariance() -> None:
    generator = np.random.default_rng(1)
    samples = generator.normal(size=(500, 4, N_STEPS, 2))
    mean, covariance = sample_moments(samples)

    spread_mean, spread_covariance = sample_moments(
        CALIBRATION.spread(samples, mean, smooth(np.ones(4)))
    )

    np.testing.assert_allclose(spread_mean, mean, atol=1e-12)
    np.testing.assert_allclose(spread_covariance, 9.0 * covariance)


def test_the_right_factors_calibrate_an_overconfident_gaussian() -> None:
    generator = np.random.default_rng(2)
    n_agents = 4000
    covariance = random_covariances(generator, n_agents, N_STEPS)
    speed = generator.choice(CALIBRATION.speeds_m_s, n_agents)
    truly, _ = CALIBRATION.calibrated(covariance, smooth(speed))
    draws = generator.normal(size=(n_agents, N_STEPS, 2, 1))
    truth = (np.linalg.cholesky(truly) @ draws)[..., 0]
    mean = np.zeros_like(truth)

    before = confidence_levels(mean, covariance, truth)
    after = confidence_levels(mean, truly, truth)

    assert coverage(before, 0.95) < 0.8
    for confidence in (0.1, 0.5, 0.8, 0.95):
        assert coverage(after, confidence) == pytest.approx(confidence, abs=0.015)
    assert min(pooled_reliability_scores(after)) > 0.98


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("speeds_m_s", np.array([])),
        ("speeds_m_s", np.array([1.0, 0.0, 2.0])),
        ("speeds_m_s", np.array([-1.0, 0.0, 2.0])),
        ("speeds_m_s", np.array([0.0, 1.0, np.nan])),
        ("roughnesses_m", np.array([0.1, 0.1])),
        ("ellipse", np.ones((1, 2, N_STEPS))),
        ("ellipse", np.ones((3, 2, 0))),
        ("samples", np.zeros((3, 2, N_STEPS))),
        ("samples", np.full((3, 2, N_STEPS), np.inf)),
        ("samples", np.ones((3, 2, 1))),
        ("levels", np.ones((3, 2, N_STEPS, 3))),
        ("levels", np.zeros((3, 2, N_STEPS, len(CONFIDENCES)))),
    ],
)
def test_a_wrong_calibration_names_its_field(field: str, value: FloatArray) -> None:
    with pytest.raises(ValueError, match=f"Calibration.({field}|samples|levels)"):
        dataclasses.replace(CALIBRATION, **{field: value})


def test_a_card_holds_a_calibration_as_plain_values() -> None:
    read = Calibration.from_dict(json.loads(json.dumps(CALIBRATION.to_dict())))

    for field in dataclasses.fields(Calibration):
        np.testing.assert_array_equal(getattr(read, field.name), getattr(CALIBRATION, field.name))


@pytest.mark.parametrize("name", CALIBRATION.to_dict())
def test_a_card_without_a_field_is_refused(name: str) -> None:
    card = CALIBRATION.to_dict()
    del card[name]

    with pytest.raises(ValueError, match="expected confidences, speeds_m_s"):
        Calibration.from_dict(card)


def test_a_card_with_rows_of_different_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="equal lengths"):
        Calibration.from_dict({**CALIBRATION.to_dict(), "ellipse": [[1.0], [1.0, 2.0]]})


def test_a_card_with_other_confidences_is_refused() -> None:
    with pytest.raises(ValueError, match="this version reads"):
        Calibration.from_dict({**CALIBRATION.to_dict(), "confidences": [0.5, 0.95]})


def test_speed_and_jerk_count_the_known_steps_only() -> None:
    observed = np.zeros((3, 8, 2))
    observed[:, :, 0] = 0.4 * np.arange(8)
    observed[1, :6] = 77.0
    observed[2, :2] = 77.0
    mask = np.ones((3, 8))
    mask[1, :6] = 0.0
    mask[2, :2] = 0.0

    motion = observed_motion(observed, mask, 0.4)

    np.testing.assert_allclose(motion.speed_m_s, 1.0)
    np.testing.assert_allclose(motion.jerk_rms_m, 0.0, atol=1e-12)


def test_jerk_measures_tracker_noise_and_ignores_a_steady_turn() -> None:
    step = np.arange(8.0)
    turning = np.stack([0.4 * step, 0.02 * step**2], axis=-1)
    noise_m = np.random.default_rng(0).normal(scale=0.05, size=(4000, 8, 2))

    motion = observed_motion(np.stack([turning, *(turning + noise_m)]), np.ones((4001, 8)), 0.4)

    assert motion.jerk_rms_m[0] == pytest.approx(0.0, abs=1e-12)
    # The squares of the coefficients 1, 3, 3, 1 add up to 20, in two dimensions.
    rms_m = np.sqrt(np.mean(motion.jerk_rms_m[1:] ** 2))
    assert rms_m == pytest.approx(np.sqrt(2 * 20) * 0.05, rel=0.03)


@pytest.mark.parametrize("name", ["ellipse", "samples", "levels"])
@pytest.mark.parametrize("factor", [0.0, -1.0, np.nan, np.inf, 1e9])
def test_a_single_factor_that_is_out_of_range_is_named(name: str, factor: float) -> None:
    factors = getattr(CALIBRATION, name).copy()
    factors.flat[1] = factor
    with pytest.raises(ValueError, match=f"Calibration.{name} has a factor out of"):
        dataclasses.replace(CALIBRATION, **{name: factors})
