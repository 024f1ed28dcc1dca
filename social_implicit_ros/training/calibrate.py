"""Computes a model's calibration on recordings outside its training data; numpy only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from social_implicit_ros.metrics.mahalanobis import squared_mahalanobis
from social_implicit_ros.types import FloatArray, IntArray
from social_implicit_ros.uncertainty.calibration import Calibration, ObservedMotion, motion_weights
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES, GAUSSIAN_RADII


@dataclass(frozen=True, eq=False)
class Grid:
    """Grid points at which factors are fitted.

    Attributes:
        speeds_m_s: (Z,) speeds, denser at low ones, where factors differ most.
        jerk_rms_m: (R,) jerk RMS of the histories, metres.
    """

    speeds_m_s: FloatArray
    jerk_rms_m: FloatArray


#: For annotated recordings. The values of the jerk RMS stand for exact lines, smooth and rough
#: annotations, and tracker noise of 1.5 cm and of 5 cm.
ANNOTATED = Grid(
    np.array([0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5]), np.array([0.004, 0.015, 0.04, 0.1, 0.3])
)
#: For robots. Their trackers never report exact lines, by which annotations show people who stand
#: for long. Low speeds are denser: people who shift their feet walk off sooner than others.
TRACKED = Grid(np.array([0.0, 0.03, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5]), np.array([0.01, 0.06, 0.3]))
#: The confidence at which the Gaussian of the covariance alone has nominal coverage.
CONFIDENCE = 0.95
#: Minimum radius scale: if half of the agents do not move at all, the 50 % region would be a point.
MIN_RADIUS_SCALE = 0.005
#: Mean Mahalanobis distance of a calibrated Gaussian in two dimensions.
CALIBRATED_DISTANCE = float(np.sqrt(np.pi / 2.0))
#: A grid point with fewer agents gets the factors of the nearest one with enough agents.
MIN_AGENTS = 30
#: Weight of the prior calibration at each grid point, in people. Without it, a few people who never
#: move would shrink the ellipses of all standing people to points.
PRIOR_PEOPLE = 20.0


@dataclass(frozen=True, eq=False)
class Residuals:
    """Prediction errors of A agents, with predicted covariances.

    Attributes:
        error: (A, T, 2) ground truth minus mean, metres.
        covariance: (A, T, 2, 2) predicted covariance, square metres.
        weights: (A,) weights of the agents. Equal sums per recording keep the one with the densest
            crowd from dominating.
    """

    error: FloatArray
    covariance: FloatArray
    motion: ObservedMotion
    weights: FloatArray

    @classmethod
    def joined(cls, recordings: Sequence[Residuals]) -> Residuals:
        """The residuals of several recordings, all with the same total weight."""
        motions = [(one.motion.speed_m_s, one.motion.jerk_rms_m) for one in recordings]
        return cls(
            np.concatenate([one.error for one in recordings]),
            np.concatenate([one.covariance for one in recordings]),
            ObservedMotion(*map(np.concatenate, zip(*motions, strict=True))),
            np.concatenate([one.weights / one.weights.sum() for one in recordings]),
        )


def calibrate(residuals: Residuals, grid: Grid = ANNOTATED) -> Calibration:
    """Fits the factors that give a model's ellipses and samples nominal coverage."""
    zero = np.zeros_like(residuals.error)
    distance_2, _ = squared_mahalanobis(zero, residuals.covariance, residuals.error)
    distance = np.sqrt(distance_2)
    shares = motion_weights(residuals.motion, grid.speeds_m_s, grid.jerk_rms_m)
    n_speeds, n_jerks = shares.shape[1:]
    shares = shares.reshape(len(shares), -1)
    n_agents = shares.sum(axis=0)
    used = np.flatnonzero(n_agents >= min(MIN_AGENTS, float(n_agents.max())))
    indices = np.stack(np.divmod(np.arange(len(n_agents)), n_jerks), axis=-1)
    apart = np.abs(indices[:, None] - indices[used]).sum(axis=2)
    found = {}
    for point in used.tolist():
        rows = np.flatnonzero(shares[:, point])
        weights = shares[rows, point] * residuals.weights[rows]
        steps = distance[rows].T
        found[point] = (
            np.array([radius_scales(step, weights) for step in steps]),
            np.array([distance_factor(step, weights) for step in steps]),
        )
    nearest = used[apart.argmin(axis=1)].tolist()
    radii, samples = (
        np.array([found[point][part] for point in nearest]).reshape(
            n_speeds, n_jerks, *found[nearest[0]][part].shape
        )
        for part in (0, 1)
    )
    ellipse = radii[..., CONFIDENCES.index(CONFIDENCE)]
    levels = radii / ellipse[..., None]
    return Calibration(grid.speeds_m_s, grid.jerk_rms_m, ellipse, samples, levels)


def calibrate_from(prior: Calibration, residuals: Residuals, people: IntArray) -> Calibration:
    """Fits factors to few people, shrunk towards those of a prior calibration.

    Logarithms are averaged, weighted by the number of different people at a grid point, as windows
    of one person are correlated; `people` is (A,) the person of each residual.
    """
    grid = Grid(prior.speeds_m_s, prior.roughnesses_m)
    found = calibrate(residuals, grid)
    nearest = nearest_grid_points(residuals.motion, grid)
    shape = found.ellipse.shape[:2]
    n_people = np.array(
        [len(np.unique(people[nearest == point])) for point in range(math.prod(shape))]
    )
    share = (n_people / (n_people + PRIOR_PEOPLE)).reshape(shape)

    def between(before: FloatArray, now: FloatArray) -> FloatArray:
        """before^(1 - share) * now^share."""
        weights = share.reshape(*shape, *(1,) * (now.ndim - 2))
        return np.asarray(before ** (1.0 - weights) * now**weights)

    return replace(
        found,
        ellipse=between(prior.ellipse, found.ellipse),
        samples=between(prior.samples, found.samples),
        levels=between(prior.levels, found.levels),
    )


def nearest_grid_points(motion: ObservedMotion, grid: Grid) -> IntArray:
    """(A,) flat index of the grid point with the largest weight for each agent."""
    weights = motion_weights(motion, grid.speeds_m_s, grid.jerk_rms_m)
    return np.asarray(weights.reshape(len(weights), -1).argmax(axis=1))


def distance_factor(distance: FloatArray, weights: FloatArray) -> float:
    """The factor on a covariance's radii that gives the mean distance of a calibrated Gaussian."""
    return max(float(np.average(distance, weights=weights)), 1e-5) / CALIBRATED_DISTANCE


def radius_scales(distance: FloatArray, weights: FloatArray) -> FloatArray:
    """(L,) the radius scale of each of `CONFIDENCES` that gives (A,) distances nominal coverage.

    Source: split conformal prediction (Vovk et al., 2005) with the Mahalanobis distance as score.
    """
    order = np.argsort(distance)
    share = np.cumsum(weights[order])
    places = np.searchsorted(share, np.array(CONFIDENCES) * share[-1])
    radii = distance[order][np.minimum(places, len(distance) - 1)]
    return np.maximum(radii / GAUSSIAN_RADII, MIN_RADIUS_SCALE)
