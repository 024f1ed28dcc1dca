"""Jumps to and fro, as of people or frames that two nodes report at different places."""

from __future__ import annotations

from collections import deque

import numpy as np

from social_implicit_ros.types import BoolArray, FloatArray

#: Longer steps are jumps, metres.
JUMP_M = 0.1
#: The next step undoes a jump if it leads back, up to this share of its length: steps of noise and
#: of a noisy localisation do not return to the same place. Minimum share of such jumps.
_REST, _RETURNING = 0.5, 0.8


class ToAndFro:
    """Follows whether recent jumps are undone by the steps after them."""

    def __init__(self, n_recent: int, min_jumps: int) -> None:
        """Starts without steps.

        Args:
            n_recent: number of recent steps that count.
            min_jumps: minimum number of undone jumps among them.
        """
        self._lengths_m: deque[float] = deque(maxlen=n_recent)
        self._are_undone: deque[bool] = deque(maxlen=n_recent)
        self._min_jumps = min_jumps

    def learn(
        self, steps_m: FloatArray, next_m: FloatArray, may_undo: BoolArray | bool = True
    ) -> None:
        """Adds (N, D) steps and the next one of each, metres, and (N,) whether that may undo it."""
        # A tracker may report positions whose squares are beyond float64.
        with np.errstate(over="ignore"):
            lengths_m = np.hypot.reduce(steps_m, axis=1)
            are_undone = may_undo & (np.hypot.reduce(steps_m + next_m, axis=1) < _REST * lengths_m)
        self._lengths_m.extend(lengths_m.tolist())
        self._are_undone.extend(are_undone.tolist())

    @property
    def distance_m(self) -> float:
        """Median length of the jumps, metres; 0 if few are undone."""
        lengths_m = np.array(self._lengths_m)
        is_jump = lengths_m > JUMP_M
        n_undone = np.count_nonzero(is_jump & np.array(self._are_undone, dtype=bool))
        if n_undone < max(self._min_jumps, _RETURNING * np.count_nonzero(is_jump)):
            return 0.0
        return float(np.median(lengths_m[is_jump]))
