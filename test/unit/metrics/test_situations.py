from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.metrics.situations import (
    area_at_coverage,
    has_started,
    has_stopped,
    head_on_pairs,
    net_speed_m_s,
    passing_distances,
)
from social_implicit_ros.types import FloatArray

STEP_S = 0.4


def walk(speeds_m_s: list[float], start: tuple[float, float] = (0.0, 0.0), yaw: float = 0.0):
    """(8, 2) positions with these speeds along a direction."""
    along = np.concatenate([[0.0], np.cumsum(speeds_m_s)]) * STEP_S
    return np.array(start) + along[:, None] * [np.cos(yaw), np.sin(yaw)]


def meeting(lateral_m: float, apart_m: float = 4.0) -> FloatArray:
    """(2, 8, 2) two people who walk towards each other, beside each other by a distance."""
    first, second = walk([1.2] * 7), walk([1.2] * 7, yaw=np.pi)
    return np.stack([first, second - second[-1] + first[-1] + [apart_m, lateral_m]])


def rotated(positions: FloatArray, yaw: float) -> FloatArray:
    return positions @ [[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]] + [50.0, -7.0]


def test_people_who_stopped_or_started_are_found() -> None:
    observed = np.stack(
        [
            walk([1.2, 1.2, 1.2, 0.8, 0.3, 0.05, 0.05]),
            walk([0.0, 0.05, 0.0, 0.2, 0.5, 0.8, 1.0]),
            walk([1.2] * 7),
            walk([0.0] * 7),
        ]
    )
    for positions in (observed, rotated(observed, 2.0)):
        assert has_stopped(positions, STEP_S).tolist() == [True, False, False, False]
        assert has_started(positions, STEP_S).tolist() == [False, True, False, False]
    assert net_speed_m_s(observed, STEP_S)[2:] == pytest.approx([1.2, 0.0])
    # Backwards in time the one is the other.
    assert has_started(observed[:, ::-1], STEP_S).tolist() == [True, False, False, False]


@pytest.mark.parametrize(("lateral_m", "meets"), [(0.0, True), (0.9, True), (1.1, False)])
def test_head_on_pairs_are_those_who_would_pass_closely(lateral_m: float, meets: bool) -> None:
    observed = meeting(lateral_m)
    for positions in (observed, observed[::-1], rotated(observed, -1.0)):
        assert head_on_pairs(positions, 12, STEP_S).tolist() == ([[0, 1]] if meets else [])


def test_people_who_walk_apart_or_side_by_side_or_stand_do_not_meet() -> None:
    observed = meeting(0.0)
    apart = np.stack([observed[0] + [9.0, 0.0], observed[1] - [9.0, 0.0]])
    beside = np.stack([observed[0], observed[0] + [0.0, 0.5]])
    standing = np.stack([observed[0], np.broadcast_to(observed[1, -1], (8, 2))])
    for positions in (apart, beside, standing, meeting(0.0, apart_m=1.0)):
        assert head_on_pairs(positions, 12, STEP_S).tolist() == []
    assert head_on_pairs(observed, 2, STEP_S).tolist() == []  # they meet after the horizon


def test_paths_that_swap_places_between_two_steps_touch() -> None:
    paths = np.array([[[0.0, 0.0], [2.0, 0.1]], [[2.0, 0.0], [0.0, 0.1]], [[0.0, 3.0], [2.0, 3.0]]])
    pairs = np.array([[0, 1], [0, 2]])
    assert passing_distances(paths, pairs) == pytest.approx([0.0, 2.9])
    assert passing_distances(paths, np.empty((0, 2), dtype=np.int64)).tolist() == []


def test_area_at_coverage_does_not_depend_on_the_calibration() -> None:
    rng = np.random.default_rng(0)
    sigma_m, n = 0.7, 20_000
    distance = np.linalg.norm(rng.normal(size=(n, 2)), axis=1)
    for radius in (0.5, 3.0):
        area_m2 = np.full(n, np.pi * (radius * sigma_m) ** 2)
        regions = np.stack([distance, np.full(n, radius), area_m2], axis=1)
        found = area_at_coverage(regions, 0.95)
        # The 95 % region of a Gaussian.
        assert found == pytest.approx(np.pi * sigma_m**2 * -2.0 * np.log(0.05), rel=0.03)
    assert np.isnan(area_at_coverage(np.empty((0, 3)), 0.95))
