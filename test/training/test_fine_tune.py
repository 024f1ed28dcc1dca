"""Fine-tuning learns from the people of a place and keeps the better of old and new weights."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with `make test-training`")
pytest.importorskip("onnx", reason="onnx comes with `make test-training`")

from social_implicit_ros.models.card import load_card  # noqa: E402
from social_implicit_ros.models.registry import model_path  # noqa: E402
from social_implicit_ros.training.social_zone.file import read_social_zone  # noqa: E402
from social_implicit_ros.training.social_zone.fine_tune import (  # noqa: E402
    Evaluation,
    Tuned,
    TuneSettings,
    fine_tune,
)
from social_implicit_ros.training.social_zone.fit import Agents, FitSettings, agents_of_scenes  # noqa: E402
from social_implicit_ros.training.social_zone.model import SocialZone  # noqa: E402

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def base() -> SocialZone:
    path = model_path("default")
    return read_social_zone(path, load_card(path.with_suffix(".json")))


def turners(n_agents: int, seed: int, bend_rad: float = 0.12) -> Agents:
    """People who walk straight while observed, then all turn left."""
    generator = np.random.default_rng(seed)
    turn = np.concatenate([np.zeros(8), bend_rad * np.arange(1, 12)])
    scenes = []
    for _ in range(n_agents):
        heading = generator.uniform(0, 2 * np.pi) + turn
        steps = generator.uniform(0.3, 0.6) * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
        path = np.concatenate([np.zeros((1, 2)), steps.cumsum(axis=0)])
        scenes.append(path[None])
    return agents_of_scenes(scenes)


def tuned(base: SocialZone, iterations: int = 60, **settings: object) -> Tuned:
    return fine_tune(
        base,
        turners(200, 1),
        turners(80, 2),
        seed=0,
        settings=TuneSettings(iterations=iterations, **settings),  # type: ignore[arg-type]
    )


def weights_of(model: torch.nn.Module) -> np.ndarray:
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()


def test_the_motion_at_a_place_is_learnt(base: SocialZone) -> None:
    result = tuned(base, iterations=200)  # 60 move the modes, but hardly the mean
    first = result.curve[0]
    assert result.best.iteration > 0
    assert result.best.loss < first.loss
    assert result.best.accuracy.ade_m < 0.8 * first.accuracy.ade_m
    assert result.model.trust > base.trust  # people of the same place


def test_the_base_model_is_not_changed(base: SocialZone) -> None:
    before, trust = weights_of(copy.deepcopy(base)), base.trust
    tuned(base, iterations=20)
    np.testing.assert_array_equal(weights_of(base), before)
    assert base.trust == trust


def test_without_iterations_the_model_is_the_same(base: SocialZone) -> None:
    result = tuned(base, iterations=0)
    np.testing.assert_array_equal(weights_of(result.model), weights_of(base))
    assert result.model.trust == base.trust
    assert [look.iteration for look in result.curve] == [0]


def test_without_improvement_the_weights_are_kept(base: SocialZone) -> None:
    """Training people turn left, validation people walk straight."""
    result = fine_tune(
        base,
        turners(200, 1),
        turners(80, 2, bend_rad=0.0),
        seed=0,
        settings=TuneSettings(
            iterations=100,
            patience=3,
            augmentation=FitSettings(mirror=False),
            learning_rate=3e-3,
        ),
    )
    assert result.best is result.curve[0]
    np.testing.assert_array_equal(weights_of(result.model), weights_of(base))
    assert result.model.trust == base.trust
    assert result.curve[-1].iteration == 30  # early stopping


def test_the_spread_is_frozen(base: SocialZone) -> None:
    """The calibration adapts the ellipses instead."""
    spread = weights_of(tuned(base, iterations=20).model.spread)
    np.testing.assert_array_equal(spread, weights_of(base.spread))


def test_strong_regularisation_keeps_the_weights(base: SocialZone) -> None:
    def moved(anchor_agents: float) -> float:
        result = tuned(base, iterations=30, anchor_agents=anchor_agents)
        return float(np.abs(weights_of(result.model) - weights_of(base)).max())

    assert moved(1e5) < 0.5 * moved(0.0)


def test_the_same_seed_gives_the_same_weights(base: SocialZone) -> None:
    one, other = (tuned(base, iterations=20) for _ in range(2))
    np.testing.assert_array_equal(weights_of(one.model), weights_of(other.model))


def test_every_evaluation_is_reported(base: SocialZone) -> None:
    received: list[Evaluation] = []
    result = fine_tune(
        base,
        turners(200, 1),
        turners(80, 2),
        seed=0,
        settings=TuneSettings(iterations=30),
        on_evaluation=received.append,
    )
    assert tuple(received) == result.curve
    assert [look.iteration for look in received] == [0, 10, 20, 30]
