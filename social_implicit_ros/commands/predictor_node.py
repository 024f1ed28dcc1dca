"""Runs the predictor node until SIGINT, SIGTERM or SIGHUP."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

from social_implicit_ros.commands.entry_points import reports_errors
from social_implicit_ros.parameter_spec import ParameterError
from social_implicit_ros.prediction.replay_settings import sections_of_others
from social_implicit_ros.ros.node import PredictorNode
from social_implicit_ros.ros.processes.signals import catch_stop_signals
from social_implicit_ros.ros.processes.startup import own_arguments, send_in_background, start_ros
from social_implicit_ros.settings import PARAMETERS
from social_implicit_ros.untrusted_files import printable_text

PACKAGE = "social_implicit_ros"
_NAMES = {spec.name for spec in PARAMETERS}
_PARAMETERS = """\
The node is configured by ROS parameters. config/predictor.yaml explains each parameter and holds
its default (installed as share/social_implicit_ros/config/predictor.yaml).

  predictor_node --ros-args -p tracker:=people -r '~/tracks:=/people'
  predictor_node --ros-args --params-file my.yaml
  ros2 param describe /predictor tracker
  ros2 launch social_implicit_ros predictor.launch.py --show-args
"""
#: Maximum delay of the reaction to a signal while the node is idle, seconds.
_POLL_S = 0.1


@reports_errors("predictor_node")
def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the node until the first SIGINT, SIGTERM or SIGHUP; finishes a tick that has begun."""
    argv = sys.argv[1:] if arguments is None else arguments
    check_command_line(argv)
    is_stopping = catch_stop_signals()
    if is_stopping():
        return
    send_in_background()
    start_ros("predictor_node", argv)
    executor = SingleThreadedExecutor()
    node = PredictorNode()
    for line in ineffective_files(argv, node.get_fully_qualified_name()):
        node.get_logger().warning(line)
    try:
        executor.add_node(node)
        node.autostart()
        while not is_stopping():
            executor.spin_once(timeout_sec=_POLL_S)
    except ExternalShutdownException:
        pass
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


def ineffective_files(arguments: Sequence[str], node: str) -> Iterator[str]:
    """A line for each parameter file without a section for the node with this full name."""
    for option, file in pairwise(arguments):
        if option != "--params-file":
            continue
        with suppress(ParameterError):  # rcl has read it
            others = sections_of_others(Path(file), node)
            if others:
                yield printable_text(
                    f"{file} has no section for {node}, but for {', '.join(others[:3])}: rename "
                    f"that to {node}, or to /** for every node"
                )


def check_command_line(arguments: Sequence[str]) -> None:
    """Handles `--help` and `--version`; exits at arguments that are not ROS arguments.

    Raises:
        ValueError: invalid ROS arguments.
    """
    parser = argparse.ArgumentParser(
        prog="predictor_node",
        usage="%(prog)s [-h] [--version] [--ros-args ...]",
        description="Lifecycle node that predicts the trajectories of people around a robot.",
        epilog=_PARAMETERS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    others = own_arguments(arguments)
    own = arguments[: arguments.index("--ros-args")] if "--ros-args" in arguments else arguments
    for argument in own:
        # rcl would take it as a remapping and ignore it silently.
        if argument in ("-p", "-r") or argument.partition(":=")[0] in _NAMES:
            parser.error(f"{argument}: parameters and remappings follow --ros-args, see --help")
    if parser.parse_args(others).version:
        print(PACKAGE, version(PACKAGE))
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
