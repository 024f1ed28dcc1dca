"""Every parameter of the node, declared once, and the frozen config that is made of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from enum import Enum
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from social_implicit_ros.prediction.pipeline import PipelineConfig
from social_implicit_ros.ros.outputs.registry import OUTPUTS

#: A value of a parameter; lists arrive as tuples or arrays and are kept as tuples.
Value = bool | int | float | str | tuple[Any, ...]


class ParameterError(ValueError):
    """A parameter has a value that cannot be used; the message says which, why and what can."""


class Effect(Enum):
    """When a changed parameter takes effect."""

    NEXT_TICK = "at the next tick"
    CONFIGURE = "at configure; refused while the node is configured"


@dataclass(frozen=True)
class ParameterSpec:
    """One row of the table.

    Attributes:
        name: as the user writes it.
        default: its type is the parameter's type; a tuple's first element gives the type of all.
        description: what it does, and its unit.
        minimum, maximum: of a number, or of each element of a list; both included.
        choices: what a text, or each element of a list, may be; empty allows all.
        effect: when a change takes effect.
    """

    name: str
    default: Value
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    effect: Effect = Effect.NEXT_TICK

    def check(self, value: object) -> Value:
        """Returns the value in the parameter's type.

        Raises:
            ParameterError: a wrong type, or a value out of range.
        """
        if not isinstance(self.default, tuple):
            return self._check_one(value, self.default)
        # Lists of numbers arrive as array.array.
        if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
            raise ParameterError(f"{self.name} is {value!r}, expected a list: [{value}]")
        values = tuple(self._check_one(element, self.default[0]) for element in value)
        if not values:
            raise ParameterError(f"{self.name} is an empty list, expected at least one element")
        if len(set(values)) < len(values):
            raise ParameterError(f"{self.name} is {list(values)}, expected no element twice")
        return values

    def _check_one(self, value: object, like: object) -> Any:
        expected = type(like)
        if type(value) is not expected:
            hint = f"; write {float(value)}" if expected is float and type(value) is int else ""
            raise ParameterError(
                f"{self.name} is {value!r} of type {type(value).__name__}, "
                f"expected {expected.__name__}{hint}"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise ParameterError(f"{self.name} is {value}, expected a finite number")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            too_low = self.minimum is not None and value < self.minimum
            too_high = self.maximum is not None and value > self.maximum
            if too_low or too_high:
                raise ParameterError(
                    f"{self.name} is {value}, expected a value from {self.minimum} "
                    f"to {self.maximum}"
                )
        if self.choices and value not in self.choices:
            raise ParameterError(
                f"{self.name} is {value!r}, expected one of {', '.join(self.choices)}"
            )
        return value


_PIPELINE = PipelineConfig()

PARAMETERS: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        "autostart",
        True,
        "Configure and activate at start. False leaves the transitions to a lifecycle manager.",
        effect=Effect.CONFIGURE,
    ),
    ParameterSpec(
        "tracker",
        "marker_array",
        "What arrives on ~/tracks: the name of a shipped tracker description (the files in "
        "config/trackers, such as people or vision_detections), or the path of your own. Several "
        "are separated by commas, each with its topic: people@/people, zed@/zed/objects.",
        effect=Effect.CONFIGURE,
    ),
    ParameterSpec(
        "fixed_frame",
        "odom",
        "The level frame that does not move, in which people are predicted and predictions are "
        "published. Tracks in another frame are moved into it by tf2, at their own stamp.",
        effect=Effect.CONFIGURE,
    ),
    ParameterSpec(
        "transform_wait_s",
        0.2,
        "Seconds that tracks of another frame wait for their transform before they are skipped.",
        minimum=0.0,
        maximum=10.0,
        effect=Effect.CONFIGURE,
    ),
    ParameterSpec(
        "robot",
        "none",
        "Where the robot's own position comes from: odometry (nav_msgs/Odometry on ~/odometry), tf "
        "(the pose of robot_frame), or none. People's futures see the robot; it is never "
        "published as a pedestrian.",
        choices=("none", "odometry", "tf"),
        effect=Effect.CONFIGURE,
    ),
    ParameterSpec(
        "robot_frame",
        "base_link",
        "The robot's frame, where robot is tf.",
        effect=Effect.CONFIGURE,
    ),
    ParameterSpec(
        "model",
        "default",
        "default, a shipped model's name, constant_velocity, sampled_constant_velocity, or the "
        "path of an .onnx file with its model card beside it.",
        effect=Effect.CONFIGURE,
    ),
    ParameterSpec(
        "outputs",
        ("pointcloud", "markers"),
        "What to publish: pointcloud (~/predictions), samples (~/samples), markers (~/markers); "
        "for planners mpc_planner, costmap, detections, autoware, people, costmap_converter, each "
        "on the topic of its name. Nothing is built that nobody subscribes to.",
        choices=tuple(OUTPUTS),
        effect=Effect.CONFIGURE,
    ),
    ParameterSpec(
        "tick_rate_hz",
        10.0,
        "Predictions per second, stamped with the node's clock, so that late tracks are made up "
        "for. 0 predicts at every message instead, stamped with the message's own time.",
        minimum=0.0,
        maximum=1000.0,
    ),
    ParameterSpec(
        "time_step_s",
        0.0,
        "Seconds between two published steps; 0 takes the model's. Others are interpolated.",
        minimum=0.0,
        maximum=60.0,
        effect=Effect.CONFIGURE,
    ),
    ParameterSpec(
        "horizon_s",
        0.0,
        "Seconds to the last published step; 0 takes the model's, which is the longest possible.",
        minimum=0.0,
        maximum=60.0,
        effect=Effect.CONFIGURE,
    ),
    ParameterSpec(
        "n_samples",
        _PIPELINE.n_samples,
        "Futures drawn for each tick; mean and ellipses are made of them.",
        minimum=1,
        maximum=1000,
    ),
    ParameterSpec(
        "seed",
        _PIPELINE.seed,
        "Of the draws; the same at every tick, so that ellipses do not flicker.",
        minimum=0,
        maximum=2**31 - 1,
    ),
    ParameterSpec(
        "min_observations",
        _PIPELINE.min_observations,
        "Observations that a new track needs before it is predicted.",
        minimum=2,
        maximum=100,
    ),
    ParameterSpec(
        "add_tracker_covariance",
        _PIPELINE.add_tracker_covariance,
        "Add the tracker's covariance of the latest position to every predicted covariance.",
    ),
    ParameterSpec(
        "track_timeout_s",
        _PIPELINE.track_timeout_s,
        "Seconds after which a track that is no longer reported is forgotten; until then it walks "
        "on. Also how far stamps may lie ahead of the clock or behind the newest.",
        minimum=0.05,
        maximum=60.0,
    ),
    ParameterSpec(
        "max_speed_m_s",
        _PIPELINE.max_speed_m_s,
        "A faster jump is another person under a recycled id: the history starts anew.",
        minimum=0.1,
        maximum=100.0,
    ),
    ParameterSpec(
        "max_agents",
        _PIPELINE.max_agents,
        "Agents remembered at once; more are turned away and counted.",
        minimum=1,
        maximum=100_000,
    ),
    ParameterSpec(
        "confidence",
        _PIPELINE.confidence,
        "Share of the true positions that the Gaussian ellipse of every published covariance "
        "holds. People are no Gaussians: at other shares a covariance can only be nearly right.",
        minimum=0.05,
        maximum=0.99,
    ),
    ParameterSpec(
        "confidence_levels",
        (0.5, 0.95),
        "Shares of the true positions that the drawn ellipses shall hold, one ellipse for each.",
        minimum=0.01,
        maximum=0.999,
    ),
    ParameterSpec(
        "adaptive_calibration",
        True,
        "Learn from what comes to pass how large the ellipses have to be here, and rescale them, "
        "within bounds. False publishes those of the model.",
        effect=Effect.CONFIGURE,
    ),
    ParameterSpec(
        "calibration_file",
        "",
        "Where adaptive_calibration keeps what it learnt for the next start; empty for "
        "$ROS_HOME/social_implicit_ros/<node>_<model>.json, ROS_HOME being ~/.ros where not set.",
        effect=Effect.CONFIGURE,
    ),
    ParameterSpec(
        "self_evaluation_window_s",
        60.0,
        "Seconds over which the node judges its own predictions, in /diagnostics and ~/metrics.",
        minimum=1.0,
        maximum=3600.0,
    ),
    ParameterSpec(
        "coverage_tolerance",
        0.1,
        "How far the share of true positions inside the ellipse of confidence may be from it "
        "before /diagnostics warns.",
        minimum=0.01,
        maximum=1.0,
    ),
    ParameterSpec(
        "markers.ellipse_times_s",
        (1.2, 2.4, 3.6, 4.8),
        "Seconds ahead at which ellipses are drawn, each at the nearest published step; those "
        "beyond the horizon are left out.",
        minimum=0.01,
        maximum=60.0,
    ),
    ParameterSpec(
        "markers.lifetime_s",
        0.6,
        "Seconds after which RViz drops a marker that was not renewed; longer than a tick.",
        minimum=0.05,
        maximum=60.0,
    ),
    ParameterSpec(
        "markers.line_width_m",
        0.06,
        "Width of tracks and futures, metres.",
        minimum=0.001,
        maximum=1.0,
    ),
    ParameterSpec(
        "markers.alpha",
        0.35,
        "Opacity of the nearest ellipse's disc; later ones fade, outlines are stronger.",
        minimum=0.05,
        maximum=1.0,
    ),
    ParameterSpec(
        "person_radius_m",
        0.3,
        "Radius of a person in the outputs that need one: markers, costmap, detections, autoware, "
        "costmap_converter.",
        minimum=0.05,
        maximum=5.0,
    ),
    ParameterSpec(
        "mpc_planner.integrator_step_s",
        0.2,
        "Seconds between two predicted poses: the planner's integrator_step.",
        minimum=0.01,
        maximum=5.0,
    ),
    ParameterSpec(
        "mpc_planner.horizon_steps",
        30,
        "Predicted poses of each person: the planner's N, or more; it reads N of them unchecked.",
        minimum=1,
        maximum=1000,
    ),
    ParameterSpec(
        "mpc_planner.max_obstacles",
        12,
        "The nearest people to publish: the planner's max_obstacles. Where the robot's position is "
        "not known, all are published and the planner chooses.",
        minimum=1,
        maximum=1000,
    ),
    ParameterSpec(
        "mpc_planner.sigma_convention",
        "axis_aligned",
        "What the two semi-axes are: axis_aligned (sigma_x, sigma_y and yaw 0; for its Gaussian "
        "constraint), ellipsoid (of the ellipse whose yaw the poses have, anticlockwise as "
        "everywhere in ROS) or ellipsoid_clockwise (as its ellipsoid constraint reads the yaw).",
        choices=("axis_aligned", "ellipsoid", "ellipsoid_clockwise"),
    ),
    ParameterSpec(
        "costmap.size_m",
        20.0,
        "Side of the costmap, metres; larger than the costmap that takes it in by twice "
        "costmap.recentre_m.",
        minimum=1.0,
        maximum=200.0,
    ),
    ParameterSpec(
        "costmap.resolution_m",
        0.1,
        "Side of a cell, metres.",
        minimum=0.01,
        maximum=5.0,
    ),
    ParameterSpec(
        "costmap.recentre_m",
        1.0,
        "How far from the middle the robot may be before the costmap moves with it, metres.",
        minimum=0.0,
        maximum=100.0,
    ),
    ParameterSpec(
        "costmap.start_s",
        0.0,
        "Seconds from now at which the time window begins for which a cell says how likely "
        "somebody stands in it.",
        minimum=0.0,
        maximum=60.0,
    ),
    ParameterSpec(
        "costmap.end_s",
        2.0,
        "Seconds from now at which that time window ends.",
        minimum=0.0,
        maximum=60.0,
    ),
    ParameterSpec(
        "detections.class_id",
        "person",
        "Class of every detection.",
    ),
    ParameterSpec(
        "autoware.max_paths",
        5,
        "Paths of each person: the mean, and samples that stand for the others.",
        minimum=1,
        maximum=100,
    ),
)

_SPEC_OF = {spec.name: spec for spec in PARAMETERS}

#: Names that belong to rclpy.
_OTHERS = ("use_sim_time", "start_type_description_service", "qos_overrides.")


@dataclass(frozen=True)
class MarkerStyle:
    """How predictions are drawn; see the parameters `markers.*`."""

    ellipse_times_s: tuple[float, ...]
    lifetime_s: float
    line_width_m: float
    alpha: float


@dataclass(frozen=True)
class MpcPlannerOptions:
    """What the planner is set to; see the parameters `mpc_planner.*`."""

    integrator_step_s: float
    horizon_steps: int
    max_obstacles: int
    sigma_convention: str


@dataclass(frozen=True)
class CostmapOptions:
    """Size, place and time window; see the parameters `costmap.*`."""

    size_m: float
    resolution_m: float
    recentre_m: float
    start_s: float
    end_s: float


@dataclass(frozen=True)
class DetectionsOptions:
    """See the parameters `detections.*`."""

    class_id: str


@dataclass(frozen=True)
class AutowareOptions:
    """See the parameters `autoware.*`."""

    max_paths: int


#: The part of the config that holds an output's own parameters, by their prefix.
_OUTPUT_OPTIONS: dict[str, type[Any]] = {
    "markers": MarkerStyle,
    "mpc_planner": MpcPlannerOptions,
    "costmap": CostmapOptions,
    "detections": DetectionsOptions,
    "autoware": AutowareOptions,
}
#: More than enough for a robot, and a second's work.
_MAX_CELLS_A_SIDE = 4000
#: Of a tick; each takes some 200 bytes, in several copies.
_MAX_FUTURES = 2_500_000


@dataclass(frozen=True)
class NodeConfig:
    """All parameters of the node, checked; see `PARAMETERS` for what each means."""

    autostart: bool
    tracker: str
    fixed_frame: str
    transform_wait_s: float
    robot: str
    robot_frame: str
    model: str
    outputs: tuple[str, ...]
    tick_rate_hz: float
    time_step_s: float
    horizon_s: float
    confidence_levels: tuple[float, ...]
    adaptive_calibration: bool
    calibration_file: str
    self_evaluation_window_s: float
    coverage_tolerance: float
    person_radius_m: float
    pipeline: PipelineConfig
    markers: MarkerStyle
    mpc_planner: MpcPlannerOptions
    costmap: CostmapOptions
    detections: DetectionsOptions
    autoware: AutowareOptions

    @property
    def for_outputs(self) -> tuple[object, ...]:
        """All that outputs are made from and that may change while the node runs."""
        options = (getattr(self, prefix) for prefix in _OUTPUT_OPTIONS)
        return (self.confidence_levels, self.person_radius_m, *options)


def check_override(name: str, value: object) -> Value:
    """Checks one value given at start.

    Args:
        name: of a parameter of the table.
        value: as given.

    Raises:
        ParameterError: a value that cannot be used.
    """
    return _SPEC_OF[name].check(value)


def check_change(
    values: Mapping[str, object], changes: Mapping[str, object], *, is_configured: bool
) -> None:
    """Checks a change while the node runs.

    Args:
        values: name -> present value, for every parameter of the table.
        changes: name -> new value; names that are not in the table are not looked at.
        is_configured: whether the node is inactive or active.

    Raises:
        ParameterError: why nothing may change.
    """
    known = {name: value for name, value in changes.items() if name in _SPEC_OF}
    for name, value in known.items():
        spec = _SPEC_OF[name]
        checked = spec.check(value)
        if (
            is_configured
            and spec.effect is Effect.CONFIGURE
            and checked != spec.check(values[name])
        ):
            raise ParameterError(
                f"{name} takes effect at configure only: deactivate, clean up, set it, then "
                "configure again"
            )
    config_from_values({**values, **known})


def unknown_parameters(names: Iterable[str]) -> list[str]:
    """A line for each name that is no parameter of the node, with what may have been meant."""
    lines = []
    for name in names:
        if name not in _SPEC_OF and not name.startswith(_OTHERS):
            close = get_close_matches(name, _SPEC_OF, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            lines.append(f"unknown parameter {name} is ignored{hint}")
    return lines


def descriptor_of(spec: ParameterSpec) -> ParameterDescriptor:
    """What `ros2 param describe` shows."""
    descriptor = ParameterDescriptor(name=spec.name, description=spec.description)
    if spec.choices:
        descriptor.additional_constraints = f"one of: {', '.join(spec.choices)}"
    elif isinstance(spec.default, tuple):
        descriptor.additional_constraints = f"each from {spec.minimum} to {spec.maximum}"
    if type(spec.default) is float:
        assert spec.minimum is not None and spec.maximum is not None
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=float(spec.minimum), to_value=float(spec.maximum))
        ]
    elif type(spec.default) is int:
        assert spec.minimum is not None and spec.maximum is not None
        descriptor.integer_range = [
            IntegerRange(from_value=int(spec.minimum), to_value=int(spec.maximum), step=1)
        ]
    return descriptor


def config_from_values(values: Mapping[str, object]) -> NodeConfig:
    """Checks all values, each for itself and together.

    Args:
        values: name -> value, for every parameter of the table.

    Raises:
        ParameterError: a value that cannot be used.
    """
    checked: dict[str, Any] = {spec.name: spec.check(values[spec.name]) for spec in PARAMETERS}
    options: dict[str, Any] = {}
    for prefix, options_class in _OUTPUT_OPTIONS.items():
        names = [field.name for field in fields(options_class)]
        values_of = {name: checked.pop(f"{prefix}.{name}") for name in names}
        options[prefix] = options_class(**values_of)
    pipeline = {
        name: checked.pop(name) for name in PipelineConfig.__dataclass_fields__ if name in checked
    }
    if not checked["fixed_frame"]:
        raise ParameterError("fixed_frame is empty, expected a frame such as odom or map")
    period_s = 1.0 / checked["tick_rate_hz"] if checked["tick_rate_hz"] > 0 else 0.0
    if options["markers"].lifetime_s <= period_s:
        raise ParameterError(
            f"markers.lifetime_s is {options['markers'].lifetime_s}, expected more than the "
            f"{period_s:g} s between two ticks, else markers flicker"
        )
    _check_costmap(options["costmap"])
    n_futures = pipeline["n_samples"] * pipeline["max_agents"]
    if n_futures > _MAX_FUTURES:
        raise ParameterError(
            f"n_samples times max_agents is {n_futures}, expected at most {_MAX_FUTURES}, as all "
            "futures of a tick are in memory at once: lower one of the two"
        )
    return NodeConfig(pipeline=PipelineConfig(**pipeline), **options, **checked)


def _check_costmap(costmap: CostmapOptions) -> None:
    if costmap.end_s < costmap.start_s:
        raise ParameterError(
            f"costmap.end_s is {costmap.end_s}, expected no less than costmap.start_s, "
            f"{costmap.start_s}"
        )
    if costmap.size_m > _MAX_CELLS_A_SIDE * costmap.resolution_m:
        raise ParameterError(
            f"costmap.size_m is {costmap.size_m}, expected at most {_MAX_CELLS_A_SIDE} cells of "
            f"costmap.resolution_m, {costmap.resolution_m} m"
        )
