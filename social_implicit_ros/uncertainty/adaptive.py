"""Ellipses that learn, while the robot runs, how far people stray at this site.

A model card's calibration holds where its recordings came from. Elsewhere people walk otherwise,
trackers shake otherwise, and ellipses hold too little or too much. Here the radius of the ellipse
of every confidence level and every predicted step is learnt again from what came to pass:

1. Scores. The distance of a true position from its prediction, in units of the ellipses that the
   model put out, is counted in a histogram, one for each step and for standing and walking people.
   Old scores fade. An ellipse of confidence c reaches as far as the share c of the scores: split
   conformal prediction over a window that moves (Gibbs and Candès, "Adaptive conformal inference
   under distribution shift", NeurIPS 2021, arXiv 2106.00170, section 2).
2. Level. The level at which the scores are read follows the misses of the ellipses that were
   published, a <- a + gamma (c - inside), on the logit (same paper, equation 2). Its step size
   gamma falls with the square root of time, down to a floor: quick at a new site, calm later
   (Angelopoulos, Barber and Bates, "Online conformal prediction with decaying step sizes",
   ICML 2024, arXiv 2402.01139; the floor lets it follow a site that changes).

Before there are scores, the model's own calibration counts, as so many scores of its own. An error
is known only when its step has come, up to a horizon later; it always counts against the ellipse
that was published then.

Z counts classes of speed, T predicted steps, L confidence levels, E judged positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from social_implicit_ros.types import FloatArray, IntArray, Prediction, require_shape
from social_implicit_ros.uncertainty.calibration import speed_weights
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES, GAUSSIAN_KNOTS, GAUSSIAN_RADII

#: People at the first speed stand, at the second and beyond they walk; in between both count, m/s.
SPEEDS_M_S = (0.1, 0.7)
#: No prediction knows a position better than this: without it, a model that sees somebody stand
#: still puts out ellipses so small that no factor could mend them, metres.
FLOOR_M = 0.02
#: An ellipse is never smaller than the first and never larger than the second times the Gaussian's.
MIN_FACTOR, MAX_FACTOR = 0.05, 20.0
#: Edges of the histogram's bins: distances in standard deviations, some six percent apart.
EDGES: FloatArray = np.exp(np.linspace(-4.0, 4.0, 128))
#: The model's own calibration counts as so many scores.
PRIOR_SCORES = 30.0
#: The scores of all people count as so many in each class of speed.
POOLED_SCORES = 100.0
#: Scores count half after so many seconds with people in view.
HALF_LIFE_S = 600.0
#: Step size: at first, the seconds over which it stays, and the smallest.
FIRST_STEP, STEADY_S, LAST_STEP = 2.0, 60.0, 0.2
#: So many people in view halve the noise of their share inside; fewer are trusted less.
TRUSTED_PEOPLE = 5.0
#: The level is shifted by no more than this on the logit: 95 % becomes 99.3 % or 72 % at most.
MAX_SHIFT = 2.0
#: A longer time without people in view does not fade what was learnt, seconds.
_MAX_PAUSE_S = 1.0

_LEVELS: FloatArray = np.array(CONFIDENCES)
_LOGITS: FloatArray = np.log(_LEVELS / (1.0 - _LEVELS))
_N_BINS = len(EDGES) + 1


@dataclass(frozen=True, eq=False)
class Judged:
    """Predicted positions whose time has come.

    Attributes:
        stamp_ns: when they were judged, integer nanoseconds.
        steps: (E,) which step of the prediction, from 0.
        speed_m_s: (E,) how fast the agent had been when it was predicted.
        error_m: (E,) distance of the true position from the expected one, metres.
        distance: (E,) the same in the units of the ellipses before they were adapted, as
            `ellipses.gaussian_distance` gives it.
        levels: (E,) confidence of the smallest published ellipse that held the true position.
    """

    stamp_ns: int
    steps: IntArray
    speed_m_s: FloatArray
    error_m: FloatArray
    distance: FloatArray
    levels: FloatArray

    def __post_init__(self) -> None:
        """Checks the shapes; raises ValueError naming the field."""
        for name in ("speed_m_s", "error_m", "distance", "levels"):
            require_shape("Judged", name, getattr(self, name), self.steps.shape)


@dataclass(frozen=True, eq=False)
class Learnt:
    """All that an adaptive calibration knows, as it is kept between two runs.

    Attributes:
        scores: (Z, T, B) how many scores fell into each bin, old ones faded.
        shift: (T, L) of the level on the logit.
        seconds: with people in view, from which the step size follows.
    """

    scores: FloatArray
    shift: FloatArray
    seconds: float

    def __post_init__(self) -> None:
        """Checks shapes and values; raises ValueError naming the field."""
        require_shape("Learnt", "scores", self.scores, (len(SPEEDS_M_S), "T", _N_BINS))
        n_steps = self.scores.shape[1]
        require_shape("Learnt", "shift", self.shift, (n_steps, len(CONFIDENCES)))
        if not np.isfinite(self.scores).all() or (self.scores < 0).any():
            raise ValueError("Learnt.scores holds a count that is not finite or below 0")
        if not (np.abs(self.shift) <= MAX_SHIFT).all():
            raise ValueError(f"Learnt.shift holds a value beyond {MAX_SHIFT}")
        if not 0.0 <= self.seconds < float("inf"):
            raise ValueError(f"Learnt.seconds is {self.seconds}, expected a time from 0 s on")

    @classmethod
    def nothing(cls, n_steps: int) -> Learnt:
        """What is known at first.

        Args:
            n_steps: predicted steps (T).
        """
        scores = np.zeros((len(SPEEDS_M_S), n_steps, _N_BINS))
        return cls(scores, np.zeros((n_steps, len(CONFIDENCES))), 0.0)


class AdaptiveCalibration:
    """Rescales the ellipses of predictions, and learns from those that were judged."""

    def __init__(self, n_steps: int) -> None:
        """Knows nothing yet.

        Args:
            n_steps: predicted steps (T).
        """
        self.n_steps = n_steps
        self.restore(Learnt.nothing(n_steps))

    @property
    def learnt(self) -> Learnt:
        """What is known by now; later learning leaves the returned object as it is."""
        return self._learnt

    @property
    def radii(self) -> FloatArray:
        """(Z, T, L) the ellipses' radii, where the Gaussian's are those of `GAUSSIAN_KNOTS`."""
        return self._radii

    def restore(self, learnt: Learnt) -> None:
        """Takes what another run had learnt.

        Raises:
            ValueError: of another number of steps.
        """
        require_shape("AdaptiveCalibration", "shift", learnt.shift, (self.n_steps, "L"))
        self._learnt = learnt
        self._newest_ns: int | None = None
        self._read_radii()

    def base(self, prediction: Prediction) -> Prediction:
        """The prediction in whose ellipses distances are counted: none smaller than `FLOOR_M`."""
        floor_m2 = FLOOR_M**2 * np.eye(2)
        return replace(prediction, covariance=prediction.covariance + floor_m2)

    def adapt(self, base: Prediction, speed_m_s: FloatArray) -> Prediction:
        """The prediction with ellipses as they were learnt to be.

        Args:
            base: from `base`.
            speed_m_s: (A,) observed speeds.

        Returns:
            The same with other `level_factors`, all between `MIN_FACTOR` and `MAX_FACTOR` times
            the base's, and radii that do not fall with the confidence.
        """
        weights = speed_weights(speed_m_s, SPEEDS_M_S)
        if base.level_factors is None:
            factors = np.tensordot(weights, self._radii / GAUSSIAN_RADII, axes=1)
        else:
            # Step by step for all agents at once, which is several times faster than otherwise.
            profiles = base.level_factors.swapaxes(0, 1)
            by_step = np.zeros(profiles.shape)
            for weight, reading in zip(weights.T, self._readings, strict=True):
                by_step += weight[:, None] * (profiles @ reading)
            factors = by_step.swapaxes(0, 1)
        return replace(base, level_factors=factors)

    def learn(self, judged: Judged) -> None:
        """Follows what came to pass.

        Args:
            judged: of predictions that `adapt` made, or would have made; later than all before.
        """
        elapsed_s = self._elapsed_s(judged.stamp_ns)
        before = self._learnt
        self._learnt = Learnt(
            before.scores * 0.5 ** (elapsed_s / HALF_LIFE_S) + self._counted(judged),
            self._shifted(judged),
            before.seconds + elapsed_s,
        )
        self._read_radii()

    def _elapsed_s(self, stamp_ns: int) -> float:
        last_ns, self._newest_ns = self._newest_ns, stamp_ns
        if last_ns is None:
            return 0.0
        return float(np.clip((stamp_ns - last_ns) * 1e-9, 0.0, _MAX_PAUSE_S))

    def _counted(self, judged: Judged) -> FloatArray:
        """(Z, T, B) the new scores by bin."""
        bins = judged.steps * _N_BINS + np.searchsorted(EDGES, judged.distance)
        n_bins = self.n_steps * _N_BINS
        weights = speed_weights(judged.speed_m_s, SPEEDS_M_S)
        counts = np.array([np.bincount(bins, weight, n_bins) for weight in weights.T], np.float64)
        return counts.reshape(len(SPEEDS_M_S), self.n_steps, _N_BINS)

    def _shifted(self, judged: Judged) -> FloatArray:
        """(T, L) the shift of the levels after the misses of what was published."""
        of_step = np.arange(self.n_steps)[:, None] == judged.steps
        n_people = of_step.sum(axis=1)[:, None]
        inside = of_step.astype(np.float64) @ (judged.levels[:, None] <= _LEVELS)
        missing = _LEVELS - inside / np.maximum(n_people, 1)
        step = FIRST_STEP / np.sqrt(1.0 + self._learnt.seconds / STEADY_S)
        step = max(step, LAST_STEP) * n_people / (n_people + TRUSTED_PEOPLE)
        return np.clip(self._learnt.shift + step * missing, -MAX_SHIFT, MAX_SHIFT)

    def _read_radii(self) -> None:
        """Reads the radii off the histograms, and how to take them to another profile."""
        scores, shift = self._learnt.scores, self._learnt.shift
        # Levels of 0 and 1 on both sides, where no score is and where every score is.
        prior = PRIOR_SCORES * -np.expm1(-0.5 * EDGES**2)
        inside = np.cumsum(scores, axis=-1)[..., :-1]
        n_scores = scores.sum(axis=-1, keepdims=True)
        pooled = (inside.sum(axis=0) + prior) / (n_scores.sum(axis=0) + PRIOR_SCORES)
        share = (inside + POOLED_SCORES * pooled) / (n_scores + POOLED_SCORES)
        levels = 1.0 / (1.0 + np.exp(-(_LOGITS + shift)))
        levels = np.maximum.accumulate(levels, axis=-1)
        distances = np.empty((len(SPEEDS_M_S), self.n_steps, len(CONFIDENCES)))
        logarithms = np.log(EDGES)
        for index in np.ndindex(distances.shape[:2]):
            distances[index] = np.interp(levels[index[1]], share[index], logarithms)
        bounded = np.clip(
            np.exp(distances), MIN_FACTOR * GAUSSIAN_RADII, MAX_FACTOR * GAUSSIAN_RADII
        )
        self._radii: FloatArray = np.maximum.accumulate(bounded, axis=-1)
        self._readings = _reading_matrices(self._radii)


def _reading_matrices(distances: FloatArray) -> FloatArray:
    """Matrices that read factors at learnt distances off a profile of factors.

    The ellipse of a level reaches as far as the base's profile of radii does at the distance that
    was learnt for the level: linear between two knots, in proportion beyond the last.

    Args:
        distances: (Z, T, L) in the Gaussian's standard deviations.

    Returns:
        (Z, T, L, L) that take the base's level factors to the adapted ones.
    """
    knots = np.arange(len(GAUSSIAN_KNOTS))[:, None]
    high = np.clip(np.searchsorted(GAUSSIAN_KNOTS, distances), 1, len(GAUSSIAN_KNOTS) - 1)
    low_radius, high_radius = GAUSSIAN_KNOTS[high - 1], GAUSSIAN_KNOTS[high]
    share = ((distances - low_radius) / (high_radius - low_radius))[..., None, :]
    high = high[..., None, :]
    from_high, from_low = np.where(knots == high, share, 0.0), np.where(knots == high - 1, 1.0, 0.0)
    weights = from_high + from_low * (1.0 - share)  # (Z, T, L + 2, L) of radii at the knots
    weights *= GAUSSIAN_KNOTS[:, None]
    # The centre has no radius; beyond the last level its factor stays.
    matrices: FloatArray = weights[..., 1:-1, :]
    matrices[..., -1, :] += weights[..., -1, :]
    return matrices / GAUSSIAN_RADII
