"""Options of the predictor."""

from __future__ import annotations

from dataclasses import dataclass, field

from social_implicit_ros.settings import NodeConfig, PipelineConfig
from social_implicit_ros.tracks.frames.transforms import plain_frame


@dataclass(frozen=True)
class PredictorConfig:
    """Options of the predictor, see the node's parameters of the same names.

    Attributes:
        pipeline: samples, seed and limits of the history; may change while the predictor runs.
        tick_rate_hz: forecasts per second; 0 for one at every message. May change.
        self_evaluation_window_s: length of the window of recent scores, seconds. May change.
        time_step_s: seconds between two published steps; 0 for the model's.
        horizon_s: seconds to the last published step; 0 for the model's.
        fixed_frame: frame of the histories, see `HistoryFrame`.
        publish_frame: frame of published forecasts; empty for the fixed frame.
        transform_wait_s: maximum time that tracks wait for the transform into that frame, seconds.
        robot: source of the robot's position: `none`, `odometry` or `tf`.
        robot_frame: its frame, if that is tf.
        stamp_source: `header`, or `arrival` for trackers that do not stamp.
        stamp_spread_s: largest difference between the stamps of one message, seconds.

    Frames lose a leading slash. An empty fixed frame is chosen by each recording.
    """

    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    tick_rate_hz: float = NodeConfig.tick_rate_hz
    self_evaluation_window_s: float = NodeConfig.self_evaluation_window_s
    time_step_s: float = NodeConfig.time_step_s
    horizon_s: float = NodeConfig.horizon_s
    fixed_frame: str = NodeConfig.fixed_frame
    publish_frame: str = NodeConfig.publish_frame
    transform_wait_s: float = NodeConfig.transform_wait_s
    robot: str = NodeConfig.robot
    robot_frame: str = NodeConfig.robot_frame
    stamp_source: str = NodeConfig.stamp_source
    stamp_spread_s: float = NodeConfig.stamp_spread_s

    def __post_init__(self) -> None:
        """Takes the slashes off."""
        for name in ("fixed_frame", "publish_frame", "robot_frame"):
            object.__setattr__(self, name, plain_frame(getattr(self, name)))
