"""A large crowd is predicted in parts, and nobody's prediction differs for it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="runs models")

from social_implicit_ros.models.onnx_model import OnnxModel
from social_implicit_ros.models.parts import FEWEST, parts_of

RANGE_M = 3.0


def places(n_agents: int, side_m: float) -> np.ndarray:
    return np.random.default_rng(2).uniform(0.0, side_m, (n_agents, 2)).astype(np.float32)


@pytest.mark.parametrize("side_m", [0.0, 2.0, 30.0, 300.0])
def test_everybody_is_in_one_part_with_all_whom_they_see(side_m: float) -> None:
    places_m = places(1000, side_m)
    parts = list(parts_of(places_m, RANGE_M))
    assert sorted(np.concatenate([own for own, _ in parts])) == list(range(1000))
    for own, others in parts:
        far_m = np.linalg.norm(places_m[own, None] - places_m[None], axis=2)
        seen = set(np.flatnonzero((far_m < RANGE_M).any(axis=0)))
        assert seen <= {*own.tolist(), *others.tolist()}
        assert not set(own) & set(others)


def test_pairs_grow_as_people_do_where_these_stand_as_densely() -> None:
    def n_pairs(n_agents: int) -> int:
        parts = parts_of(places(n_agents, 2.0 * n_agents**0.5), RANGE_M)
        return sum((len(own) + len(others)) ** 2 for own, others in parts)

    assert n_pairs(4000) < 5 * n_pairs(1000)


def test_who_all_see_each_other_are_not_parted() -> None:
    assert len(list(parts_of(places(1000, 1.0), RANGE_M))) == 1


@pytest.mark.parametrize("n_samples", [20, 7])
def test_a_crowd_in_parts_is_predicted_as_a_whole(n_samples: int) -> None:
    model = OnnxModel.load("default")
    generator = np.random.default_rng(4)
    n_agents = FEWEST + 100
    steps = generator.normal(0.3, 0.2, (n_agents, 8, 2)).cumsum(axis=1)
    observed = places(n_agents, 50.0)[:, None] + steps
    whole, near = model.predict(observed, n_samples=n_samples), np.arange(n_agents)
    # As few as are predicted at once: whoever is near the first, and the first.
    far_m = np.linalg.norm(observed[:, -1] - observed[0, -1], axis=1)
    some = near[np.argsort(far_m)[:200]]
    moved = observed[some] - observed[some, -1].mean(axis=0) + observed[:, -1].mean(axis=0)
    alone = model.predict(moved, n_samples=n_samples)
    shift = observed[0, -1] - moved[0, -1]
    np.testing.assert_allclose(alone.mean[0] + shift, whole.mean[0], atol=1e-3)
    np.testing.assert_allclose(alone.samples[:, 0] + shift, whole.samples[:, 0], atol=1e-3)
    np.testing.assert_allclose(alone.covariance[0], whole.covariance[0], atol=1e-3)
