from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from social_implicit_ros.metrics.reliability import (
    confidence_levels,
    coverage,
    pooled_reliability_scores,
    reliability_curve,
    reliability_scores,
)
from social_implicit_ros.types import FloatArray

COVARIANCE = np.array([[0.5, 0.2], [0.2, 0.3]])


def gaussian_case(n: int, scale: float = 1.0) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Ground truth drawn from N(mean, COVARIANCE), predictions `scale` times as wide."""
    rng = np.random.default_rng(1)
    mean = rng.normal(size=(n, 2)) * 5.0
    truth = mean + rng.multivariate_normal(np.zeros(2), COVARIANCE, n)
    return mean, np.broadcast_to(COVARIANCE * scale**2, (n, 2, 2)), truth


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
def test_a_calibrated_gaussian_covers_its_confidence(confidence: float) -> None:
    levels = confidence_levels(*gaussian_case(20_000))
    assert coverage(levels, confidence) == pytest.approx(confidence, abs=0.01)


def test_a_calibrated_gaussian_is_fully_reliable() -> None:
    average, worst = pooled_reliability_scores(confidence_levels(*gaussian_case(20_000)))
    assert average > 0.99
    assert worst > 0.985


@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_a_wrong_width_shows_and_to_which_side(scale: float) -> None:
    levels = confidence_levels(*gaussian_case(5_000, scale))
    confidence, frequency = reliability_curve(levels)
    # A position of Mahalanobis distance d lies inside an ellipse `scale` times as wide when
    # d < scale * radius: its probability is 1 - (1 - c) ** scale^2.
    np.testing.assert_allclose(frequency, 1 - (1 - confidence) ** scale**2, atol=0.025)
    average, worst = pooled_reliability_scores(levels)
    assert worst < average < 0.8


def test_levels_of_known_points() -> None:
    mean, covariance = np.zeros((3, 2)), np.broadcast_to(np.diag([4.0, 1.0]), (3, 2, 2))
    truth = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    levels = confidence_levels(mean, covariance, truth)
    np.testing.assert_allclose(levels, [0.0, 1 - np.exp(-0.5), 1 - np.exp(-4.5)])


@given(st.floats(-np.pi, np.pi), st.floats(1e-3, 1e3), st.integers(0, 100))
def test_levels_ignore_turns_moves_and_units(angle: float, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean, truth = rng.normal(size=(2, 4, 2))
    root = rng.normal(size=(4, 2, 2))
    covariance = root @ root.swapaxes(1, 2) + 0.01 * np.eye(2)
    map_ = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = confidence_levels(mean @ map_.T + 7, map_ @ covariance @ map_.T, truth @ map_.T + 7)
    np.testing.assert_allclose(moved, confidence_levels(mean, covariance, truth), atol=1e-6)


def test_a_singular_covariance_covers_only_its_mean() -> None:
    covariance = np.array([np.zeros((2, 2)), np.zeros((2, 2)), [[1.0, 1.0], [1.0, 1.0]]])
    truth = np.array([[0.0, 0.0], [0.1, 0.0], [0.1, 0.1]])
    levels = confidence_levels(np.zeros((3, 2)), covariance, truth)
    assert levels.tolist() == [0.0, 1.0, 1.0]


def test_nan_counts_as_outside_and_is_kept() -> None:
    levels = np.array([0.2, np.nan])
    assert coverage(levels, 0.95) == 0.5
    assert reliability_curve(levels)[1].max() == 0.5
    assert np.isnan(confidence_levels(np.zeros((1, 2)), np.eye(2)[None], np.full((1, 2), np.nan)))


def test_a_position_on_the_ellipse_is_inside() -> None:
    confidence, frequency = reliability_curve(np.array([0.5]))
    assert frequency[confidence == 0.5].tolist() == [1.0]
    assert coverage(np.array([0.5]), 0.5) == 1.0


def test_no_level_gives_nan_and_a_wrong_confidence_is_refused() -> None:
    assert np.isnan(coverage(np.empty(0), 0.9))
    assert np.isnan(pooled_reliability_scores(np.empty(0))).all()
    with pytest.raises(ValueError, match="confidence is 1"):
        coverage(np.array([0.5]), 1.0)


def test_steps_with_opposite_errors_compensate_in_the_pooled_scores_only() -> None:
    narrow = confidence_levels(*gaussian_case(20_000, 0.5))
    wide = confidence_levels(*gaussian_case(20_000, 2.0))
    levels = np.stack([narrow, wide], axis=1)
    of_steps = [pooled_reliability_scores(step) for step in levels.T]
    average, worst = reliability_scores(levels)
    assert average == pytest.approx(np.mean([average for average, _ in of_steps]))
    assert worst == min(worst for _, worst in of_steps)
    assert pooled_reliability_scores(levels)[0] > average + 0.15
    assert np.isnan(reliability_scores(np.empty((0, 12)))).all()


def test_equal_steps_score_as_one_step_and_their_order_does_not_matter() -> None:
    levels = np.random.default_rng(0).beta(2.0, 1.0, (500, 3))
    assert reliability_scores(levels) == pytest.approx(reliability_scores(levels[::-1, ::-1]))
    same = np.repeat(levels[:, :1], 4, axis=1)
    assert reliability_scores(same) == pytest.approx(pooled_reliability_scores(levels[:, 0]))
