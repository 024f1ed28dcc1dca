import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from social_implicit_ros.tracks.identities.pairing import (
    assigned,
    close_rows,
    motion_costs,
    position_costs,
)
from social_implicit_ros.tracks.motions import Motions
from social_implicit_ros.types import Tracks


def test_more_pairs_are_better_than_cheaper_ones() -> None:
    costs = np.array([[0.0, 0.9], [0.9, 1.5]])

    assert sorted(assigned(costs, costs <= 1.0, 1.0)) == [(0, 1), (1, 0)]


def test_pairs_beyond_the_limit_are_not_chosen() -> None:
    costs = np.array([[3.0, 0.0], [2.0, 4.0], [5.0, 6.0]])

    assert assigned(costs, costs <= 1.0, 1.0) == [(0, 1)]


@pytest.mark.parametrize("seed", range(20))
def test_the_sum_of_costs_is_the_least(seed: int) -> None:
    generator = np.random.default_rng(seed)
    costs = generator.random(generator.integers(1, 9, 2))

    chosen = tuple(zip(*assigned(costs, np.ones(costs.shape, dtype=bool), 1.0), strict=True))

    least = costs[linear_sum_assignment(costs)].sum()
    assert len(chosen[0]) == min(costs.shape)
    assert costs[chosen].sum() == pytest.approx(least)


@pytest.mark.parametrize("n_people", [0, 1, 2, 40])
def test_close_rows_are_those_of_a_comparison_of_all(n_people: int) -> None:
    positions_m = np.random.default_rng(n_people).uniform(0.0, 5.0, (n_people, 2))
    positions_m[3:5] = np.nan  # nobody is near to an unknown position
    positions_m[7:9] = positions_m[9:10]

    found = close_rows(positions_m, 0.7)

    apart_m = np.linalg.norm(positions_m[:, None] - positions_m, axis=2)
    expected = np.argwhere(np.triu(apart_m < 0.7, k=1)).tolist()
    assert sorted(sorted(pair) for pair in found) == expected


def test_a_velocity_from_two_positions_counts_the_less_the_closer_they_are() -> None:
    """A lost track at 1 m/s, known to 0.1 m/s, is seen at its place with another velocity."""
    second_ns = 1_000_000_000
    lost = Motions(
        np.array([0]), np.zeros((1, 2)), np.array([[1.0, 0.0]]), np.array([0.1]), np.array([0])
    )
    first = Tracks(second_ns // 2, ("a",), np.array([[0.5, 0.0]]))
    assert position_costs(lost, first.positions_m, first.stamp_ns) == pytest.approx(0.0)
    costs = []
    for elapsed_s in (0.1, 0.4, 1.0):
        later_m = first.positions_m + np.array([1.0, 0.8]) * elapsed_s
        later = Tracks(first.stamp_ns + round(elapsed_s * second_ns), ("a",), later_m)
        costs.append(motion_costs(lost, first, later)[0, 0])
    # 6 cm of noise in each position; the velocity changes by 0.25 m/s within a second.
    variances = [0.1**2 + 0.5 * 0.25**2 + 2.0 * (0.06 / s) ** 2 for s in (0.1, 0.4, 1.0)]
    assert costs == pytest.approx([0.8**2 / variance for variance in variances])
