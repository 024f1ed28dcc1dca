"""Constant-velocity Kalman filter, as planners extrapolate the output of most trackers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.types import FloatArray, Prediction

#: Spectral densities of the white acceleration noise that the tuning tries, m^2/s^3.
DENSITIES: FloatArray = np.logspace(-6.0, 2.0, 25)
#: That of the predictor, m^2/s^3.
_DENSITY = 0.1
#: Standard deviation of an observed position, metres.
_MEASUREMENT_M = 0.05
#: Initial variances of position (m^2) and velocity (m^2/s^2).
_INITIAL = (1e4, 4.0)


class ConstantVelocityKalman(TrajectoryModel):
    """A model with one filter per axis and white acceleration noise."""

    name = "kalman"
    step_s = 0.4
    n_observed = 8
    n_predicted = 12

    def _predicted(
        self, observed: FloatArray, n_samples: int, seed: int, planned_m: FloatArray | None
    ) -> Prediction:
        """All samples are the mean."""
        ahead = ((0, 0), (0, self.n_predicted), (0, 0))
        known = np.pad(observed, ahead, constant_values=np.nan)
        states, covariances = filtered(known, self.step_s, _DENSITY)
        mean = states[:, -self.n_predicted :, 0]
        variance = covariances[:, -self.n_predicted :, 0, 0]
        samples = np.broadcast_to(mean, (n_samples, *mean.shape))
        return Prediction(samples, mean, variance[..., None, None] * np.eye(2), self.step_s)


def filtered(
    positions_m: FloatArray, step_s: float, density: float
) -> tuple[FloatArray, FloatArray]:
    """Filters tracks. The axes are independent and have the same gains.

    Args:
        positions_m: (A, N, 2) positions at a constant rate, metres; NaN where unknown.
        step_s: seconds between two positions.
        density: spectral density of the acceleration noise, m^2/s^3.

    Returns:
        (A, N, 2, 2) states, by axis: position (metres) and velocity (m/s); and (A, N, 2, 2)
        covariance of position and velocity, which is the same for both axes.
    """
    step = np.array([[1.0, step_s], [0.0, 1.0]])
    noise = np.array([[step_s**3 / 3.0, step_s**2 / 2.0], [step_s**2 / 2.0, step_s]]) * density
    state = np.zeros((len(positions_m), 2, 2))
    covariance = np.tile(np.diag(_INITIAL), (len(positions_m), 1, 1))
    states: list[FloatArray] = []
    covariances: list[FloatArray] = []
    for seen in positions_m.swapaxes(0, 1):
        if states:
            state, covariance = step @ state, step @ covariance @ step.T + noise
        known = np.isfinite(seen[:, 0])
        variance = covariance[:, 0, 0] + _MEASUREMENT_M**2
        gain = covariance[:, :, 0] / variance[:, None] * known[:, None]
        innovation = np.where(known[:, None], seen, state[:, 0]) - state[:, 0]
        state = state + gain[:, :, None] * innovation[:, None]
        covariance = covariance - gain[:, :, None] * covariance[:, :1]
        states.append(state)
        covariances.append(covariance)
    return np.stack(states, axis=1), np.stack(covariances, axis=1)


def tuned_error_m(
    histories: Sequence[FloatArray], ground_truth: FloatArray, step_s: float, ahead_s: float
) -> float:
    """Mean error of the filter that is tuned on these same recordings, metres.

    Args:
        histories: (A, N, 2) positions each, as for `filtered`.
        ground_truth: (sum of A, 2) positions `ahead_s` after the last ones, metres.
        step_s: seconds between two positions.
        ahead_s: prediction horizon, seconds.
    """
    positions_m = np.concatenate(histories)
    errors_m = []
    for density in DENSITIES:
        states, _ = filtered(positions_m, step_s, density)
        off_m = states[:, -1, 0] + ahead_s * states[:, -1, 1] - ground_truth
        errors_m.append(np.linalg.norm(off_m, axis=1).mean())
    return float(min(errors_m))
