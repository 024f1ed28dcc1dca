"""Model and outputs that the parameters select, loaded and run once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.ros.outputs.base import Output
from social_implicit_ros.ros.outputs.registry import load_output
from social_implicit_ros.settings import NodeConfig, PipelineConfig, PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.types import Tracks


def load_outputs(
    model: TrajectoryModel, lookup: TransformBuffer, config: NodeConfig
) -> dict[str, Output]:
    """The outputs for some parameters, after one run of the model and of the outputs with them."""
    outputs = {name: load_output(name, config) for name in config.outputs}
    # Walls change covariances as they change samples.
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
    """Runs one tick on dummy data: errors and lazy initialisation do not wait for a real one."""
    pipeline = PipelineConfig(n_samples=config.pipeline.n_samples, seed=config.pipeline.seed)
    # Of one frame, without a robot.
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
