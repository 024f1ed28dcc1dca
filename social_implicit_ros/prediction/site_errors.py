"""Errors of predictions at a site: who walks as others did before, at the same place, errs alike.

The mean error of earlier predictions nearby is added to the mean trajectory of somebody who walks:
a kernel regression (Nadaraya and Watson, 1964) over position and velocity, shrunk towards none. It
is used as far as such corrections helped before.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from social_implicit_ros.types import Float32Array, FloatArray, IntArray, Prediction

#: Standard deviations of the kernel: in position, metres, and in velocity, metres per second.
_NEAR_M, _ALIKE_M_S = 1.5, 0.3
#: Weight of no error, in predictions.
_PRIOR_WEIGHT = 3.0
#: Weight from which on two predictions are alike enough to be remembered as one.
_SAME = 0.88
#: Places and velocities that are remembered, the latest ones; and the number of predictions of each
#: beyond which older ones fade.
_CAPACITY, _MOST = 1024, 30.0
#: Share of the evidence for corrections that is left at the next tick that is learned from.
_KEPT = 0.999
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
        # Of each remembered prediction its state, and by steps the sums of errors and their number.
        self._states = np.empty((0, 4))
        self._errors_m = np.empty((0, 0, 2), np.float32)
        self._n_known = np.empty((0, 0), np.float32)
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
        speeds_m_s: FloatArray = np.hypot(*velocities_m_s.T)
        walks = np.interp(speeds_m_s, (_STANDS_M_S, _WALKS_M_S), (0.0, 1.0))
        states = np.concatenate([present_m / _NEAR_M, velocities_m_s / _ALIKE_M_S], axis=1)
        offsets_m = np.zeros(prediction.mean.shape)
        if len(self._states):
            weights = self._weights(states)
            errors_m = self._errors_m.reshape(len(self._states), -1)
            offsets_m += (weights @ errors_m).reshape(offsets_m.shape)
            offsets_m /= _PRIOR_WEIGHT + (weights @ self._n_known)[..., None]
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
        """Learns from predictions of one tick.

        Args:
            before: of A agents.
            ground_truth_m: (A, T, 2) where they were, metres; NaN where unknown.
        """
        is_known = np.isfinite(ground_truth_m[..., 0])
        rows = np.flatnonzero(is_known.any(axis=1) & (before.walks > 0.0))
        if len(rows) == 0:
            return
        known, n_known = before.of_agents(rows), is_known[rows].astype(np.float32)
        errors_m = np.where(n_known[..., None], ground_truth_m[rows] - known.mean_m, 0.0)
        offsets_m = known.offsets_m * n_known[..., None]
        self._sums *= _KEPT
        self._sums += [(errors_m * offsets_m).sum(), np.square(offsets_m).sum()]
        self._remember(known.states, errors_m.astype(np.float32), n_known)

    def _remember(self, states: FloatArray, errors_m: Float32Array, n_known: Float32Array) -> None:
        """Adds (N, T, 2) errors in (N, 4) states to those of the state alike, or as new ones."""
        is_new = np.ones(len(states), dtype=np.bool_)
        if len(self._states):
            weights = self._weights(states)
            alike = weights.argmax(axis=1)
            is_new = weights.max(axis=1) < _SAME
            np.add.at(self._errors_m, alike[~is_new], errors_m[~is_new])
            np.add.at(self._n_known, alike[~is_new], n_known[~is_new])
            seen = np.unique(alike[~is_new])
            fading = _MOST / np.maximum(self._n_known[seen].max(axis=1, initial=0.0), _MOST)
            self._errors_m[seen] *= fading[:, None, None]
            self._n_known[seen] *= fading[:, None]
            # The latest ones are kept.
            order = np.concatenate([np.delete(np.arange(len(self._states)), seen), seen])
            self._states, self._errors_m, self._n_known = (
                values[order] for values in (self._states, self._errors_m, self._n_known)
            )
        self._states = _newest(self._states, states[is_new])
        self._errors_m = _newest(self._errors_m, errors_m[is_new])
        self._n_known = _newest(self._n_known, n_known[is_new])

    def _weights(self, states: FloatArray) -> Float32Array:
        """(A, N) values of the kernel between (A, 4) states and the remembered ones."""
        exponents = states @ self._states.T
        exponents -= 0.5 * np.square(states).sum(axis=1)[:, None]
        exponents -= 0.5 * np.square(self._states).sum(axis=1)
        return np.asarray(np.exp(exponents.astype(np.float32)))


def _newest(before: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The newest rows of two arrays."""
    return np.concatenate([before.reshape(-1, *new.shape[1:]), new])[-_CAPACITY:]
