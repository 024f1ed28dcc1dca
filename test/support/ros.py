"""The node in a separate process, and a peer that talks to it over DDS.

Each test has its own domain and context. Tests wait for events and fail at a time limit.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameterTypes, SetParametersAtomically
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import HistoryPolicy, QoSProfile

from social_implicit_ros.ros.processes.domains import reserve_domain
from social_implicit_ros.settings import PARAMETERS

#: Signals that end a process in order. SIGHUP stays ignored where `nohup` runs the tests.
STOP_SIGNALS = tuple(
    number
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP
)
#: Time limit for an event; generous, as other tests may keep the machine busy.
PATIENCE_S = 60.0
#: A response that takes longer may have been lost.
ASK_AGAIN_S = 1.0
#: No message is lost between the processes of a test.
LOSSLESS = QoSProfile(history=HistoryPolicy.KEEP_ALL)


class NodeProcess:
    """A module of the package, run as a process with its output in a file."""

    def __init__(self, process: subprocess.Popen, log: Path) -> None:
        self.process = process
        self._log = log
        #: Folder of its log, and of the files that a node saves.
        self.folder = log.parent

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def stop(self, signal_number: int = signal.SIGINT) -> int:
        """Sends the signal and returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        return self.process.wait(timeout=PATIENCE_S)


@contextmanager
def running(
    module: str, arguments: Sequence[str], *, domain: int, folder: Path
) -> Iterator[NodeProcess]:
    """Runs `python -m social_implicit_ros.commands.<module>` until the end of the block."""
    log = folder / f"{module}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", f"social_implicit_ros.commands.{module}", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            # Files that a node saves for its next start are visible to the same test only.
            env={**os.environ, "ROS_DOMAIN_ID": str(domain), "ROS_HOME": str(folder)},
        )
        try:
            yield NodeProcess(process, log)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def ros_arguments(**parameters: Any) -> list[str]:
    """Command-line arguments that set parameters; a double underscore stands for a dot."""
    arguments = ["--ros-args"]
    for name, value in parameters.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        arguments += ["-p", f"{name.replace('__', '.')}:={text}"]
    return arguments


class Peer:
    """A second node, with its own context, that publishes, subscribes and calls services."""

    def __init__(self, domain: int) -> None:
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("peer", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._clients: dict[str, Any] = {}

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def wait_for(self, happened: Callable[[], Any], what: str, log: NodeProcess | None) -> Any:
        """Handles events until `happened` returns a true value; returns that value."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not (result := happened()):
            if time.monotonic() > deadline_s or (log and log.process.poll() is not None):
                output = f"\n{log.output}" if log else ""
                raise AssertionError(f"{what} did not happen{output}")
            self._executor.spin_once(timeout_sec=0.01)
        return result

    def spin_once(self, timeout_s: float) -> None:
        """Handles one event, if there is one in time."""
        self._executor.spin_once(timeout_sec=timeout_s)

    def collect(self, message_class: type, topic: str) -> list[Any]:
        """Subscribes to a topic; returns the list that collects its messages."""
        received: list[Any] = []
        self.node.create_subscription(message_class, topic, received.append, LOSSLESS)
        return received

    def publisher(self, message_class: type, topic: str, log: NodeProcess | None) -> Publisher:
        """Creates a publisher and waits for a subscription."""
        publisher = self.node.create_publisher(message_class, topic, LOSSLESS)
        self.wait_for(publisher.get_subscription_count, f"a subscription to {topic}", log)
        return publisher

    def predictor_topics(self, n_topics: int, log: NodeProcess | None) -> dict[str, str]:
        """Waits until the predictor publishes on so many topics; returns their types."""

        def found() -> dict[str, str]:
            if "predictor" not in self.node.get_node_names():
                return {}
            names_and_types = self.node.get_publisher_names_and_types_by_node("predictor", "/")
            topics = {
                topic: kinds[0]
                for topic, kinds in names_and_types
                if topic.startswith("/predictor/") and not topic.endswith("/transition_event")
            }
            return topics if len(topics) == n_topics else {}

        topics: dict[str, str] = self.wait_for(found, "discovery of the predictor's topics", log)
        return topics

    def call(self, service_class: type, name: str, request: Any, log: NodeProcess | None) -> Any:
        """Calls a service and returns its response."""
        if name not in self._clients:
            self._meet(service_class, name, log)
        future = self._clients[name].call_async(request)
        self.wait_for(future.done, f"an answer of {name}", log)
        return future.result()

    def _meet(self, service_class: type, name: str, log: NodeProcess | None) -> None:
        """Creates a client whose server has discovered it.

        A server may receive a request before it has discovered the client; its response is lost
        then. A process discovers the clients of another one in the order of their creation. So a
        second client is created, of a service that every node has and that may be called again.
        Once it gets a response, the server has discovered the first client too.
        """
        described = f"{name.rpartition('/')[0]}/get_parameter_types"
        client = self.node.create_client(service_class, name)
        later = self.node.create_client(GetParameterTypes, described)
        self.wait_for(client.service_is_ready, f"the service {name}", log)
        self.wait_for(later.service_is_ready, f"the service {described}", log)
        asked: list[Any] = []

        def answered() -> bool:
            if time.monotonic() > begun_s + len(asked) * ASK_AGAIN_S:
                asked.append(later.call_async(GetParameterTypes.Request()))
            return any(future.done() for future in asked)

        begun_s = time.monotonic()
        self.wait_for(answered, f"an answer of {described}", log)
        self.node.destroy_client(later)
        self._clients[name] = client


class NodeUnderTest:
    """The predictor in its process, and a peer that talks to it."""

    def __init__(self, process: NodeProcess, peer: Peer, parameters: Mapping[str, Any]) -> None:
        self.process = process
        self.peer = peer
        self._usual = {spec.name.replace(".", "__"): spec.default for spec in PARAMETERS}
        self._usual |= parameters
        self._changed: set[str] = set()

    def restart(self, **parameters: Any) -> NodeUnderTest:
        """Activates the node with other parameters; earlier changes are undone.

        Takes a fraction of the time of a new process. Subscriptions of the peer end.
        """
        self.unconfigure()
        for subscription in list(self.peer.node.subscriptions):
            self.peer.node.destroy_subscription(subscription)
        values = {name: self._usual[name] for name in self._changed} | parameters
        assert not values or self.set_parameters(**values).successful
        self._changed = set(parameters)
        assert self.transition("configure"), self.process.output
        assert self.transition("activate")
        return self

    def unconfigure(self) -> None:
        """Brings the node from any state to unconfigured, where all parameters can be set."""
        for label in {"active": ["deactivate", "cleanup"], "inactive": ["cleanup"]}.get(
            self.state(), []
        ):
            assert self.transition(label)

    def wait_for(self, happened: Callable[[], Any], what: str) -> Any:
        return self.peer.wait_for(happened, what, self.process)

    def collect(self, message_class: type, topic: str) -> list[Any]:
        """Subscribes to a topic of the node; returns the list that collects its messages."""
        received = self.peer.collect(message_class, topic)
        self.wait_for(lambda: self.peer.node.count_publishers(topic), f"a publisher of {topic}")
        return received

    def publisher(self, message_class: type, topic: str) -> Publisher:
        return self.peer.publisher(message_class, topic, self.process)

    def call(self, service_class: type, name: str, request: Any) -> Any:
        return self.peer.call(service_class, name, request, self.process)

    def set_parameters(self, **values: Any) -> Any:
        """Sets all values at once and returns the result; `restart` undoes them."""
        self._changed |= set(values)
        request = SetParametersAtomically.Request()
        request.parameters = [
            Parameter(name.replace("__", "."), value=value).to_parameter_msg()
            for name, value in values.items()
        ]
        response = self.call(
            SetParametersAtomically, "/predictor/set_parameters_atomically", request
        )
        return response.result

    def state(self) -> str:
        response = self.call(GetState, "/predictor/get_state", GetState.Request())
        return str(response.current_state.label)

    def transition(self, label: str) -> bool:
        request = ChangeState.Request(transition=Transition(label=label))
        if label == "shutdown":
            # Three transitions have this name, one for each state.
            request.transition.id = {
                "unconfigured": Transition.TRANSITION_UNCONFIGURED_SHUTDOWN,
                "inactive": Transition.TRANSITION_INACTIVE_SHUTDOWN,
                "active": Transition.TRANSITION_ACTIVE_SHUTDOWN,
            }[self.state()]
            request.transition.label = ""
        return bool(self.call(ChangeState, "/predictor/change_state", request).success)


def start_predictor(
    stack: ExitStack, folder: Path, *extra: str, **parameters: Any
) -> NodeUnderTest:
    """Starts the predictor and a peer in a domain of their own, until the stack closes.

    Args:
        stack: stops both when it closes.
        folder: folder for the log of the process.
        extra: more command-line arguments.
        parameters: parameters of the node; a double underscore stands for a dot.
    """
    domain = reserve_domain()
    arguments = [*ros_arguments(**parameters), *extra]
    process = stack.enter_context(
        running("predictor_node", arguments, domain=domain, folder=folder)
    )
    peer = Peer(domain)
    stack.callback(peer.close)
    return NodeUnderTest(process, peer, parameters)
