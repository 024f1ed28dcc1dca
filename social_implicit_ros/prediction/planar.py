"""What messages say beyond a position on the ground: headings, velocities, 6 x 6 covariances."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.types import FloatArray

#: Slower than this, the direction of a path is noise.
_STANDING_M_S = 0.1
#: Variance of a direction of which nothing is known: uniform over the circle, rad^2.
_ANY_DIRECTION_RAD2 = np.pi**2 / 3.0
#: Seconds of the predicted mean over which a velocity is taken: a model's first step alone is
#: rough, and who extrapolates this velocity looks a second or two ahead.
_VELOCITY_OVER_S = 1.0


def headings_rad(path_m: FloatArray, step_s: float) -> FloatArray:
    """The direction in which a path runs at each of its points.

    Args:
        path_m: (A, S, 2) metres, S of 2 or more.
        step_s: seconds between two points.

    Returns:
        (A, S) radians: the direction in which a point is arrived at; at the first point the one
        in which it is left. Who stands keeps the nearest earlier direction, else the nearest
        later one, else 0.
    """
    moves = np.diff(path_m, axis=1)
    moves = np.concatenate([moves[:, :1], moves], axis=1)
    moving = np.hypot(moves[..., 0], moves[..., 1]) > _STANDING_M_S * step_s
    places = np.arange(moving.shape[1])
    latest = np.maximum.accumulate(np.where(moving, places, -1), axis=1)
    source = np.where(latest >= 0, latest, moving.argmax(axis=1)[:, None])
    angles = np.where(moving, np.arctan2(moves[..., 1], moves[..., 0]), 0.0)
    headings: FloatArray = np.take_along_axis(angles, source, axis=1)
    return headings


def mean_velocity_m_s(last_m: FloatArray, mean_m: FloatArray, step_s: float) -> FloatArray:
    """The velocity with which the predicted mean sets out, over its first second.

    Args:
        last_m: (A, 2) present positions in metres.
        mean_m: (A, T, 2) predicted positions in metres.
        step_s: seconds between two of them.

    Returns:
        (A, 2) metres per second in the axes of the positions' frame.
    """
    n_steps = min(max(1, round(_VELOCITY_OVER_S / step_s)), mean_m.shape[1])
    velocity: FloatArray = (mean_m[:, n_steps - 1] - last_m) / (n_steps * step_s)
    return velocity


def pose_covariance(covariance_m2: FloatArray) -> FloatArray:
    """The covariance of a pose on the ground, as ROS messages hold it.

    The position's covariance in the plane; a yaw of which nothing is known, as the model predicts
    no headings; and zeros for height, roll and pitch, which are not predicted at all.

    Args:
        covariance_m2: (..., 2, 2) of the position, square metres.

    Returns:
        (..., 36) row by row over x, y, z, roll, pitch, yaw; square metres and square radians.
    """
    matrix = np.zeros((*covariance_m2.shape[:-2], 6, 6))
    matrix[..., :2, :2] = covariance_m2
    matrix[..., 5, 5] = _ANY_DIRECTION_RAD2
    return matrix.reshape(*covariance_m2.shape[:-2], 36)
