"""Sends messages to a node that ticks at every message, and receives its predictions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.publisher import Publisher
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import Trigger
from support.ros import NodeUnderTest
from support.tracks import S, walkers_at
from visualization_msgs.msg import MarkerArray

from social_implicit_ros.evaluation.published import (
    PublishedPrediction,
    prediction_from_point_cloud,
)
from social_implicit_ros.tracks.stamps import stamp_ns_of

STEP_NS = S // 10


class Conversation:
    """Messages to the node, its predictions and its diagnostics."""

    def __init__(
        self, node: NodeUnderTest, build: Callable[[int], MarkerArray] = walkers_at
    ) -> None:
        self.node = node
        self.build = build
        self.tracks: Publisher = node.publisher(MarkerArray, "/predictor/tracks")
        self.clouds: list[PointCloud2] = node.collect(PointCloud2, "/predictor/predictions")
        self._reports: list[DiagnosticArray] = node.collect(DiagnosticArray, "/diagnostics")
        self._start_ns = 0
        self._stamps = self.new_stamps()
        self.node.wait_for(self._heard, "a first prediction")
        self.node.wait_for(lambda: self._reports, "a report")
        self.reset()

    def new_stamps(self) -> Iterator[int]:
        """Stamps 0.1 s apart, later than all earlier ones, so that late messages have no effect."""
        self._start_ns += 1_000 * S
        return itertools.count(self._start_ns, STEP_NS)

    def _heard(self) -> bool:
        # Messages are lost until both sides have discovered each other.
        self.tracks.publish(self.build(next(self._stamps)))
        return bool(self.clouds)

    def reset(self) -> Any:
        response = self.node.call(Trigger, "/predictor/reset", Trigger.Request())
        self.clouds.clear()
        return response

    def tell(self, message: MarkerArray) -> None:
        self.tracks.publish(message)

    def answer_at(self, stamp_ns: int) -> PublishedPrediction:
        """The prediction with that stamp."""

        def arrived() -> PointCloud2 | None:
            return next((c for c in self.clouds if stamp_ns_of(c.header.stamp) == stamp_ns), None)

        cloud = self.node.wait_for(arrived, f"a prediction stamped {stamp_ns}")
        return prediction_from_point_cloud(cloud)

    def walk(self, stamps_ns: Iterator[int], n_messages: int) -> PublishedPrediction:
        """Sends the walkers every 0.1 s; returns the prediction after the last message."""
        for stamp_ns in itertools.islice(stamps_ns, n_messages):
            self.tell(self.build(stamp_ns))
            prediction = self.answer_at(stamp_ns)
        return prediction

    def report(self, accept: Any = lambda status: True) -> DiagnosticStatus:
        """Waits for the next status that `accept` accepts."""
        self._reports.clear()
        return self.report_since(accept)

    def report_since(self, accept: Any) -> DiagnosticStatus:
        """As `report`, but includes what has arrived since the last call of `report`."""

        def found() -> DiagnosticStatus | None:
            return next((s for s in predictions_of(self._reports) if accept(s)), None)

        return self.node.wait_for(found, "an expected report")

    @contextmanager
    def counting(self, key: str, n: int) -> Iterator[None]:
        """Checks that a counter of the diagnostics has grown by exactly `n` in the block."""
        expected = int(value_of(self.report(), key)) + n
        yield
        self.report(lambda status: int(value_of(status, key)) == expected)

    def n_skipped(self, reason: str) -> int:
        return int(value_of(self.report(), f"skipped.{reason}"))


def predictions_of(reports: Iterable[DiagnosticArray]) -> Iterator[DiagnosticStatus]:
    """The statuses `prediction`; reports contain other statuses, too."""
    statuses = (status for report in reports for status in report.status)
    return (status for status in statuses if status.name.endswith(": prediction"))


def value_of(status: DiagnosticStatus, key: str) -> str:
    return {entry.key: entry.value for entry in status.values}[key]
