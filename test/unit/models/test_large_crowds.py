"""A large crowd is predicted in batches, with the same result."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="runs models")

from social_implicit_ros.models import model_file
from social_implicit_ros.models.model_file import MAX_BATCH, batches
from social_implicit_ros.models.registry import load_model

RANGE_M = 3.0


def places(n_agents: int, sides_m: tuple[float, float]) -> np.ndarray:
    return np.random.default_rng(2).uniform(0.0, sides_m, (n_agents, 2)).astype(np.float32)


@pytest.mark.parametrize("sides_m", [(0.0, 0.0), (30.0, 30.0), (300.0, 20.0), (20.0, 300.0)])
def test_every_agent_is_in_one_batch_with_all_within_range(sides_m: tuple[float, float]) -> None:
    positions_m = places(1000, sides_m)
    found = list(batches(positions_m, RANGE_M))
    assert sorted(np.concatenate([own for own, _ in found])) == list(range(1000))
    for own, others in found:
        assert len(own) <= MAX_BATCH
        distance_m = np.linalg.norm(positions_m[own, None] - positions_m[None], axis=2)
        in_range = set(np.flatnonzero((distance_m < RANGE_M).any(axis=0)))
        assert in_range <= {*own.tolist(), *others.tolist()}
        assert not set(own) & set(others)


def test_a_long_crowd_is_cut_across_its_longer_side() -> None:
    sizes = [
        len(own) + len(others) for own, others in batches(places(1000, (20.0, 300.0)), RANGE_M)
    ]
    assert max(sizes) < 400


@pytest.mark.parametrize("n_samples", [20, 7])
def test_batches_predict_the_same_as_one_run(
    monkeypatch: pytest.MonkeyPatch, n_samples: int
) -> None:
    model = load_model("default")
    n_agents = MAX_BATCH + 100
    steps = np.random.default_rng(4).normal(0.3, 0.2, (n_agents, 8, 2)).cumsum(axis=1)
    observed = places(n_agents, (30.0, 30.0))[:, None] + steps

    in_batches = model.predict(observed, n_samples=n_samples)
    monkeypatch.setattr(model_file, "MAX_BATCH", n_agents)
    whole = model.predict(observed, n_samples=n_samples)

    for name in ("samples", "mean", "covariance"):
        np.testing.assert_allclose(
            getattr(in_batches, name), getattr(whole, name), atol=1e-4, err_msg=name
        )
