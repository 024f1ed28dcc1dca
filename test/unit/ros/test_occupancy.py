"""Occupancy probabilities against exact integrals, samples, symmetries and limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ncx2, norm

from social_implicit_ros.prediction.resample import Steps, moments_at
from social_implicit_ros.ros.outputs.occupancy import Grid, occupancy, window_path
from social_implicit_ros.types import FloatArray, Prediction

RADIUS_M = 0.3
GRID = Grid.around(np.zeros(2), 8.0, 0.1)


def covariance_of(major_m: float, minor_m: float, yaw_rad: float) -> FloatArray:
    rotation = rotation_of(yaw_rad)
    return rotation @ np.diag([major_m**2, minor_m**2]) @ rotation.T


def rotation_of(yaw_rad: float) -> FloatArray:
    return np.array([[np.cos(yaw_rad), -np.sin(yaw_rad)], [np.sin(yaw_rad), np.cos(yaw_rad)]])


def standing(*people: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Paths of standing people, each with a mean and a covariance."""
    means = np.array([mean for mean, _ in people])
    covariances = np.array([covariance for _, covariance in people])
    return np.stack([means, means], axis=1), np.stack([covariances, covariances], axis=1)


def centres_m(grid: Grid = GRID) -> FloatArray:
    """(R, R, 2) centres of the cells, as a costmap defines them."""
    x, y = (start + grid.resolution_m * (np.arange(grid.n_cells) + 0.5) for start in grid.origin_m)
    return np.stack(np.meshgrid(x, y), axis=-1)


@pytest.mark.parametrize("sigma_m", [0.2, 0.3, 0.5, 1.0])
def test_a_round_gaussian_is_near_its_exact_integral_over_the_disc(sigma_m: float) -> None:
    mean_m = np.array([0.23, -0.41])
    probability = occupancy(*standing((mean_m, np.eye(2) * sigma_m**2)), RADIUS_M, GRID)
    distances_m = np.linalg.norm(centres_m() - mean_m, axis=-1)
    exact = ncx2.cdf((RADIUS_M / sigma_m) ** 2, 2, (distances_m / sigma_m) ** 2)
    assert np.abs(probability - exact).max() < 0.01


@pytest.mark.parametrize("yaw_rad", [0.0, 0.6, np.pi / 4, 2.0, -0.3])
@pytest.mark.parametrize("sigmas_m", [(0.5, 0.2), (1.0, 0.25), (0.3, 0.29)])
def test_a_correlated_gaussian_has_its_exact_integral_over_the_rotated_square(
    sigmas_m: tuple[float, float], yaw_rad: float
) -> None:
    mean_m = np.array([0.5, 0.1])
    covariance = covariance_of(*sigmas_m, yaw_rad)
    probability = occupancy(*standing((mean_m, covariance)), RADIUS_M, GRID)
    half_m = 0.5 * np.sqrt(np.pi) * RADIUS_M
    along = (centres_m() - mean_m) @ rotation_of(yaw_rad)
    for row, column in [(40, 45), (44, 50), (35, 38), (48, 40), (41, 60)]:
        ends = [norm.cdf((along[row, column] + way * half_m) / sigmas_m) for way in (-1, 1)]
        assert probability[row, column] == pytest.approx(np.prod(ends[1] - ends[0]), abs=0.006)


@pytest.mark.parametrize("seed", range(4))
def test_the_probability_is_the_share_of_draws_that_fall_into_the_disc(seed: int) -> None:
    generator = np.random.default_rng(seed)
    covariance = covariance_of(
        generator.uniform(0.2, 0.8), generator.uniform(0.15, 0.4), generator.uniform(0, np.pi)
    )
    mean_m = generator.uniform(-1, 1, 2)
    probability = occupancy(*standing((mean_m, covariance)), RADIUS_M, GRID)
    draws = generator.multivariate_normal(mean_m, covariance, 20_000)
    cells = generator.integers(20, 60, (40, 2))
    for row, column in cells:
        inside = np.linalg.norm(draws - centres_m()[row, column], axis=1) < RADIUS_M
        assert probability[row, column] == pytest.approx(inside.mean(), abs=0.025)


def test_an_exact_position_fills_a_disc_of_the_persons_size() -> None:
    probability = occupancy(*standing((np.zeros(2), np.zeros((2, 2)))), RADIUS_M, GRID)
    distances_m = np.linalg.norm(centres_m(), axis=-1)
    assert probability[distances_m < 0.75 * RADIUS_M].min() > 0.99
    assert probability[distances_m > 1.5 * RADIUS_M].max() < 0.01
    assert probability.sum() * GRID.resolution_m**2 == pytest.approx(np.pi * RADIUS_M**2, rel=0.15)


def test_different_people_are_independent() -> None:
    first = (np.array([0.0, 0.0]), covariance_of(0.4, 0.2, 0.3))
    second = (np.array([0.3, 0.2]), covariance_of(0.3, 0.3, 0.0))
    alone = [occupancy(*standing(person), RADIUS_M, GRID) for person in (first, second)]
    together = occupancy(*standing(first, second), RADIUS_M, GRID)
    np.testing.assert_allclose(together, 1 - (1 - alone[0]) * (1 - alone[1]), atol=1e-5)
    swapped = occupancy(*standing(second, first), RADIUS_M, GRID)
    np.testing.assert_allclose(swapped, together, atol=1e-5)


@pytest.mark.parametrize("speed_m_s", [0.3, 1.4, 6.0])
@pytest.mark.parametrize("direction_rad", [0.0, 0.7, np.pi / 2])
def test_a_walker_leaves_no_gaps(speed_m_s: float, direction_rad: float) -> None:
    heading = np.array([np.cos(direction_rad), np.sin(direction_rad)])
    path_m = heading * (speed_m_s * 0.4 * np.arange(3)[:, None]) - 0.4 * speed_m_s * heading
    covariance = np.tile(np.eye(2) * 0.05**2, (1, 3, 1, 1))
    probability = occupancy(path_m[None], covariance, RADIUS_M, GRID)
    along = centres_m() @ heading
    across = centres_m() @ np.array([-heading[1], heading[0]])
    on_path = (np.abs(along) < 0.4 * speed_m_s) & (np.abs(across) < 0.15)
    assert on_path.any()
    assert probability[on_path].min() > 0.95


def test_a_walker_counts_at_the_most_likely_time_for_each_cell() -> None:
    start, end = np.array([-1.5, -0.5]), np.array([1.5, 0.7])
    covariance = covariance_of(0.35, 0.2, 0.9)
    walk = occupancy(np.stack([start, end])[None], np.stack([covariance] * 2)[None], RADIUS_M, GRID)
    moments = [
        occupancy(*standing((start + share * (end - start), covariance)), RADIUS_M, GRID)
        for share in np.linspace(0, 1, 61)
    ]
    assert np.abs(walk - np.max(moments, axis=0)).max() < 0.01


def test_cells_keep_their_position_when_the_grid_moves() -> None:
    people = standing((np.array([0.31, -0.77]), covariance_of(0.5, 0.2, 0.4)))
    shifted = Grid.around(np.array([1.234, -2.7]), 8.0, 0.1)
    down, right = shifted.first_row - GRID.first_row, shifted.first_column - GRID.first_column
    assert (down, right) == (-27, 12)
    here = occupancy(*people, RADIUS_M, GRID)[: GRID.n_cells + down, right:]
    there = occupancy(*people, RADIUS_M, shifted)[-down:, : GRID.n_cells - right]
    np.testing.assert_allclose(here, there, atol=1e-5)


def test_a_mirrored_world_has_a_mirrored_costmap() -> None:
    mean_m, covariance = np.array([0.317, -0.771]), covariance_of(0.5, 0.2, 0.4)
    here = occupancy(*standing((mean_m, covariance)), RADIUS_M, GRID)
    there = occupancy(*standing((-mean_m, covariance)), RADIUS_M, GRID)
    np.testing.assert_allclose(there, here[::-1, ::-1], atol=1e-5)


@pytest.mark.parametrize("centre_m", [(0.0, 0.0), (12.34, -5.678), (-1e4, 1e4)])
@pytest.mark.parametrize("resolution_m", [0.05, 0.1, 0.3])
def test_a_grid_lies_on_whole_cells_around_its_centre(
    centre_m: tuple[float, float], resolution_m: float
) -> None:
    grid = Grid.around(np.array(centre_m), 6.0, resolution_m)
    assert grid.n_cells == round(6.0 / resolution_m)
    in_cells = np.array(grid.origin_m) / resolution_m
    np.testing.assert_allclose(in_cells, np.round(in_cells), atol=1e-6)
    assert np.abs(grid.centre_m - centre_m).max() <= resolution_m * (1.0 + 1e-9)


def test_people_outside_the_grid_count_if_they_reach_into_it() -> None:
    near = np.array([4.1, 0.0])
    probability = occupancy(*standing((near, np.eye(2) * 0.04)), RADIUS_M, GRID)
    wide = Grid.around(np.zeros(2), 16.0, 0.1)
    whole = occupancy(*standing((near, np.eye(2) * 0.04)), RADIUS_M, wide)
    np.testing.assert_allclose(probability, whole[40:120, 40:120], atol=1e-5)
    assert probability.max() > 0.3
    far = standing((np.array([100.0, 0.0]), np.eye(2)), (np.array([0.0, -50.0]), np.eye(2)))
    assert not occupancy(*far, RADIUS_M, GRID).any()


def test_without_people_the_grid_is_free() -> None:
    probability = occupancy(np.empty((0, 3, 2)), np.empty((0, 3, 2, 2)), RADIUS_M, GRID)
    assert probability.shape == (80, 80)
    assert not probability.any()


def test_many_people_in_one_place_stay_below_one() -> None:
    crowd = standing(*[(np.zeros(2), np.eye(2) * 0.25)] * 200)
    probability = occupancy(*crowd, RADIUS_M, GRID)
    assert np.isfinite(probability).all()
    assert probability.min() >= 0.0
    assert 0.99 < probability.max() <= 1.0


def walking_prediction() -> tuple[Prediction, FloatArray]:
    last_m = np.array([[0.0, 0.0], [5.0, 5.0]])
    velocity = np.array([[1.0, 0.0], [0.0, -0.5]])
    times_s = 0.4 * np.arange(1, 13)
    mean = last_m[:, None] + velocity[:, None] * times_s[:, None]
    covariance = np.tile(np.eye(2) * 0.04, (2, 12, 1, 1)) * times_s[:, None, None] ** 2
    return Prediction(np.empty((0, 2, 12, 2)), mean, covariance, 0.4), last_m


def test_a_window_begins_and_ends_between_steps() -> None:
    prediction, last_m = walking_prediction()
    path_m, covariance_m2 = window_path(prediction, last_m, start_s=0.6, end_s=1.5)
    np.testing.assert_allclose(path_m[0, :, 0], [0.6, 0.8, 1.2, 1.5])
    np.testing.assert_allclose(path_m[1, :, 1], 5.0 - 0.5 * np.array([0.6, 0.8, 1.2, 1.5]))
    np.testing.assert_allclose(covariance_m2[0, 1], prediction.covariance[0, 1])
    halfway = 0.5 * (prediction.covariance[0, 0] + prediction.covariance[0, 1])
    np.testing.assert_allclose(covariance_m2[0, 0], halfway)


def test_a_window_from_the_present_starts_with_exact_positions() -> None:
    prediction, last_m = walking_prediction()
    path_m, covariance_m2 = window_path(prediction, last_m, start_s=0.0, end_s=0.8)
    np.testing.assert_allclose(path_m[:, 0], last_m)
    assert not covariance_m2[:, 0].any()


@pytest.mark.parametrize("at_s", [0.0, 0.3, 0.4, 4.8, 7.0])
def test_a_window_may_have_no_duration(at_s: float) -> None:
    prediction, last_m = walking_prediction()
    path_m, _ = window_path(prediction, last_m, start_s=at_s, end_s=at_s)
    np.testing.assert_allclose(path_m[0, :, 0], at_s)
    assert path_m.shape[1] == 2


def test_a_window_beyond_the_horizon_is_extrapolated() -> None:
    prediction, last_m = walking_prediction()
    path_m, covariance_m2 = window_path(prediction, last_m, start_s=4.8, end_s=6.0)
    mean, covariance = moments_at(prediction, last_m, Steps(0.4, 15).times_s)
    np.testing.assert_allclose(path_m, mean[:, 11:])
    np.testing.assert_allclose(covariance_m2, covariance[:, 11:])


@pytest.mark.parametrize("way_m", [(2.0, 0.0), (0.0, 2.0), (1.5, -1.0)])
def test_a_path_occupies_the_same_cells_in_both_directions(way_m: tuple[float, float]) -> None:
    """All of it, from end to end."""
    path_m = np.array([[[-0.5, 0.3], np.array([-0.5, 0.3]) + way_m]])
    covariance = np.tile(covariance_of(0.2, 0.15, 0.4), (1, 2, 1, 1))
    forth = occupancy(path_m, covariance, RADIUS_M, GRID)
    back = occupancy(path_m[:, ::-1], covariance, RADIUS_M, GRID)
    np.testing.assert_allclose(back, forth, atol=1e-5)
    for at_m in (*path_m[0], path_m[0].mean(axis=0)):
        column, row = np.floor((at_m - GRID.origin_m) / GRID.resolution_m).astype(int)
        assert forth[row, column] > 0.5
