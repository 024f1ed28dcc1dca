"""The interface of trajectory models, and the checks of their input."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from social_implicit_ros.types import FloatArray, Prediction


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
