from __future__ import annotations

import itertools

import numpy as np
import pytest

from social_implicit_ros.metrics.collision import collision_rate
from social_implicit_ros.types import FloatArray


def walkers(*paths: list[tuple[float, float]]) -> FloatArray:
    """One sample of agents that walk the given points, metres."""
    return np.array([paths], dtype=np.float64)


@pytest.mark.parametrize(("gap", "rate"), [(0.19, 1.0), (0.21, 0.0)])
def test_people_collide_nearer_than_twenty_centimetres(gap: float, rate: float) -> None:
    side_by_side = walkers([(0, 0), (1, 0)], [(0, gap), (1, gap)])
    assert collision_rate(side_by_side) == rate


def test_people_who_swap_places_between_two_steps_collide() -> None:
    assert collision_rate(walkers([(0, 0), (1, 0)], [(1, 0), (0, 0)])) == 1.0


def test_people_who_cross_one_path_at_different_times_do_not() -> None:
    first = [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)]
    second = [(1.0, 2.0), (1.0, 1.0), (1.0, 0.0)]  # stands where the first was a step before
    assert collision_rate(walkers(first, second)) == 0.0


def test_a_single_step_and_people_who_stand_are_handled() -> None:
    assert collision_rate(walkers([(0, 0)], [(0.1, 0)])) == 1.0
    assert collision_rate(walkers([(0, 0), (0, 0)], [(0, 0.1), (0, 0.1)])) == 1.0
    assert collision_rate(walkers([(0, 0), (0, 0)], [(0, 0.3), (0, 0.3)])) == 0.0


def test_the_rate_counts_agents_and_samples_not_pairs() -> None:
    apart = [[(0, 0), (1, 0)], [(0, 1), (1, 1)], [(0, 2), (1, 2)], [(0, 3), (1, 3)]]
    two_meet = [apart[0], [(0, 0.1), (1, 0.1)], *apart[2:]]
    samples = np.array([apart, two_meet], dtype=np.float64)
    assert collision_rate(samples) == 2 / 8


def test_nobody_collides_alone_and_nan_is_not_hidden() -> None:
    assert collision_rate(walkers([(0, 0), (1, 0)])) == 0.0
    assert np.isnan(collision_rate(walkers([(0, 0), (np.nan, 0)], [(0, 5), (1, 5)])))


def test_it_agrees_with_dense_sampling_of_every_segment() -> None:
    rng = np.random.default_rng(3)
    samples = np.cumsum(rng.normal(0, 0.5, (20, 6, 12, 2)), axis=2)
    fine = np.linspace(0, 1, 400)[:, None]
    hits = np.zeros((20, 6), dtype=bool)
    for k, scene in enumerate(samples):
        walked = np.array(
            [np.concatenate([a + (b - a) * fine for a, b in itertools.pairwise(p)]) for p in scene]
        )
        apart = np.linalg.norm(walked[:, None] - walked[None], axis=-1).min(axis=-1)
        hits[k] = ((apart < 0.2) & ~np.eye(6, dtype=bool)).any(axis=1)
    assert 0.05 < hits.mean() < 0.95
    assert collision_rate(samples) == pytest.approx(hits.mean(), abs=0.01)
