"""Situations that matter to a robot: people who stand, have stopped or started, or meet head-on.

They are detected from observed positions only, so that the selection of people does not depend on
the ground truth. Observed positions are (A, H, 2), the ground truth is (A, T, 2), in metres.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from social_implicit_ros.metrics.collision import closest_approach
from social_implicit_ros.metrics.mahalanobis import squared_mahalanobis
from social_implicit_ros.metrics.reliability import ground_truth_levels
from social_implicit_ros.types import BoolArray, FloatArray, IntArray, Prediction
from social_implicit_ros.uncertainty.ellipses import radius_at

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
#: Confidence of the region whose area is measured, and of the region of standing people.
AREA_CONFIDENCE, STANDING_CONFIDENCE = 0.95, 0.5
#: Mean paths that come closer collide, metres.
HEAD_ON_M = 0.3


def net_speed_m_s(observed: FloatArray, step_s: float) -> FloatArray:
    """(A,) net speeds over (A, H, 2) observed positions, m/s."""
    speed: FloatArray = np.linalg.norm(observed[:, -1] - observed[:, 0], axis=-1)
    return speed / ((observed.shape[1] - 1) * step_s)


def has_stopped(observed: FloatArray, step_s: float) -> BoolArray:
    """(A,) whether agents, (A, H, 2) metres, H at least 6, walked at first and stand at last."""
    early, late = _early_and_late_m_s(observed, step_s)
    return (early >= WALKING_M_S) & (late < STANDING_M_S)


def has_started(observed: FloatArray, step_s: float) -> BoolArray:
    """(A,) whether agents, as in `has_stopped`, stood at first and walk at last."""
    early, late = _early_and_late_m_s(observed, step_s)
    return (early < STANDING_M_S) & (late >= WALKING_M_S)


def head_on_pairs(observed: FloatArray, n_steps: int, step_s: float) -> IntArray:
    """(P, 2) agents that walk towards each other and must give way or pass closely.

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


def area_at_coverage(regions: FloatArray, confidence: float) -> float:
    """Mean area of regions after one common factor gives them a coverage in (0, 1).

    Makes the widths of differently calibrated models comparable.

    Args:
        regions: (N, 3) Mahalanobis distance of each ground truth, Mahalanobis radius of the region,
            and its area, square metres.
        confidence: the common coverage.

    Returns:
        Square metres; NaN without regions, or if no factor gives that coverage.
    """
    if len(regions) == 0:
        return float("nan")
    distance, radius, area_m2 = regions.T
    factor = float(np.sort(distance / radius)[int(np.ceil(confidence * len(distance))) - 1])
    return factor**2 * float(area_m2.mean()) if np.isfinite(factor) else float("nan")


def standing_levels(
    prediction: Prediction, observed: FloatArray, ground_truth: FloatArray
) -> FloatArray:
    """(S, T) confidence levels of the ground truth of standing people."""
    stands = net_speed_m_s(observed, prediction.step_s) < STANDING_M_S
    return ground_truth_levels(prediction, ground_truth)[stands]


def walking_regions(
    prediction: Prediction, observed: FloatArray, ground_truth: FloatArray
) -> FloatArray:
    """(W, 3) regions of walking people at the last step, see `area_at_coverage`."""
    walks = net_speed_m_s(observed, prediction.step_s) >= WALKING_M_S
    distance_2, log_determinant = squared_mahalanobis(
        prediction.mean[walks, -1], prediction.covariance[walks, -1], ground_truth[walks, -1]
    )
    radius = radius_at(prediction, AREA_CONFIDENCE)[walks, -1]
    area_m2 = np.pi * radius**2 * np.exp(0.5 * log_determinant)
    return np.stack([np.sqrt(distance_2), radius, area_m2], axis=1)


def final_errors(
    prediction: Prediction,
    observed: FloatArray,
    ground_truth: FloatArray,
    *,
    of: Callable[[FloatArray, float], BoolArray],
) -> FloatArray:
    """(S, 2) final errors of the mean, and of constant velocity, metres.

    They are those of the people whom `has_stopped` or `has_started` selects.
    """
    n_steps = ground_truth.shape[1]
    straight = observed[:, -1] + n_steps * (observed[:, -1] - observed[:, -2])
    ends = np.stack([prediction.mean[:, -1], straight], axis=1)
    errors_m = np.linalg.norm(ends - ground_truth[:, -1:], axis=2)
    return np.asarray(errors_m[of(observed, prediction.step_s)])


def head_on_distances(
    prediction: Prediction, observed: FloatArray, ground_truth: FloatArray
) -> FloatArray:
    """(P, 2) passing distances of head-on pairs: of mean paths, and of the ground truth, metres."""
    pairs = head_on_pairs(observed, ground_truth.shape[1], prediction.step_s)
    paths = (prediction.mean, ground_truth)
    return np.stack([passing_distances(path, pairs) for path in paths], axis=1)


def mean_of(values: np.ndarray) -> float:
    """The mean; NaN without values, as some recordings lack a situation."""
    return float(values.mean()) if values.size else float("nan")


def _early_and_late_m_s(observed: FloatArray, step_s: float) -> tuple[FloatArray, FloatArray]:
    """(A,) net speeds over the first and over the last steps, m/s."""
    early = observed[:, : _EARLY_STEPS + 1]
    late = observed[:, -_LATE_STEPS - 1 :]
    return net_speed_m_s(early, step_s), net_speed_m_s(late, step_s)
