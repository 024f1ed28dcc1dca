"""Every confidence has the ellipse that covers it, also where errors are not Gaussian."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from social_implicit_ros.metrics.reliability import (
    confidence_levels,
    coverage,
    ground_truth_levels,
    pooled_reliability_scores,
)
from social_implicit_ros.types import FloatArray, Prediction
from social_implicit_ros.uncertainty.ellipses import (
    CONFIDENCES,
    at_confidence,
    confidence_to_sigmas,
    ellipse_axes,
    gaussian_distance,
    radius_at,
)

#: The standard deviation of one in five is four times that of the others.
MIXED_SIGMAS = (1.0, 4.0)


def mixed_errors(generator: np.random.Generator, n_agents: int) -> FloatArray:
    """(A, 1, 2) errors of a mixture: most are small, some are large."""
    sigma = generator.choice(MIXED_SIGMAS, (n_agents, 1, 1), p=(0.8, 0.2))
    return np.asarray(sigma * generator.normal(size=(n_agents, 1, 2)))


def conformal_prediction(n_agents: int) -> Prediction:
    """A Gaussian with radius scales fitted to `mixed_errors`."""
    distance = np.linalg.norm(mixed_errors(np.random.default_rng(3), 40_000), axis=-1)
    radii = [confidence_to_sigmas(confidence) for confidence in CONFIDENCES]
    factors = np.quantile(distance, CONFIDENCES) / radii
    return Prediction(
        np.zeros((1, n_agents, 1, 2)),
        np.zeros((n_agents, 1, 2)),
        np.broadcast_to(np.eye(2), (n_agents, 1, 2, 2)),
        0.4,
        np.broadcast_to(factors, (n_agents, 1, len(CONFIDENCES))),
    )


def test_radius_scales_give_every_ellipse_nominal_coverage_of_a_mixture() -> None:
    truth = mixed_errors(np.random.default_rng(4), 20_000)
    prediction = conformal_prediction(len(truth))

    plain = confidence_levels(prediction.mean, prediction.covariance, truth)
    levels = ground_truth_levels(prediction, truth)

    assert min(pooled_reliability_scores(plain)) < 0.9
    assert min(pooled_reliability_scores(levels)) > 0.98


@pytest.mark.parametrize("confidence", [0.02, 0.3, 0.47, 0.95, 0.999])
def test_a_position_at_the_radius_of_a_confidence_has_that_level(confidence: float) -> None:
    prediction = conformal_prediction(1)
    radius = radius_at(prediction, confidence)

    on_the_edge = ground_truth_levels(prediction, np.stack([radius, 0.0 * radius], axis=-1))

    np.testing.assert_allclose(on_the_edge, confidence, atol=1e-6)


@given(st.lists(st.floats(0.02, 20.0), min_size=len(CONFIDENCES), max_size=len(CONFIDENCES)))
def test_a_radius_never_decreases_with_the_confidence(factors: list[float]) -> None:
    prediction = dataclasses.replace(
        conformal_prediction(1), radius_scales=np.array(factors)[None, None]
    )

    radii = [float(radius_at(prediction, level)[0, 0]) for level in np.linspace(0.01, 0.999, 40)]

    assert all(np.diff(radii) >= 0)


@pytest.mark.parametrize("confidence", [0.5, 0.77, 0.95])
def test_at_its_confidence_a_covariance_has_the_coverage_of_a_gaussian(confidence: float) -> None:
    truth = mixed_errors(np.random.default_rng(5), 20_000)
    prediction = conformal_prediction(len(truth))

    scaled = at_confidence(prediction, confidence)
    plain = confidence_levels(scaled.mean, scaled.covariance, truth)

    assert coverage(plain, confidence) == pytest.approx(confidence, abs=0.015)
    np.testing.assert_allclose(
        ground_truth_levels(scaled, truth), ground_truth_levels(prediction, truth), atol=1e-6
    )


def test_without_radius_scales_ellipses_are_gaussian() -> None:
    prediction = dataclasses.replace(conformal_prediction(2), radius_scales=None)

    np.testing.assert_allclose(radius_at(prediction, 0.5), confidence_to_sigmas(0.5))
    assert at_confidence(prediction, 0.5) is prediction


def test_an_ellipse_has_the_axes_of_its_covariance() -> None:
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])

    major, minor, yaw = ellipse_axes(turn @ np.diag([4.0, 1.0]) @ turn.T)

    np.testing.assert_allclose([major, minor, yaw], [2.0, 1.0, 0.3])
    assert confidence_to_sigmas(0.95) == pytest.approx(2.4477, abs=1e-4)


def test_the_gaussian_distance_of_a_radius_is_that_of_its_confidence() -> None:
    """Of the centre it is 0, beyond all levels it grows on, and of an unknown position unknown."""
    scales = np.linspace(0.5, 2.0, len(CONFIDENCES)) * np.ones((1, 5, 1))
    mean, covariance = np.zeros((1, 5, 2)), np.tile(np.eye(2), (1, 5, 1, 1))
    prediction = Prediction(mean[None], mean, covariance, 0.4, scales)
    radii = np.array([radius_at(prediction, c)[0, 0] for c in (0.5, 0.9)])
    distances = np.array([[0.0, *radii, 100.0, np.nan]])
    found = gaussian_distance(distances, scales)[0]
    expected = [0.0, confidence_to_sigmas(0.5), confidence_to_sigmas(0.9)]
    np.testing.assert_allclose(found[:3], expected, rtol=1e-6)
    assert found[3] > confidence_to_sigmas(max(CONFIDENCES))
    assert np.isnan(found[4])
