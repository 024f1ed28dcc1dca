"""What every trajectory model offers, and the two baselines that need no model file."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np

from social_implicit_ros.core.types import FloatArray, Prediction
from social_implicit_ros.core.uncertainty import sample_moments


class TrajectoryModel(Protocol):
    """Predicts the future of a scene from its recent past.

    Attributes:
        name: what reports and diagnostics call the model.
        step_s: seconds between two steps, observed and predicted.
        n_observed: the most observed steps it uses; fewer, down to 2, are accepted.
        n_predicted: the steps it predicts.
    """

    @property
    def name(self) -> str:
        """What reports and diagnostics call the model."""

    @property
    def step_s(self) -> float:
        """Seconds between two steps."""

    @property
    def n_observed(self) -> int:
        """The most observed steps it uses."""

    @property
    def n_predicted(self) -> int:
        """The steps it predicts."""

    def predict(self, observed: FloatArray, *, n_samples: int = 20, seed: int = 0) -> Prediction:
        """Predicts the next steps of every agent.

        Args:
            observed: (A, H, 2) positions in metres, oldest first, H from 2 to `n_observed`;
                NaN in the leading steps where an agent was not yet seen, the last two finite.
            n_samples: how many futures to draw (K).
            seed: of the draws; the same seed gives the same futures.

        Returns:
            The prediction, with samples of shape (K, A, T, 2) in the frame of `observed`.

        Raises:
            ValueError: a wrong shape, an agent without two known last steps, or no sample asked.
        """


def require_samples_asked(n_samples: int) -> None:
    """Checks how many futures are asked of a model.

    Raises:
        ValueError: fewer than 1.
    """
    if n_samples < 1:
        raise ValueError(f"n_samples is {n_samples}, expected 1 or more")


def require_observed(observed: FloatArray, n_observed_max: int) -> FloatArray:
    """Checks a model's input and returns it as float64.

    Args:
        observed: (A, H, 2) positions in metres; NaN only in leading steps.
        n_observed_max: the longest history the model takes.

    Raises:
        ValueError: not of that shape, H outside 2..n_observed_max, or NaN where a position
            must be known.
    """
    observed = np.asarray(observed, dtype=np.float64)
    if observed.ndim != 3 or observed.shape[2] != 2:
        raise ValueError(f"observed has shape {observed.shape}, expected (A, H, 2)")
    if not 2 <= observed.shape[1] <= n_observed_max:
        raise ValueError(
            f"observed has {observed.shape[1]} steps, expected 2 to {n_observed_max}: "
            "pass the last steps only"
        )
    finite = np.isfinite(observed)
    if finite.all():
        return observed
    if np.isinf(observed).any():
        raise ValueError("observed holds infinite positions; drop those agents first")
    known = np.all(finite, axis=2)
    if not known[:, -2:].all():
        agent = int(np.flatnonzero(~known[:, -2:].all(axis=1))[0])
        raise ValueError(
            f"agent {agent} has NaN in its last two steps; every agent needs two known positions"
        )
    if (np.diff(known.astype(np.int8), axis=1) < 0).any():
        raise ValueError("observed has NaN after a known step; only leading steps may be NaN")
    return observed


class ConstantVelocity:
    """Everybody walks on as in the last observed step: the baseline to beat.

    Source: Schöller et al., "What the Constant Velocity Model Can Teach Us About Pedestrian
    Motion Prediction", RA-L 2020. With `heading_sigma_rad` above zero it draws the heading of
    each sample from a normal distribution (their OUR-S, 25 degrees).
    """

    def __init__(
        self,
        *,
        heading_sigma_rad: float = 0.0,
        step_s: float = 0.4,
        n_observed: int = 8,
        n_predicted: int = 12,
    ) -> None:
        self.heading_sigma_rad = heading_sigma_rad
        self.step_s = step_s
        self.n_observed = n_observed
        self.n_predicted = n_predicted
        # (2, 2 T) from a velocity to the way that it leads until each step.
        self._walk = np.kron(np.arange(1.0, n_predicted + 1), np.eye(2))

    @property
    def name(self) -> str:
        """`constant_velocity`, or `sampled_constant_velocity` with heading noise."""
        return "sampled_constant_velocity" if self.heading_sigma_rad > 0 else "constant_velocity"

    def predict(self, observed: FloatArray, *, n_samples: int = 20, seed: int = 0) -> Prediction:
        """Predicts as `TrajectoryModel.predict`; without heading noise all samples are equal."""
        require_samples_asked(n_samples)
        observed = require_observed(observed, self.n_observed)
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
        samples = turned @ self._walk  # (K, A, 2 T)
        samples += last[:, None].repeat(self.n_predicted, axis=1).reshape(-1, 2 * self.n_predicted)
        # Everybody walks straight, so the moments of the velocities are those of all steps.
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
    """(K, A) cosines and sines of drawn changes of heading, read-only."""
    angles = np.random.default_rng(seed).normal(0.0, sigma_rad, (n_samples, n_agents))
    turns = np.cos(angles), np.sin(angles)
    for values in turns:
        values.flags.writeable = False
    return turns
