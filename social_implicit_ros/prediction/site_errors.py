"""Corrects mean trajectories by the errors of earlier predictions at this site.

Predictions of people with similar position and velocity have similar errors. Kernel regression over
both (Nadaraya and Watson, 1964), shrunk towards zero, estimates the mean error of earlier
predictions nearby, which is added to the mean trajectory of people who walk. The correction is
scaled by how much earlier corrections helped.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from social_implicit_ros.types import Float32Array, FloatArray, IntArray, Prediction

#: Standard deviations of the kernel: in position, metres, and in velocity, metres per second.
_NEAR_M, _ALIKE_M_S = 1.5, 0.3
#: Weight of the prior, an error of zero, as a number of predictions.
_PRIOR_WEIGHT = 3.0
#: Predictions with at least this kernel weight between them are stored as one state.
_SAME = 0.88
#: Maximum number of stored states, the latest ones; and the number of predictions per state beyond
#: which older ones fade.
_CAPACITY, _MOST = 1024, 30.0
#: Factor by which earlier evidence for corrections is weighted down at each tick with new evidence.
_KEPT = 0.999
#: Below the first speed nobody is corrected, above the second one everybody fully, metres per
#: second: people who stand have errors only when they start, in any direction.
_STANDS_M_S, _WALKS_M_S = 0.4, 0.6
#: Sum of squared corrections over all steps below which corrections are hardly used, square metres.
_UNPROVEN_M2 = 5.0


@dataclass(frozen=True, eq=False)
class Uncorrected:
    """Predictions before their correction.

    Attributes:
        states: (A, 4) positions and velocities, divided by the kernel's standard deviations.
        walks: (A,) 0 for standing to 1 for walking.
        mean_m: (A, T, 2) mean trajectories, metres.
        offsets_m: (A, T, 2) mean errors of earlier predictions nearby, metres.
    """

    states: FloatArray
    walks: FloatArray
    mean_m: FloatArray
    offsets_m: FloatArray

    def of_agents(self, rows: IntArray | slice) -> Uncorrected:
        """The predictions of the agents in some rows."""
        return Uncorrected(*(getattr(self, entry.name)[rows] for entry in fields(self)))


class SiteErrors:
    """Stores errors of predictions and corrects later predictions by them."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all errors."""
        # Per stored state (N, 4): (N, T, 2) sums of errors and (N, T) numbers of errors per step.
        self._states = np.empty((0, 4))
        self._errors_m = np.empty((0, 0, 2), np.float32)
        self._n_known = np.empty((0, 0), np.float32)
        # Sum of errors times corrections, and sum of squared corrections.
        self._sums = np.zeros(2)

    @property
    def share(self) -> float:
        """Factor of corrections: regression of errors on earlier corrections, within 0 to 1."""
        helped, squares = self._sums.tolist()
        return min(max(helped / (squares + _UNPROVEN_M2), 0.0), 1.0)

    def correct(
        self, prediction: Prediction, present_m: FloatArray
    ) -> tuple[Prediction, Uncorrected]:
        """Shifts mean trajectories and samples by the mean errors of earlier predictions nearby.

        Args:
            prediction: of A agents.
            present_m: (A, 2) present positions, one step before the first predicted one, metres.
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
        """Learns from the predictions of one tick.

        Args:
            before: predictions of A agents.
            ground_truth_m: (A, T, 2) observed positions, metres; NaN where unknown.
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
        """Adds (N, T, 2) errors to the most similar of the stored states, or as (N, 4) new ones."""
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
            # The latest states come last, where `_newest` keeps them.
            order = np.concatenate([np.delete(np.arange(len(self._states)), seen), seen])
            self._states, self._errors_m, self._n_known = (
                values[order] for values in (self._states, self._errors_m, self._n_known)
            )
        self._states = _newest(self._states, states[is_new])
        self._errors_m = _newest(self._errors_m, errors_m[is_new])
        self._n_known = _newest(self._n_known, n_known[is_new])

    def _weights(self, states: FloatArray) -> Float32Array:
        """(A, N) kernel weights between (A, 4) states and the stored ones."""
        exponents = states @ self._states.T
        exponents -= 0.5 * np.square(states).sum(axis=1)[:, None]
        exponents -= 0.5 * np.square(self._states).sum(axis=1)
        return np.asarray(np.exp(exponents.astype(np.float32)))


def _newest(before: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The last `_CAPACITY` rows of two concatenated arrays."""
    return np.concatenate([before.reshape(-1, *new.shape[1:]), new])[-_CAPACITY:]
