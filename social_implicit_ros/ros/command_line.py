"""What `predictor_node` understands besides ROS arguments: `--help` and `--version`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import version

from rclpy.utilities import remove_ros_args

PACKAGE = "social_implicit_ros"
_PARAMETERS = """\
Parameters are ROS parameters. Each is explained, with its default, in config/predictor.yaml
(installed: share/social_implicit_ros/config/predictor.yaml), and by a running node:

  predictor_node --ros-args -p tracker:=people -r '~/tracks:=/people'
  predictor_node --ros-args --params-file my.yaml
  ros2 param describe /predictor tracker
  ros2 launch social_implicit_ros predictor.launch.py --show-args
"""


def check_command_line(arguments: Sequence[str]) -> None:
    """Answers `--help` and `--version` and ends; refuses words that nobody understands.

    Args:
        arguments: of the process, without its name; ROS arguments may be among them.

    Raises:
        SystemExit: with 0 after an answer, with 2 after a refusal, with 1 where a parameter file
            cannot be read.
    """
    parser = argparse.ArgumentParser(
        prog="predictor_node",
        usage="%(prog)s [-h] [--version] [--ros-args ...]",
        description="The node that predicts where the people around a robot will walk.",
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
