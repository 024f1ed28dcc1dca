from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from support.benchmark_data import DATA, needs_recordings, write_walks

from social_implicit_ros.evaluation.benchmark.split_metrics import (
    ROWS,
    BenchmarkError,
    average_metrics,
    candidate,
    evaluate_split,
    load_benchmark_model,
    on_splits,
    scene_seed,
)
from social_implicit_ros.metrics.amd import mahalanobis_distances
from social_implicit_ros.metrics.displacement import best_of_n
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.recordings.text_formats.eth_ucy import Scene, split_scenes
from social_implicit_ros.types import FloatArray, Prediction
from social_implicit_ros.uncertainty.ellipses import sample_moments


class Wanderer(ConstantVelocity):
    """Constant velocity with independent noise on every position."""

    def predict(self, observed: FloatArray, *, n_samples: int = 20, seed: int = 0) -> Prediction:
        mean = super().predict(observed, n_samples=1).mean
        noise = np.random.default_rng(seed).normal(0, 0.2, (n_samples, *mean.shape))
        samples = mean + noise
        return Prediction(samples, *sample_moments(samples), self.step_s)


@pytest.fixture
def straight(tmp_path: Path) -> Path:
    return write_walks(tmp_path)


def test_straight_walks_are_predicted_exactly(straight: Path) -> None:
    scenes = split_scenes(straight, "univ")
    assert len(scenes) == 2 * 4  # two recordings of 23 frames, windows of 20
    metrics = evaluate_split(ConstantVelocity(), scenes)
    assert metrics == pytest.approx({"ade": 0.0, "fde": 0.0}, abs=1e-9)


def test_the_error_at_a_turn_is_the_distance_from_the_straight_line(tmp_path: Path) -> None:
    scenes = split_scenes(write_walks(tmp_path, turn_rad=0.3), "eth")
    metrics = evaluate_split(ConstantVelocity(), scenes)
    scene = scenes[0]
    straight_on = scene.observed[:, -1] + 12 * (scene.observed[:, -1] - scene.observed[:, -2])
    expected = np.linalg.norm(straight_on - scene.future[:, -1], axis=1)
    assert metrics["fde"] == pytest.approx(expected.mean())


def test_all_metrics_are_present_and_consistent(straight: Path) -> None:
    metrics = evaluate_split(Wanderer(), split_scenes(straight, "hotel"), all_metrics=True)
    assert list(metrics) == list(ROWS)
    # Everybody walks side by side.
    unknown = {name for name in ROWS if re.match("coverage_50|fde_over_cv|head_on", name)}
    assert {name for name, value in metrics.items() if np.isnan(value)} == unknown
    assert metrics["ade"] <= metrics["jade"]
    assert metrics["miss_rate"] == 0.0
    assert 0.0 < metrics["collision_rate"] < 0.1  # 0.2 m of noise among people 1 m apart
    assert metrics["mean_ade"] == pytest.approx(0.0, abs=0.02)
    assert metrics["amv"] == pytest.approx(0.04, rel=0.1)
    assert metrics["coverage_95"] == 1.0
    # Ground truth at the mean of every prediction: far from calibrated.
    assert metrics["amd"] < 0.2
    assert metrics["r_min"] < 0.1


def test_metrics_do_not_depend_on_threads(straight: Path) -> None:
    scenes = split_scenes(straight, "univ")
    one = evaluate_split(Wanderer(), scenes, all_metrics=True)
    with ThreadPoolExecutor(2) as pool:
        two = evaluate_split(Wanderer(), scenes, all_metrics=True, each=pool.map)
    assert two == pytest.approx(one, rel=0.0, abs=0.0, nan_ok=True)


def test_results_depend_on_the_seed_and_every_scene_has_its_own(straight: Path) -> None:
    scenes = split_scenes(straight, "eth")
    first, again, other = (evaluate_split(Wanderer(), scenes, seed=seed) for seed in (0, 0, 1))
    assert first == again != other
    seeds = [scene_seed(seed, index) for seed in range(4) for index in range(1000)]
    assert len(set(seeds)) == len(seeds)


def test_scene_metrics_are_means_over_scenes_not_over_agents(straight: Path) -> None:
    scenes = split_scenes(straight, "eth")
    assert [len(scene.ids) for scene in scenes] == [3, 3, 3, 2]
    metrics = evaluate_split(Wanderer(), scenes, all_metrics=True)
    distances, errors = [], []
    for index, scene in enumerate(scenes):
        seed = scene_seed(0, index)
        few, many = (
            Wanderer().predict(scene.observed, n_samples=n, seed=seed).samples for n in (20, 1000)
        )
        distances.append(mahalanobis_distances(many, scene.future)[0])
        errors.append(best_of_n(few, scene.future)[0])
    assert metrics["amd"] == pytest.approx(np.mean([scene.mean() for scene in distances]))
    assert metrics["amd"] != pytest.approx(np.concatenate(distances).mean())
    assert metrics["ade"] == pytest.approx(np.concatenate(errors).mean())


def test_windows_of_a_single_agent_count_in_joint_metrics_only(straight: Path) -> None:
    scenes = split_scenes(straight, "eth", min_agents=1)
    alone = [
        Scene(s.recording, s.frame, s.ids[:1], s.positions_m[:1]) for s in scenes for _ in (0, 1)
    ]
    without = evaluate_split(Wanderer(), scenes, all_metrics=True)
    metrics = evaluate_split(Wanderer(), [*scenes, *alone], all_metrics=True)
    changed = {name for name in ROWS if metrics[name] != without[name]}
    joint = {"jade", "jfde", "collision_rate"}
    assert changed - {name for name in ROWS if np.isnan(without[name])} == joint
    # Two of three windows have one agent, who collides with nobody.
    assert metrics["collision_rate"] == pytest.approx(without["collision_rate"] / 3.0)
    assert metrics["jade"] < without["jade"]


def test_each_model_is_evaluated_on_every_scene_of_every_split(straight: Path) -> None:
    scenes = {split: split_scenes(straight, split) for split in ("univ", "eth")}
    models = [candidate("constant_velocity"), candidate("sampled_constant_velocity")]

    def evaluate(model: TrajectoryModel, of_split: list[Scene], each: Any) -> list[str]:
        return list(each(lambda scene: f"{model.name} {scene.recording} {scene.frame}", of_split))

    found = list(on_splits(models, scenes, evaluate, Console(quiet=True)))
    for one, splits in found:
        assert splits == {
            split: [f"{one.name} {scene.recording} {scene.frame}" for scene in of_split]
            for split, of_split in scenes.items()
        }
    assert [one for one, _ in found] == models


def test_a_situation_that_a_split_lacks_is_not_averaged() -> None:
    rows = [{"head_on_rate": np.nan, "nll": np.nan}, {"head_on_rate": 0.2, "nll": np.nan}]
    averages = average_metrics(rows)
    assert averages == pytest.approx({"head_on_rate": 0.2, "nll": np.nan}, nan_ok=True)


def test_averages_are_of_metrics_that_all_splits_have_and_counts_are_summed() -> None:
    rows = [{"ade": 1.0, "amd_undefined": 2.0}, {"ade": 3.0, "amd_undefined": 5.0, "fde": 1.0}]
    assert average_metrics(rows) == {"ade": 2.0, "amd_undefined": 7.0}


def test_a_model_of_another_horizon_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "social_implicit_ros.evaluation.benchmark.split_metrics.load_model",
        lambda name: ConstantVelocity(n_predicted=8),
    )
    with pytest.raises(BenchmarkError, match=r"8 steps of 0\.4 s; the benchmark needs 12"):
        load_benchmark_model("short")


@needs_recordings
@pytest.mark.benchmark_data
@pytest.mark.parametrize(
    ("split", "n_scenes", "n_agents", "ade", "fde"),
    [
        ("eth", 70, 181, 0.995, 2.234),
        ("hotel", 301, 1053, 0.323, 0.617),
        ("univ", 947, 24334, 0.524, 1.165),
        ("zara1", 602, 2253, 0.431, 0.960),
        ("zara2", 921, 5833, 0.326, 0.728),
    ],
)
def test_constant_velocity_has_its_published_metrics(
    split: str, n_scenes: int, n_agents: int, ade: float, fde: float
) -> None:
    scenes = split_scenes(DATA, split)
    assert len(scenes) == n_scenes
    assert sum(len(scene.ids) for scene in scenes) == n_agents
    metrics = evaluate_split(ConstantVelocity(), scenes, n_samples=1)
    assert metrics == pytest.approx({"ade": ade, "fde": fde}, abs=5e-4)


@needs_recordings
@pytest.mark.benchmark_data
def test_the_amd_of_standing_people_without_a_spread_is_finite() -> None:
    scene = split_scenes(DATA, "hotel")[0]
    model = ConstantVelocity(heading_sigma_rad=np.radians(25.0))
    samples = model.predict(scene.observed, n_samples=200).samples
    distances, _ = mahalanobis_distances(samples, scene.future)
    assert np.isfinite(distances).all()
