"""Runs the node in this process, called as by an executor, with subscribers in another process."""

from __future__ import annotations

import itertools
import multiprocessing
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from sensor_msgs.msg import PointCloud2
from support.ros import ros_arguments
from support.speed import on_core
from support.tracks import tracks_to_marker_array
from visualization_msgs.msg import MarkerArray

from social_implicit_ros.ros.node import PredictorNode
from social_implicit_ros.ros.processes.domains import reserve_domain
from social_implicit_ros.types import Tracks

#: Period of the tracker.
_PERIOD_NS = 20_000_000
#: Number of messages for which people walk forth, and then back.
_N_PHASES = 40
#: People per square metre.
_DENSITY = 0.25


def crowd(n_agents: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(A, 2) positions in metres and (A, 2) velocities in m/s of walking people."""
    generator = np.random.default_rng(seed)
    half_m = 0.5 * np.sqrt(n_agents / _DENSITY)
    heading = generator.uniform(-np.pi, np.pi, n_agents)
    speed = generator.uniform(0.5, 1.8, n_agents)
    velocity = speed[:, None] * np.column_stack([np.cos(heading), np.sin(heading)])
    return generator.uniform(-half_m, half_m, (n_agents, 2)), velocity


def stamps_from(begin_ns: int) -> Iterator[int]:
    """Stamps of a tracker, nanoseconds."""
    return itertools.count(begin_ns, _PERIOD_NS)


class Messages:
    """Serialised MarkerArrays of walking people, each with the next stamp."""

    def __init__(self, n_agents: int, stamps_ns: Iterator[int], frame_id: str = "odom") -> None:
        positions_m, velocities_m_s = crowd(n_agents)
        ids = tuple(f"people/{number}" for number in range(n_agents))
        self._stamps_ns = stamps_ns
        phases = [*range(_N_PHASES), *range(_N_PHASES, 0, -1)]
        marked_ns = 1_592_653_589_793_238_462
        self._phases = []
        for phase in phases:
            walked_m = velocities_m_s * (phase * _PERIOD_NS * 1e-9)
            tracks = Tracks(marked_ns, ids, positions_m + walked_m)
            data = serialize_message(tracks_to_marker_array(tracks, frame_id))
            words = np.frombuffer(data + bytes(-len(data) % 4), np.int32).copy()
            (stamps,) = np.nonzero((words[:-1] == 1_592_653_589) & (words[1:] == 793_238_462))
            self._phases.append((words, stamps, len(data)))
        self._turn = itertools.cycle(self._phases)

    def __next__(self) -> bytes:
        words, stamps, n_bytes = next(self._turn)
        self.newest_ns = next(self._stamps_ns)
        words[stamps], words[stamps + 1] = divmod(self.newest_ns, 1_000_000_000)
        return words.tobytes()[:n_bytes]


class TickingNode:
    """A predictor that ticks at every message, and its callback for tracks."""

    def __init__(self, node: PredictorNode) -> None:
        self.node = node
        topic = node.resolve_topic_name("~/tracks")
        (self._subscription,) = (s for s in node.subscriptions if s.topic_name == topic)
        assert self._subscription.raw
        self._begin_ns = node.get_clock().now().nanoseconds - 36_000_000_000_000

    def set(self, **values: Any) -> None:
        results = self.node.set_parameters([Parameter(n, value=v) for n, v in values.items()])
        assert all(result.successful for result in results), results

    def ticks(self, n_agents: int) -> Callable[[], None]:
        """A tick with full histories, from the serialised message to publishing."""
        # Late enough that all earlier tracks are dropped.
        messages = Messages(n_agents, stamps_from(self._begin_ns))
        callback = self._subscription.callback

        def tick() -> None:
            callback(next(messages))
            self._begin_ns = messages.newest_ns + 5_000_000_000

        for _ in range(200):
            tick()
        report = self.node.reporter.log.report(
            "", self.node.reporter.state, messages.newest_ns, 0.0
        )
        values = {value.key: value.value for value in report.values}
        assert values["agents_predicted"] == str(n_agents), values
        return tick


@contextmanager
def ticking_node(**parameters: Any) -> Iterator[TickingNode]:
    """A node in this process; another process subscribes to predictions and markers."""
    domain = reserve_domain()
    with ExitStack() as stack:
        context = Context()
        arguments = ros_arguments(tick_rate_hz=0.0, **parameters)
        arguments += ["-r", f"__node:=predictor_{random.randrange(10**6)}"]
        rclpy.init(args=arguments, context=context, domain_id=domain)
        stack.callback(context.try_shutdown)
        executor = SingleThreadedExecutor(context=context)
        stack.callback(executor.shutdown)
        node = PredictorNode(context=context)
        stack.callback(node.destroy_node)
        executor.add_node(node)
        node.autostart()
        topics = {
            node.resolve_topic_name("~/predictions"): PointCloud2,
            node.resolve_topic_name("~/markers"): MarkerArray,
        }
        heard = {t: kind for t, kind in topics.items() if node.count_publishers(t)}
        process = multiprocessing.get_context("spawn").Process(
            target=_listen, args=(domain, heard), daemon=True
        )
        with on_core(-1):
            process.start()
        stack.callback(process.join)
        stack.callback(process.terminate)
        while not all(node.count_subscribers(topic) for topic in heard):
            executor.spin_once(timeout_sec=0.05)
        # The writer discovers a reader a little later than the graph.
        for _ in range(20):
            executor.spin_once(timeout_sec=0.05)
        yield TickingNode(node)


def _listen(domain: int, topics: dict[str, type]) -> None:
    context = Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("listener", context=context)
    for topic, kind in topics.items():
        node.create_subscription(kind, topic, lambda data: None, 10, raw=True)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    while True:
        executor.spin_once()
