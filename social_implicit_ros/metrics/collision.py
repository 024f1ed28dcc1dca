"""Collisions between people of one predicted sample."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.types import FloatArray, require_shape

#: Two people with a smaller distance of their centres collide (Weng et al., radius 0.1 m each).
COLLISION_DISTANCE_M = 0.2
#: Pairs of people per batch, which bounds the memory.
_PAIRS_AT_ONCE = 10_000


def collision_rate(samples: FloatArray, *, distance_m: float = COLLISION_DISTANCE_M) -> float:
    """Fraction of (sample, agent) pairs in which the agent collides with another one.

    People move straight between two steps, so that two who swap places within one step collide.
    Samples must be joint samples of one scene.

    Source: Weng et al., "Joint Metrics Matter", ICCV 2023, the collision rate averaged over
    samples; the value of a benchmark is the mean over its scenes.

    Args:
        samples: (K, A, T, 2) positions in metres.
        distance_m: distance of the centres below which two people collide.

    Returns:
        Fraction in 0..1; 0 for a single agent, NaN where a position is not finite.
    """
    require_shape("metric", "samples", samples, ("K", "A", "T", 2))
    n_agents = samples.shape[1]
    if n_agents < 2:
        return 0.0
    if not np.isfinite(samples).all():
        return float("nan")
    if samples.strides[0] == 0:
        samples = samples[:1]  # one sample, repeated
    # (2, K, A) bounding box of each path, the upper edges extended by the distance. Coordinate and
    # step first, as numpy is slow along short last axes.
    paths_m = np.ascontiguousarray(samples.transpose(3, 2, 0, 1))
    low_m, high_m = paths_m.min(axis=1), paths_m.max(axis=1) + distance_m
    collides = np.zeros(samples.shape[:2], dtype=bool)
    first, second = np.triu_indices(n_agents, 1)
    for begin in range(0, len(first), _PAIRS_AT_ONCE):
        one, other = first[begin : begin + _PAIRS_AT_ONCE], second[begin : begin + _PAIRS_AT_ONCE]
        overlap = low_m.take(one, axis=2) < high_m.take(other, axis=2)
        overlap &= low_m.take(other, axis=2) < high_m.take(one, axis=2)
        sample, pair = np.nonzero(overlap[0] & overlap[1])
        one, other = one[pair], other[pair]
        relative = samples[sample, other] - samples[sample, one]
        hit = closest_approach(relative).min(axis=1) < distance_m
        collides[sample[hit], one[hit]] = True
        collides[sample[hit], other[hit]] = True
    return float(collides.mean())


def closest_approach(relative: FloatArray) -> FloatArray:
    """(..., T) minimum distance from 0 along the segments to each step of a (..., T, 2) path."""
    # By coordinate, as numpy is slow along a last axis of two elements.
    x, y = np.ascontiguousarray(np.moveaxis(relative, -1, 0))
    start_x, start_y = (np.concatenate([v[..., :1], v[..., :-1]], axis=-1) for v in (x, y))
    move_x, move_y = x - start_x, y - start_y
    length_2 = move_x * move_x + move_y * move_y
    along = -(start_x * move_x + start_y * move_y) / np.where(length_2 > 0.0, length_2, 1.0)
    along = np.clip(along, 0.0, 1.0)
    nearest_x, nearest_y = start_x + along * move_x, start_y + along * move_y
    return np.asarray(np.sqrt(nearest_x * nearest_x + nearest_y * nearest_y))
