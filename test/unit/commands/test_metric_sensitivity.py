from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.benchmark_data import write_walks

from social_implicit_ros.commands.benchmark import metric_sensitivity
from social_implicit_ros.evaluation.benchmark.sensitivity import SHIFTS_M, shifted_metrics
from social_implicit_ros.evaluation.benchmark.split_metrics import evaluate_split
from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.recordings.text_formats.eth_ucy import split_scenes
from social_implicit_ros.types import FloatArray, Prediction


class Shifted(ConstantVelocity):
    """Sampled constant velocity, shifted by the same number of metres in x and y."""

    def __init__(self, shift_m: float) -> None:
        super().__init__(heading_sigma_rad=0.4)
        self.shift_m = shift_m

    def predict(self, observed: FloatArray, *, n_samples: int = 20, seed: int = 0) -> Prediction:
        made = super().predict(observed, n_samples=n_samples, seed=seed)
        return Prediction(
            made.samples + self.shift_m, made.mean + self.shift_m, made.covariance, made.step_s
        )


def test_a_shift_has_the_metrics_of_shifted_predictions(tmp_path: Path) -> None:
    scenes = split_scenes(write_walks(tmp_path, turn_rad=0.05), "eth")
    metrics = shifted_metrics(Shifted(0.0), scenes)
    assert list(metrics) == ["-0.1", "-0.01", "0", "+0.01", "+0.1"]
    for key, shift_m in zip(metrics, SHIFTS_M, strict=True):
        direct = evaluate_split(Shifted(shift_m), scenes, all_metrics=True)
        expected = {name: direct[name] for name in metrics[key]}
        # Where a shift decides between two mixtures, the fits may differ a little.
        assert metrics[key] == pytest.approx(expected, rel=1e-3)


def test_the_command_prints_and_writes_every_shift(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, path = write_walks(tmp_path / "data", turn_rad=0.05), tmp_path / "figures.json"
    asked = ["--split", "eth", "--model", "sampled_constant_velocity"]
    code = metric_sensitivity(["--data", str(data), "--json", str(path), *asked])
    assert code == 0
    metrics = json.loads(path.read_text())["models"]["sampled_constant_velocity"]["eth"]
    assert metrics["+0.1"]["amv"] == metrics["0"]["amv"]
    assert metrics["+0.1"]["amd"] != metrics["0"]["amd"]
    printed = capsys.readouterr().out
    assert f"{metrics['-0.1']['kde']:.3f}" in printed
    assert "%" in printed


def test_invalid_data_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert metric_sensitivity(["--data", str(tmp_path)]) == 2
    assert "has no eth_ucy/all_data" in capsys.readouterr().err
