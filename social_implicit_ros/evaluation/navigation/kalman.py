"""Constant velocity by a Kalman filter: what a planner extrapolates from most trackers."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.models.base import require_observed, require_samples_asked
from social_implicit_ros.types import FloatArray, Prediction


class ConstantVelocityKalman:
    """A filter of each axis, with white noise in the acceleration; a `TrajectoryModel`."""

    name = "kalman"
    step_s = 0.4
    n_observed = 8
    n_predicted = 12

    def __init__(self, *, measurement_m: float = 0.05, acceleration_m_s2: float = 0.5) -> None:
        """Takes the noises of the filter.

        Args:
            measurement_m: standard deviation of an observed position.
            acceleration_m_s2: standard deviation of the mean acceleration during a step.
        """
        self._measurement_m2 = measurement_m**2
        step = np.array([0.5 * self.step_s**2, self.step_s])
        self._noise = acceleration_m_s2**2 * np.outer(step, step)
        self._step = np.array([[1.0, self.step_s], [0.0, 1.0]])

    def predict(self, observed: FloatArray, *, n_samples: int = 20, seed: int = 0) -> Prediction:
        """Predicts as `TrajectoryModel.predict`; all samples are the mean."""
        require_samples_asked(n_samples)
        observed = require_observed(observed, self.n_observed)
        state, covariance = self._filtered(observed)
        means, covariances = [], []
        for _ in range(self.n_predicted):
            state = self._step @ state
            covariance = self._step @ covariance @ self._step.T + self._noise
            means.append(state[:, 0])
            covariances.append(covariance[:, 0, 0, None, None] * np.eye(2))
        mean = np.stack(means, axis=1)
        samples = np.broadcast_to(mean, (n_samples, *mean.shape))
        return Prediction(samples, mean, np.stack(covariances, axis=1), self.step_s)

    def _filtered(self, observed: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(A, 2, 2) position and velocity by axis, and (A, 2, 2) their covariance, of one axis."""
        state = np.zeros((len(observed), 2, 2))
        covariance = np.tile(np.diag([1e4, 4.0]), (len(observed), 1, 1))
        for seen in observed.swapaxes(0, 1):
            known = np.isfinite(seen[:, 0])
            variance = covariance[:, 0, 0] + self._measurement_m2
            gain = covariance[:, :, 0] / variance[:, None] * known[:, None]
            innovation = np.where(known[:, None], seen, 0.0) - state[:, 0] * known[:, None]
            state = state + gain[:, :, None] * innovation[:, None]
            covariance = covariance - gain[:, :, None] * covariance[:, :1]
            last = state, covariance
            state = self._step @ state
            covariance = self._step @ covariance @ self._step.T + self._noise
        return last
