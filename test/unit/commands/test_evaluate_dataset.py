from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.benchmark_data import write_walks

from social_implicit_ros.commands.benchmark import evaluate_dataset
from social_implicit_ros.evaluation.benchmark import split_metrics
from social_implicit_ros.evaluation.benchmark import split_metrics as benchmark
from social_implicit_ros.evaluation.benchmark.leave_one_out import reference_metrics
from social_implicit_ros.evaluation.benchmark.split_metrics import ROWS
from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT

SHIPPED = (*(f"tiny_{split}" for split in LEAVE_ONE_OUT), "robot", "half_eth")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_walks(tmp_path / "data")


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shipped model files that predict constant velocity."""

    def load(name: str) -> ConstantVelocity:
        assert name in (*SHIPPED, "constant_velocity", "sampled_constant_velocity"), name
        return ConstantVelocity()

    monkeypatch.setattr(benchmark, "load_model", load)
    monkeypatch.setattr(split_metrics, "shipped_models", lambda: SHIPPED)


def run(data: Path, *arguments: str, path: Path | None = None) -> dict:
    path = path or data / "figures.json"
    code = evaluate_dataset(["--data", str(data), "--json", str(path), *arguments])
    assert code == 0
    return json.loads(path.read_text())


@pytest.mark.usefixtures("shipped")
def test_a_family_is_evaluated_with_baselines_and_reference_by_default(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = run(data)
    assert list(results["models"]) == ["constant_velocity", "sampled_constant_velocity", "tiny"]
    tiny = results["models"]["tiny"]
    assert list(tiny["splits"]) == list(LEAVE_ONE_OUT) == tiny["held_out"]
    assert set(tiny["splits"]["eth"]) == set(tiny["average"]) == {"ade", "fde"}
    assert tiny["parameters"] == 0
    assert tiny["average"]["ade"] == pytest.approx(0.0, abs=1e-9)
    printed = capsys.readouterr().out
    assert "0.332 / 0.678" in printed  # the reference's average
    assert "*" not in printed


@pytest.mark.usefixtures("shipped")
def test_one_model_for_all_recordings_is_marked_as_not_held_out(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = run(data, "--model", "robot", "--model", "half_eth")
    assert results["models"]["robot"]["held_out"] == []
    assert results["models"]["half_eth"]["held_out"] == ["eth"]
    printed = capsys.readouterr().out
    assert "not known to be held out" in " ".join(printed.split())
    eth = next(line for line in printed.splitlines() if line.startswith("│ eth"))
    average = next(line for line in printed.splitlines() if line.startswith("│ average"))
    assert eth.count("*") == 1
    assert average.count("*") == 2


@pytest.mark.usefixtures("shipped")
def test_tracker_noise_is_added_to_observed_positions_only(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = run(data, "--split", "eth", "--tracker-noise", "0.01", "--all-metrics")
    metrics = results["models"]["constant_velocity"]["splits"]["eth"]
    assert results["tracker_noise_m"] == 0.01
    # The error of the last velocity is the difference of the errors of two positions.
    at_last_step_m = 0.01 * np.sqrt(np.pi / 2) * np.hypot(13, 12)
    assert metrics["mean_fde"] == pytest.approx(at_last_step_m, rel=0.3)
    # The reference was not evaluated with noise.
    assert "reference" not in capsys.readouterr().out


@pytest.mark.usefixtures("shipped")
def test_all_metrics_of_one_split(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = run(data, "--split", "zara1", "--all-metrics", "--k", "3")
    metrics = results["models"]["tiny"]["splits"]["zara1"]
    assert list(metrics) == list(ROWS)
    assert metrics["nll"] is None  # all samples agree: there is no density
    assert results["samples"] == 3
    printed = capsys.readouterr().out
    assert all(name in printed for name in metrics)
    assert "average" not in printed


def test_a_path_may_contain_a_placeholder_for_the_split() -> None:
    one = split_metrics.candidate("out/run_{split}.onnx")
    assert one.files["zara1"] == "out/run_zara1.onnx"
    assert one.held_out == set(LEAVE_ONE_OUT)
    fixed = split_metrics.candidate("out/run_zara1.onnx")
    assert set(fixed.files.values()) == {"out/run_zara1.onnx"}
    assert fixed.held_out == {"zara1"}


def test_default_is_the_default_models_family(monkeypatch: pytest.MonkeyPatch) -> None:
    name = split_metrics.DEFAULT_MODEL
    monkeypatch.setattr(
        split_metrics, "shipped_models", lambda: tuple(f"{name}_{split}" for split in LEAVE_ONE_OUT)
    )
    assert split_metrics.candidate("default").files["univ"] == f"{name}_univ"
    assert split_metrics.candidate("default").name == "default"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere is not the data folder"),
        (["--data", "{data}", "--model", "no_such_model"], "no model 'no_such_model'"),
    ],
)
def test_an_invalid_request_exits_with_2_and_a_message(
    data: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code = evaluate_dataset([argument.replace("{data}", str(data)) for argument in arguments])
    assert code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--split", "paris"], ["--k", "0"], ["--seed", "-1"], ["--k", "many"]),
        *(["--json", "nowhere/figures.json"], ["--json", "."]),
    ],
)
def test_an_invalid_command_line_exits_with_2(data: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        evaluate_dataset(["--data", str(data), *arguments])
    assert end.value.code == 2


def test_the_data_folder_can_be_an_environment_variable(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOCIAL_IMPLICIT_DATA", raising=False)
    with pytest.raises(SystemExit):
        evaluate_dataset(["--split", "eth"])
    monkeypatch.setenv("SOCIAL_IMPLICIT_DATA", str(data))
    assert evaluate_dataset(["--split", "eth", "--model", "constant_velocity"]) == 0


def test_the_averages_of_the_reference_are_those_of_its_splits() -> None:
    reference = reference_metrics()
    for name, value in reference["average"].items():
        splits = [reference["splits"][split][name] for split in LEAVE_ONE_OUT]
        assert sum(splits) / len(splits) == pytest.approx(value, rel=0.01)
