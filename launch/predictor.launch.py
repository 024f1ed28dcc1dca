"""Starts the predictor and optionally RViz.

    ros2 launch social_implicit_ros predictor.launch.py tracker:=people tracks:=/people rviz:=true

Every parameter of the node is an argument. If it is not given, the params file sets it.
"""

import os
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from social_implicit_ros.parameter_spec import ParameterSpec
from social_implicit_ros.settings import PARAMETERS
from social_implicit_ros.untrusted_files import did_you_mean

PACKAGE = "social_implicit_ros"
_TRUE = ("true", "True", "1")
#: Choices of boolean arguments: without them any other text would mean false.
_BOOLEAN = (*_TRUE, "false", "False", "0")
#: Further arguments of replay.launch.py.
_OF_REPLAY = ("file", "rate", "loop", "replay_options")


def generate_launch_description() -> LaunchDescription:
    """Declares the arguments and starts the nodes."""
    config = PathJoinSubstitution([FindPackageShare(PACKAGE), "config"])
    arguments = {
        "namespace": ("", "Namespace of the node and its topics, such as robot1."),
        "params_file": (
            PathJoinSubstitution([config, "predictor.yaml"]),
            "Parameter file of the node; the default file explains each parameter.",
        ),
        "tracks": ("", "Topic of the tracker; default: ~/tracks of the node."),
        "odometry": ("", "Topic of the odometry for robot:=odometry; default: ~/odometry."),
        "plan": ("", "Topic of the robot's plan, such as /plan; default: ~/plan. Needs robot."),
        "map": ("", "Topic of a map, such as /map; predictions keep out of its walls."),
        "namespaced_tf": (
            "false",
            "Read tf and tf_static of the namespace instead of /tf and /tf_static, as Nav2 does "
            "for several robots.",
        ),
        "use_sim_time": ("false", "Use the time of /clock, for a replay or a simulation."),
        "log_level": ("info", "Log level of the node: debug, info, warn, error or fatal."),
        "rviz": ("false", "Start RViz; needs rviz2."),
        "rviz_config": (
            PathJoinSubstitution([config, "predictor.rviz"]),
            "RViz configuration.",
        ),
        **{spec.name: ("", _first_sentence(spec.description)) for spec in PARAMETERS},
    }
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(
                    name,
                    default_value=default,
                    description=description,
                    choices=_BOOLEAN if default == "false" else None,
                )
                for name, (default, description) in arguments.items()
            ),
            OpaqueFunction(function=_warn_of_unknown, args=[(*arguments, *_OF_REPLAY)]),
            OpaqueFunction(function=_nodes),
        ]
    )


def _warn_of_unknown(context: LaunchContext, known: Collection[str]) -> None:
    """Warns about arguments that launch ignores.

    Only if a launch file of this package was started directly: another launch file that includes
    it may have arguments of its own.
    """
    own = {file.name for file in Path(__file__).parent.glob("*.launch.py")}
    if own.isdisjoint(Path(argument).name for argument in sys.argv):
        return
    for given in context.argv:
        name, separator, _ = given.partition(":=")
        if separator and name not in known:
            get_logger(PACKAGE).warning(
                f"argument {given} has no effect: there is no argument {name}"
                f"{did_you_mean(name, known)}; --show-args lists them"
            )


def _nodes(context: LaunchContext) -> list[Action]:
    def argument(name: str) -> str:
        value: str = LaunchConfiguration(name).perform(context)
        return value

    namespace = argument("namespace").strip("/")
    use_sim_time = {"use_sim_time": argument("use_sim_time") in _TRUE}
    given = {spec.name: argument(spec.name) for spec in PARAMETERS}
    topics = {
        "~/tracks": argument("tracks"),
        "~/odometry": argument("odometry"),
        "~/map": argument("map"),
        "~/plan": argument("plan"),
    }
    if argument("map") and not given["use_map"]:
        given["use_map"] = "true"
    if argument("namespaced_tf") in _TRUE:
        topics |= {"/tf": "tf", "/tf_static": "tf_static"}
    # The node configures itself if autostart is true; otherwise launch events may do so.
    predictor = LifecycleNode(
        package=PACKAGE,
        executable="predictor_node",
        name="predictor",
        namespace=namespace,
        parameters=[
            _file(argument("params_file"), "params_file"),
            {
                **use_sim_time,
                **{
                    spec.name: _parameter(spec, given[spec.name])
                    for spec in PARAMETERS
                    if given[spec.name]
                },
            },
        ],
        remappings=[(name, topic) for name, topic in topics.items() if topic],
        # Set for this logger only: at debug level rcl logs far more than the node.
        ros_arguments=[
            "--log-level",
            f"{'.'.join([*_parts(namespace), 'predictor'])}:={argument('log_level')}",
        ],
        output="screen",
    )
    if argument("rviz") not in _TRUE:
        return [predictor]
    _require_package("rviz2", "rviz:=false")
    prefix = f"/{namespace}" if namespace else ""
    frame_id = given["publish_frame"] or given["fixed_frame"]
    frame = ["-f", frame_id] if frame_id else []
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=namespace,
        parameters=[use_sim_time],
        # The RViz configuration has the topics without a namespace.
        remappings=[
            *(
                (f"/predictor/{topic}", f"{prefix}/predictor/{topic}")
                for topic in ("predictions", "markers", "costmap", "costmap_updates")
            ),
            ("/predictor/tracks", topics["~/tracks"] or f"{prefix}/predictor/tracks"),
        ],
        arguments=["-d", _file(argument("rviz_config"), "rviz_config"), *frame],
        output="screen",
    )
    return [predictor, rviz]


def _parameter(spec: ParameterSpec, text: str) -> ParameterValue:
    """The value of an argument in the parameter's type: a list with or without brackets.

    Raises:
        RuntimeError: the text is of another type.
    """
    if not isinstance(spec.default, tuple):
        return ParameterValue(_number(spec, text, spec.default), value_type=type(spec.default))
    elements = [element.strip(" '\"") for element in text.strip("[] ").split(",")]
    return [_number(spec, element, spec.default[0]) for element in elements if element]


def _number(spec: ParameterSpec, text: str, like: object) -> Any:
    if isinstance(like, bool):
        if text.lower() not in ("true", "false"):
            raise RuntimeError(f"argument {spec.name}:={text}: expected true or false")
        return text.lower() == "true"
    try:
        return type(like)(text)
    except ValueError as error:
        raise RuntimeError(
            f"argument {spec.name}:={text}: expected {type(like).__name__}, such as {like}"
        ) from error


def _file(path: str, argument: str) -> str:
    file = Path(path).expanduser()
    if not file.is_file():
        raise RuntimeError(f"argument {argument}:={path}: no such file; give an absolute path")
    return str(file)


def _require_package(package: str, without: str) -> None:
    try:
        get_package_prefix(package)
    except PackageNotFoundError as error:
        distribution = os.environ.get("ROS_DISTRO", "$ROS_DISTRO")
        raise RuntimeError(
            f"{package} is not installed: sudo apt install "
            f"ros-{distribution}-{package.replace('_', '-')}, or start with {without}"
        ) from error


def _parts(namespace: str) -> Iterable[str]:
    return [part for part in namespace.split("/") if part]


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".") + "."
