"""Opens a session: loads what the parameters select, and creates the endpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from nav_msgs.msg import OccupancyGrid, Odometry, Path
from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from std_msgs.msg import Float64MultiArray

from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.robot_plan import PATH, PlanDecoder
from social_implicit_ros.ros import bond, qos
from social_implicit_ros.ros.calibration_keeper import open_calibration
from social_implicit_ros.ros.definitions import definitions_of
from social_implicit_ros.ros.online_evaluation_messages import METRICS_TOPIC
from social_implicit_ros.ros.outputs.base import Output
from social_implicit_ros.ros.outputs.registry import load_output
from social_implicit_ros.ros.parameter_node import ParameterNode
from social_implicit_ros.ros.preparation import Preparation
from social_implicit_ros.ros.reporting.reporter import Reporter
from social_implicit_ros.ros.session import Session
from social_implicit_ros.ros.timers import TickTimer, steady_timer
from social_implicit_ros.ros.trackers import load_trackers
from social_implicit_ros.settings import NodeConfig, PipelineConfig, PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.types import Tracks

#: Period at which waiting tracks look up their transform again, seconds.
_TRANSFORM_PERIOD_S = 0.01


def open_session(
    node: ParameterNode,
    reporter: Reporter,
    now_ns: Callable[[], int],
    config: NodeConfig,
    lookup: TransformBuffer,
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
        reporter=reporter,
        now_ns=now_ns,
        changed_config=node.take_changed_config,
        config=config,
        trackers=trackers,
        predictor=Predictor(model, config.predictor, lookup, adaptive=adaptive),
        outputs=outputs,
        keeper=keeper,
        preparation=Preparation(partial(load_outputs, model, lookup)),
    )
    _create_timers(node, session)
    session.metrics = node.create_lifecycle_publisher(
        Float64MultiArray, METRICS_TOPIC, qos.diagnostics()
    )
    try:
        _create_publishers(node, session)
        _create_subscriptions(node, session)
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
    node.destroy_timer(session.transform_timer)
    if session.bond is not None:
        node.destroy_publisher(session.bond.publisher)


def _create_timers(node: LifecycleNode, session: Session) -> None:
    """Creates the timers, which do not run before the session is started."""
    session.tick_timer = TickTimer(node, session.on_timer)
    session.transform_timer = steady_timer(node, _TRANSFORM_PERIOD_S, session.add_waiting)
    session.transform_timer.cancel()  # until something waits


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


def _create_subscriptions(node: LifecycleNode, session: Session) -> None:
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
            partial(session.on_tracks, tracker),
            qos.tracks(),
            raw=True,
            qos_overriding_options=qos.overridable(),
        )
    if config.use_map:
        subscribe(OccupancyGrid, "~/map", session.on_map, qos.map_())
    if config.predictor.robot == "odometry":
        subscribe(Odometry, "~/odometry", session.on_odometry, qos.odometry())
    if config.predictor.robot != "none":
        # Paths have thousands of poses, which rclpy would take longer than a tick to convert.
        on_plan = partial(session.on_plan, PlanDecoder(definitions_of(PATH)))
        subscribe(Path, "~/plan", on_plan, qos.plan(), raw=True)
