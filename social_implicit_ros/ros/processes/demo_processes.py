"""Processes of the demonstration, and a listener that receives their messages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import PointCloud2

from social_implicit_ros.prediction.replay_settings import NODE_NAME
from social_implicit_ros.ros import qos
from social_implicit_ros.ros.processes.domains import reserve_domain
from social_implicit_ros.ros.processes.signals import STOP_SIGNALS, take_over
from social_implicit_ros.ros.processes.startup import start_ros

PREDICTIONS_TOPIC = f"/{NODE_NAME}/predictions"
#: Time that a process has to end after SIGINT, seconds.
_END_S = 5.0

Content = TypeVar("Content")


class Listener(Generic[Content]):
    """Receives the output of the node while the demonstration runs.

    Attributes:
        predictions: decoded predictions with at least one agent, oldest first.
        diagnostics: values of the newest status, by key.
        problem: message of that status if it is an error, else empty.
    """

    def __init__(self, decode: Callable[[PointCloud2], Content]) -> None:
        """Subscribes; `decode` reads a `~/predictions` message."""
        self.predictions: list[Content] = []
        self.diagnostics: dict[str, str] = {}
        self.problem = ""
        self._decode = decode
        self._node = rclpy.create_node("demo")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._node.create_subscription(
            PointCloud2, PREDICTIONS_TOPIC, self._on_prediction, qos.every_prediction()
        )
        self._node.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.diagnostics()
        )

    def listen(self, duration_s: float) -> None:
        """Waits for a message, for at most this long."""
        self._executor.spin_once(timeout_sec=duration_s)

    def hears_node(self) -> bool:
        """Whether diagnostics were received and the publisher of predictions is discovered."""
        return bool(self.diagnostics) and self._node.count_publishers(PREDICTIONS_TOPIC) > 0

    def close(self) -> None:
        """Destroys the subscriptions."""
        self._executor.shutdown()
        self._node.destroy_node()

    def _on_prediction(self, message: PointCloud2) -> None:
        if message.width * message.height:
            self.predictions.append(self._decode(message))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if NODE_NAME in status.name and status.name.endswith(": prediction"):
                self.diagnostics = {entry.key: entry.value for entry in status.values}
                self.problem = status.message if status.level == DiagnosticStatus.ERROR else ""


@contextmanager
def listening(decode: Callable[[PointCloud2], Content]) -> Iterator[Listener[Content]]:
    """Initialises ROS and creates a listener; shuts both down at the end of the block."""
    # Python handles Ctrl-C, so that every `finally` runs.
    start_ros("social_implicit_demo", [])
    listener = Listener(decode)
    try:
        yield listener
    finally:
        listener.close()
        rclpy.try_shutdown()


@contextmanager
def running(module: str, arguments: Sequence[str], log: Path) -> Iterator[subprocess.Popen]:
    """Runs a command of this package, and ends it with the block, also on errors."""
    process = None
    with log.open("w") as output:
        try:
            with _interrupts_deferred():
                process = subprocess.Popen(
                    [sys.executable, "-m", f"social_implicit_ros.commands.{module}", *arguments],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Ctrl-C in a terminal reaches only this process, which ends the others.
                    start_new_session=True,
                )
            yield process
        finally:
            if process is not None:
                with _interrupts_deferred():
                    _end(process)


def _end(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Defers interruptions to the end of the block, so that it always completes."""
    arrived: list[int] = []
    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    take_over(lambda number, frame: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if arrived:
        raise KeyboardInterrupt


def tail(log: Path, n_lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-n_lines:]) or "(nothing)"


def isolate() -> None:
    """Isolates this process and its children from other ROS nodes on this machine and the network.

    Raises:
        NoDomainError: every domain is in use.
    """
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if os.environ.get("ROS_DISTRO") == "humble":
        os.environ["ROS_LOCALHOST_ONLY"] = "1"
    os.environ["ROS_DOMAIN_ID"] = str(reserve_domain())
