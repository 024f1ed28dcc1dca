"""Every parameter of the node, declared once: default, range and help.

A parameter is a field of one of the frozen dataclasses below; `PARAMETERS` lists them by the names
that users write. The node, a replay's parameter file, config/predictor.yaml and docs/parameters.md
are made from these rows; `scripts/write_parameters.py` writes the two files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from social_implicit_ros.output_settings import (
    AutowareOptions,
    CostmapOptions,
    DetectionsOptions,
    MarkerStyle,
    MpcPlannerOptions,
)
from social_implicit_ros.parameter_spec import (
    ParameterError,
    ParameterSpec,
    Settings,
    configure_row,
    row,
)
from social_implicit_ros.types import plain_frame
from social_implicit_ros.untrusted_files import did_you_mean

#: Maximum number of sampled trajectories per tick: each takes about 200 bytes, in several copies.
_MAX_TRAJECTORIES = 2_500_000
#: Maximum number of observations in all histories: each takes about 50 bytes.
_MAX_OBSERVATIONS = 30_000_000


@dataclass(frozen=True)
class HistoryLimits(Settings):
    """How tracks are remembered."""

    min_observations: int = row(
        2, "Observations that a new track needs before it is predicted.", within=(2, 100)
    )
    min_track_age_s: float = row(
        0.0,
        "Time since its first observation after which a new track is predicted, in seconds. "
        "Younger tracks are counted as too_young. Use it for trackers that report short-lived "
        "false tracks.",
        within=(0.0, 60.0),
    )
    track_timeout_s: float = row(
        1.0,
        "Time after which a track that is no longer reported is dropped, in seconds. Until then it "
        "is extrapolated, see min_return_probability. For slow trackers the time is longer, see "
        "max_track_timeout_s. It is also the tolerance for stamps ahead of the clock or behind the "
        "newest stamp.",
        within=(0.05, 60.0),
    )
    max_speed_m_s: float = row(
        10.0,
        "Maximum plausible speed in m/s. A position that needs a higher speed is dropped as an "
        "outlier. If the next position confirms it, the tracker has reused the id for another "
        "person and the history restarts.",
        within=(0.1, 100.0),
    )
    position_noise_m: float = row(
        0.05,
        "Initial standard deviation of the tracker's position noise in metres; it is then learned "
        "from the tracks. 0 treats positions as exact, as those of a simulator.",
        within=(0.0, 1.0),
    )
    max_agents: int = row(
        1000,
        "Maximum number of tracked agents. If there are more, the nearest to the last known "
        "position of the robot are kept, or to the origin of fixed_frame if there is none. The "
        "others are rejected and counted as over_capacity.",
        within=(1, 100_000),
    )
    max_history: int = configure_row(
        256,
        "Maximum number of observations kept per agent, at least two per step of the model. The "
        "observations of a fast tracker are thinned out, so that the kept ones always span the "
        "observed steps of the model.",
        within=(1, 10_000),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._limit_product("max_agents", "max_history", _MAX_OBSERVATIONS, "all observations are")

    def _limit_product(self, first: str, second: str, most: int, what: str) -> None:
        product = getattr(self, first) * getattr(self, second)
        if product > most:
            raise ParameterError(
                f"{first} times {second} is {product}, expected at most {most}, as {what} kept in "
                "memory: lower one of the two"
            )


@dataclass(frozen=True)
class PipelineConfig(HistoryLimits):
    """How tracks are remembered and predicted."""

    n_samples: int = row(
        20,
        "Trajectories sampled per person and tick. Mean and ellipses are computed from them.",
        within=(1, 1000),
    )
    seed: int = row(
        0,
        "Random seed of the samples. It is the same at every tick, so that ellipses do not "
        "flicker.",
        within=(0, 2**31 - 1),
    )
    correct_trajectories: bool = configure_row(
        True,
        "Correct the mean trajectories of walking people by the errors of earlier predictions "
        "nearby, see docs/calibration.md. Needs adaptive_calibration.",
    )
    add_tracker_covariance: bool = row(
        False,
        "Add the tracker's covariance of the latest position to every predicted covariance. The "
        "covariance of the node's own position estimate is always included, so only the excess "
        "over it is added.",
    )
    confidence: float = row(
        0.95,
        "Confidence level at which the Gaussian ellipses of the published covariances have correct "
        "coverage. Set it to the level that your planner uses. Human motion is not Gaussian, so "
        "coverage at other levels is approximate.",
        within=(0.05, 0.99),
    )

    max_track_timeout_s: float = row(
        3.0,
        "Upper limit of the timeout of slow trackers, in seconds. Their tracks are dropped after "
        "2.2 tracker periods plus the latency, if that is longer than track_timeout_s. If this "
        "parameter is not above track_timeout_s, the timeout is always track_timeout_s.",
        within=(0.05, 60.0),
    )
    stitching: bool = configure_row(
        True,
        "If a track vanishes and a new id appears where that person would be by now, continue the "
        "old history. Predictions are published under the old id.",
    )
    untangling: bool = configure_row(
        True,
        "Undo swaps of ids: if the motion of two people who passed closer than 0.7 m shows that "
        "the tracker swapped their ids, predict each under the original id.",
    )
    merge_distance_m: float = configure_row(
        0.0,
        "Distance in metres at which tracks of different trackers are merged. Tracks that stay "
        "this close for a second are predicted as one person, under the id of the older track, or "
        "of the tracker with less latency. 0 merges none. Set it below the distance between two "
        "people of whom each tracker sees only one.",
        within=(0.0, 3.0),
    )
    merge_doubles: bool = configure_row(
        True,
        "Predict a person once whom a tracker lists under two ids: two of its tracks that for two "
        "seconds are as close as only the noise of their positions explains.",
    )
    min_return_probability: float = row(
        0.35,
        "A track that is no longer reported is predicted while the probability that it reappears "
        "is at least this value. The probability is learned from the gaps in the tracks of its "
        "tracker. 0 predicts every track until it is dropped.",
        within=(0.0, 0.99),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        of_a_tick = "all trajectories of a tick are"
        self._limit_product("n_samples", "max_agents", _MAX_TRAJECTORIES, of_a_tick)


@dataclass(frozen=True)
class PredictorConfig(Settings):
    """Frames, robot, schedule and pipeline of the predictor: parameters that a replay has too.

    Frames lose a leading slash. An empty fixed frame is chosen by each recording.
    """

    fixed_frame: str = configure_row(
        "odom",
        "Static frame with a horizontal x-y plane in which people are predicted. Tracks in another "
        "frame are transformed at their own stamp.",
    )
    publish_frame: str = configure_row(
        "",
        "Frame of all outputs, such as map; fixed_frame if empty. People are predicted in "
        "fixed_frame, so that corrections of the localisation do not look like motion.",
    )
    stamp_source: str = configure_row(
        "header",
        "Time at which tracks were measured. Use arrival only for trackers that do not set "
        "header.stamp: it cannot compensate their latency.",
        choices={
            "header": "header.stamp of the message",
            "arrival": "arrival of the message at the node",
        },
    )
    stamp_spread_s: float = configure_row(
        0.05,
        "Largest accepted difference between the stamps of the entries of one message, in seconds. "
        "The newest stamp is used for all entries. If stamps differ by more, only the entries "
        "at the time of most entries are used.",
        within=(0.0, 1.0),
    )
    transform_wait_s: float = configure_row(
        0.2,
        "Time that tracks in another frame wait for their transform before they are skipped, in "
        "seconds.",
        within=(0.0, 10.0),
    )
    robot: str = configure_row(
        "none",
        "Source of the robot's own position. The model treats the robot as a further agent, which "
        "is never published as a pedestrian. With a nav_msgs/Path on ~/plan, people make way for "
        "where it is going to be.",
        choices={
            "none": "the robot is not considered",
            "odometry": "nav_msgs/Odometry on ~/odometry",
            "tf": "pose of robot_frame",
        },
    )
    robot_frame: str = configure_row("base_link", "Frame of the robot, used if robot is tf.")
    tick_rate_hz: float = row(
        10.0,
        "Predictions per second, stamped with the node's clock, which compensates the latency of "
        "the tracker. 0 predicts at every tracker message instead, with the stamp of the message.",
        within=(0.0, 1000.0),
        minimum_above_zero=0.01,
    )
    time_step_s: float = configure_row(
        0.0,
        "Time between two published steps in seconds. 0 uses the model's step; other steps are "
        "interpolated.",
        within=(0.0, 60.0),
        minimum_above_zero=0.01,
    )
    horizon_s: float = configure_row(
        0.0,
        "Time of the last published step in seconds. 0 uses the model's horizon, which is the "
        "maximum.",
        within=(0.0, 60.0),
        minimum_above_zero=0.01,
    )
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)
    self_evaluation_window_s: float = row(
        60.0,
        "Time window in seconds over which the node evaluates its own predictions, for "
        "/diagnostics and ~/metrics.",
        within=(1.0, 3600.0),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("fixed_frame", "publish_frame", "robot_frame"):
            object.__setattr__(self, name, plain_frame(getattr(self, name)))


@dataclass(frozen=True)
class NodeConfig(Settings):
    """All parameters of the node."""

    autostart: bool = configure_row(
        True,
        "Configure and activate at startup. If false, a lifecycle manager makes these transitions.",
    )
    bond: bool = configure_row(
        False,
        "Send the heartbeats of a bond while the node is active, so that Nav2's lifecycle manager "
        "notices when it dies (docs/nav2.md). Needs the package bond.",
    )
    tracker: str = configure_row(
        "marker_array",
        "Tracker mapping of the messages on ~/tracks: the name of a shipped one (marker_array, "
        "point_cloud, people, vision_detections, autoware, derived_object, hunav, nav2_dynamic, "
        "pedsim, spencer, yolo, zed; see docs/trackers.md), or the path of your own. Separate "
        "several by commas, each with its topic: people@/people, zed@/zed/objects.",
    )
    model: str = configure_row(
        "default",
        "Prediction model: default, the name of a shipped model, constant_velocity, "
        "sampled_constant_velocity, or the path of an .onnx file with its model card next to it.",
    )
    outputs: tuple[str, ...] = configure_row(
        ("pointcloud", "markers"),
        "What to publish. An output without subscribers is not computed.",
        choices={
            "pointcloud": "~/predictions, one row per agent and step: mean and covariance",
            "samples": "~/samples, one row per sample, agent and step",
            "markers": "~/markers, for RViz",
            "mpc_planner": "mpc_planner_msgs/ObstacleArray, for tud-amr/mpc_planner",
            "costmap": "nav_msgs/OccupancyGrid around the robot, for Nav2; needs robot",
            "detections": "vision_msgs/Detection3DArray, one detection per person and step",
            "autoware": "autoware_perception_msgs/PredictedObjects",
            "people": "people_msgs/People, for social costmap layers",
            "costmap_converter": "costmap_converter_msgs/ObstacleArrayMsg, for TEB",
        },
    )
    predictor: PredictorConfig = field(default_factory=PredictorConfig)
    use_map: bool = configure_row(
        False,
        "Keep predictions out of the walls of a nav_msgs/OccupancyGrid on ~/map. The model itself "
        "does not know walls.",
    )
    confidence_levels: tuple[float, ...] = row(
        (0.5, 0.95),
        "Confidence levels of the drawn ellipses, one ellipse per level: the fraction of "
        "ground-truth positions that the ellipse covers.",
        within=(0.01, 0.999),
    )
    adaptive_calibration: bool = configure_row(
        True,
        "Learn the size of the ellipses from the prediction errors at this site and rescale them, "
        "within bounds (docs/calibration.md). If false, the model's ellipses are published.",
    )
    calibration_file: str = configure_row(
        "",
        "File that stores the adaptive calibration for the next start. Empty: "
        "$ROS_HOME/social_implicit_ros/NODE_MODEL.json, where ROS_HOME defaults to ~/.ros, or no "
        "file if use_sim_time is true.",
    )
    coverage_tolerance: float = row(
        0.1,
        "Deviation of the observed coverage from confidence above which /diagnostics warns.",
        within=(0.01, 1.0),
    )
    person_radius_m: float = row(
        0.3,
        "Radius of a person in metres, for the outputs markers, costmap, detections, autoware and "
        "costmap_converter.",
        within=(0.05, 5.0),
    )
    markers: MarkerStyle = field(default_factory=MarkerStyle)
    mpc_planner: MpcPlannerOptions = field(default_factory=MpcPlannerOptions)
    costmap: CostmapOptions = field(default_factory=CostmapOptions)
    detections: DetectionsOptions = field(default_factory=DetectionsOptions)
    autoware: AutowareOptions = field(default_factory=AutowareOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        predictor = self.predictor
        if not predictor.fixed_frame:
            raise ParameterError("fixed_frame is empty, expected a frame such as odom or map")
        if "costmap" in self.outputs and predictor.robot == "none":
            raise ParameterError(
                "outputs contains costmap, which is centred on the robot, but robot is none: set "
                "robot to tf (with robot_frame) or to odometry, or remove costmap from outputs"
            )
        # Parameters of an output are checked only if it is published.
        if "costmap" in self.outputs:
            self.costmap.check_together()
        period_s = 1.0 / predictor.tick_rate_hz if predictor.tick_rate_hz > 0 else 0.0
        if "markers" in self.outputs and self.markers.lifetime_s <= period_s:
            raise ParameterError(
                f"markers.lifetime_s is {self.markers.lifetime_s}, expected more than the "
                f"{period_s:g} s between two ticks, else markers flicker"
            )

    @property
    def for_outputs(self) -> tuple[object, ...]:
        """The values that outputs are created from and that may change while the node runs."""
        options = (self.markers, self.mpc_planner, self.costmap, self.detections, self.autoware)
        return (self.confidence_levels, self.person_radius_m, *options)


#: All parameters of the node.
PARAMETERS: tuple[ParameterSpec, ...] = tuple(NodeConfig.rows())
#: Names of parameters that rclpy declares itself.
_RCLPY_PARAMETERS = ("use_sim_time", "start_type_description_service", "qos_overrides.")
#: Arguments of the launch file that remap a topic of the node.
_TOPICS = ("tracks", "odometry", "map", "plan")


def unknown_parameters(names: Iterable[str]) -> list[str]:
    """A line for each name that is not a parameter of the node, with the closest known name."""
    known = {spec.name for spec in PARAMETERS}
    lines = []
    for name in names:
        if name not in known and not name.startswith(_RCLPY_PARAMETERS):
            hint = did_you_mean(name, known)
            if name in _TOPICS:
                hint = f": it is a topic, remap ~/{name} or launch with {name}:=/..."
            lines.append(f"unknown parameter {name} is ignored{hint}")
    return lines
