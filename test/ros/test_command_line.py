"""`predictor_node --help` and `--version` print and exit; ROS arguments start the node."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from social_implicit_ros.commands.predictor_node import check_command_line, ineffective_files
from social_implicit_ros.ros.processes import startup
from social_implicit_ros.ros.processes.startup import start_ros

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "social_implicit_ros.commands.predictor_node", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_names_the_file_that_explains_the_parameters() -> None:
    ended = run("--help")
    assert ended.returncode == 0
    assert ended.stdout.startswith("usage: predictor_node")
    named = [word.strip("()") for word in ended.stdout.split() if word.startswith("config/")]
    assert named
    assert all((ROOT / file).is_file() for file in named)


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        check_command_line(["--version"])
    assert ended.value.code == 0
    version = ElementTree.parse(ROOT / "package.xml").findtext("version")
    assert capsys.readouterr().out == f"social_implicit_ros {version}\n"


def test_an_unknown_argument_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        check_command_line(["--model", "default"])
    assert ended.value.code == 2
    assert "--model" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["-p", "tracker:=people"], ["tracker:=people"]])
def test_a_parameter_without_ros_args_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """rcl takes it as a remapping in an old syntax, which has no effect."""
    with pytest.raises(SystemExit) as ended:
        check_command_line([*arguments, "--ros-args", "--log-level", "info"])
    assert ended.value.code == 2
    assert f"{arguments[0]}: parameters and remappings follow --ros-args" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("predictor:\n  ros_parameters:\n    seed: 1\n", "ros__parameters with two underscores"),
        ("predictor:\n  ros__parameters:\n\tseed: 1\n", "write no tabs"),
    ],
)
def test_an_invalid_parameter_file_is_explained(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=says):
        start_ros("predictor_node", ["--ros-args", "--params-file", str(path)])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--frobnicate"], "unknown ROS arguments: ['--frobnicate']"),
        (["--log-level", "loud"], "Argument does not use a valid severity level"),
        (["--params-file", "/no/file.yaml"], "Error opening YAML file"),
        (["-p", "tracker=people"], "expected -p NAME:=VALUE"),
        (["-r", "__ns:=robot1"], "-r __ns:=/NAME"),
    ],
)
def test_invalid_ros_arguments_are_named_without_source_lines_of_rcl(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.setattr(startup, "_log_folder_problem", str)
    with pytest.raises(ValueError) as caught:
        start_ros("predictor_node", ["--ros-args", *arguments])
    assert says in str(caught.value) and ".c:" not in str(caught.value)


def test_an_argument_that_is_not_utf_8_is_named() -> None:
    """For example a file name from an old disk."""
    with pytest.raises(ValueError, match=r"not UTF-8: model:=caf\\udce9\.onnx"):
        check_command_line(["--ros-args", "-p", "model:=caf\udce9.onnx"])


def test_a_parameter_file_of_another_node_is_named(tmp_path: Path) -> None:
    """For example of a renamed node: the parameters would silently have no effect."""
    path = tmp_path / "params.yaml"
    path.write_text("planner:\n  ros__parameters:\n    confidence: 0.5\n")
    arguments = ["--ros-args", "--params-file", str(path)]

    (line,) = ineffective_files(arguments, "/robot1/predictor")

    assert "no section for /robot1/predictor, but for /planner" in line
    assert not [*ineffective_files(arguments, "/planner")]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--ros-args", "-p", "model:=default", "--log-level", "info"],
        ["--ros-args", "-r", "__ns:=/robot1", "--"],
    ],
)
def test_ros_arguments_are_left_to_ros(arguments: list[str]) -> None:
    check_command_line(arguments)
