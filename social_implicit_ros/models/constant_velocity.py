"""The constant-velocity baseline."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.types import FloatArray, Prediction
from social_implicit_ros.uncertainty.ellipses import sample_moments


class ConstantVelocity(TrajectoryModel):
    """Extrapolates the last observed displacement of every agent.

    Source: Schöller et al., "What the Constant Velocity Model Can Teach Us About Pedestrian
    Motion Prediction", RA-L 2020. With `heading_sigma_rad` above zero, the heading of each sample
    is drawn from a normal distribution (OUR-S in the paper, 25 degrees).
    """

    def __init__(
        self,
        *,
        heading_sigma_rad: float = 0.0,
        step_s: float = 0.4,
        n_observed: int = 8,
        n_predicted: int = 12,
    ) -> None:
        self.name = "sampled_constant_velocity" if heading_sigma_rad > 0 else "constant_velocity"
        self.heading_sigma_rad = heading_sigma_rad
        self.step_s = step_s
        self.n_observed = n_observed
        self.n_predicted = n_predicted
        # (2, 2 T) from a velocity to the displacement until each step.
        self._displacement = np.kron(np.arange(1.0, n_predicted + 1), np.eye(2))

    def _predicted(
        self, observed: FloatArray, n_samples: int, seed: int, planned_m: FloatArray | None
    ) -> Prediction:
        """Without heading noise all samples are equal."""
        last = observed[:, -1]
        velocity = last - observed[:, -2]  # (A, 2) metres per step
        steps = np.arange(1, self.n_predicted + 1)
        if self.heading_sigma_rad == 0.0:
            path = last[:, None] + velocity[:, None] * steps[:, None]
            samples = np.broadcast_to(path, (n_samples, *path.shape))
            return Prediction(samples, path, np.zeros((*path.shape, 2)), self.step_s)
        cos, sin = _turns(n_samples, len(observed), self.heading_sigma_rad, seed)
        turned = np.empty((n_samples, len(observed), 2))  # metres per step
        turned[..., 0] = cos * velocity[:, 0] - sin * velocity[:, 1]
        turned[..., 1] = sin * velocity[:, 0] + cos * velocity[:, 1]
        samples = turned @ self._displacement  # (K, A, 2 T)
        samples += last[:, None].repeat(self.n_predicted, axis=1).reshape(-1, 2 * self.n_predicted)
        # All samples are straight, so the moments of the velocities scale to those of every step.
        mean, covariance = sample_moments(turned)
        return Prediction(
            samples.reshape(*turned.shape[:2], self.n_predicted, 2),
            last[:, None] + mean[:, None] * steps[:, None],
            covariance[:, None] * (steps * steps)[:, None, None],
            self.step_s,
        )


@lru_cache(maxsize=8)
def _turns(
    n_samples: int, n_agents: int, sigma_rad: float, seed: int
) -> tuple[FloatArray, FloatArray]:
    """(K, A) cosines and sines of random changes of heading, read-only."""
    angles = np.random.default_rng(seed).normal(0.0, sigma_rad, (n_samples, n_agents))
    turns = np.cos(angles), np.sin(angles)
    for values in turns:
        values.flags.writeable = False
    return turns
