from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch comes with `make test-training`")
pytest.importorskip("onnx", reason="onnx comes with `make test-training`")

from social_implicit_ros.commands.train_shipped import train_benchmark  # noqa: E402
from social_implicit_ros.models.card import file_sha256, load_card  # noqa: E402
from social_implicit_ros.models.onnx_model import OnnxModel  # noqa: E402
from social_implicit_ros.training.export import save_model  # noqa: E402
from social_implicit_ros.training.social_implicit.graph import social_implicit_graph  # noqa: E402
from social_implicit_ros.training.social_implicit.model import SocialImplicit  # noqa: E402

pytestmark = pytest.mark.training


def run(data: Path, out: Path, *options: str) -> int:
    return train_benchmark(
        ["--data", str(data), "--out", str(out), "--epochs", "1", "--seed", "7", *options]
    )


def test_a_split_gives_a_model_that_predicts(data_folder: Path, tmp_path: Path) -> None:
    assert run(data_folder, tmp_path / "out", "--split", "zara1") == 0

    model = OnnxModel.load(tmp_path / "out" / "social_implicit_zara1.onnx")
    assert model.predict(np.zeros((2, 8, 2))).samples.shape == (20, 2, 12, 2)


def test_the_card_is_sufficient_to_reproduce_the_file(data_folder: Path, tmp_path: Path) -> None:
    run(data_folder, tmp_path / "out", "--split", "zara1")
    path = tmp_path / "out" / "social_implicit_zara1.onnx"
    card = load_card(path.with_suffix(".json"))

    command, *options = shlex.split(card.training["command"])
    again = tmp_path / "again"
    places = iter([str(data_folder), str(again)])
    options = [next(places) if option == "DIR" else option for option in options]

    assert command == "train_benchmark"
    assert train_benchmark(options) == 0
    assert file_sha256(again / path.name) == file_sha256(path) == card.sha256


def test_the_card_has_data_settings_and_metrics(data_folder: Path, tmp_path: Path) -> None:
    run(data_folder, tmp_path, "--split", "zara1", "--split", "robot")
    card = load_card(tmp_path / "social_implicit_zara1.json")
    robot = load_card(tmp_path / "social_implicit.json")

    assert (card.name, card.architecture) == ("social_implicit_zara1", "social_implicit")
    assert (card.parameters, card.step_s, card.n_observed, card.n_predicted) == (5836, 0.4, 8, 12)
    assert "zara1 is left out" in card.description
    assert "crowds_zara01" not in card.training["recordings"]
    assert card.training["scenes"] == {"training": 49, "validation": 21}
    assert card.training["agents"] == {"training": 147, "validation": 63}
    assert card.training["settings"]["seed"] == 7
    assert card.training["chosen_epoch"] == 1
    assert set(card.metrics) == {"validation", "test", "validation_2_observed"}
    for part in card.metrics.values():
        for errors in part.values():
            assert 0 < errors["ade_m"] < errors["fde_m"]
    assert "seq_eth" in robot.training["recordings"]
    assert robot.training["settings"]["short_history_share"] > 0
    assert "test" not in robot.metrics


def test_missing_data_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "nowhere", tmp_path, "--split", "eth") == 2
    assert "train_benchmark: no recording" in capsys.readouterr().err


def test_no_epochs_are_refused() -> None:
    with pytest.raises(SystemExit):
        train_benchmark(["--data", "x", "--out", "x", "--epochs", "0"])


def test_a_model_is_saved_with_its_card(tmp_path: Path) -> None:
    path = tmp_path / "new" / "walker.onnx"

    card = save_model(
        social_implicit_graph(SocialImplicit()),
        path,
        architecture="social_implicit",
        description="For tests.",
        parameters=5836,
        noise_sequence="sobol",
        metrics={"test": {"ade_m": 0.25}},
    )

    assert load_card(path.with_suffix(".json")) == card
    assert (card.name, card.sha256) == ("walker", file_sha256(path))
    assert (card.n_observed, card.n_predicted, card.noise_sequence) == (8, 12, "sobol")
    assert OnnxModel.load(path).card == card


def test_a_model_path_must_end_in_onnx(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.onnx"):
        save_model(
            social_implicit_graph(SocialImplicit()),
            tmp_path / "walker.pt",
            architecture="social_implicit",
            description="For tests.",
            parameters=5836,
        )
