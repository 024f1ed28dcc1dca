"""Demonstrates the predictor without a robot: a simulated crowd, the node and RViz.

    ros2 launch social_implicit_ros demo.launch.py

Replays the recording that the package ships, in a loop. Takes the arguments of replay.launch.py and
predictor.launch.py too, such as outputs:='[markers,people]'.
"""

from importlib import resources

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

PACKAGE = "social_implicit_ros"


def generate_launch_description() -> LaunchDescription:
    """Includes replay.launch.py with other defaults for its arguments."""
    share = FindPackageShare(PACKAGE)
    crowd = resources.files("social_implicit_ros.recordings") / "crowd"
    arguments = {
        "file": (str(crowd), "Recording to replay; default: the shipped crowd."),
        "loop": ("true", "Restart the recording at its end."),
        "rviz": ("true", "Start RViz; needs rviz2."),
        "rviz_config": (
            PathJoinSubstitution([share, "config", "demo.rviz"]),
            "RViz configuration; the default is predictor.rviz with a view of the whole crowd.",
        ),
    }
    replay = PathJoinSubstitution([share, "launch", "replay.launch.py"])
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in arguments.items()
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(replay),
                launch_arguments=[(name, LaunchConfiguration(name)) for name in arguments],
            ),
        ]
    )
