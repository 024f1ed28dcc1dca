"""Launch files parse, and pass arguments to the node only if they are given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from ament_index_python import packages
from ament_index_python.packages import PackageNotFoundError

pytest.importorskip("launch_ros", reason="needs launch_ros: source a ROS distribution")

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import get_launch_description_from_python_launch_file
from launch.logging import get_logger
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
from launch_ros.actions import Node
from launch_ros.utilities import evaluate_parameters

LAUNCH = Path(__file__).parents[2] / "launch"
FILES = sorted(LAUNCH.glob("*.launch.py"))


def arguments_of(description: LaunchDescription) -> dict[str, str]:
    return {argument.name: argument.description for argument in description.get_launch_arguments()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_launch_file_parses_and_explains_its_arguments(file: Path) -> None:
    arguments = arguments_of(get_launch_description_from_python_launch_file(str(file)))
    assert arguments
    assert all(arguments.values())


def test_the_predictor_has_the_documented_arguments() -> None:
    description = get_launch_description_from_python_launch_file(
        str(LAUNCH / "predictor.launch.py")
    )
    assert set(arguments_of(description)) >= {
        "namespace",
        "params_file",
        "model",
        "rviz",
        "use_sim_time",
        "autostart",
        "log_level",
        "tracks",
        "tracker",
        "fixed_frame",
        "outputs",
    }


def launched_predictor(**arguments: str) -> dict[str, Any]:
    """Parameters, remappings and name of the launched predictor."""
    return launched("predictor_node", **arguments)


def launched(executable: str, **arguments: str) -> dict[str, Any]:
    """Parameters, remappings and name of a node that `predictor.launch.py` launches."""
    description = get_launch_description_from_python_launch_file(
        str(LAUNCH / "predictor.launch.py")
    )
    context = LaunchContext(argv=[f"{name}:={value}" for name, value in arguments.items()])
    context.launch_configurations.update(arguments)
    nodes = []
    for entity in description.entities:
        nodes += [e for e in entity.visit(context) or [] if isinstance(e, Node)]
    node = next(n for n in nodes if n.node_executable == executable)
    node._perform_substitutions(context)
    values: dict[str, Any] = {}
    for given in evaluate_parameters(context, node._Node__parameters):
        if isinstance(given, Path):
            values |= yaml.safe_load(given.read_text())["/**"]["ros__parameters"]
        else:
            values |= given
    remappings = {
        perform_substitutions(context, list(source)): perform_substitutions(context, list(target))
        for source, target in node._Node__remappings
    }
    return {"name": node.node_name, "parameters": values, "remappings": remappings}


def test_arguments_that_are_not_given_come_from_the_params_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("/**: {ros__parameters: {model: mine, fixed_frame: map}}")
    launched = launched_predictor(params_file=str(mine), model="other")
    assert launched["name"] == "/predictor"
    assert launched["parameters"] == {
        "use_sim_time": False,
        "model": "other",
        "fixed_frame": "map",
    }
    assert launched["remappings"] == {}


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Warnings of the launch files."""
    texts: list[str] = []
    monkeypatch.setattr(get_logger("social_implicit_ros"), "warning", texts.append)
    return texts


@pytest.mark.parametrize("file", [file.name for file in FILES])
def test_an_unknown_argument_is_named(file: str, monkeypatch, warnings) -> None:
    monkeypatch.setattr("sys.argv", ["ros2", "launch", "social_implicit_ros", file])
    launched_predictor(traker="people", tracks="/people", rate="2.0")

    (warning,) = warnings
    assert "argument traker:=people has no effect" in warning
    assert "did you mean tracker?" in warning


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_arguments_of_a_launch_file_are_known(file: Path, monkeypatch, warnings) -> None:
    monkeypatch.setattr("sys.argv", ["ros2", "launch", str(file)])
    names = arguments_of(get_launch_description_from_python_launch_file(str(file)))
    context = LaunchContext(argv=[f"{name}:=anything" for name in names])
    predictor = get_launch_description_from_python_launch_file(str(LAUNCH / "predictor.launch.py"))
    for entity in predictor.entities:
        entity.visit(context)
    assert len(names) > 0
    assert not warnings


def test_arguments_of_the_users_launch_file_are_its_own(monkeypatch, warnings) -> None:
    monkeypatch.setattr("sys.argv", ["ros2", "launch", "my_robot", "bringup.launch.py"])
    launched_predictor(use_rviz="true")
    assert not warnings


def test_given_arguments_reach_the_node() -> None:
    launched = launched_predictor(
        namespace="/robot1",
        tracks="/people",
        outputs="[markers]",
        autostart="false",
        use_sim_time="true",
    )
    assert launched["name"] == "/robot1/predictor"
    assert launched["remappings"] == {"~/tracks": "/people"}
    parameters = launched["parameters"]
    assert (parameters["autostart"], parameters["use_sim_time"]) == (False, True)
    assert list(parameters["outputs"]) == ["markers"]


def test_every_parameter_of_the_node_is_an_argument() -> None:
    launched = launched_predictor(
        odometry="/odom",
        plan="/plan",
        namespaced_tf="true",
        tick_rate_hz="5",
        outputs="markers, people",
        **{"markers.ellipse_times_s": "[1.2,2.4]"},
    )
    assert launched["remappings"] == {
        "~/odometry": "/odom",
        "~/plan": "/plan",
        "/tf": "tf",
        "/tf_static": "tf_static",
    }
    parameters = launched["parameters"]
    assert parameters["tick_rate_hz"] == 5.0 and type(parameters["tick_rate_hz"]) is float
    assert list(parameters["outputs"]) == ["markers", "people"]
    assert list(parameters["markers.ellipse_times_s"]) == [1.2, 2.4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"params_file": "/none.yaml"}, "params_file:=/none.yaml: no such file"),
        ({"tick_rate_hz": "fast"}, "tick_rate_hz:=fast: expected float"),
        ({"autostart": "maybe"}, "autostart:=maybe: expected true or false"),
        ({"use_sim_time": "yes"}, '"yes" is not valid. Valid options are: .*true'),
        ({"rviz": "on"}, '"on" is not valid. Valid options are: .*true'),
        ({"rviz": "true"}, "rviz2 is not installed: .*rviz:=false"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(
    arguments: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = packages.get_package_prefix

    def missing(package: str) -> str:
        if package == "rviz2":
            raise PackageNotFoundError(package)
        prefix: str = find(package)
        return prefix

    monkeypatch.setattr("ament_index_python.packages.get_package_prefix", missing)
    with pytest.raises(RuntimeError, match=message):
        launched_predictor(**arguments)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"file": "/none.mcap"}, "/none.mcap: no such file or folder"),
        ({"file": "/", "tracker": "people"}, "also tracks recorded in another type; leave it out"),
    ],
)
def test_a_replay_that_cannot_start_says_why(given: dict[str, str], error: str) -> None:
    description = get_launch_description_from_python_launch_file(str(LAUNCH / "replay.launch.py"))
    context = LaunchContext()
    context.launch_configurations.update(given)
    kinds = [type(entity) for entity in description.entities]
    # Otherwise the node would keep running after the error.
    assert kinds.index(OpaqueFunction) < kinds.index(IncludeLaunchDescription)
    with pytest.raises(RuntimeError, match=error):
        description.entities[kinds.index(OpaqueFunction)].execute(context)


def test_a_replay_takes_the_options_of_its_command(tmp_path: Path) -> None:
    description = get_launch_description_from_python_launch_file(str(LAUNCH / "replay.launch.py"))
    context = LaunchContext()
    given = {"file": str(tmp_path), "replay_options": "--tracks '/my people' --start 5"}
    for entity in description.entities:
        if isinstance(entity, DeclareLaunchArgument):
            context.launch_configurations.update(
                {k: v for k, v in given.items() if k == entity.name}
            )
            entity.execute(context)
    *_, replay = [e for e in description.entities if isinstance(e, OpaqueFunction)]
    (node,) = replay.execute(context)
    node._perform_substitutions(context)
    words = [perform_substitutions(context, list(word)) for word in node.cmd]
    at = words.index("--tracks")
    assert words[at : at + 4] == ["--tracks", "/my people", "--start", "5"]


def test_the_demo_plays_the_crowd_of_the_package_in_a_loop_and_starts_rviz() -> None:
    """The demo passes its arguments to the replay, which passes them to the predictor."""
    description = get_launch_description_from_python_launch_file(str(LAUNCH / "demo.launch.py"))
    context = LaunchContext()
    (replay,) = [e for e in description.entities if isinstance(e, IncludeLaunchDescription)]
    for entity in description.entities[:-1]:
        entity.execute(context)
    passed = {
        name: perform_substitutions(context, normalize_to_list_of_substitutions(value))
        for name, value in replay.launch_arguments
    }
    assert Path(passed["file"], "metadata.yaml").is_file()
    assert (passed["loop"], passed["rviz"]) == ("true", "true")
    assert Path(passed["rviz_config"]).name == "demo.rviz"


def test_rviz_subscribes_to_the_topics_in_the_namespace_of_the_node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / "rviz2").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path), prepend=os.pathsep)
    remappings = launched("rviz2", namespace="robot1", rviz="true")["remappings"]
    layout = yaml.safe_load((LAUNCH.parent / "config" / "predictor.rviz").read_text())
    topics = {
        display["Topic"]["Value"]
        for display in layout["Visualization Manager"]["Displays"]
        if "Topic" in display
    }
    for topic in topics:
        assert remappings[topic] == f"/robot1{topic}"
