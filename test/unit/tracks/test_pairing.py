import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from social_implicit_ros.tracks.identities.pairing import assigned, close_rows


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
