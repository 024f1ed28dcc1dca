"""Objects that configure creates from the parameters and cleanup destroys."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.lifecycle import LifecyclePublisher
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.predictor_config import PredictorConfig
from social_implicit_ros.ros.bond import Bond
from social_implicit_ros.ros.calibration_keeper import CalibrationKeeper, calibration_path
from social_implicit_ros.ros.online_evaluation_messages import (
    metrics_to_msg,
    radius_factors,
    scores_to_status,
)
from social_implicit_ros.ros.outputs.base import Output
from social_implicit_ros.ros.outputs.registry import load_output
from social_implicit_ros.ros.preparation import Preparation
from social_implicit_ros.ros.trackers import Tracker, load_trackers
from social_implicit_ros.settings import NodeConfig, PipelineConfig
from social_implicit_ros.tracks.frames.transforms import TransformLookup
from social_implicit_ros.types import Tracks
from social_implicit_ros.uncertainty.storage import AdaptedModel


@dataclass(frozen=True)
class Components:
    """Trackers, model and outputs selected by the parameters, loaded and checked.

    Attributes:
        config: the parameters.
        trackers: mappings of the subscribed messages.
        model: the trajectory model.
        outputs: published outputs, by name.
    """

    config: NodeConfig
    trackers: list[Tracker]
    model: TrajectoryModel
    outputs: dict[str, Output]


@dataclass
class Session:
    """The running node, from configure to cleanup."""

    config: NodeConfig
    predictor: Predictor
    outputs: dict[str, Output]
    publishers: dict[str, LifecyclePublisher]
    metrics: LifecyclePublisher
    subscriptions: list[Subscription]
    keeper: CalibrationKeeper | None
    preparation: Preparation
    bond: Bond | None = None
    timer: Timer | None = None
    is_active: bool = False

    def publish(self, forecast: Forecast) -> None:
        """Publishes the outputs that have subscribers."""
        for name, publisher in self.publishers.items():
            if publisher.get_subscription_count() > 0:
                publisher.publish(self.outputs[name].render(forecast))

    def clear(self, stamp_ns: int) -> None:
        """Clears the outputs at their consumers: planners keep the last message."""
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
            window_s=self.config.self_evaluation_window_s,
            calibration="off" if self.keeper is None else self.keeper.state,
        )


def load_components(config: NodeConfig, lookup: TransformLookup) -> Components:
    """Loads tracker mappings, model and outputs, and runs them once.

    Raises:
        ValueError: a component cannot be used; the message says how to fix it.
    """
    trackers = load_trackers(config.tracker, config.stamp_spread_s)
    model = _load_model(config.model)
    return _with_outputs(config, trackers, model, lookup)


def prepare_outputs(
    components: Components, lookup: TransformLookup, config: NodeConfig
) -> dict[str, Output]:
    """Outputs for changed parameters, after one run of the model and of the outputs with them."""
    changed = _with_outputs(config, components.trackers, components.model, lookup)
    return changed.outputs


def _with_outputs(
    config: NodeConfig, trackers: list[Tracker], model: TrajectoryModel, lookup: TransformLookup
) -> Components:
    outputs = {name: load_output(name, config) for name in config.outputs}
    _couple_samples(model, any(output.reads_samples for output in outputs.values()))
    components = Components(config, trackers, model, outputs)
    _warm_up(components, lookup)
    return components


def predictor_config(config: NodeConfig) -> PredictorConfig:
    """The part of the parameters that the predictor takes."""
    return PredictorConfig(
        **{name: getattr(config, name) for name in PredictorConfig.__dataclass_fields__}
    )


def open_calibration(
    components: Components, node: str, logger: RcutilsLogger, *, uses_sim_time: bool
) -> CalibrationKeeper:
    """Adapts the ellipses, from what an earlier run learned where that is kept, and logs it.

    Args:
        components: of the node.
        node: its fully qualified name.
        logger: of the node.
        uses_sim_time: what a replay or a simulation teaches is not kept for the robot, unless the
            parameters name a file.
    """
    # Imports onnxruntime, see _load_model.
    from social_implicit_ros.models.registry import fingerprint_of

    config, model = components.config, components.model
    path, reason = None, "not kept, as use_sim_time is true: set calibration_file to keep it"
    if config.calibration_file or not uses_sim_time:
        path = calibration_path(config.calibration_file, node, model.name, os.environ)
        reason = "" if path else "not kept, as there is no home folder: set calibration_file"
    adapted = AdaptedModel(model.name, fingerprint_of(model), model.n_predicted)
    keeper = CalibrationKeeper(path, adapted, reason)
    problem = keeper.load()
    if not keeper.is_kept:
        logger.info(f"the learned calibration is {keeper.state}")
    elif problem:
        logger.warning(problem)
    elif keeper.adaptive.learnt.seconds.any():
        logger.info(f"ellipses begin with what was learnt before: {keeper.state}")
    return keeper


def _load_model(name: str) -> TrajectoryModel:
    """Loads a model.

    Raises:
        ValueError: it cannot be loaded; the message says how to fix it.
    """
    try:
        # Imports onnxruntime, which is not needed to list the parameters.
        from social_implicit_ros.models.registry import load_model
    except ImportError as error:
        raise ValueError(
            f"models need onnxruntime, which cannot be imported ({error}): pip install onnxruntime"
        ) from error
    return load_model(name)


def _couple_samples(model: TrajectoryModel, is_needed: bool) -> None:
    from social_implicit_ros.models.onnx_model import OnnxModel  # after `_load_model`

    if isinstance(model, OnnxModel):
        model.couples_samples = is_needed


def _warm_up(components: Components, lookup: TransformLookup) -> None:
    """Runs one tick on dummy data: errors and lazy initialisation do not wait for a real one.

    Raises:
        ValueError: the model cannot be run; the message says how to fix it.
    """
    config = components.config
    predictor = Predictor(
        components.model,
        PredictorConfig(
            pipeline=PipelineConfig(n_samples=config.pipeline.n_samples, seed=config.pipeline.seed),
            time_step_s=config.time_step_s,
            horizon_s=config.horizon_s,
            fixed_frame=config.fixed_frame,
        ),
        lookup,
    )
    for stamp_ns in (1, 100_000_000):
        tracks = Tracks(stamp_ns, ("one", "two"), np.eye(2))
        predictor.add_tracks(tracks, config.fixed_frame, stamp_ns)
    forecast = predictor.tick(100_000_000)
    for output in components.outputs.values():
        output.render(forecast)
        output.clear(forecast.stamp_ns)
