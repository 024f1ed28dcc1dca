"""The file of the adaptive calibration, and the errors when it fails."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from social_implicit_ros.ros.calibration_keeper import (
    SAVE_PERIOD_S,
    CalibrationKeeper,
    calibration_path,
)
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration, ScoredPositions
from social_implicit_ros.uncertainty.storage import AdaptedModel, load_learnt

MODEL = AdaptedModel("m", "5" * 64, 3)


def learn(adaptive: AdaptiveCalibration, n_rounds: int = 3) -> None:
    steps = np.arange(3)
    for n in range(n_rounds):
        adaptive.learn(ScoredPositions(n * 10**9, steps, *np.ones((5, 3))))


def test_the_default_file_is_the_nodes_and_the_models_own() -> None:
    assert calibration_path("", "/robot 1/predictor", "a/b.onnx", {"ROS_HOME": "/ros"}) == Path(
        "/ros/social_implicit_ros/robot_1_predictor_a_b.onnx.json"
    )
    at_home = Path("~/.ros/social_implicit_ros/predictor_m.json").expanduser()
    assert calibration_path("", "/predictor", "m", {}) == at_home
    assert calibration_path("~/mine.json", "/p", "m", {}) == Path("~/mine.json").expanduser()


def test_without_a_home_folder_there_is_no_default_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert calibration_path("", "/predictor", "m", {}) is None
    assert calibration_path("/mine.json", "/predictor", "m", {}) == Path("/mine.json")


def test_without_a_file_the_calibration_adapts_and_is_not_saved() -> None:
    keeper = CalibrationKeeper(None, MODEL, "not kept, as it is a replay")
    assert keeper.load() == ""
    learn(keeper.adaptive)
    assert keeper.save(0.0) == "" and keeper.state == "not kept, as it is a replay"
    assert keeper.reset() == "" and not keeper.adaptive.learnt.seconds.any()


def test_it_saves_only_a_changed_state(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    keeper = CalibrationKeeper(path, MODEL)
    assert keeper.load() == "" and keeper.save(0.0) == ""
    assert not path.exists()
    learn(keeper.adaptive)
    assert keeper.save(1.0) == ""
    np.testing.assert_allclose(load_learnt(path, MODEL).seconds, keeper.adaptive.learnt.seconds)
    path.unlink()
    assert keeper.save(2.0) == "" and not path.exists()


def test_a_save_is_due_once_per_period(tmp_path: Path) -> None:
    keeper = CalibrationKeeper(tmp_path / "mine.json", MODEL)
    assert not keeper.is_due(5.0)
    assert not keeper.is_due(4.9 + SAVE_PERIOD_S)
    assert keeper.is_due(5.0 + SAVE_PERIOD_S)
    keeper.save(5.0 + SAVE_PERIOD_S)
    assert not keeper.is_due(6.0 + SAVE_PERIOD_S)


def test_the_next_keeper_continues_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    first, second = (CalibrationKeeper(path, MODEL) for _ in range(2))
    learn(first.adaptive, 200)
    first.save(0.0)
    assert second.load() == ""
    np.testing.assert_allclose(second.adaptive.radii, first.adaptive.radii, rtol=1e-3)


def test_an_error_is_returned_once_and_saving_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "mine.json"
    keeper = CalibrationKeeper(path, MODEL)
    learn(keeper.adaptive)
    assert "is not saved for the next start" in keeper.save(0.0)
    assert keeper.state.startswith("the adaptive calibration is not saved")
    learn(keeper.adaptive)
    assert keeper.save(1.0) == ""
    (tmp_path / "file").unlink()
    assert keeper.save(2.0) == ""
    assert keeper.state == str(path) and path.is_file()


def test_an_invalid_file_is_renamed_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text("my notes")
    keeper = CalibrationKeeper(path, MODEL)
    problem = keeper.load()
    assert "is ignored" in problem and "notes.json.refused" in problem
    learn(keeper.adaptive)
    keeper.save(0.0)
    assert (tmp_path / "notes.json.refused").read_text() == "my notes"


def test_the_state_of_an_earlier_model_of_the_same_name_is_renamed(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    first = CalibrationKeeper(path, MODEL)
    learn(first.adaptive)
    first.save(0.0)
    kept = path.read_text()
    for name in ("mine.json.refused", "mine.json.refused1"):
        trained_again = CalibrationKeeper(path, AdaptedModel("m", "6" * 64, 3))
        problem = trained_again.load()
        assert "m was trained or calibrated since" in problem and name in problem
        assert trained_again.adaptive.learnt.scores.sum() == 0.0
        assert (tmp_path / name).read_text() == kept
        path.write_text(kept)


def test_a_folder_at_the_path_is_an_error(tmp_path: Path) -> None:
    keeper = CalibrationKeeper(tmp_path, MODEL)
    assert "is a folder, expected a regular file" in keeper.load()
    assert tmp_path.is_dir()


@pytest.mark.parametrize("given", [".", "/", "..", "{folder}", "{folder}/pipe", "/dev/zero"])
def test_a_path_that_is_not_a_regular_file_is_refused_before_it_is_read(
    tmp_path: Path, given: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"calibration_file is .* give the path of a regular file"):
        calibration_path(given.format(folder=tmp_path), "/p", "m", {})


def test_a_home_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="give an absolute path"):
        calibration_path("~nobody_of_this_name/mine.json", "/p", "m", {})


def test_a_file_with_an_integer_beyond_64_bits_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    keeper = CalibrationKeeper(path, MODEL)
    learn(keeper.adaptive)
    keeper.save(0.0)
    path.write_text(path.read_text().replace('"seconds": ', '"seconds": ' + "9" * 401))
    assert "mine.json.refused" in CalibrationKeeper(path, MODEL).load()
    assert not path.exists()


def test_reset_restores_the_initial_state_and_removes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    keeper = CalibrationKeeper(path, MODEL)
    learn(keeper.adaptive)
    keeper.save(0.0)
    assert keeper.reset() == "" and not path.exists()
    assert keeper.adaptive.learnt.scores.sum() == 0.0
    assert keeper.reset() == ""


def test_reset_returns_why_the_file_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    keeper = CalibrationKeeper(tmp_path / "mine.json", MODEL)
    learn(keeper.adaptive)
    monkeypatch.setattr(Path, "unlink", refused)
    assert "Permission denied" in keeper.reset()
    assert keeper.adaptive.learnt.scores.sum() == 0.0
