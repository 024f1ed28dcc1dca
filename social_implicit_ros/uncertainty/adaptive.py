"""Adapts ellipses to the prediction errors at a site while the robot runs.

The calibration of a model card is valid at the places of its recordings. Elsewhere people walk
differently, trackers have other noise, and coverage is too low or too high. Here the radius of the
ellipse of every confidence level and every predicted step is learned again from observed errors:

1. Scores. The distance of the ground truth from its prediction, in units of the ellipses of the
   model, is counted in a histogram, one for each step and for standing and walking people. Old
   scores fade. The radius at confidence c is the quantile c of the scores: split conformal
   prediction over a moving window (Gibbs and Candès, "Adaptive conformal inference under
   distribution shift", NeurIPS 2021, arXiv 2106.00170, section 2).
2. Level. The level at which the quantile is read follows the misses of the published ellipses,
   a <- a + gamma (c - inside), on the logit (same paper, equation 2). Its step size gamma
   decreases with the square root of time, down to a minimum: fast at a new site, steady later
   (Angelopoulos, Barber and Bates, "Online conformal prediction with decaying step sizes",
   ICML 2024, arXiv 2402.01139; the minimum lets it follow a site that changes).

Standing and walking people are learned separately: errors at pillars say nothing about walking
people. A track that never moved counts once (`ScoredPositions`).

Successive predictions of a person at step t overlap by all but one of their t + 1 steps, so their
errors are almost equal. Therefore gamma is divided by t + 1. The calibration of the model is a
prior with the weight of a number of scores: few if errors are larger than the model says; many if
they are smaller, in proportion to the square root of t + 1. So ellipses grow soon, after few
people, and shrink slowly.

Against larger ellipses, the prior is not a Gaussian but Student's t: at an unknown site the
ellipses of the model may be too small or too large, so those of high confidence must be larger
before any error is known. At a step t > 0 what was learned for the previous step, whose errors are
known earlier, replaces this prior where it is larger.

An error is known when its step has passed, up to a horizon later. It is always compared with the
ellipse that was published for that prediction.

Z counts classes of speed, T predicted steps, L confidence levels, E scored positions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from social_implicit_ros.types import FloatArray, IntArray, Prediction, require_shape
from social_implicit_ros.uncertainty.calibration import speed_weights
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES, GAUSSIAN_GRID, GAUSSIAN_RADII

#: Speeds of standing and walking people, m/s. Scores in between count for both.
SPEEDS_M_S = (0.1, 0.7)
CLASS_NAMES = ("standing", "walking")
#: Minimum standard deviation of a prediction, metres. Otherwise ellipses of people who do not move
#: could be too small for any factor.
FLOOR_M = 0.02
#: Speeds between which people begin to run or ride, m/s, and the factor on the ellipses of those
#: who do. The models were trained on few such people; in recordings of cyclists ellipses are too
#: small by about this factor.
RIDING_M_S, RIDING_FACTOR = (1.5, 2.5), 1.4
#: Bounds of a radius, relative to that of the Gaussian.
MIN_FACTOR, MAX_FACTOR = 0.05, 20.0
#: Edges of the bins of the histogram: distances in standard deviations, about 6 % apart.
EDGES: FloatArray = np.exp(np.linspace(-4.0, 4.0, 128))
#: Weight of the prior against larger ellipses, in scores, and its degrees of freedom (Student's t):
#: at a new site standard deviations differ by about a fifth.
PRIOR_SCORES, PRIOR_FREEDOM = 10.0, 10.0
#: Weight of the calibration of the model against smaller ellipses at the first step, in scores.
SHRINKING_PRIOR_SCORES = 90.0
#: Half-life of a score, in seconds with people of its class in view.
HALF_LIFE_S = 600.0
#: Step size at the first predicted step: initial value, time constant of its decrease in seconds,
#: minimum.
FIRST_STEP, STEADY_S, LAST_STEP = 2.0, 60.0, 0.2
#: Time at which the step size reaches its minimum, seconds; more time is not counted.
MAX_SECONDS: float = STEADY_S * ((FIRST_STEP / LAST_STEP) ** 2 - 1.0)
#: Number of people at which the step size is halved: coverage among few people is noisy.
SHRINKAGE_PEOPLE = 5.0
#: Maximum shift of the level on the logit: 95 % becomes at most 99.3 % or 72 %.
MAX_SHIFT = 2.0
#: Maximum counted time between two updates, seconds: without people no score fades.
_MAX_PAUSE_S = 1.0

_LEVELS: FloatArray = np.array(CONFIDENCES)
_LOGITS: FloatArray = np.log(_LEVELS / (1.0 - _LEVELS))
_N_BINS = len(EDGES) + 1
#: Shares of scores up to each edge: of a Gaussian, as the model states, and of Student's t.
_OF_MODEL: FloatArray = -np.expm1(-0.5 * EDGES**2)
_OF_UNKNOWN_SITE: FloatArray = 1.0 - (1.0 + EDGES**2 / PRIOR_FREEDOM) ** (-0.5 * PRIOR_FREEDOM)


@dataclass(frozen=True, eq=False)
class ScoredPositions:
    """Errors of predicted positions whose ground truth is known.

    Attributes:
        stamp_ns: time of the evaluation, integer nanoseconds.
        steps: (E,) predicted steps, from 0.
        speed_m_s: (E,) observed speeds of the agents when they were predicted.
        error_m: (E,) distances of the ground truth from the mean trajectory, metres.
        distance: (E,) the same in units of the ellipses before they were adapted, as returned by
            `ellipses.gaussian_distance`.
        levels: (E,) confidence of the smallest published ellipse that covers the ground truth.
        weight: (E,) 1, or 0 for further predictions of a track that never moved, as a pillar is
            only one observation however long it is in view.
    """

    stamp_ns: int
    steps: IntArray
    speed_m_s: FloatArray
    error_m: FloatArray
    distance: FloatArray
    levels: FloatArray
    weight: FloatArray

    def __post_init__(self) -> None:
        for name in ("speed_m_s", "error_m", "distance", "levels", "weight"):
            require_shape("ScoredPositions", name, getattr(self, name), self.steps.shape)

    @property
    def class_weights(self) -> FloatArray:
        """(Z, E) share of each position in each class of speed, times its weight."""
        return speed_weights(self.speed_m_s, SPEEDS_M_S).T * self.weight


@dataclass(frozen=True, eq=False)
class Learnt:
    """The state of an adaptive calibration, as it is saved between two runs.

    Attributes:
        scores: (Z, T, B) scores in each bin; old ones have faded.
        shift: (Z, T, L) shift of the level on the logit.
        seconds: (Z,) time with people of the class in view, which determines the step size.
    """

    scores: FloatArray
    shift: FloatArray
    seconds: FloatArray

    def __post_init__(self) -> None:
        n_classes = len(SPEEDS_M_S)
        require_shape("Learnt", "scores", self.scores, (n_classes, "T", _N_BINS))
        n_steps = self.scores.shape[1]
        require_shape("Learnt", "shift", self.shift, (n_classes, n_steps, len(CONFIDENCES)))
        require_shape("Learnt", "seconds", self.seconds, (n_classes,))
        if not np.isfinite(self.scores).all() or (self.scores < 0).any():
            raise ValueError("Learnt.scores has a count that is not finite or below 0")
        if not (np.abs(self.shift) <= MAX_SHIFT).all():
            raise ValueError(f"Learnt.shift has a value beyond {MAX_SHIFT}")
        if not ((self.seconds >= 0.0) & (self.seconds <= MAX_SECONDS)).all():
            raise ValueError(f"Learnt.seconds is {self.seconds}, expected 0 to {MAX_SECONDS} s")

    @classmethod
    def nothing(cls, n_steps: int) -> Learnt:
        """The initial state for T = `n_steps` predicted steps."""
        n_classes = len(SPEEDS_M_S)
        return cls(
            np.zeros((n_classes, n_steps, _N_BINS)),
            np.zeros((n_classes, n_steps, len(CONFIDENCES))),
            np.zeros(n_classes),
        )


class AdaptiveCalibration:
    """Rescales the ellipses of predictions, and learns from scored predictions.

    Attributes:
        learnt: the current state, which is replaced, not changed.
        radii: (Z, T, L) radii of the ellipses; those of a Gaussian are `GAUSSIAN_RADII`.
    """

    def __init__(self, n_steps: int) -> None:
        """Starts with the initial state for T = `n_steps` predicted steps."""
        self.n_steps = n_steps
        #: (T, 1) number of predictions of a person that overlap at each step.
        self._n_overlapping = np.arange(1.0, n_steps + 1.0)[:, None]
        self.restore(Learnt.nothing(n_steps))

    def restore(self, learnt: Learnt) -> None:
        """Continues from the state of another run; raises ValueError if its steps differ."""
        require_shape("AdaptiveCalibration", "shift", learnt.shift, ("Z", self.n_steps, "L"))
        self.learnt = learnt
        self._newest_ns: int | None = None
        self._read_radii()

    def base(self, prediction: Prediction, speed_m_s: FloatArray) -> Prediction:
        """The prediction whose ellipses are the unit of distances.

        Standard deviations are at least `FLOOR_M`; ellipses of people who run or ride are
        enlarged.

        Args:
            prediction: prediction of A agents.
            speed_m_s: (A,) observed speeds.
        """
        factors = np.interp(speed_m_s, RIDING_M_S, (1.0, RIDING_FACTOR))
        covariance = prediction.covariance * (factors * factors)[:, None, None, None]
        return replace(prediction, covariance=covariance + FLOOR_M**2 * np.eye(2))

    def adapt(self, base: Prediction, speed_m_s: FloatArray) -> Prediction:
        """Returns the prediction with adapted ellipses.

        Args:
            base: from `base`.
            speed_m_s: (A,) observed speeds.

        Returns:
            The prediction with other `radius_scales`, between `MIN_FACTOR` and `MAX_FACTOR` times
            those of the base. Radii do not decrease with the confidence.
        """
        weights = speed_weights(speed_m_s, SPEEDS_M_S)
        if base.radius_scales is None:
            factors = np.tensordot(weights, self.radii / GAUSSIAN_RADII, axes=1)
        else:
            # Step by step for all agents: several times faster than agent by agent.
            by_step_before = base.radius_scales.swapaxes(0, 1)
            by_step = np.zeros(by_step_before.shape)
            for weight, matrix in zip(weights.T, self._matrices, strict=True):
                by_step += weight[:, None] * (by_step_before @ matrix)
            factors = by_step.swapaxes(0, 1)
        return replace(base, radius_scales=factors)

    def learn(self, scored: ScoredPositions) -> None:
        """Updates the state.

        Args:
            scored: errors of predictions that `adapt` returned, or would have returned; their
                stamps must not decrease.
        """
        weights = scored.class_weights
        of_step = (np.arange(self.n_steps)[:, None] == scored.steps).astype(np.float64)
        n_people = weights @ of_step.T  # (Z, T)
        # Scores of a class fade only while people of the class are in view.
        elapsed_s = self._elapsed_s(scored.stamp_ns) * np.minimum(n_people.max(axis=1), 1.0)
        before = self.learnt
        fading = 0.5 ** (elapsed_s / HALF_LIFE_S)
        inside = (weights[:, None] * of_step) @ (scored.levels[:, None] <= _LEVELS)
        self.learnt = Learnt(
            before.scores * fading[:, None, None] + self._counted(scored, weights),
            self._shifted(inside, n_people[..., None]),
            np.minimum(before.seconds + elapsed_s, MAX_SECONDS),
        )
        self._read_radii()

    def _elapsed_s(self, stamp_ns: int) -> float:
        last_ns, self._newest_ns = self._newest_ns, stamp_ns
        if last_ns is None:
            return 0.0
        return float(np.clip((stamp_ns - last_ns) * 1e-9, 0.0, _MAX_PAUSE_S))

    def _counted(self, scored: ScoredPositions, weights: FloatArray) -> FloatArray:
        """(Z, T, B) the new scores by bin."""
        bins = scored.steps * _N_BINS + np.searchsorted(EDGES, scored.distance)
        n_bins = self.n_steps * _N_BINS
        counts = np.array([np.bincount(bins, weight, n_bins) for weight in weights], np.float64)
        return counts.reshape(len(SPEEDS_M_S), self.n_steps, _N_BINS)

    def _shifted(self, inside: FloatArray, n_people: FloatArray) -> FloatArray:
        """(Z, T, L) shifts of the levels, updated by the misses of the published ellipses.

        `inside` is the weight of the people inside each ellipse, (Z, T, 1) `n_people` of all.
        """
        missing = _LEVELS - inside / np.where(n_people > 0.0, n_people, 1.0)
        step = FIRST_STEP / np.sqrt(1.0 + self.learnt.seconds / STEADY_S)
        step = step[:, None, None] / self._n_overlapping
        step = step * n_people / (n_people + SHRINKAGE_PEOPLE)
        return np.clip(self.learnt.shift + step * missing, -MAX_SHIFT, MAX_SHIFT)

    def _read_radii(self) -> None:
        """Computes the radii from the histograms, and the matrices that adapt radius scales."""
        scores, shift = self.learnt.scores, self.learnt.shift
        inside = np.cumsum(scores, axis=-1)[..., :-1]
        n_scores = scores.sum(axis=-1, keepdims=True)
        n_shrinking = SHRINKING_PRIOR_SCORES * np.sqrt(self._n_overlapping)
        shrinking = (inside + n_shrinking * _OF_MODEL) / (n_scores + n_shrinking)
        share = np.maximum(shrinking, _OF_MODEL)
        prior = _OF_UNKNOWN_SITE
        for step in range(self.n_steps):
            growing = (inside[:, step] + PRIOR_SCORES * prior) / (n_scores[:, step] + PRIOR_SCORES)
            share[:, step] = np.minimum(growing, share[:, step])
            prior = np.minimum(share[:, step], _OF_UNKNOWN_SITE)
        levels = 1.0 / (1.0 + np.exp(-(_LOGITS + shift)))
        levels = np.maximum.accumulate(levels, axis=-1)
        distances = np.empty(shift.shape)
        logarithms = np.log(EDGES)
        for index in np.ndindex(distances.shape[:2]):
            distances[index] = np.interp(levels[index], share[index], logarithms)
        bounded = np.clip(
            np.exp(distances), MIN_FACTOR * GAUSSIAN_RADII, MAX_FACTOR * GAUSSIAN_RADII
        )
        self.radii: FloatArray = np.maximum.accumulate(bounded, axis=-1)
        self._matrices = _interpolation_matrices(self.radii)


def _interpolation_matrices(distances: FloatArray) -> FloatArray:
    """(Z, T, L, L) that map the radius scales of the base to those at (Z, T, L) learned distances.

    The adapted radius of a level is the radius of the base prediction at the learned distance:
    linear between two grid points, proportional beyond the last.
    """
    points = np.arange(len(GAUSSIAN_GRID))[:, None]
    high = np.clip(np.searchsorted(GAUSSIAN_GRID, distances), 1, len(GAUSSIAN_GRID) - 1)
    low_radius, high_radius = GAUSSIAN_GRID[high - 1], GAUSSIAN_GRID[high]
    share = ((distances - low_radius) / (high_radius - low_radius))[..., None, :]
    high = high[..., None, :]
    from_high = np.where(points == high, share, 0.0)
    from_low = np.where(points == high - 1, 1.0, 0.0)
    weights = from_high + from_low * (1.0 - share)  # (Z, T, L + 2, L) of radii at the grid points
    weights *= GAUSSIAN_GRID[:, None]
    # The centre has radius 0; beyond the last level its factor applies.
    matrices: FloatArray = weights[..., 1:-1, :]
    matrices[..., -1, :] += weights[..., -1, :]
    return matrices / GAUSSIAN_RADII
