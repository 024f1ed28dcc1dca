"""Starts ROS in a process."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from social_implicit_ros.untrusted_files import printable_text

#: Part of an error of rcl -> what is expected; rcl names only numbers of lexemes, or nothing.
_RCL_HINTS = {
    "parse parameter override rule": "expected -p NAME:=VALUE",
    "parse remap rule": "expected -r FROM:=TO of valid names, and of a namespace -r __ns:=/NAME",
    "parse log level": "expected debug, info, warn, error or fatal",
    "before ros__parameters": "expected the name of the node or /**, below it ros__parameters with "
    "two underscores, and below that the parameters",
    "Error parsing a event": "there it is not YAML: correct the indentation, and write no tabs",
}


def send_in_background() -> None:
    """Makes Fast DDS send messages from a thread of its own; call it before `start_ros`.

    By default it sends within `publish`. A reliable subscriber that hangs and holds back large
    messages then costs the caller several times the computation, and all other outputs are late.
    A mode that the user set is kept.
    """
    os.environ.setdefault("RMW_FASTRTPS_PUBLICATION_MODE", "ASYNCHRONOUS")


def start_ros(command: str, args: Sequence[str]) -> None:
    """Initialises rclpy without its signal handlers, and without a log file if it is not writable.

    Raises:
        ValueError: invalid ROS arguments, or rclpy cannot be initialised.
    """
    args = list(args)
    problem = _log_folder_problem()
    if problem:  # rclpy would not start
        print(f"{command}: no log file is written: {problem}", file=sys.stderr)
        args += ["--ros-args", "--disable-external-lib-logs"]
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        raise ValueError(_text(error)) from error


def own_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments that are not ROS arguments; raises ValueError if rcl cannot read these."""
    try:
        own: list[str] = remove_ros_args(arguments)
    except (RuntimeError, UnicodeEncodeError) as error:
        raise ValueError(_text(error)) from error
    return own


def _text(error: RuntimeError | UnicodeEncodeError) -> str:
    """The error message of rcl about ROS arguments, without its source locations."""
    if isinstance(error, UnicodeEncodeError):
        return f"a ROS argument is not UTF-8: {printable_text(error.object)}"
    text = re.sub(r",? at \S+\.\w+:\d+", "", str(error))
    # For unknown arguments the message is only their list.
    if text.startswith("["):
        return f"unknown ROS arguments: {text}"
    return text + next((f"; {hint}" for part, hint in _RCL_HINTS.items() if part in text), "")


def _log_folder_problem() -> str:
    """The reason why rcl cannot write its log, or ''. See ROS 2's documentation of logging."""
    home = os.environ.get("ROS_HOME") or (
        f"{os.environ['HOME']}/.ros" if os.environ.get("HOME") else ""
    )
    given = os.environ.get("ROS_LOG_DIR")
    if not (given or home):
        return "HOME is not set; set it, or ROS_LOG_DIR"
    folder = Path(given).expanduser() if given else Path(home).expanduser() / "log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return f"{folder}: {error.strerror}; set ROS_LOG_DIR"
    return "" if os.access(folder, os.W_OK) else f"{folder} is not writable; set ROS_LOG_DIR"
