"""What a replayed evaluation does as the node does it: read from the node's own parameter file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from social_implicit_ros.prediction.pipeline import PipelineConfig
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.resources import shared_folder

#: Predictions a tenth of a second apart, as a node makes them, judge the same future twice; one
#: for each step of 0.4 s is as telling and takes a quarter of the time.
TICK_RATE_HZ = 2.5
#: As the node's parameter `robot`.
ROBOT_SOURCES = ("none", "odometry", "tf")


@dataclass(frozen=True)
class ReplaySettings:
    """The node's parameters that decide what is predicted, and when.

    Attributes:
        pipeline: samples, seed and how histories are kept.
        tick_rate_hz: predictions per second; 0 predicts at every message.
        time_step_s: seconds between two steps; 0 takes the model's.
        horizon_s: seconds to the last step; 0 takes the model's.
        transform_wait_s: how long tracks wait for their transform.
        fixed_frame: into which tracks are moved; None lets each recording choose.
        robot: where the robot's own position comes from: `none`, `odometry` or `tf`.
        robot_frame: its frame, where that is tf.
    """

    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    tick_rate_hz: float = TICK_RATE_HZ
    time_step_s: float = 0.0
    horizon_s: float = 0.0
    transform_wait_s: float = 0.2
    fixed_frame: str | None = None
    robot: str = "none"
    robot_frame: str = "base_link"

    def __post_init__(self) -> None:
        """Checks the values; raises ValueError naming the field."""
        for name in ("tick_rate_hz", "time_step_s", "horizon_s", "transform_wait_s"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"{name} is {value!r}, expected a number")
            if not 0 <= value <= 1000:
                raise ValueError(f"{name} is {value}, expected a value from 0 to 1000")
        if self.robot not in ROBOT_SOURCES:
            raise ValueError(f"robot is {self.robot!r}, expected one of {', '.join(ROBOT_SOURCES)}")


def load_settings(parameters: Path | None = None) -> ReplaySettings:
    """Reads a ROS parameter file of the node; parameters that it leaves out have their defaults.

    Args:
        parameters: such as `config/predictor.yaml`; None takes that very file, with
            `TICK_RATE_HZ` for its rate and the fixed frame left open.

    Raises:
        RecordingError: the file cannot be read, is no parameter file, or holds a bad value.
    """
    defaults = _node_parameters(shared_folder("config") / "predictor.yaml")
    given = {} if parameters is None else _node_parameters(parameters)
    values = {**defaults, "tick_rate_hz": TICK_RATE_HZ, **given}
    chosen: dict[str, Any] = {
        entry.name: values[entry.name]
        for entry in fields(ReplaySettings)
        if entry.name in values and entry.name not in ("pipeline", "fixed_frame")
    }
    pipeline = {
        entry.name: values[entry.name] for entry in fields(PipelineConfig) if entry.name in values
    }
    try:
        return ReplaySettings(
            pipeline=PipelineConfig(**pipeline), fixed_frame=given.get("fixed_frame"), **chosen
        )
    except (TypeError, ValueError) as error:
        raise RecordingError(f"{parameters}: {error}") from error


@dataclass(frozen=True)
class NodeChoices:
    """What a parameter file says of model and tracker; None where it says nothing.

    Attributes:
        model: name or file.
        tracker: name or file of its description.
        topic: of its messages.
    """

    model: str | None = None
    tracker: str | None = None
    topic: str | None = None


def load_choices(parameters: Path | None, tracker: str | None = None) -> NodeChoices:
    """Reads the model and the tracker that a ROS parameter file sets.

    Args:
        parameters: of the node; None sets nothing.
        tracker: chosen by the user: what the file says of trackers does not count.

    Raises:
        RecordingError: the file cannot be read, or sets several trackers, of which a recording is
            evaluated with one at a time.
    """
    given = {} if parameters is None else _node_parameters(parameters)
    model, text = given.get("model"), tracker or str(given.get("tracker", ""))
    if "," in text:
        raise RecordingError(
            f"{parameters} sets several trackers ({text}): choose one with --tracker and --tracks"
        )
    name, _, topic = (part.strip() for part in text.partition("@"))
    return NodeChoices(
        model=None if model is None else str(model),
        tracker=name or None,
        # A name in the node's own namespace says nothing about a recording.
        topic=topic if topic.startswith("/") else None,
    )


def _node_parameters(path: Path) -> Mapping[str, Any]:
    """The parameters in a ROS parameter file, whatever the node's name in it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecordingError(f"parameter file {path} cannot be read: {error}") from error
    sections = content.values() if isinstance(content, dict) else ()
    values: dict[str, Any] = {}
    for section in sections:
        if isinstance(section, dict) and isinstance(section.get("ros__parameters"), dict):
            values.update(section["ros__parameters"])
    if not values:
        raise RecordingError(
            f"{path} is no ROS parameter file: no section of it has ros__parameters"
        )
    return values
