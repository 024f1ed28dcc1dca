"""Ellipses reach nominal coverage, whatever the distribution of the errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from social_implicit_ros.metrics.reliability import confidence_levels, ground_truth_levels
from social_implicit_ros.types import FloatArray, Prediction
from social_implicit_ros.uncertainty.adaptive import (
    EDGES,
    FIRST_STEP,
    FLOOR_M,
    LAST_STEP,
    MAX_FACTOR,
    MAX_SECONDS,
    MAX_SHIFT,
    MIN_FACTOR,
    PRIOR_FREEDOM,
    RIDING_FACTOR,
    RIDING_M_S,
    STEADY_S,
    AdaptiveCalibration,
    Learnt,
    ScoredPositions,
)
from social_implicit_ros.uncertainty.ellipses import (
    CONFIDENCES,
    GAUSSIAN_GRID,
    at_confidence,
    gaussian_distance,
    radius_at,
)

S = 1_000_000_000
N_STEPS = 3
STANDING, WALKING = 0.0, 1.4
GAUSSIAN = GAUSSIAN_GRID[1:-1]


def prediction_of(n_agents: int, factors: FloatArray | None = None) -> Prediction:
    """Everybody at (0, 0) with a standard deviation of 0.5 m."""
    mean = np.zeros((n_agents, N_STEPS, 2))
    covariance = np.tile(0.25 * np.eye(2), (n_agents, N_STEPS, 1, 1))
    radius_scales = None if factors is None else np.tile(factors, (n_agents, N_STEPS, 1))
    return Prediction(mean[None], mean, covariance, 0.4, radius_scales)


def scored(
    adaptive: AdaptiveCalibration,
    base: Prediction,
    ground_truth: FloatArray,
    speed_m_s: FloatArray,
    stamp_ns: int,
) -> ScoredPositions:
    """Scores of the published prediction for ground truth (A, T, 2)."""
    published = at_confidence(adaptive.adapt(base, speed_m_s), 0.95)
    distance = np.linalg.norm(ground_truth, axis=-1) / np.sqrt(base.covariance[..., 0, 0])
    return ScoredPositions(
        stamp_ns=stamp_ns,
        steps=np.tile(np.arange(N_STEPS), len(ground_truth)),
        speed_m_s=np.repeat(speed_m_s, N_STEPS),
        error_m=np.linalg.norm(ground_truth, axis=-1).ravel(),
        distance=gaussian_distance(distance, base.radius_scales).ravel(),
        levels=ground_truth_levels(published, ground_truth).ravel(),
        weight=np.ones(ground_truth.shape[:2]).ravel(),
    )


def heavy_tailed(rng: np.random.Generator, n_agents: int, scale_m: float) -> FloatArray:
    """(A, T, 2) mostly near, sometimes far: Student's t with three degrees of freedom."""
    return scale_m * rng.standard_t(3, (n_agents, N_STEPS, 2))


def run(
    adaptive: AdaptiveCalibration,
    *,
    scale_m: float,
    n_rounds: int = 60,
    n_agents: int = 10,
    factors: FloatArray | None = None,
    speed_m_s: float = WALKING,
    start_ns: int = 0,
) -> FloatArray:
    """Learns from all errors; returns the levels (R, A * T) of the predictions before each."""
    rng = np.random.default_rng(3)
    speeds = np.full(n_agents, speed_m_s)
    base = adaptive.base(prediction_of(n_agents, factors), speeds)
    levels = []
    for n in range(n_rounds):
        ground_truth = heavy_tailed(rng, n_agents, scale_m)
        found = scored(adaptive, base, ground_truth, speeds, start_ns + n * 2 * S // 5)
        adaptive.learn(found)
        levels.append(found.levels)
    return np.array(levels)


@pytest.mark.parametrize("scale_m", [0.1, 2.0])
@pytest.mark.parametrize("factors", [None, np.linspace(0.7, 1.6, len(CONFIDENCES))])
def test_every_ellipse_reaches_nominal_coverage_of_heavy_tailed_errors(
    scale_m: float, factors: FloatArray | None
) -> None:
    adaptive = AdaptiveCalibration(N_STEPS)
    levels = run(adaptive, scale_m=scale_m, factors=factors, n_rounds=400)[150:]
    for confidence in CONFIDENCES:
        assert np.mean(levels <= confidence) == pytest.approx(confidence, abs=0.03)


def test_coverage_is_right_within_a_minute_from_ellipses_four_times_too_small() -> None:
    levels = run(AdaptiveCalibration(N_STEPS), scale_m=2.0, n_rounds=150)
    assert np.mean(levels[0] <= 0.95) < 0.6
    assert np.mean(levels[50:] <= 0.95) == pytest.approx(0.95, abs=0.02)


def test_it_follows_a_site_that_changes() -> None:
    adaptive = AdaptiveCalibration(N_STEPS)
    run(adaptive, scale_m=0.2, n_rounds=300)
    levels = run(adaptive, scale_m=1.0, n_rounds=400, start_ns=600 * S)
    assert np.mean(levels[:10] <= 0.95) < 0.7
    assert np.mean(levels[200:] <= 0.95) == pytest.approx(0.95, abs=0.02)


def test_standing_people_have_ellipses_of_their_own() -> None:
    adaptive = AdaptiveCalibration(N_STEPS)
    run(adaptive, scale_m=0.02, speed_m_s=STANDING)
    run(adaptive, scale_m=1.0, speed_m_s=WALKING, start_ns=1000 * S)
    speeds = np.array([STANDING, 0.3, WALKING])
    adapted = adaptive.adapt(adaptive.base(prediction_of(3), speeds), speeds)
    standing, between, walking = radius_at(adapted, 0.9).mean(axis=1)
    assert standing < 0.3 * walking
    assert standing < between < walking


def test_a_class_without_scores_keeps_the_ellipses_of_the_model() -> None:
    for speed_m_s, other in ((STANDING, 1), (WALKING, 0)):
        adaptive = AdaptiveCalibration(N_STEPS)
        run(adaptive, scale_m=1e-6, speed_m_s=speed_m_s)
        before = AdaptiveCalibration(N_STEPS).radii[other]
        np.testing.assert_array_equal(adaptive.radii[other], before)


def test_scores_of_a_class_do_not_fade_while_nobody_of_it_is_in_view() -> None:
    adaptive = AdaptiveCalibration(N_STEPS)
    run(adaptive, scale_m=2.0, speed_m_s=WALKING)
    before = adaptive.radii[1]
    run(adaptive, scale_m=1e-6, speed_m_s=STANDING, start_ns=1000 * S)
    np.testing.assert_array_equal(adaptive.radii[1], before)


def test_few_scores_enlarge_ellipses_sooner_than_they_shrink_them() -> None:
    changes = []
    for scale_m in (0.05, 5.0):
        adaptive = AdaptiveCalibration(N_STEPS)
        run(adaptive, scale_m=scale_m, n_rounds=5, n_agents=2)
        before = AdaptiveCalibration(N_STEPS).radii[1]
        changes.append(np.log(adaptive.radii[1] / before)[:, CONFIDENCES.index(0.95)].mean())
    shrunk, enlarged = changes
    assert -0.3 < shrunk < 0.0 < enlarged and enlarged > -3.0 * shrunk


@pytest.mark.parametrize(("distance", "grows"), [(5.0, True), (0.1, False)])
def test_large_errors_of_the_first_step_enlarge_the_ellipses_of_all(
    distance: float, grows: bool
) -> None:
    # The errors of the last step are not known yet.
    adaptive = AdaptiveCalibration(N_STEPS)
    before = adaptive.radii[1]
    unit = np.ones(20)
    first = ScoredPositions(S, np.zeros(20, int), 1.4 * unit, unit, distance * unit, unit, unit)
    adaptive.learn(first)
    if grows:
        assert (adaptive.radii[1, 1:, -6:] > 1.2 * before[1:, -6:]).all()
    else:
        np.testing.assert_array_equal(adaptive.radii[1, 1:], before[1:])


def test_people_who_ride_have_larger_ellipses_before_any_score() -> None:
    speeds = np.array([WALKING, 2.0, RIDING_M_S[1], 6.0])
    base = AdaptiveCalibration(N_STEPS).base(prediction_of(4), speeds)
    deviations_m = np.sqrt(base.covariance[:, 0, 0, 0] - FLOOR_M**2)
    between = 0.5 * (1.0 + RIDING_FACTOR)
    np.testing.assert_allclose(deviations_m, [0.5, 0.5 * between, *2 * [0.5 * RIDING_FACTOR]])


def test_before_any_score_the_ellipses_allow_for_an_unknown_site() -> None:
    # Quantiles of Student's t in two dimensions: its scale is as uncertain as that of a new site.
    exponent = -2.0 / PRIOR_FREEDOM
    distances = np.sqrt(PRIOR_FREEDOM * ((1.0 - np.array(CONFIDENCES)) ** exponent - 1.0))
    adaptive = AdaptiveCalibration(N_STEPS)
    speeds = np.array([STANDING, WALKING])
    for factors in (np.ones(len(CONFIDENCES)), np.linspace(0.7, 1.6, len(CONFIDENCES))):
        adapted = adaptive.adapt(adaptive.base(prediction_of(2, factors), speeds), speeds)
        assert adapted.radius_scales is not None
        expected = np.interp(distances, [0.0, *GAUSSIAN], [0.0, *factors * GAUSSIAN])
        expected[-1] = distances[-1] * factors[-1]
        radii = np.broadcast_to(expected, (2, N_STEPS, len(CONFIDENCES)))
        np.testing.assert_allclose(adapted.radius_scales * GAUSSIAN, radii, rtol=0.01)


def test_a_model_without_any_spread_gets_ellipses_too() -> None:
    mean = np.zeros((2, N_STEPS, 2))
    still = Prediction(mean[None], mean, np.zeros((2, N_STEPS, 2, 2)), 0.4)
    adaptive = AdaptiveCalibration(N_STEPS)
    base = adaptive.base(still, np.full(2, WALKING))
    np.testing.assert_allclose(
        base.covariance, np.broadcast_to(FLOOR_M**2 * np.eye(2), base.covariance.shape)
    )
    rng = np.random.default_rng(0)
    levels = []
    for n in range(300):
        found = scored(
            adaptive, base, 0.2 * rng.normal(size=(2, N_STEPS, 2)), np.full(2, 1.4), n * S
        )
        adaptive.learn(found)
        levels.append(found.levels)
    assert np.mean(np.array(levels)[100:] <= 0.95) == pytest.approx(0.95, abs=0.03)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    scales=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12),
    speed_m_s=st.floats(0.0, 20.0),
)
def test_radii_are_bounded_and_rise_with_the_confidence(
    seed: int, scales: list[float], speed_m_s: float
) -> None:
    rng = np.random.default_rng(seed)
    adaptive = AdaptiveCalibration(N_STEPS)
    factors = np.exp(np.sort(rng.normal(0.0, 0.5, len(CONFIDENCES))))
    for n, scale in enumerate(scales):
        run(
            adaptive, scale_m=scale, n_rounds=3, n_agents=2, speed_m_s=speed_m_s, start_ns=n * 9 * S
        )
    speeds = rng.uniform(0.0, 3.0, 4)
    for base_factors in (None, factors):
        base = adaptive.base(prediction_of(4, base_factors), speeds)
        adapted = adaptive.adapt(base, speeds).radius_scales
        assert adapted is not None
        radii = adapted * GAUSSIAN
        assert (np.diff(radii, axis=-1) >= -1e-9).all()
        low, high = (1.0, 1.0) if base_factors is None else (factors.min(), factors.max())
        assert (adapted >= MIN_FACTOR * low * (1.0 - 1e-9)).all()
        assert (adapted <= MAX_FACTOR * high * (1.0 + 1e-9)).all()


def test_a_long_time_without_people_does_not_fade_scores() -> None:
    adaptive = AdaptiveCalibration(N_STEPS)
    run(adaptive, scale_m=2.0)
    before = adaptive.learnt.scores.sum()
    run(adaptive, scale_m=2.0, n_rounds=1, start_ns=12 * 3600 * S)
    assert adaptive.learnt.scores.sum() > 0.99 * before


def test_after_hours_the_step_size_has_its_minimum() -> None:
    """More time is not counted, and the state stays valid."""
    adaptive = AdaptiveCalibration(N_STEPS)
    adaptive.restore(replace(Learnt.nothing(N_STEPS), seconds=np.full(2, MAX_SECONDS - 0.1)))
    run(adaptive, scale_m=1.0, n_rounds=20)
    assert adaptive.learnt.seconds[1] == MAX_SECONDS
    assert pytest.approx(LAST_STEP) == FIRST_STEP / np.sqrt(1.0 + MAX_SECONDS / STEADY_S)


def test_time_that_jumps_back_does_no_harm() -> None:
    adaptive = AdaptiveCalibration(N_STEPS)
    run(adaptive, scale_m=1.0, n_rounds=20, start_ns=100 * S)
    run(adaptive, scale_m=1.0, n_rounds=20, start_ns=0)
    np.testing.assert_allclose(adaptive.learnt.seconds, [0.0, 2 * 19 * 0.4])


def test_another_run_continues_from_the_saved_state() -> None:
    first, second = AdaptiveCalibration(N_STEPS), AdaptiveCalibration(N_STEPS)
    run(first, scale_m=2.0)
    second.restore(first.learnt)
    np.testing.assert_array_equal(second.radii, first.radii)
    run(first, scale_m=0.1, n_rounds=5, start_ns=200 * S)
    assert not np.array_equal(second.radii, first.radii)
    second.restore(Learnt.nothing(N_STEPS))
    np.testing.assert_array_equal(second.radii, AdaptiveCalibration(N_STEPS).radii)


def test_levels_agree_with_the_published_ellipse() -> None:
    # The published 95 % ellipse covers exactly the positions whose level is at most 0.95.
    adaptive = AdaptiveCalibration(N_STEPS)
    run(adaptive, scale_m=1.5)
    speeds = np.full(200, WALKING)
    base = adaptive.base(prediction_of(200, np.linspace(0.7, 1.6, len(CONFIDENCES))), speeds)
    published = at_confidence(adaptive.adapt(base, speeds), 0.95)
    ground_truth = heavy_tailed(np.random.default_rng(9), 200, 1.5)
    plain = confidence_levels(published.mean, published.covariance, ground_truth)
    np.testing.assert_array_equal(
        plain <= 0.95, ground_truth_levels(published, ground_truth) <= 0.95
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": np.zeros((1, 3, len(EDGES) + 1))}, "Learnt.scores has shape"),
        ({"scores": np.full((2, 3, len(EDGES) + 1), np.nan)}, "Learnt.scores"),
        ({"scores": np.full((2, 3, len(EDGES) + 1), -1.0)}, "Learnt.scores"),
        ({"shift": np.zeros((3, len(CONFIDENCES)))}, "Learnt.shift has shape"),
        ({"shift": np.full((2, 3, len(CONFIDENCES)), MAX_SHIFT + 0.1)}, "Learnt.shift"),
        ({"shift": np.full((2, 3, len(CONFIDENCES)), -MAX_SHIFT - 0.1)}, "Learnt.shift"),
        ({"shift": np.full((2, 3, len(CONFIDENCES)), np.nan)}, "Learnt.shift"),
        ({"seconds": np.array([0.0, MAX_SECONDS + 1.0])}, "Learnt.seconds"),
        ({"seconds": np.array([0.0, -1.0])}, "Learnt.seconds"),
        ({"seconds": np.array(0.0)}, "Learnt.seconds has shape"),
    ],
)
def test_an_invalid_state_is_rejected(change: dict[str, object], message: str) -> None:
    values: dict[str, object] = {**vars(Learnt.nothing(3)), **change}
    with pytest.raises(ValueError, match=message):
        Learnt(**values)  # type: ignore[arg-type]


def test_another_number_of_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        AdaptiveCalibration(12).restore(Learnt.nothing(11))
