"""A constant-velocity Kalman filter, the extrapolation that a replanning robot has anyway."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from social_implicit_ros.types import FloatArray

#: Candidates of the tuning: variance of the acceleration noise over one interval, as a share of
#: that of the measurements.
NOISE_RATIOS: FloatArray = np.logspace(-6.0, 2.0, 25)
#: Initial variance of the velocity per interval, likewise.
_INITIAL_VARIANCE = 1e4


def kalman_extrapolation(
    positions_m: FloatArray, noise_ratio: float, n_intervals: float
) -> FloatArray:
    """Positions a while after the last observation.

    The axes are independent and have the same gains, which depend on one ratio of noises.

    Args:
        positions_m: (A, N, 2) at a constant rate, NaN where unknown; the first is known.
        noise_ratio: see `NOISE_RATIOS`.
        n_intervals: time ahead, in intervals between two positions.

    Returns:
        (A, 2) in metres.
    """
    n_agents = len(positions_m)
    state = np.zeros((n_agents, 2, 2))  # position and velocity, by axis
    state[:, 0] = positions_m[:, 0]
    covariance = np.tile(np.diag([1.0, _INITIAL_VARIANCE]), (n_agents, 1, 1))
    step = np.array([[1.0, 1.0], [0.0, 1.0]])
    # White noise in the acceleration.
    noise = noise_ratio * np.array([[1.0 / 3.0, 0.5], [0.5, 1.0]])
    for seen in positions_m[:, 1:].swapaxes(0, 1):
        state, covariance = step @ state, step @ covariance @ step.T + noise
        known = np.isfinite(seen[:, 0])
        gain = covariance[:, :, 0] / (covariance[:, 0, 0] + 1.0)[:, None] * known[:, None]
        innovation = np.where(known[:, None], seen, state[:, 0]) - state[:, 0]
        state = state + gain[:, :, None] * innovation[:, None]
        covariance = covariance - gain[:, :, None] * covariance[:, :1]
    extrapolated: FloatArray = state[:, 0] + n_intervals * state[:, 1]
    return extrapolated


def tuned_kalman_error_m(
    histories: Sequence[FloatArray], ground_truth: FloatArray, n_intervals: float
) -> float:
    """Mean error of the filter whose noise ratio is the best for these very recordings.

    Args:
        histories: (A, N, 2) each, see `kalman_extrapolation`.
        ground_truth: (sum of A, 2) positions `n_intervals` after the last ones, metres.
        n_intervals: time ahead, in intervals.
    """
    positions_m = np.concatenate(histories)
    errors_m = [
        np.linalg.norm(kalman_extrapolation(positions_m, ratio, n_intervals) - ground_truth, axis=1)
        for ratio in NOISE_RATIOS
    ]
    return float(np.mean(errors_m, axis=1).min())
