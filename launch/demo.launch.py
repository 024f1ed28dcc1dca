"""Shows the predictor at work without a robot: a simulated crowd, the node, and RViz.

    ros2 launch social_implicit_ros demo.launch.py

The crowd is the recording that the package ships, again and again. Every argument of
replay.launch.py and of predictor.launch.py may be given, too, such as outputs:='[markers,costmap]'.
"""

from importlib import resources

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

PACKAGE = "social_implicit_ros"


def generate_launch_description() -> LaunchDescription:
    """Other defaults for the arguments of the replay, then the replay."""
    share = FindPackageShare(PACKAGE)
    crowd = resources.files("social_implicit_ros.recordings") / "crowd"
    arguments = {
        "file": (str(crowd), "The crowd, or another recording."),
        "loop": ("true", "Begin again at the end."),
        "rviz": ("true", "Show it; needs rviz2."),
        "rviz_config": (
            PathJoinSubstitution([share, "config", "demo.rviz"]),
            "What RViz shows: as predictor.rviz, from where the whole crowd is seen.",
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
