"""Errors of predictions at a site: who walks as others did before, at the same place, errs alike.

The mean error of earlier predictions nearby is added to the mean trajectory of somebody who walks:
a kernel regression (Nadaraya and Watson, 1964) over position and velocity, shrunk towards none. It
is used as far as such corrections helped before.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from social_implicit_ros.types import FloatArray, IntArray, Prediction

#: Standard deviations of the kernel: in position, metres, and in velocity, metres per second.
_NEAR_M, _ALIKE_M_S = 1.5, 0.3
#: Weight of no error, in predictions.
_PRIOR_WEIGHT = 3.0
#: Errors that are remembered; of one person they are this many steps of the model apart.
_CAPACITY, _EVERY = 512, 2
#: Who is slower than the first speed is not corrected, who is faster than the second one fully,
#: metres per second: errors of people who stand are those of somebody who starts.
_STANDS_M_S, _WALKS_M_S = 0.4, 0.6
#: Squared corrections, summed over all steps, until which they are hardly used, square metres.
_UNPROVEN_M2 = 5.0


@dataclass(frozen=True, eq=False)
class Uncorrected:
    """Predictions before their correction.

    Attributes:
        states: (A, 4) positions and velocities, in units of the kernel.
        walks: (A,) from 0, stands, to 1.
        mean_m: (A, T, 2) mean trajectories, metres.
        offsets_m: (A, T, 2) the mean errors nearby, metres.
    """

    states: FloatArray
    walks: FloatArray
    mean_m: FloatArray
    offsets_m: FloatArray

    def of_agents(self, rows: IntArray | slice) -> Uncorrected:
        """Those of some agents, by their rows."""
        return Uncorrected(*(getattr(self, entry.name)[rows] for entry in fields(self)))


class SiteErrors:
    """Remembers errors of predictions, and corrects later ones by them."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all errors."""
        # Of each prediction its state, and the errors of its steps; 0 and False where unknown.
        self._states = np.empty((0, 4))
        self._errors_m, self._is_known = np.empty((0, 0)), np.empty((0, 0))
        self._n_learned = 0
        # Sums of errors times corrections, and of squared corrections.
        self._sums = np.zeros(2)

    @property
    def share(self) -> float:
        """The share of corrections that is applied: what of the earlier ones was right."""
        helped, squares = self._sums.tolist()
        return min(max(helped / (squares + _UNPROVEN_M2), 0.0), 1.0)

    def correct(
        self, prediction: Prediction, present_m: FloatArray
    ) -> tuple[Prediction, Uncorrected]:
        """Corrects the mean trajectories, and their samples with them.

        Args:
            prediction: of A agents.
            present_m: (A, 2) positions a step before the first, metres.
        """
        velocities_m_s = (prediction.mean[:, 0] - present_m) / prediction.step_s
        speeds_m_s = np.hypot(*velocities_m_s.T)
        walks = np.clip((speeds_m_s - _STANDS_M_S) / (_WALKS_M_S - _STANDS_M_S), 0.0, 1.0)
        states = np.concatenate([present_m / _NEAR_M, velocities_m_s / _ALIKE_M_S], axis=1)
        offsets_m = np.zeros(prediction.mean.shape)
        if len(self._states):
            exponents = states @ self._states.T
            exponents -= 0.5 * np.square(states).sum(axis=1)[:, None]
            exponents -= 0.5 * np.square(self._states).sum(axis=1)
            weights = np.exp(exponents.astype(np.float32))
            offsets_m += (weights @ self._errors_m).reshape(offsets_m.shape)
            offsets_m /= _PRIOR_WEIGHT + (weights @ self._is_known)[..., None]
        before = Uncorrected(states, walks, prediction.mean, offsets_m)
        share = self.share
        if share > 0.0:
            shift_m = (share * walks[:, None, None] * offsets_m).astype(prediction.mean.dtype)
            mean, samples = prediction.mean + shift_m, prediction.samples
            if len(samples):
                samples = samples + shift_m
            prediction = replace(prediction, mean=mean, samples=samples)
        return prediction, before

    def learn(self, before: Uncorrected, ground_truth_m: FloatArray) -> None:
        """Learns from predictions of one tick; those of successive steps of the model come in turn.

        Args:
            before: of A agents.
            ground_truth_m: (A, T, 2) where they were, metres; NaN where unknown.
        """
        self._n_learned += 1
        if self._n_learned % _EVERY:
            return
        is_known = np.isfinite(ground_truth_m[..., 0])
        rows = np.flatnonzero(is_known.any(axis=1) & (before.walks > 0.0))
        if len(rows) == 0:
            return
        known, is_known = before.of_agents(rows), is_known[rows]
        errors_m = np.where(is_known[..., None], ground_truth_m[rows] - known.mean_m, 0.0)
        offsets_m = np.where(is_known[..., None], known.offsets_m, 0.0)
        self._sums += [(errors_m * offsets_m).sum(), np.square(offsets_m).sum()]
        self._states = _newest(self._states, known.states)
        self._errors_m = _newest(self._errors_m, errors_m.reshape(len(rows), -1), np.float32)
        self._is_known = _newest(self._is_known, is_known, np.float32)


def _newest(before: np.ndarray, new: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    """The newest rows of two arrays."""
    return np.concatenate([before.reshape(-1, new.shape[1]), new])[-_CAPACITY:].astype(dtype)
