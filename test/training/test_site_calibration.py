"""The calibration of few people stays near the prior, that of many does not."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.training.calibrate import (
    ANNOTATED,
    TRACKED,
    Grid,
    Residuals,
    calibrate,
    calibrate_from,
)
from social_implicit_ros.uncertainty.calibration import Calibration, ObservedMotion
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES

N_STEPS = 12
#: The grid point of people who walk straight.
WALKING = (int(np.flatnonzero(ANNOTATED.speeds_m_s == 1.0)[0]), 0)


def prior(factor: float = 1.0, grid: Grid = ANNOTATED) -> Calibration:
    shape = (len(grid.speeds_m_s), len(grid.jerk_rms_m), N_STEPS)
    factors = np.full(shape, factor)
    levels = np.ones((*shape, len(CONFIDENCES)))
    return Calibration(grid.speeds_m_s, grid.jerk_rms_m, factors, factors, levels)


def residuals(n_agents: int, *, speed_m_s: float = 1.0, sigmas: float = 3.0) -> Residuals:
    """Errors of `sigmas` times the standard deviation of the covariance."""
    unit = np.broadcast_to(np.eye(2), (n_agents, N_STEPS, 2, 2))
    error = sigmas * np.random.default_rng(0).standard_normal((n_agents, N_STEPS, 2))
    motion = ObservedMotion(np.full(n_agents, speed_m_s), np.zeros(n_agents))
    return Residuals(error, unit, motion, np.ones(n_agents))


def test_many_people_override_the_prior() -> None:
    found = residuals(4000)
    result = calibrate_from(prior(), found, np.arange(4000))
    np.testing.assert_allclose(
        result.ellipse[WALKING], calibrate(found).ellipse[WALKING], rtol=0.01
    )
    np.testing.assert_allclose(result.ellipse[WALKING], 3.0, rtol=0.05)


def test_one_person_tracked_for_long_hardly_changes_the_prior() -> None:
    still = residuals(4000, speed_m_s=0.0, sigmas=0.001)
    result = calibrate_from(prior(), still, np.zeros(4000, dtype=np.int64))
    assert result.ellipse[0].min() > 0.7


def test_as_many_people_as_the_prior_give_the_geometric_mean() -> None:
    found = residuals(4000)
    result = calibrate_from(prior(), found, np.arange(4000) % 20)
    np.testing.assert_allclose(result.ellipse[WALKING], np.sqrt(3.0), rtol=0.05)


@pytest.mark.parametrize("n_people", [1, 20, 4000])
def test_a_correct_prior_is_not_changed(n_people: int) -> None:
    result = calibrate_from(prior(3.0), residuals(4000), np.arange(4000) % n_people)
    np.testing.assert_allclose(result.ellipse[WALKING], 3.0, rtol=0.05)


def test_speeds_without_data_keep_the_prior() -> None:
    result = calibrate_from(prior(), residuals(4000), np.arange(4000))
    np.testing.assert_array_equal(result.ellipse[0], 1.0)


@pytest.mark.parametrize("grid", [ANNOTATED, TRACKED], ids=["annotated", "tracked"])
def test_a_calibration_of_few_people_keeps_the_grid_of_the_prior(grid: Grid) -> None:
    result = calibrate_from(prior(2.0, grid), residuals(40), np.zeros(40, dtype=np.int64))
    np.testing.assert_array_equal(result.speeds_m_s, grid.speeds_m_s)
    np.testing.assert_array_equal(result.roughnesses_m, grid.jerk_rms_m)
    np.testing.assert_array_equal(result.ellipse[0], 2.0)
