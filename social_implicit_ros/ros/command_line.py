"""Arguments of `predictor_node` besides ROS arguments: `--help` and `--version`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import version

from rclpy.utilities import remove_ros_args

PACKAGE = "social_implicit_ros"
_PARAMETERS = """\
The node is configured by ROS parameters. config/predictor.yaml explains each parameter and holds
its default (installed as share/social_implicit_ros/config/predictor.yaml).

  predictor_node --ros-args -p tracker:=people -r '~/tracks:=/people'
  predictor_node --ros-args --params-file my.yaml
  ros2 param describe /predictor tracker
  ros2 launch social_implicit_ros predictor.launch.py --show-args
"""


def check_command_line(arguments: Sequence[str]) -> None:
    """Handles `--help` and `--version`; rejects unknown arguments.

    Args:
        arguments: of the process, without its name; may include ROS arguments.

    Raises:
        SystemExit: status 0 after `--help` or `--version`, 2 for an unknown argument, 1 for a
            parameter file that cannot be read.
    """
    parser = argparse.ArgumentParser(
        prog="predictor_node",
        usage="%(prog)s [-h] [--version] [--ros-args ...]",
        description="Lifecycle node that predicts the trajectories of people around a robot.",
        epilog=_PARAMETERS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    try:
        others = remove_ros_args(arguments)
    except RuntimeError as error:
        parser.exit(1, f"predictor_node: {error}\n")
    if parser.parse_args(others).version:
        print(PACKAGE, version(PACKAGE))
        parser.exit()
