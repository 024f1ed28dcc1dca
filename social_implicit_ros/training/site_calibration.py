"""Calibration on few people: as far as they are evidence, and for the rest as it was before."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from social_implicit_ros.training.calibrate import Residuals, calibrate, nearest_knots
from social_implicit_ros.types import FloatArray, IntArray
from social_implicit_ros.uncertainty.ellipses import Calibration, ObservedMotion

#: The present calibration counts as much as so many people of a knot. Some who happened to stand
#: still throughout would otherwise make the ellipses of all who stand vanish.
PRIOR_PEOPLE = 20.0


def calibrate_from(prior: Calibration, residuals: Residuals, people: IntArray) -> Calibration:
    """The factors found on few people, drawn towards those known before.

    Factors are averaged in their logarithms, weighted by the number of different people of a
    knot, as windows of the same person are much alike.

    Args:
        prior: the calibration before.
        residuals: of A agents.
        people: (A,) which of them are the same person.
    """
    found = calibrate(residuals)
    nearest = nearest_knots(residuals.motion)
    shape = found.ellipse.shape[:2]
    n_people = np.array(
        [len(np.unique(people[nearest == knot])) for knot in range(math.prod(shape))]
    )
    share = (n_people / (n_people + PRIOR_PEOPLE)).reshape(shape)
    speeds_m_s, roughnesses_m = (knots.ravel() for knots in _grid(found))
    knots = ObservedMotion(speeds_m_s, roughnesses_m)

    def between(before: FloatArray, now: FloatArray) -> FloatArray:
        """before^(1 - share) * now^share."""
        weights = share.reshape(*shape, *(1,) * (now.ndim - 2))
        return np.asarray(before.reshape(now.shape) ** (1.0 - weights) * now**weights)

    return replace(
        found,
        ellipse=between(prior.ellipse_factors(knots), found.ellipse),
        samples=between(prior.sample_factors(knots), found.samples),
        levels=between(prior.level_factors(knots), found.levels),
    )


def _grid(calibration: Calibration) -> tuple[FloatArray, ...]:
    """(Z, R) the speed and the roughness of every knot."""
    return tuple(np.meshgrid(calibration.speeds_m_s, calibration.roughnesses_m, indexing="ij"))
