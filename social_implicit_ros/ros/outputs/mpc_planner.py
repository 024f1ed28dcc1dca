"""`~/mpc_planner`: the nearest people as obstacles of tud-amr/mpc_planner."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import PoseStamped
from mpc_planner_msgs.msg import Gaussian, ObstacleArray, ObstacleGMM
from nav_msgs.msg import Path
from std_msgs.msg import Header

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.planar import headings_rad
from social_implicit_ros.prediction.resample import Steps, moments_at, without_samples
from social_implicit_ros.ros.messages import pose_numbers, stamp_numbers
from social_implicit_ros.ros.outputs.base import ListOutput
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.tracks.messages.agent_ids import LARGEST_INT32, AgentNumbers
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray
from social_implicit_ros.uncertainty.ellipses import (
    at_confidence,
    confidence_to_sigmas,
    ellipse_axes,
)

#: A last semi-axis of zero disables the planner's chance constraints.
_MIN_SEMIAXIS_M = 0.01


class MpcPlanner(ListOutput):
    """One obstacle per person, with one Gaussian per step of the planner.

    The planner ignores frame and stamp: it plans in `fixed_frame`. Pose k is the mean position
    after k + 1 integrator steps. There are always `horizon_steps` poses, as the planner does not
    check the length. Semi-axes are in metres and never zero: the planner's ellipse at its risk is
    the region of `mpc_planner.confidence`, up to `mpc_planner.horizon_s`. `id` is the tracker's own
    if that is an int32, see `tracks.agent_ids`.
    """

    topic = "~/mpc_planner"
    message_class = ObstacleArray

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        options = config.mpc_planner
        self._steps = Steps(options.integrator_step_s, options.horizon_steps)
        self._max_obstacles = options.max_obstacles
        self._sigma_convention = options.sigma_convention
        self._confidence = options.confidence
        # The planner multiplies semi-axes by its own radius.
        ratio = confidence_to_sigmas(options.confidence) / confidence_to_sigmas(1.0 - options.risk)
        self._scale = np.where(self._steps.times_s < options.horizon_s + 1e-6, ratio * ratio, 0.0)
        self._numbers = AgentNumbers(LARGEST_INT32)

    def render(self, forecast: Forecast) -> bytes:
        """The people closest to the robot; all if its position is unknown."""
        rows = forecast.nearest(self._max_obstacles)
        n_steps = self._steps.n_steps
        present_m, heights_m = forecast.present_m[rows], forecast.heights_m[rows]
        prediction = without_samples(forecast.prediction).of_agents(rows)
        prediction = at_confidence(prediction, self._confidence)
        mean_m, covariance_m2 = moments_at(prediction, present_m, self._steps.times_s)
        covariance_m2 = covariance_m2 * self._scale[:, None, None]
        path_m = np.concatenate([present_m[:, None], mean_m], axis=1)
        headings = headings_rad(path_m, self._steps.step_s)
        first_m, second_m, yaw_rad = semiaxes(covariance_m2, self._sigma_convention)
        step_ns = round(self._steps.step_s * NS_PER_S)
        stamps = stamp_numbers(forecast.stamp_ns + step_ns * np.arange(n_steps + 1))
        return self.serialised(
            forecast,
            [None] * len(rows),
            {
                "id": self._numbers.assign(forecast.ids)[rows],
                "pose": pose_numbers(present_m, heights_m, headings[:, 0]),
                "gaussians.mean.header.stamp": np.tile(stamps[0], len(rows)),
                "gaussians.mean.poses.header.stamp": np.tile(stamps[1:], (len(rows), 1)),
                "gaussians.mean.poses.pose": pose_numbers(mean_m, heights_m, yaw_rad),
                "gaussians.major_semiaxis": first_m,
                "gaussians.minor_semiaxis": second_m,
            },
        )

    def entries(self, shape: None) -> list[ObstacleGMM]:
        """Template of all obstacles."""
        n_steps = self._steps.n_steps
        header = Header(frame_id=self._frame_id)
        gaussian = Gaussian(
            mean=Path(header=header, poses=[PoseStamped(header=header)] * n_steps),
            major_semiaxis=[0.0] * n_steps,
            minor_semiaxis=[0.0] * n_steps,
        )
        return [ObstacleGMM(gaussians=[gaussian], probabilities=[1.0])]


def semiaxes(
    covariance_m2: FloatArray, convention: str
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Major semi-axis, minor semi-axis and yaw of a covariance, as the planner interprets them.

    Its Gaussian constraint reads the semi-axes as sigma_x and sigma_y and ignores the yaw:
    `axis_aligned`. Its ellipsoid constraint computes R(yaw)^T diag(...) R(yaw), which rotates the
    ellipse clockwise: `ellipsoid_clockwise`. `ellipsoid` is for consumers that rotate it
    anticlockwise, as in REP 103.

    Args:
        covariance_m2: (..., 2, 2) square metres.
        convention: one of these names.

    Returns:
        (...,) metres, (...,) metres and (...,) radians.
    """
    if convention == "axis_aligned":
        sigmas_m = np.sqrt(np.diagonal(covariance_m2, axis1=-2, axis2=-1))
        first_m, second_m = sigmas_m[..., 0], sigmas_m[..., 1]
        yaw_rad = np.zeros_like(first_m)
    else:
        first_m, second_m, yaw_rad = ellipse_axes(covariance_m2)
        if convention == "ellipsoid_clockwise":
            yaw_rad = -yaw_rad
    return np.maximum(first_m, _MIN_SEMIAXIS_M), np.maximum(second_m, _MIN_SEMIAXIS_M), yaw_rad
