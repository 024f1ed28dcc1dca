"""A calibration makes ellipses and samples hold what they promise, and never jumps."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from social_implicit_ros.core.metrics.calibration import (
    confidence_levels,
    coverage,
    reliability_scores,
)
from social_implicit_ros.core.uncertainty import (
    Calibration,
    confidence_to_sigmas,
    ellipse_axes,
    observed_speed_m_s,
    sample_moments,
    speed_weights,
)

N_STEPS = 3
CALIBRATION = Calibration(
    speeds_m_s=(0.0, 1.0, 2.0),
    ellipse=((1.0, 2.0, 3.0), (2.0, 2.0, 2.0), (0.5, 0.5, 4.0)),
    samples=((1.0, 1.0, 1.0), (3.0, 3.0, 3.0), (1.0, 1.0, 1.0)),
)


def random_covariances(generator: np.random.Generator, *shape: int) -> np.ndarray:
    factor = generator.normal(size=(*shape, 2, 2))
    return factor @ np.swapaxes(factor, -1, -2) + 0.01 * np.eye(2)


def test_an_agent_at_a_knot_gets_the_knots_factors() -> None:
    factors = CALIBRATION.ellipse_factors(np.array([1.0, 2.0, 0.0]))

    np.testing.assert_allclose(factors, [[2.0, 2.0, 2.0], [0.5, 0.5, 4.0], [1.0, 2.0, 3.0]])


def test_beyond_the_last_knot_factors_stay() -> None:
    np.testing.assert_allclose(
        CALIBRATION.sample_factors(np.array([9.0])), CALIBRATION.sample_factors(np.array([2.0]))
    )


def test_weights_are_shares_of_at_most_two_knots() -> None:
    weights = speed_weights(np.linspace(0.0, 3.0, 301), CALIBRATION.speeds_m_s)

    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert weights.min() >= 0.0
    assert (weights > 0).sum(axis=1).max() == 2


def test_ellipses_do_not_jump_when_somebody_walks_a_little_faster() -> None:
    speeds = np.linspace(0.0, 3.0, 3001)

    change = np.abs(np.diff(np.log(CALIBRATION.ellipse_factors(speeds)), axis=0))

    assert change.max() < 0.02


def test_one_knot_is_enough() -> None:
    single = Calibration((0.0,), ((2.0,),), ((3.0,),))

    np.testing.assert_allclose(single.ellipse_factors(np.array([0.0, 5.0])), 2.0)


def test_a_calibrated_covariance_stays_positive_semi_definite() -> None:
    generator = np.random.default_rng(0)
    covariance = random_covariances(generator, 40, N_STEPS)

    calibrated = CALIBRATION.covariance(covariance, generator.uniform(0, 3, 40))

    np.testing.assert_allclose(calibrated, np.swapaxes(calibrated, -1, -2))
    assert np.linalg.eigvalsh(calibrated).min() > 0


def test_samples_and_their_covariance_are_spread_alike() -> None:
    generator = np.random.default_rng(1)
    samples = generator.normal(size=(500, 4, N_STEPS, 2))
    mean, covariance = sample_moments(samples)

    spread_mean, spread_covariance = sample_moments(
        CALIBRATION.spread(samples, mean, np.full(4, 1.0))
    )

    np.testing.assert_allclose(spread_mean, mean, atol=1e-12)
    np.testing.assert_allclose(spread_covariance, 9.0 * covariance)


def test_the_right_factors_make_a_confident_gaussian_honest() -> None:
    generator = np.random.default_rng(2)
    n_agents = 4000
    covariance = random_covariances(generator, n_agents, N_STEPS)
    speed = generator.choice(CALIBRATION.speeds_m_s, n_agents)
    truly = CALIBRATION.covariance(covariance, speed)
    draws = generator.normal(size=(n_agents, N_STEPS, 2, 1))
    truth = (np.linalg.cholesky(truly) @ draws)[..., 0]
    mean = np.zeros_like(truth)

    before = confidence_levels(mean, covariance, truth)
    after = confidence_levels(mean, truly, truth)

    assert coverage(before, 0.95) < 0.8
    for confidence in (0.1, 0.5, 0.8, 0.95):
        assert coverage(after, confidence) == pytest.approx(confidence, abs=0.015)
    assert min(reliability_scores(after)) > 0.98


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"speeds_m_s": ()}, "speeds_m_s"),
        ({"speeds_m_s": (1.0, 0.0, 2.0)}, "speeds_m_s"),
        ({"speeds_m_s": (-1.0, 0.0, 2.0)}, "speeds_m_s"),
        ({"speeds_m_s": (0.0, 1.0, float("nan"))}, "speeds_m_s"),
        ({"ellipse": ((1.0, 1.0, 1.0),)}, "ellipse"),
        ({"ellipse": ((1.0,), (1.0, 1.0), (1.0,))}, "ellipse"),
        ({"samples": ((1.0, 0.0, 1.0),) * 3}, "samples"),
        ({"samples": ((1.0, float("inf"), 1.0),) * 3}, "samples"),
        ({"samples": ((1.0,),) * 3}, "samples"),
    ],
)
def test_a_wrong_calibration_names_its_field(changes: dict, field: str) -> None:
    with pytest.raises(ValueError, match=f"Calibration.{field}"):
        dataclasses.replace(CALIBRATION, **changes)


def test_a_card_holds_a_calibration_as_plain_values() -> None:
    assert Calibration.from_dict(dataclasses.asdict(CALIBRATION)) == CALIBRATION


@pytest.mark.parametrize("values", [{}, {"speeds_m_s": [0.0], "ellipse": [[1.0]]}])
def test_a_card_without_all_fields_is_refused(values: dict) -> None:
    with pytest.raises(ValueError, match="expected speeds_m_s, ellipse and samples"):
        Calibration.from_dict(values)


def test_speed_counts_the_known_steps_only() -> None:
    observed = np.zeros((2, 8, 2))
    observed[:, :, 0] = 0.4 * np.arange(8)
    observed[1, :6] = 77.0
    mask = np.ones((2, 8))
    mask[1, :6] = 0.0

    np.testing.assert_allclose(observed_speed_m_s(observed, mask, 0.4), [1.0, 1.0])


def test_an_ellipse_has_the_axes_of_its_covariance() -> None:
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])

    major, minor, yaw = ellipse_axes(turn @ np.diag([4.0, 1.0]) @ turn.T)

    np.testing.assert_allclose([major, minor, yaw], [2.0, 1.0, 0.3])
    assert confidence_to_sigmas(0.95) == pytest.approx(2.4477, abs=1e-4)
