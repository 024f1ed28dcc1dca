"""Headings, velocities and 6 x 6 covariances of predicted positions in the plane."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.types import FloatArray

#: Below this speed the direction of motion is noise, m/s.
_STANDING_M_S = 0.1
#: Variance of an unknown heading (uniform over the circle), rad^2.
_ANY_DIRECTION_RAD2 = np.pi**2 / 3.0
#: Initial part of the mean trajectory over which the velocity is averaged, seconds: the first step
#: alone is noisy, and consumers extrapolate the velocity by a second or two.
_VELOCITY_OVER_S = 1.0


def headings_rad(path_m: FloatArray, step_s: float) -> FloatArray:
    """Headings along trajectories.

    Args:
        path_m: (A, S, 2) metres, S of 2 or more.
        step_s: seconds between two points.

    Returns:
        (A, S) radians: direction of the motion to each point; at the first point, direction of the
        motion from it. Standing agents keep the nearest earlier heading, else the nearest later
        one, else 0.
    """
    moves = path_m[:, 1:] - path_m[:, :-1]
    moves = np.concatenate([moves[:, :1], moves], axis=1)
    x, y = moves[..., 0], moves[..., 1]
    moving = x * x + y * y > (_STANDING_M_S * step_s) ** 2  # several times faster than np.hypot
    indices = np.arange(moving.shape[1])
    latest = np.maximum.accumulate(np.where(moving, indices, -1), axis=1)
    source = np.where(latest >= 0, latest, moving.argmax(axis=1)[:, None])
    angles = np.where(moving, np.arctan2(y, x), 0.0)
    headings: FloatArray = angles[np.arange(len(angles))[:, None], source]
    return headings


def mean_velocity_m_s(last_m: FloatArray, mean_m: FloatArray, step_s: float) -> FloatArray:
    """Mean velocity over the first second of the mean trajectory.

    Args:
        last_m: (A, 2) positions at the stamp, metres.
        mean_m: (A, T, 2) mean trajectories, metres.
        step_s: seconds between two of them.

    Returns:
        (A, 2) m/s, in the axes of the positions' frame.
    """
    n_steps = min(max(1, round(_VELOCITY_OVER_S / step_s)), mean_m.shape[1])
    velocity: FloatArray = (mean_m[:, n_steps - 1] - last_m) / (n_steps * step_s)
    return velocity


def pose_covariance(covariance_m2: FloatArray) -> FloatArray:
    """The covariance of a pose in the plane, in the layout of ROS messages.

    Yaw is unknown, as the model predicts no headings. Height, roll and pitch are not predicted and
    have zero variance.

    Args:
        covariance_m2: (..., 2, 2) of the position, square metres.

    Returns:
        (..., 36) row-major over x, y, z, roll, pitch, yaw; square metres and square radians.
    """
    matrix = np.zeros((*covariance_m2.shape[:-2], 6, 6))
    matrix[..., :2, :2] = covariance_m2
    matrix[..., 5, 5] = _ANY_DIRECTION_RAD2
    return matrix.reshape(*covariance_m2.shape[:-2], 36)
