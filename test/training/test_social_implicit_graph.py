"""The ONNX graph computes the same as the PyTorch model."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="torch comes with `make test-training`")
onnx = pytest.importorskip("onnx", reason="onnx comes with `make test-training`")

from support.released_cells import random_checkpoint  # noqa: E402

from social_implicit_ros.training.social_implicit.graph import social_implicit_graph  # noqa: E402
from social_implicit_ros.training.social_implicit.model import SocialImplicit  # noqa: E402
from social_implicit_ros.training.social_implicit.released import assign_released  # noqa: E402

pytestmark = pytest.mark.training

TOLERANCE_M = 1e-4


class Pair:
    """A model and its graph in onnxruntime."""

    def __init__(self, *, zones_by_speed: bool) -> None:
        self.model = SocialImplicit(zones_by_speed=zones_by_speed)
        assign_released(self.model, random_checkpoint(), source="test")
        self.graph = social_implicit_graph(self.model)
        self.session = onnxruntime.InferenceSession(
            self.graph.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def difference_m(self, observed: np.ndarray, noise: np.ndarray) -> float:
        observed, noise = observed.astype(np.float32), noise.astype(np.float32)
        mask = np.ones(observed.shape[:2], dtype=np.float32)
        (graph,) = self.session.run(["samples"], {"observed": observed, "noise": noise})
        with torch.no_grad():
            model = self.model(*map(torch.from_numpy, (observed, mask, noise)))
        assert graph.shape == (len(noise), len(observed), 12, 2)
        return float(np.abs(graph - model.numpy()).max())


@pytest.fixture(scope="module", params=[True, False], ids=["zones by speed", "released zones"])
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(zones_by_speed=request.param)


def people(speeds_m: np.ndarray, seed: int = 0) -> np.ndarray:
    """(A, 8, 2) random walks with given step lengths."""
    generator = np.random.default_rng(seed)
    steps = speeds_m[:, None, None] * generator.normal(size=(len(speeds_m), 8, 2))
    return generator.uniform(-20, 20, (len(speeds_m), 1, 2)) + steps.cumsum(axis=1)


@pytest.mark.parametrize("n_agents", [1, 2, 3, 7, 100])
def test_onnx_equals_torch(pair: Pair, n_agents: int) -> None:
    generator = np.random.default_rng(n_agents)
    for seed in range(5):
        speeds = 10.0 ** generator.uniform(-3.5, 0.5, n_agents)
        noise = generator.normal(size=(20, 2))
        assert pair.difference_m(people(speeds, seed), noise) < TOLERANCE_M


@pytest.mark.parametrize("n_samples", [1, 2, 1000])
def test_onnx_equals_torch_for_any_number_of_samples(pair: Pair, n_samples: int) -> None:
    noise = np.random.default_rng(0).normal(size=(n_samples, 2))

    assert pair.difference_m(people(np.array([0.001, 0.4, 0.5, 2.0])), noise) < TOLERANCE_M


@pytest.mark.parametrize(
    "present", [flags for flags in product([False, True], repeat=4) if any(flags)]
)
def test_onnx_equals_torch_whichever_zones_are_empty(pair: Pair, present: tuple[bool]) -> None:
    speeds = np.array([0.001, 0.02, 0.3, 2.0])[list(present)]
    noise = np.random.default_rng(0).normal(size=(4, 2))

    assert pair.difference_m(people(np.repeat(speeds, 2)), noise) < TOLERANCE_M
    assert pair.difference_m(people(np.tile(speeds, 2)), noise) < TOLERANCE_M


def test_a_speed_on_the_bound_of_a_zone_is_in_the_same_zone(pair: Pair) -> None:
    observed = np.zeros((3, 8, 2), dtype=np.float32)
    for agent, bound in enumerate(np.float32([0.01, 0.1, 1.2])):
        observed[agent, 1:, agent % 2] = bound

    assert pair.difference_m(observed, np.ones((3, 2))) < TOLERANCE_M


def test_people_who_do_not_move_at_all(pair: Pair) -> None:
    assert pair.difference_m(np.zeros((3, 8, 2)), np.ones((3, 2))) < TOLERANCE_M


def test_the_file_runs_on_older_runtimes_and_is_small(pair: Pair, tmp_path: Path) -> None:
    assert pair.graph.ir_version <= 8
    assert [entry.version for entry in pair.graph.opset_import] == [17]
    assert len(pair.graph.SerializeToString()) < 100_000


def test_exporting_twice_gives_the_same_bytes(pair: Pair) -> None:
    again = social_implicit_graph(pair.model)

    assert again.SerializeToString(deterministic=True) == pair.graph.SerializeToString(
        deterministic=True
    )
