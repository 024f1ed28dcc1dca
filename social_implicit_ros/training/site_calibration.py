"""Calibration on few people: as far as they are evidence, and for the rest as it was before."""

from __future__ import annotations

from typing import Any

import numpy as np

from social_implicit_ros.core.types import FloatArray, IntArray
from social_implicit_ros.core.uncertainty import Calibration, speed_weights
from social_implicit_ros.training.calibrate import SPEEDS_M_S, Residuals, calibrate

#: The present calibration counts as much as so many people of a speed. Some who happened to stand
#: still throughout would otherwise make the ellipses of all who stand vanish.
PRIOR_PEOPLE = 20.0


def calibrate_from(prior: Calibration, residuals: Residuals, people: IntArray) -> Calibration:
    """The factors found on few people, drawn towards those known before.

    Factors are averaged in their logarithms, weighted by the number of different people of a
    speed, as windows of the same person are much alike.

    Args:
        prior: the calibration before.
        residuals: of A agents.
        people: (A,) which of them are the same person.
    """
    found = calibrate(residuals)
    nearest = speed_weights(residuals.speed_m_s, SPEEDS_M_S).argmax(axis=1)
    n_people = np.array(
        [len(np.unique(people[nearest == knot])) for knot in range(len(SPEEDS_M_S))]
    )
    share = n_people / (n_people + PRIOR_PEOPLE)
    speeds = np.array(SPEEDS_M_S)
    return Calibration(
        SPEEDS_M_S,
        _between(prior.ellipse_factors(speeds), found.ellipse, share),
        _between(prior.sample_factors(speeds), found.samples, share),
        _between(prior.level_factors(speeds), found.levels, share),
    )


def _between(before: FloatArray, found: Any, share: FloatArray) -> Any:
    """Nested tuples of before^(1 - share) * found^share, one share per knot."""
    now = np.asarray(found)
    weights = share.reshape(-1, *(1,) * (now.ndim - 1))
    return _as_tuples((before ** (1.0 - weights) * now**weights).round(4).tolist())


def _as_tuples(values: Any) -> Any:
    return tuple(map(_as_tuples, values)) if isinstance(values, list) else values
