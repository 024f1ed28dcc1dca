"""Objects that configure creates from the parameters and cleanup destroys."""

from __future__ import annotations

import time
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecyclePublisher
from rclpy.subscription import Subscription

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.ros.bond import Bond
from social_implicit_ros.ros.calibration_keeper import CalibrationKeeper
from social_implicit_ros.ros.online_evaluation_messages import (
    metrics_to_msg,
    radius_factors,
    scores_to_status,
)
from social_implicit_ros.ros.outputs.base import Output
from social_implicit_ros.ros.preparation import Preparation
from social_implicit_ros.ros.trackers import Tracker
from social_implicit_ros.settings import NodeConfig


@dataclass
class Session:
    """The running node, from configure to cleanup.

    Attributes:
        shown_s: steady time at which somebody was predicted last; None if the last prediction is
            empty.
    """

    config: NodeConfig
    trackers: list[Tracker]
    predictor: Predictor
    outputs: dict[str, Output]
    publishers: dict[str, LifecyclePublisher]
    metrics: LifecyclePublisher
    subscriptions: list[Subscription]
    keeper: CalibrationKeeper | None
    preparation: Preparation
    bond: Bond | None = None
    is_active: bool = False
    shown_s: float | None = None

    def publish(self, forecast: Forecast) -> None:
        """Publishes the outputs that have subscribers."""
        self.shown_s = time.monotonic() if forecast.ids else None
        for name, publisher in self.publishers.items():
            if publisher.get_subscription_count() > 0:
                publisher.publish(self.outputs[name].render(forecast))

    def clear(self, stamp_ns: int) -> None:
        """Clears the outputs at their consumers: planners keep the last message."""
        self.shown_s = None
        for name, publisher in self.publishers.items():
            message = self.outputs[name].clear(stamp_ns)
            if message is not None:
                publisher.publish(message)

    def publish_metrics(self, node: str) -> DiagnosticStatus:
        """Publishes the scores of recent predictions, and returns them as a status of `node`."""
        scores = self.predictor.evaluation.recent()
        factors = radius_factors(self.predictor.adaptive, len(scores.times_s), scores.confidence)
        if self.metrics.get_subscription_count() > 0:
            self.metrics.publish(metrics_to_msg(scores, factors))
        return scores_to_status(
            node,
            scores,
            factors,
            tolerance=self.config.coverage_tolerance,
            window_s=self.config.predictor.self_evaluation_window_s,
            calibration="off" if self.keeper is None else self.keeper.state,
        )
