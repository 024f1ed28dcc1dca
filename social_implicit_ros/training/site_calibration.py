"""Calibration on few people, shrunk towards a prior calibration."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from social_implicit_ros.training.calibrate import Residuals, calibrate, nearest_grid_points
from social_implicit_ros.types import FloatArray, IntArray
from social_implicit_ros.uncertainty.calibration import Calibration, ObservedMotion

#: Weight of the prior calibration at each grid point, in people. Without it, a few people who stand
#: still throughout would shrink the ellipses of all standing people to nothing.
PRIOR_PEOPLE = 20.0


def calibrate_from(prior: Calibration, residuals: Residuals, people: IntArray) -> Calibration:
    """The factors of few people, shrunk towards those of a prior calibration.

    The logarithms of the factors are averaged, weighted by the number of different people at a
    grid point, since windows of one person are correlated.

    Args:
        prior: the prior calibration.
        residuals: residuals of A agents.
        people: (A,) number of the person, equal for windows of the same person.
    """
    found = calibrate(residuals)
    nearest = nearest_grid_points(residuals.motion)
    shape = found.ellipse.shape[:2]
    n_people = np.array(
        [len(np.unique(people[nearest == point])) for point in range(math.prod(shape))]
    )
    share = (n_people / (n_people + PRIOR_PEOPLE)).reshape(shape)
    speeds_m_s, jerks_m = (values.ravel() for values in _grid(found))
    grid = ObservedMotion(speeds_m_s, jerks_m)

    def between(before: FloatArray, now: FloatArray) -> FloatArray:
        """before^(1 - share) * now^share."""
        weights = share.reshape(*shape, *(1,) * (now.ndim - 2))
        return np.asarray(before.reshape(now.shape) ** (1.0 - weights) * now**weights)

    return replace(
        found,
        ellipse=between(prior.ellipse_factors(grid), found.ellipse),
        samples=between(prior.sample_factors(grid), found.samples),
        levels=between(prior.level_factors(grid), found.levels),
    )


def _grid(calibration: Calibration) -> tuple[FloatArray, ...]:
    """(Z, R) speed and jerk RMS of every grid point."""
    return tuple(np.meshgrid(calibration.speeds_m_s, calibration.roughnesses_m, indexing="ij"))
