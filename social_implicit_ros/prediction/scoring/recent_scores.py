"""Scores of recent predictions, in total and by speed class."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray
from social_implicit_ros.uncertainty.adaptive import CLASS_NAMES, ScoredPositions


@dataclass(frozen=True, eq=False)
class RecentScores:
    """Scores of the predictions within a time window.

    Of a track that has never moved, only the first prediction counts. A position whose speed is
    between two of the Z speed classes, `CLASS_NAMES`, counts partly for both.

    Attributes:
        times_s: (T,) seconds from a prediction to each step.
        n_scored: (Z, T) number of scored positions.
        sum_error_m: (Z, T) sum of distances between ground truth and mean trajectory, metres.
        n_inside: (Z, T) number of positions inside the region of `confidence`.
        confidence: confidence level of that region.
    """

    times_s: FloatArray
    n_scored: FloatArray
    sum_error_m: FloatArray
    n_inside: FloatArray
    confidence: float

    @property
    def n_positions(self) -> int:
        """Number of scored positions, over all classes and steps."""
        return round(float(self.n_scored.sum()))

    @property
    def error_m(self) -> FloatArray:
        """(T,) mean error, metres; NaN without scores."""
        return _ratio(self.sum_error_m.sum(axis=0), self.n_scored.sum(axis=0))

    @property
    def inside(self) -> FloatArray:
        """(T,) coverage of the region; NaN without scores."""
        return _ratio(self.n_inside.sum(axis=0), self.n_scored.sum(axis=0))

    @property
    def class_inside(self) -> FloatArray:
        """(Z, T) coverage of the region by speed class; NaN without scores."""
        return _ratio(self.n_inside, self.n_scored)

    @property
    def ade_m(self) -> float:
        """Mean error over all steps, metres; NaN until every step has scores."""
        return float(self.error_m.mean())

    @property
    def fde_m(self) -> float:
        """Mean error at the last step, metres; NaN until it has scores."""
        return float(self.error_m[-1])

    @property
    def coverage(self) -> float:
        """Coverage of the region over all steps; NaN without scores."""
        return float(_ratio(self.n_inside.sum(), self.n_scored.sum()))

    @property
    def class_coverage(self) -> FloatArray:
        """(Z,) coverage over all steps by speed class; NaN without scores."""
        return _ratio(self.n_inside.sum(axis=1), self.n_scored.sum(axis=1))


class ScoreWindow:
    """The scores of a time window."""

    def __init__(self, times_s: FloatArray, window_s: float) -> None:
        """Starts empty.

        Args:
            times_s: (T,) seconds from a prediction to each step.
            window_s: length of the window, seconds.
        """
        self.window_s = window_s
        self._times_s = times_s
        # Per evaluation: stamp, and (3, Z, T) numbers of positions, sums of errors, numbers inside.
        self._rounds: deque[tuple[int, FloatArray]] = deque()

    def add(self, scored: ScoredPositions, confidence: float) -> None:
        """Adds scores; `confidence` is that of the evaluated region."""
        inside = scored.levels <= confidence
        n_steps = len(self._times_s)
        values = np.stack([np.ones(len(inside)), scored.error_m, inside])
        counts = [
            [
                np.bincount(scored.steps, weights * value, n_steps)
                for weights in scored.class_weights
            ]
            for value in values
        ]
        self._rounds.append((scored.stamp_ns, np.array(counts)))

    def drop_old(self, now_ns: int) -> None:
        """Drops scores older than the window."""
        while self._rounds and self._rounds[0][0] < now_ns - self.window_s * NS_PER_S:
            self._rounds.popleft()

    def clear(self) -> None:
        """Drops all scores."""
        self._rounds.clear()

    def recent(self, confidence: float) -> RecentScores:
        """The scores in the window; `confidence` is that of the evaluated region."""
        counts = np.zeros((3, len(CLASS_NAMES), len(self._times_s)))
        for _, one in self._rounds:
            counts += one
        n_scored, sum_error_m, n_inside = counts
        return RecentScores(self._times_s, n_scored, sum_error_m, n_inside, confidence)


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Quotient; NaN if the whole is 0."""
    return part / np.where(whole > 0.0, whole, np.nan)
