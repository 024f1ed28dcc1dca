"""Objects that configure creates from the parameters and cleanup destroys."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import OccupancyGrid, Odometry, Path
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from std_msgs.msg import Float64MultiArray

from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.robot_plan import PATH, PlanDecoder
from social_implicit_ros.ros import bond, qos
from social_implicit_ros.ros.bond import Bond
from social_implicit_ros.ros.calibration_keeper import CalibrationKeeper, open_calibration
from social_implicit_ros.ros.definitions import definitions_of
from social_implicit_ros.ros.online_evaluation_messages import (
    METRICS_TOPIC,
    metrics_to_msg,
    radius_factors,
    scores_to_status,
)
from social_implicit_ros.ros.outputs.base import Output
from social_implicit_ros.ros.outputs.registry import load_output
from social_implicit_ros.ros.preparation import Preparation
from social_implicit_ros.ros.trackers import Tracker, load_trackers
from social_implicit_ros.settings import NodeConfig, PipelineConfig, PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.types import Tracks


@dataclass
class Session:
    """What the node needs from configure to cleanup.

    Attributes:
        shown_s: steady time of the last prediction with people; None if the newest has none.
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
            publisher.publish(self.outputs[name].clear(stamp_ns))

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


@dataclass(frozen=True)
class Callbacks:
    """What the node does with a message; those of tracks and plans are serialised."""

    on_tracks: Callable[[Tracker, Any], None]
    on_odometry: Callable[[Odometry], None]
    on_map: Callable[[OccupancyGrid], None]
    on_plan: Callable[[PlanDecoder, Any], None]


def open_session(
    node: LifecycleNode, config: NodeConfig, lookup: TransformBuffer, callbacks: Callbacks
) -> Session:
    """Loads trackers, model and outputs, and creates the endpoints; removes all if one fails.

    Raises ValueError if something cannot be used; the message says how to fix it.
    """
    trackers = load_trackers(config.tracker, config.predictor.stamp_spread_s)
    model = load_model(config.model)
    outputs = load_outputs(model, lookup, config)
    keeper = open_calibration(
        config,
        model,
        node.get_fully_qualified_name(),
        node.get_logger(),
        uses_sim_time=node.get_parameter("use_sim_time").value,
    )
    adaptive = None if keeper is None else keeper.adaptive
    session = Session(
        config=config,
        trackers=trackers,
        predictor=Predictor(model, config.predictor, lookup, adaptive=adaptive),
        outputs=outputs,
        publishers={},
        metrics=node.create_lifecycle_publisher(
            Float64MultiArray, METRICS_TOPIC, qos.diagnostics()
        ),
        subscriptions=[],
        keeper=keeper,
        preparation=Preparation(partial(load_outputs, model, lookup)),
    )
    try:
        _create_publishers(node, session)
        _create_subscriptions(node, session, callbacks)
    except BaseException:
        close_session(node, session)
        raise
    return session


def load_outputs(
    model: TrajectoryModel, lookup: TransformBuffer, config: NodeConfig
) -> dict[str, Output]:
    """Creates the outputs that the parameters select, and warms up model and outputs."""
    outputs = {name: load_output(name, config) for name in config.outputs}
    # With a map, the covariances are corrected by means of the samples.
    _make_samples(model, config.use_map or any(output.reads_samples for output in outputs.values()))
    _warm_up(model, outputs, lookup, config.predictor)
    return outputs


def load_model(name: str) -> TrajectoryModel:
    """Loads a model; raises ValueError with the reason and how to fix it."""
    try:
        # Imports onnxruntime, which is not needed to list the parameters.
        from social_implicit_ros.models import registry
    except ImportError as error:
        raise ValueError(
            f"models need onnxruntime, which cannot be imported ({error}): pip install onnxruntime"
        ) from error
    return registry.load_model(name)


def _make_samples(model: TrajectoryModel, is_needed: bool) -> None:
    from social_implicit_ros.models.onnx_model import OnnxModel  # after `load_model`

    if isinstance(model, OnnxModel):
        model.makes_samples = is_needed


def _warm_up(
    model: TrajectoryModel,
    outputs: Mapping[str, Output],
    lookup: TransformBuffer,
    config: PredictorConfig,
) -> None:
    """Runs one tick on dummy data, so that errors and lazy initialisation happen at configure."""
    pipeline = PipelineConfig(n_samples=config.pipeline.n_samples, seed=config.pipeline.seed)
    # A single frame and no robot, so that no transform is needed.
    plain = PredictorConfig(
        pipeline=pipeline,
        time_step_s=config.time_step_s,
        horizon_s=config.horizon_s,
        fixed_frame=config.fixed_frame,
    )
    predictor = Predictor(model, plain, lookup)
    for stamp_ns in (1, 100_000_000):
        tracks = Tracks(stamp_ns, ("one", "two"), np.eye(2))
        predictor.add_tracks(tracks, config.fixed_frame, stamp_ns)
    forecast = predictor.tick(100_000_000)
    for output in outputs.values():
        output.render(forecast)
        output.clear(forecast.stamp_ns)


def close_session(node: LifecycleNode, session: Session) -> None:
    """Destroys the endpoints of a session."""
    for subscription in session.subscriptions:
        node.destroy_subscription(subscription)
    for publisher in session.publishers.values():
        node.destroy_lifecycle_publisher(publisher)
    node.destroy_lifecycle_publisher(session.metrics)
    if session.bond is not None:
        node.destroy_publisher(session.bond.publisher)


def _create_publishers(node: LifecycleNode, session: Session) -> None:
    """Adds the publishers of the outputs, and the bond, to the session."""
    for name, output in session.outputs.items():
        session.publishers[name] = node.create_lifecycle_publisher(
            output.message_class,
            output.topic,
            output.qos(),
            qos_overriding_options=qos.overridable(),
        )
    if session.config.bond:
        publisher: Publisher = node.create_publisher(
            bond.status_class(), bond.TOPIC, qos.diagnostics()
        )
        session.bond = bond.Bond(node.get_name(), publisher)


def _create_subscriptions(node: LifecycleNode, session: Session, callbacks: Callbacks) -> None:
    """Adds the subscriptions that the parameters need to the session."""
    config = session.config

    def subscribe(
        kind: type, topic: str, callback: Any, profile: QoSProfile, **kwargs: Any
    ) -> None:
        subscription = node.create_subscription(kind, topic, callback, profile, **kwargs)
        session.subscriptions.append(subscription)

    for tracker in session.trackers:
        subscribe(
            tracker.message_class,
            tracker.topic,
            partial(callbacks.on_tracks, tracker),
            qos.tracks(),
            raw=True,
            qos_overriding_options=qos.overridable(),
        )
    if config.use_map:
        subscribe(OccupancyGrid, "~/map", callbacks.on_map, qos.map_())
    if config.predictor.robot == "odometry":
        subscribe(Odometry, "~/odometry", callbacks.on_odometry, qos.odometry())
    if config.predictor.robot != "none":
        # Paths have thousands of poses, which rclpy would take longer than a tick to convert.
        on_plan = partial(callbacks.on_plan, PlanDecoder(definitions_of(PATH)))
        subscribe(Path, "~/plan", on_plan, qos.plan(), raw=True)
