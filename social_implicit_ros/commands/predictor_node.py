"""Runs the predictor node until SIGINT or SIGTERM."""

from __future__ import annotations

import sys

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions

from social_implicit_ros.ros.command_line import check_command_line
from social_implicit_ros.ros.node import PredictorNode
from social_implicit_ros.ros.signals import catch_stop_signals

#: How long a signal may wait for a node that has nothing to do.
_POLL_S = 0.1


def main(args: list[str] | None = None) -> None:
    """Runs the node until the first SIGINT or SIGTERM; finishes a tick that has begun.

    Args:
        args: `--help`, `--version` or ROS arguments; those of the process where left out.
    """
    args = sys.argv[1:] if args is None else args
    check_command_line(args)
    is_stopping = catch_stop_signals()
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        sys.exit(f"predictor_node: {error}")
    executor = SingleThreadedExecutor()
    node = PredictorNode()
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


if __name__ == "__main__":
    main()
