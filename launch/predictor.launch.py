"""Starts the predictor and optionally RViz.

    ros2 launch social_implicit_ros predictor.launch.py tracker:=people tracks:=/people rviz:=true

An argument that is not given leaves its parameter to the params file.
"""

from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

PACKAGE = "social_implicit_ros"
#: Arguments that are parameters of the node, by name, with their types.
PARAMETERS: dict[str, Any] = {
    "tracker": str,
    "fixed_frame": str,
    "model": str,
    "outputs": list[str],
    "robot": str,
    "autostart": bool,
}


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
        "tracker": ("", "Tracker mapping of the messages: a name such as people, or a path."),
        "fixed_frame": ("", "Level frame that does not move, in which predictions are published."),
        "model": ("", "Name of a shipped model, or path of an .onnx file."),
        "outputs": ("", "Outputs to publish, such as [pointcloud,markers]."),
        "robot": ("", "Source of the robot's position: none, odometry or tf."),
        "autostart": ("", "If false, a lifecycle manager configures and activates the node."),
        "use_sim_time": ("false", "Use the time of /clock, for a replay or a simulation."),
        "log_level": ("info", "Log level of the node: debug, info, warn, error or fatal."),
        "rviz": ("false", "Start RViz; needs rviz2."),
        "rviz_config": (
            PathJoinSubstitution([config, "predictor.rviz"]),
            "RViz configuration.",
        ),
    }
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in arguments.items()
            ),
            OpaqueFunction(function=_nodes),
        ]
    )


def _nodes(context: LaunchContext) -> list[Action]:
    given = {name: LaunchConfiguration(name).perform(context) for name in (*PARAMETERS, "tracks")}
    use_sim_time = ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)
    parameters = {
        name: ParameterValue(LaunchConfiguration(name), value_type=value_type)
        for name, value_type in PARAMETERS.items()
        if given[name]
    }
    namespace = LaunchConfiguration("namespace").perform(context).strip("/")
    prefix = f"/{namespace}" if namespace else ""
    # The node configures itself if autostart is true; otherwise launch events may do so.
    predictor = LifecycleNode(
        package=PACKAGE,
        executable="predictor_node",
        name="predictor",
        namespace=namespace,
        parameters=[
            LaunchConfiguration("params_file"),
            {"use_sim_time": use_sim_time, **parameters},
        ],
        remappings=[("~/tracks", given["tracks"])] if given["tracks"] else [],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        output="screen",
    )
    frame = ["-f", given["fixed_frame"]] if given["fixed_frame"] else []
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        namespace=namespace,
        parameters=[{"use_sim_time": use_sim_time}],
        # The RViz configuration has the topics without a namespace.
        remappings=[
            *(
                (f"/predictor/{topic}", f"{prefix}/predictor/{topic}")
                for topic in ("predictions", "markers", "costmap", "costmap_updates")
            ),
            ("/predictor/tracks", given["tracks"] or f"{prefix}/predictor/tracks"),
        ],
        arguments=["-d", LaunchConfiguration("rviz_config"), *frame],
        condition=IfCondition(LaunchConfiguration("rviz")),
        output="screen",
    )
    return [predictor, rviz]
