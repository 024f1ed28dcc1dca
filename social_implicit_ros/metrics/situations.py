"""Situations that matter to a robot: who stands, has just stopped or started, or is met head-on.

They are recognised from observed positions alone, so that a metric of one situation cannot be
improved by choosing who counts after the fact.
"""

from __future__ import annotations

import numpy as np

from social_implicit_ros.metrics.collision import closest_approach
from social_implicit_ros.types import BoolArray, FloatArray, IntArray

#: Net speed below which an agent stands, and from which on it walks, m/s.
STANDING_M_S = 0.2
WALKING_M_S = 0.5
#: Steps at the beginning and at the end of a history whose speeds are compared.
_EARLY_STEPS, _LATE_STEPS = 3, 2
#: Two agents are head-on if they walk towards each other within this angle of opposite headings,
#: are at least this far apart, and at constant velocity would pass within this distance.
_OPPOSITE_COSINE = -np.cos(np.radians(30.0))
_APART_M = 1.5
_PASSING_M = 1.0


def net_speed_m_s(observed: FloatArray, step_s: float) -> FloatArray:
    """(A,) net speeds over (A, H, 2) observed positions, m/s."""
    speed: FloatArray = np.linalg.norm(observed[:, -1] - observed[:, 0], axis=-1)
    return speed / ((observed.shape[1] - 1) * step_s)


def has_stopped(observed: FloatArray, step_s: float) -> BoolArray:
    """(A,) whether agents, (A, H, 2) metres, H at least 6, walked at first and stand at last."""
    early, late = _early_and_late_m_s(observed, step_s)
    return (early >= WALKING_M_S) & (late < STANDING_M_S)


def has_started(observed: FloatArray, step_s: float) -> BoolArray:
    """(A,) the same, for agents that stood and walk."""
    early, late = _early_and_late_m_s(observed, step_s)
    return (early < STANDING_M_S) & (late >= WALKING_M_S)


def head_on_pairs(observed: FloatArray, n_steps: int, step_s: float) -> IntArray:
    """(P, 2) agents that walk towards each other and must make way or pass closely.

    Args:
        observed: (A, H, 2) positions in metres.
        n_steps: predicted steps, within which they would meet.
        step_s: seconds between two steps.
    """
    position, velocity = observed[:, -1], observed[:, -1] - observed[:, -2]  # metres per step
    first, second = np.triu_indices(len(position), 1)
    speed = np.linalg.norm(velocity, axis=1)
    product = speed[first] * speed[second]
    cosine = (velocity[first] * velocity[second]).sum(axis=1) / np.maximum(product, 1e-9)
    walks = np.minimum(speed[first], speed[second]) >= WALKING_M_S * step_s
    apart, closing = position[second] - position[first], velocity[second] - velocity[first]
    steps = -(apart * closing).sum(axis=1) / np.maximum((closing**2).sum(axis=1), 1e-9)
    nearest = np.linalg.norm(apart + closing * steps[:, None], axis=1)
    meets = (steps > 0.0) & (steps <= n_steps) & (nearest < _PASSING_M)
    far = (apart**2).sum(axis=1) >= _APART_M**2
    chosen = walks & (cosine < _OPPOSITE_COSINE) & meets & far
    return np.stack([first[chosen], second[chosen]], axis=1)


def passing_distances(paths: FloatArray, pairs: IntArray) -> FloatArray:
    """(P,) minimum distances in metres of pairs on (A, T, 2) paths, straight between the steps."""
    relative = paths[pairs[:, 1]] - paths[pairs[:, 0]]
    return closest_approach(relative).min(axis=1)


def area_at_coverage(
    distance: FloatArray, radius: FloatArray, area_m2: FloatArray, confidence: float
) -> float:
    """Mean area of regions after one common factor gives them a coverage in (0, 1).

    Makes the widths of differently calibrated models comparable.

    Args:
        distance: (N,) Mahalanobis distance of each ground truth.
        radius: (N,) Mahalanobis radius of each region.
        area_m2: (N,) area of each region, square metres.
        confidence: the coverage.

    Returns:
        Square metres; NaN without regions, or where no factor gives that coverage.
    """
    if len(distance) == 0:
        return float("nan")
    factor = float(np.sort(distance / radius)[int(np.ceil(confidence * len(distance))) - 1])
    return factor**2 * float(area_m2.mean()) if np.isfinite(factor) else float("nan")


def _early_and_late_m_s(observed: FloatArray, step_s: float) -> tuple[FloatArray, FloatArray]:
    """(A,) net speeds over the first and over the last steps, m/s."""
    early = observed[:, : _EARLY_STEPS + 1]
    late = observed[:, -_LATE_STEPS - 1 :]
    return net_speed_m_s(early, step_s), net_speed_m_s(late, step_s)
