"""Replays recorded pedestrians to the predictor, optionally with RViz.

    ros2 launch social_implicit_ros replay.launch.py file:=/path/to/bag rviz:=true

Node and RViz use the time of the recording. Takes the arguments of predictor.launch.py too.
"""

import shlex
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

PACKAGE = "social_implicit_ros"


def generate_launch_description() -> LaunchDescription:
    """Declares the arguments; starts the predictor and the replay, which waits for it."""
    predictor = PathJoinSubstitution([FindPackageShare(PACKAGE), "launch", "predictor.launch.py"])
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "file", description="ETH/UCY text, a rosbag2 folder, or an .mcap or .db3 file."
            ),
            DeclareLaunchArgument(
                "rate",
                default_value="1.0",
                description="Speed of the replay: recorded seconds per second.",
            ),
            DeclareLaunchArgument(
                "loop",
                default_value="false",
                choices=["true", "True", "1", "false", "False", "0"],
                description="Restart the recording at its end.",
            ),
            DeclareLaunchArgument(
                "replay_options",
                default_value="",
                description="Other options of replay_tracks, such as '--tracks /people --start 5'.",
            ),
            DeclareLaunchArgument(
                "tracks", default_value="/tracks", description="Topic of the replayed tracks."
            ),
            DeclareLaunchArgument(
                "tracker",
                default_value="marker_array",
                description="Type in which the replay publishes any recording's tracks: "
                "marker_array or point_cloud.",
            ),
            DeclareLaunchArgument(
                "fixed_frame", default_value="odom", description="Frame of the tracks."
            ),
            DeclareLaunchArgument(
                "use_sim_time",
                default_value="true",
                description="Use the time of /clock, which the replay publishes.",
            ),
            # First, as the node would keep running after an error of a later action.
            OpaqueFunction(function=_check),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(predictor)),
            OpaqueFunction(function=_replay),
        ]
    )


def _check(context: LaunchContext) -> None:
    given = LaunchConfiguration("file").perform(context)
    if not Path(given).expanduser().exists():
        raise RuntimeError(f"argument file:={given}: no such file or folder; give an absolute path")
    tracker = LaunchConfiguration("tracker").perform(context)
    if tracker not in ("marker_array", "point_cloud"):
        raise RuntimeError(
            f"argument tracker:={tracker}: the replay publishes marker_array or point_cloud, also "
            "tracks recorded in another type; leave it out, and for a mapping of your own give "
            "replay_options:='--tracker FILE'"
        )


def _replay(context: LaunchContext) -> list[Action]:
    file = Path(LaunchConfiguration("file").perform(context)).expanduser()
    loops = LaunchConfiguration("loop").perform(context) in ("true", "True", "1")
    return [
        Node(
            package=PACKAGE,
            executable="replay_tracks",
            arguments=[
                str(file),
                "--rate",
                LaunchConfiguration("rate"),
                "--topic",
                LaunchConfiguration("tracks"),
                "--type",
                LaunchConfiguration("tracker"),
                "--fixed-frame",
                LaunchConfiguration("fixed_frame"),
                "--wait",
                *(["--loop"] if loops else []),
                *shlex.split(LaunchConfiguration("replay_options").perform(context)),
            ],
            output="screen",
        )
    ]
