"""The node as a process: start, memory, idle load, and rate over DDS: `make bench`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pytest_benchmark", reason="needs pytest-benchmark (make bench)")
pytest.importorskip("rclpy", reason="needs ROS 2")

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import PointCloud2
from support.processes import resident_bytes
from support.ros import LOSSLESS, ros_arguments, running
from support.speed import on_core
from support.ticking import Messages, stamps_from
from visualization_msgs.msg import MarkerArray

from social_implicit_ros.ros.processes.domains import reserve_domain

IDLE_S = 10.0
N_STARTS = 5
#: Number of messages that are sent before their predictions arrive.
N_IN_FLIGHT = 4


class Tracker:
    """Sends a crowd and counts the predictions, without converting messages."""

    def __init__(self, domain: int) -> None:
        self.n_predictions = 0
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._node = rclpy.create_node("tracker", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._publisher = self._node.create_publisher(MarkerArray, "/predictor/tracks", LOSSLESS)
        self._node.create_subscription(
            PointCloud2, "/predictor/predictions", self._count, LOSSLESS, raw=True
        )

    def _count(self, data: bytes) -> None:
        self.n_predictions += len(data) > 1000  # clouds without people do not count

    def close(self) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def send(self, messages: Messages) -> None:
        self._publisher.publish(next(messages))

    def wait_for_more(self, timeout_s: float) -> int:
        """Waits for predictions; returns how many came."""
        n_before, end_s = self.n_predictions, time.perf_counter() + timeout_s
        while self.n_predictions == n_before and time.perf_counter() < end_s:
            self._executor.spin_once(timeout_sec=0.005)
        return self.n_predictions - n_before

    def spin(self, duration_s: float) -> None:
        end_s = time.perf_counter() + duration_s
        while time.perf_counter() < end_s:
            self._executor.spin_once(timeout_sec=0.005)


@pytest.fixture(autouse=True)
def only_measured(benchmark: Any) -> Iterator[None]:
    if benchmark.disabled:
        pytest.skip("only measured, by `make bench`")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        yield


def present_stamps() -> Iterator[int]:
    while True:
        yield time.time_ns()


def first_prediction_s(folder: Path) -> float:
    """Time from the start of the node to the first prediction that another process receives."""
    domain = reserve_domain()
    with ExitStack() as stack:
        tracker = Tracker(domain)
        stack.callback(tracker.close)
        messages = Messages(5, present_stamps())
        with on_core(-1):
            started_s = time.perf_counter()
            stack.enter_context(running("predictor_node", [], domain=domain, folder=folder))
        while not tracker.n_predictions:
            tracker.send(messages)
            tracker.wait_for_more(0.02)
        return time.perf_counter() - started_s


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_start(benchmark: Any, tables: Any, tmp_path: Path) -> None:
    starts_s = benchmark.pedantic(
        lambda: sorted(first_prediction_s(tmp_path) for _ in range(N_STARTS)), rounds=1
    )
    tables.add_row(
        "The process", figure="start to first prediction, s", value=starts_s[N_STARTS // 2]
    )


def test_memory_and_idle_load(benchmark: Any, tables: Any, tmp_path: Path) -> None:
    domain = reserve_domain()
    with ExitStack() as stack:
        node = stack.enter_context(running("predictor_node", [], domain=domain, folder=tmp_path))
        tracker = Tracker(domain)
        stack.callback(tracker.close)
        messages = Messages(5, present_stamps())
        while tracker.n_predictions < 50:
            tracker.send(messages)
            tracker.spin(0.02)
        pid = node.process.pid
        tables.add_row(
            "The process", figure="resident memory, 5 agents, MB", value=resident_bytes(pid) / 1e6
        )
        tracker.spin(2.0)  # until the tracks are dropped
        before_s = cpu_s(pid)
        benchmark.pedantic(lambda: time.sleep(IDLE_S), rounds=1)
        idle = (cpu_s(pid) - before_s) / IDLE_S
        tables.add_row("The process", figure="idle load, % of a core", value=100.0 * idle)


@pytest.mark.parametrize("n_agents", [5, 100])
def test_rate_over_dds(benchmark: Any, tables: Any, tmp_path: Path, n_agents: int) -> None:
    domain = reserve_domain()
    with ExitStack() as stack:
        with on_core(0):
            arguments = ros_arguments(tick_rate_hz=0.0)
            stack.enter_context(
                running("predictor_node", arguments, domain=domain, folder=tmp_path)
            )
        stack.enter_context(on_core(-1))
        tracker = Tracker(domain)
        stack.callback(tracker.close)
        messages = Messages(n_agents, stamps_from(time.time_ns() - 3_600_000_000_000))
        while tracker.n_predictions < 20:
            tracker.send(messages)
            tracker.spin(0.02)

        def predict(n_predictions: int) -> None:
            end = tracker.n_predictions + n_predictions
            for _ in range(N_IN_FLIGHT):
                tracker.send(messages)
            while tracker.n_predictions < end:
                for _ in range(tracker.wait_for_more(1.0)):
                    tracker.send(messages)

        started_s = time.perf_counter()
        benchmark.pedantic(predict, args=(2000,), rounds=1)
        rate_hz = 2000 / (time.perf_counter() - started_s)
        tables.add_row(
            "Over DDS, tracker and node in processes and on cores of their own",
            agents=n_agents,
            predictions_per_s=rate_hz,
        )
