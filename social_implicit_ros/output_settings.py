"""Parameters of the outputs, declared once each; a part of `settings`."""

from __future__ import annotations

from dataclasses import dataclass

from social_implicit_ros.parameter_spec import ParameterError, Settings, row


def _confidence() -> float:
    """The parameter of an output's own confidence level."""
    value: float = row(
        0.0,
        "Confidence level at which the published covariances have correct coverage. 0 uses the "
        "parameter confidence.",
        within=(0.0, 0.99),
        minimum_above_zero=0.05,
    )
    return value


#: Maximum number of cells per side of the costmap, which takes a second to compute.
_MAX_CELLS_PER_SIDE = 4000


@dataclass(frozen=True)
class MarkerStyle(Settings):
    """How predictions are drawn."""

    prefix = "markers."

    ellipse_times_s: tuple[float, ...] = row(
        (1.2, 2.4, 3.6, 4.8),
        "Prediction times at which ellipses are drawn, in seconds, each at the nearest published "
        "step. Times beyond the horizon are ignored.",
        within=(0.01, 60.0),
    )
    lifetime_s: float = row(
        0.6,
        "Time after which RViz removes a marker that was not updated, in seconds. Must be longer "
        "than the period of a tick.",
        within=(0.05, 60.0),
    )
    line_width_m: float = row(
        0.06, "Line width of tracks and predicted trajectories, in metres.", within=(0.001, 1.0)
    )
    alpha: float = row(
        0.35,
        "Opacity of the disc of the nearest ellipse. Later discs fade; outlines are more opaque.",
        within=(0.05, 1.0),
    )


@dataclass(frozen=True)
class MpcPlannerOptions(Settings):
    """Options of the output `mpc_planner`; they must agree with the planner's configuration."""

    prefix = "mpc_planner."

    integrator_step_s: float = row(
        0.2,
        "Time between two predicted poses in seconds: the planner's integrator_step.",
        within=(0.01, 5.0),
    )
    horizon_steps: int = row(
        30,
        "Predicted poses per person: the planner's N, or more. The planner reads N poses without "
        "checking.",
        within=(1, 1000),
    )
    max_obstacles: int = row(
        12,
        "Maximum number of published people, nearest first: the planner's max_obstacles. If the "
        "robot's position is unknown, all are published and the planner selects.",
        within=(1, 1000),
    )
    confidence: float = row(
        0.5, "Confidence level of the region that the planner keeps out of.", within=(0.05, 0.99)
    )
    risk: float = row(
        0.05,
        "The planner's risk (probabilistic). Semi-axes are scaled so that its ellipse at that risk "
        "is the region of mpc_planner.confidence.",
        within=(0.0001, 0.95),
    )
    horizon_s: float = row(
        2.4,
        "Time in seconds up to which poses have regions. Later poses have the smallest possible "
        "region: there the planner keeps only its own radii from the mean trajectory.",
        within=(0.01, 60.0),
    )
    sigma_convention: str = row(
        "axis_aligned",
        "Meaning of the two semi-axes.",
        choices={
            "axis_aligned": "sigma_x and sigma_y with yaw 0, for the planner's Gaussian constraint",
            "ellipsoid": "semi-axes of an ellipse whose yaw is that of the poses, anticlockwise as "
            "everywhere in ROS",
            "ellipsoid_clockwise": "the same with the yaw as the planner's ellipsoid constraint "
            "reads it",
        },
    )


@dataclass(frozen=True)
class CostmapOptions(Settings):
    """Size, position and time window of the costmap."""

    prefix = "costmap."

    size_m: float = row(
        20.0,
        "Side length of the costmap in metres. Must exceed that of the costmap into which it is "
        "merged by twice costmap.recentre_m.",
        within=(1.0, 200.0),
    )
    resolution_m: float = row(0.1, "Side length of a cell in metres.", within=(0.01, 5.0))
    recentre_m: float = row(
        1.0,
        "Distance of the robot from the centre at which the costmap moves with it, in metres.",
        within=(0.0, 100.0),
    )
    start_s: float = row(
        0.0,
        "Start of the time window, in seconds from now. A cell holds the probability that somebody "
        "is in it during that window.",
        within=(0.0, 60.0),
    )
    end_s: float = row(
        2.0,
        "End of the time window, in seconds from now. In closed loop, no other tested window "
        "was significantly better.",
        within=(0.0, 60.0),
    )

    confidence: float = _confidence()

    def check_together(self) -> None:
        """Raises ParameterError for parameters that contradict each other."""
        if self.end_s < self.start_s:
            raise ParameterError(
                f"costmap.end_s is {self.end_s}, expected no less than costmap.start_s, "
                f"{self.start_s}"
            )
        if self.size_m > _MAX_CELLS_PER_SIDE * self.resolution_m:
            raise ParameterError(
                f"costmap.size_m is {self.size_m}, expected at most {_MAX_CELLS_PER_SIDE} cells of "
                f"costmap.resolution_m, {self.resolution_m} m"
            )


@dataclass(frozen=True)
class DetectionsOptions(Settings):
    """Options of the output `detections`."""

    prefix = "detections."

    class_id: str = row("person", "Class id of every detection.")
    confidence: float = _confidence()


@dataclass(frozen=True)
class AutowareOptions(Settings):
    """Options of the output `autoware`."""

    prefix = "autoware."

    max_paths: int = row(
        5,
        "Maximum number of paths per person: the mean trajectory, and samples that each represent "
        "similar ones.",
        within=(1, 100),
    )
    confidence: float = _confidence()
