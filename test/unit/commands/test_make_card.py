"""`make_card` writes a card with which the node loads the model, or names what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.model_files import N_STEPS, onnx, write_model

from social_implicit_ros.commands.own_models import make_card
from social_implicit_ros.models.registry import load_model


def model_without_card(folder: Path, **options: object) -> Path:
    path = write_model(folder, **options)  # type: ignore[arg-type]
    path.with_suffix(".json").unlink()
    return path


def test_the_card_has_the_values_of_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = model_without_card(tmp_path)
    assert make_card([str(path), "--step-s", "0.5", "--name", "mine"]) == 0
    model = load_model(path)
    assert (model.name, model.step_s) == ("mine", 0.5)
    assert (model.n_observed, model.n_predicted) == (8, N_STEPS)
    assert f"model:={path}" in capsys.readouterr().out


def test_inputs_that_the_exporter_left_out_are_not_needed(tmp_path: Path) -> None:
    path = model_without_card(tmp_path, inputs={"observed": ("A", 8, 2), "noise": ("K", 2)})
    assert make_card([str(path), "--step-s", "0.4"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_name": "futures"}, "expected one named samples"),
        ({"inputs": {"observed": ("A", "H", 2), "noise": ("K", 2)}}, "leave only A and K dynamic"),
        (
            {"inputs": {"observed": (3, 8, 2), "noise": ("K", 2)}},
            "any is a dynamic axis: export it so",
        ),
        ({"inputs": {"observed": ("A", 8, 2), "noise": ("K", 2), "goal": ("A",)}}, "'goal'"),
    ],
)
def test_an_unsuitable_file_is_named_and_gets_no_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict, message: str
) -> None:
    path = model_without_card(tmp_path, **options)
    assert make_card([str(path), "--step-s", "0.4"]) == 2
    assert message in capsys.readouterr().err
    assert not path.with_suffix(".json").exists()


def test_swapped_axes_of_people_and_samples_are_detected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = model_without_card(tmp_path)
    model = onnx.load(path)
    model.graph.node[-1].output[0] = "swapped"
    swap = onnx.helper.make_node("Transpose", ["swapped"], ["samples"], perm=[1, 0, 2, 3])
    model.graph.node.append(swap)
    onnx.save(model, path)
    assert make_card([str(path), "--step-s", "0.4"]) == 2
    assert "output samples has shape (30, 20," in capsys.readouterr().err
    assert not path.with_suffix(".json").exists()


def test_a_model_that_fails_for_people_who_stand_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For example a model that divides by the speed."""
    path = model_without_card(tmp_path)
    model = onnx.load(path)
    make_node = onnx.helper.make_node
    (zeros,) = (node for node in model.graph.node if "zeros" in node.output)
    zeros.output[0] = "nothing"
    end = onnx.numpy_helper.from_array(np.array([8]), "end")
    last = onnx.numpy_helper.from_array(np.array([7]), "last")
    model.graph.initializer.extend([last, end])
    nodes = [
        make_node("Slice", ["observed", "last", "end", "observed_axes"], ["present"]),
        make_node("Sub", ["present", "position"], ["path"]),
        make_node("ReduceL2", ["path"], ["length"], axes=[2]),
        make_node("Div", ["nothing", "length"], ["zeros"]),
    ]
    # Before the sum that uses them.
    for node in nodes:
        model.graph.node.insert(len(model.graph.node) - 1, node)
    onnx.save(model, path)

    assert make_card([str(path), "--step-s", "0.4"]) == 2
    assert "not finite for people who stand or walk at 1 m/s" in capsys.readouterr().err
    assert not path.with_suffix(".json").exists()


def test_a_step_that_is_not_given_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make_card([str(model_without_card(tmp_path))]) == 2  # pytest's stdin is no terminal
    assert "--step-s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "reason"), [("fast", "'fast' is not a number from 0.001"), (EOFError(), "give the")]
)
def test_an_answer_without_a_step_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: str | EOFError,
    reason: str,
) -> None:
    def answer(question: str) -> str:
        if isinstance(typed, EOFError):
            raise typed
        return typed

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", answer)
    assert make_card([str(model_without_card(tmp_path))]) == 2
    said = capsys.readouterr().err
    assert f"make_card: {reason}" in said and "--step-s" in said


def test_a_step_of_zero_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_card([str(model_without_card(tmp_path)), "--step-s", "0"])
    assert "--step-s: '0' is not a number from 0.001" in capsys.readouterr().err


def test_a_folder_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (tmp_path, Path()):
        assert make_card([str(path), "--step-s", "0.4"]) == 2
        assert f"{path} is not a file: give the .onnx file" in capsys.readouterr().err


def test_a_card_is_replaced_only_with_overwrite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_model(tmp_path)
    assert make_card([str(path), "--step-s", "0.5"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert load_model(path).step_s != 0.5
    assert make_card([str(path), "--step-s", "0.5", "--overwrite"]) == 0
    assert load_model(path).step_s == 0.5


def test_a_file_that_is_not_a_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my.onnx"
    assert make_card([str(path), "--step-s", "0.4"]) == 2
    path.write_bytes(b"not a model")
    assert make_card([str(path), "--step-s", "0.4"]) == 2
    assert "is not a model" in capsys.readouterr().err
