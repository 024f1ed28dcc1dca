"""The interface of trajectory models, and checks of their input."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from social_implicit_ros.types import FloatArray, Prediction


class TrajectoryModel(ABC):
    """Predicts the trajectories of all agents of a scene from their recent positions.

    Attributes:
        name: name in reports and diagnostics.
        step_s: seconds between two steps, observed and predicted.
        n_observed: maximum number of observed steps; any number from 2 on is accepted.
        n_predicted: number of predicted steps.
    """

    name: str
    step_s: float
    n_observed: int
    n_predicted: int

    def predict(
        self,
        observed: FloatArray,
        *,
        n_samples: int = 20,
        seed: int = 0,
        planned_m: FloatArray | None = None,
    ) -> Prediction:
        """Predicts the next steps of every agent.

        Args:
            observed: (A, H, 2) positions in metres, oldest first, H from 2 to `n_observed`;
                NaN in the leading steps before an agent was first observed, the last two finite.
            n_samples: number of predicted trajectories per agent (K).
            seed: seed of the draws; the same seed gives the same samples.
            planned_m: (A, T, 2) plans of agents that have one, such as the robot, metres; NaN for
                the others. A model that couples its predictions lets people make way for them.

        Returns:
            The prediction, with samples of shape (K, A, T, 2) in the frame of `observed`.

        Raises:
            ValueError: wrong shape, an agent whose last two steps are not known, or `n_samples`
                below 1.
        """
        if n_samples < 1:
            raise ValueError(f"n_samples is {n_samples}, expected 1 or more")
        observed = require_observed(observed, self.n_observed)
        return self._predicted(observed, n_samples, seed, planned_m)

    @abstractmethod
    def _predicted(
        self, observed: FloatArray, n_samples: int, seed: int, planned_m: FloatArray | None
    ) -> Prediction:
        """As `predict`, with checked arguments."""


def require_observed(observed: FloatArray, n_observed_max: int) -> FloatArray:
    """Checks a model's input and returns it as float64.

    Args:
        observed: (A, H, 2) positions in metres; NaN or masked only in leading steps.
        n_observed_max: maximum number of observed steps of the model.

    Raises:
        ValueError: wrong shape, H outside 2..n_observed_max, or NaN where a position must be
            known.
    """
    observed = np.ma.filled(np.asanyarray(observed, dtype=np.float64), np.nan)
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
        raise ValueError("observed has infinite positions; remove those agents first")
    known = finite[..., 0] & finite[..., 1]
    if not known[:, -2:].all():
        agent = int(np.flatnonzero(~known[:, -2:].all(axis=1))[0])
        raise ValueError(
            f"agent {agent} has NaN in its last two steps; every agent needs two known positions"
        )
    if (known[:, 1:] < known[:, :-1]).any():
        raise ValueError("observed has NaN after a known step; only leading steps may be NaN")
    return observed
