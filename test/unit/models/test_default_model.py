"""Properties of the shipped default model: invariances, short histories, valid covariances."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from social_implicit_ros.metrics.collision import collision_rate
from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.models.onnx_model import OnnxModel
from social_implicit_ros.models.registry import model_path
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT, N_OBSERVED, scenes
from social_implicit_ros.recordings.text_formats.text import load_recording
from social_implicit_ros.uncertainty.ellipses import radius_at

DATA = Path(
    os.environ.get("SOCIAL_IMPLICIT_DATA", Path(__file__).parents[3].parent / "shared" / "data")
)
FILES = ("default", *(f"social_zone_{split}" for split in LEAVE_ONE_OUT))
#: Modes, and samples of the distribution.
COUNTS = (20, 64)


@pytest.fixture(scope="module", params=FILES)
def model(request: pytest.FixtureRequest) -> OnnxModel:
    return OnnxModel.load(model_path(request.param))


@pytest.fixture
def crowd() -> np.ndarray:
    """(12, 8, 2) agents at walking speed, two of which stand, one observed for three steps."""
    generator = np.random.default_rng(5)
    start = generator.uniform(-6.0, 6.0, (12, 1, 2))
    angle = generator.uniform(-np.pi, np.pi, (12, 1, 1))
    speed = generator.uniform(0.1, 0.7, (12, 1, 1))
    step = speed * np.concatenate([np.cos(angle), np.sin(angle)], axis=2)
    walked = start + step * np.arange(N_OBSERVED)[:, None]
    walked += generator.normal(0.0, 0.02, walked.shape)
    walked[:2] = start[:2]
    walked[5, :5] = np.nan
    return walked


def test_the_parameter_budget_is_kept(model: OnnxModel) -> None:
    assert model.card.parameters <= 10_000


@pytest.mark.parametrize("n_samples", COUNTS)
def test_mean_and_ellipses_do_not_need_samples(
    model: OnnxModel, crowd: np.ndarray, n_samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled = model.predict(crowd, n_samples=n_samples)
    monkeypatch.setattr(model, "makes_samples", False)
    without = model.predict(crowd, n_samples=n_samples)

    assert without.samples.shape == (0, *sampled.mean.shape)
    for name in ("mean", "covariance", "radius_scales"):
        np.testing.assert_allclose(getattr(without, name), getattr(sampled, name), rtol=1e-12)


@pytest.mark.parametrize("n_samples", COUNTS)
def test_the_order_of_agents_does_not_matter(
    model: OnnxModel, crowd: np.ndarray, n_samples: int
) -> None:
    order = np.random.default_rng(0).permutation(len(crowd))

    straight = model.predict(crowd, n_samples=n_samples)
    shuffled = model.predict(crowd[order], n_samples=n_samples)

    assert np.abs(straight.samples[:, order] - shuffled.samples).max() <= 1e-4
    assert np.abs(straight.mean[order] - shuffled.mean).max() <= 1e-4
    assert np.abs(straight.covariance[order] - shuffled.covariance).max() <= 1e-4


@pytest.mark.parametrize("n_samples", COUNTS)
@pytest.mark.parametrize("angle_rad", [0.7, -2.5])
def test_the_prediction_turns_and_moves_with_the_scene(
    model: OnnxModel, crowd: np.ndarray, angle_rad: float, n_samples: int
) -> None:
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    turn = np.array([[cos, -sin], [sin, cos]])
    shift = np.array([4.1e4, -7.3e4])

    still = model.predict(crowd, n_samples=n_samples)
    moved = model.predict(crowd @ turn.T + shift, n_samples=n_samples)

    assert np.abs(still.samples @ turn.T + shift - moved.samples).max() <= 1e-3
    assert np.abs(still.mean @ turn.T + shift - moved.mean).max() <= 1e-3
    assert np.abs(turn @ still.covariance @ turn.T - moved.covariance).max() <= 1e-3


def test_covariances_are_positive_definite_and_grow(model: OnnxModel, crowd: np.ndarray) -> None:
    covariance = model.predict(crowd).covariance
    area = np.sqrt(np.linalg.det(covariance))

    np.testing.assert_allclose(covariance, np.swapaxes(covariance, -1, -2), atol=1e-7)
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert np.all(area[:, -1] > area[:, 0])


def test_ellipses_do_not_depend_on_the_number_of_samples(
    model: OnnxModel, crowd: np.ndarray
) -> None:
    few, many = (model.predict(crowd, n_samples=count) for count in COUNTS)

    np.testing.assert_allclose(few.covariance, many.covariance, atol=1e-6)
    np.testing.assert_allclose(few.mean, many.mean, atol=1e-6)


def test_draws_surround_the_mean(model: OnnxModel, crowd: np.ndarray) -> None:
    prediction = model.predict(crowd, n_samples=512)
    sigma = np.sqrt(np.trace(prediction.covariance, axis1=2, axis2=3))

    offset = np.linalg.norm(prediction.samples.mean(axis=0) - prediction.mean, axis=-1)

    assert np.all(offset <= 0.05 * sigma + 0.02)


@pytest.mark.parametrize("known", [2, 3, 8])
def test_a_single_agent_is_predicted(model: OnnxModel, known: int) -> None:
    walk = np.array([0.5, 0.1]) * np.arange(known)[:, None]

    prediction = model.predict(walk[None])

    ahead = (prediction.mean[0, -1] - walk[-1]) @ np.array([0.5, 0.1])
    assert ahead > 0
    assert np.isfinite(prediction.samples).all()


def test_a_wrong_track_does_not_affect_the_others(model: OnnxModel, crowd: np.ndarray) -> None:
    thrown = crowd.copy()
    thrown[3, -1] += 500.0

    before, after = model.predict(crowd), model.predict(thrown)

    assert np.isfinite(after.samples).all()
    others = np.arange(len(crowd)) != 3
    assert np.abs(before.mean - after.mean)[others].max() < 1.0


@pytest.mark.slow
@pytest.mark.benchmark_data
@pytest.mark.parametrize("split", [split for split in LEAVE_ONE_OUT if split != "univ"])
def test_more_observations_help_and_two_suffice(split: str) -> None:
    """On scenes outside the training data; mean trajectory against constant velocity."""
    (name,) = LEAVE_ONE_OUT[split]
    path = DATA / "eth_ucy" / "all_data" / f"{name}.txt"
    if not path.is_file():
        pytest.skip(f"no recording {path}: set SOCIAL_IMPLICIT_DATA to the folder of recordings")
    model = OnnxModel.load(model_path(f"social_zone_{split}"))
    found = list(scenes(load_recording(path)))[::6]

    def error(n_known: int, predictor: OnnxModel | ConstantVelocity) -> float:
        distances = [
            np.linalg.norm(
                predictor.predict(scene.observed[:, -n_known:]).mean - scene.future, axis=-1
            ).mean(axis=1)
            for scene in found
        ]
        return float(np.concatenate(distances).mean())

    errors = {n_known: error(n_known, model) for n_known in (2, 4, 8)}
    straight_on = error(2, ConstantVelocity())

    assert max(errors.values()) <= 1.01 * straight_on
    # More history helps, or at least does not harm: recordings are smooth, two steps say much.
    assert errors[8] <= 1.03 * min(errors[2], errors[4])


def line(*speeds_m_s: float) -> np.ndarray:
    """(1, 8, 2) somebody who moves along x at seven speeds, one after the other."""
    along = np.concatenate([[0.0], np.cumsum(speeds_m_s)]) * 0.4
    return np.stack([along, np.zeros(8)], axis=-1)[None]


def bend(degrees_per_s: float) -> np.ndarray:
    """(1, 20, 2) somebody who walks at 1.25 m/s and turns steadily."""
    heading = np.radians(degrees_per_s) * 0.4 * np.arange(-7, 13)
    steps = 0.5 * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    return np.cumsum(steps, axis=0)[None]


def test_modes_have_probabilities_and_the_predicted_mean(
    model: OnnxModel, crowd: np.ndarray
) -> None:
    modes = model.predict(crowd)
    assert modes.probabilities.shape == (20, len(crowd))
    assert (modes.probabilities > 0.0).all()
    np.testing.assert_allclose(modes.probabilities.sum(axis=0), 1.0, rtol=1e-12)
    # Probabilities depend on the agent, and are not equal.
    assert modes.probabilities.max() > 0.1
    draws = model.predict(crowd, n_samples=64)
    np.testing.assert_allclose(draws.probabilities, 1.0 / 64.0)
    for row in range(len(crowd)):  # alone, nobody gives way
        alone = model.predict(crowd[row : row + 1])
        mean = (alone.probabilities[..., None, None] * alone.samples).sum(axis=0)
        np.testing.assert_allclose(alone.mean, mean, atol=1e-4)


def test_people_who_stand_or_have_stopped_stay(model: OnnxModel) -> None:
    standing, stopped = line(*[0.0] * 7), line(1.2, 1.2, 0.8, 0.4, 0.0, 0.0, 0.0)
    assert np.abs(model.predict(standing).mean - standing[:, -1:]).max() < 0.15
    assert np.abs(model.predict(stopped).mean - stopped[:, -1:]).max() < 0.8


@pytest.mark.parametrize("speed_m_s", [0.6, 0.9, 1.2, 1.6, 2.0])
def test_people_who_walk_straight_continue_to_walk(speed_m_s: float) -> None:
    """Some people slow down, more of the slow ones; in simulations nobody does."""
    observed = line(*[speed_m_s] * 7)

    prediction = OnnxModel.load(model_path("default")).predict(observed)

    walked_m = prediction.mean[0, -1, 0] - observed[0, -1, 0]
    assert 0.92 <= walked_m / (12 * 0.4 * speed_m_s) <= 1.0


def test_people_who_have_started_continue_to_walk(model: OnnxModel) -> None:
    started = line(0.0, 0.0, 0.0, 0.1, 0.4, 0.7, 0.9)
    speed_m_s = np.diff(model.predict(started).mean[0, :, 0]) / 0.4
    assert (speed_m_s > 0.55).all()


@pytest.mark.parametrize("degrees_per_s", [-25.0, 25.0])
def test_a_steady_turn_continues(model: OnnxModel, degrees_per_s: float) -> None:
    path = bend(degrees_per_s)
    mean = model.predict(path[:, :8]).mean
    straight = ConstantVelocity().predict(path[:, :8], n_samples=1).mean
    error, straight_error = (
        np.linalg.norm(found[0, 4] - path[0, 12]) for found in (mean, straight)
    )
    assert error < 0.9 * straight_error


def test_the_ellipses_of_a_noisy_track_are_wider(model: OnnxModel) -> None:
    noise_m = 0.05 * np.random.default_rng(0).normal(size=(50, 8, 2))
    for speed_m_s in (0.0, 1.2):
        smooth = line(*[speed_m_s] * 7)
        clean = radius_at(model.predict(smooth), 0.5) ** 2
        clean = clean * np.sqrt(np.linalg.det(model.predict(smooth).covariance))
        noisy = [model.predict(smooth + one) for one in noise_m]
        areas = [radius_at(one, 0.5) ** 2 * np.sqrt(np.linalg.det(one.covariance)) for one in noisy]
        assert (np.median(areas, axis=0)[0, :3] > clean[0, :3]).all()


def test_people_who_meet_give_way(model: OnnxModel) -> None:
    walker = line(*[1.2] * 7)
    other = -walker + [6.7 + 2.0, 0.05]
    prediction = model.predict(np.concatenate([walker, other]))
    distance = np.linalg.norm(prediction.mean[0] - prediction.mean[1], axis=-1)
    assert distance.min() > 0.3
    assert collision_rate(prediction.samples) < 0.03
