"""Pairs of tracks: distances from extrapolated motions, close pairs, one-to-one assignment."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.motions import Motions
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import BoolArray, FloatArray, Tracks

#: Ids of two tracks.
Pair = tuple[str, str]
#: Longest time over which a track is extrapolated for a comparison, seconds.
_MAX_GAP_S = 1.5
#: Gates: squared Mahalanobis distances of the 98 % region of a position, and of the 94 % region of
#: a position and a velocity. Wider ones would confuse people who leave and enter the field of view.
POSITION_GATE, MOTION_GATE = 7.8, 9.0
#: Standard deviation of the position at which a tracker reports a person again, metres; detectors
#: fit another box.
_POSITION_STD_M = 0.15
#: Standard deviation of a position relative to the next one, metres.
_NOISE_STD_M = 0.06
#: Standard deviation of the change of people's velocity within a second, metres per second.
_VELOCITY_STD_M_S = 0.25


def positions_at(stamp_ns: int, ids: tuple[str, ...], history: TrackHistory) -> FloatArray:
    """(A, 2) positions of remembered tracks at a stamp near their newest one, metres."""
    motions = history.motions(ids)
    gaps_s = np.clip(motions.gaps_s(stamp_ns), -_MAX_GAP_S, _MAX_GAP_S)
    return motions.extrapolated_m(gaps_s)


def motion_costs(lost: Motions, first: Tracks, second: Tracks) -> FloatArray:
    """(A, B) squared Mahalanobis distances of observed states from extrapolated tracks.

    Args:
        lost: (A,) tracks to extrapolate.
        first: (B,) observations.
        second: (B,) later observations of the same people, for the velocity.
    """
    elapsed_s = (second.stamp_ns - first.stamp_ns) / NS_PER_S
    velocities_m_s = (second.positions_m - first.positions_m) / elapsed_s
    gaps_s = lost.gaps_s(first.stamp_ns)
    variance = lost.velocity_std_m_s**2 + _VELOCITY_STD_M_S**2 * gaps_s
    variance += 2.0 * (_NOISE_STD_M / elapsed_s) ** 2
    costs = np.square(velocities_m_s - lost.velocities_m_s[:, None]).sum(axis=-1)
    costs /= variance[:, None]
    return costs + position_costs(lost, first.positions_m, first.stamp_ns)


def position_costs(
    lost: Motions, positions_m: FloatArray, stamp_ns: int, *, std_m: float = _POSITION_STD_M
) -> FloatArray:
    """(A, B) squared Mahalanobis distances of observed positions from extrapolated tracks.

    Args:
        lost: (A,) tracks to extrapolate.
        positions_m: (B, 2) positions, or (A, B, 2) for each track, metres.
        stamp_ns: stamp of the positions, integer nanoseconds.
        std_m: standard deviation of a position, metres.
    """
    gaps_s = lost.gaps_s(stamp_ns)
    velocity_variance = lost.velocity_std_m_s**2 + _VELOCITY_STD_M_S**2 * gaps_s
    variance_m2 = std_m**2 + velocity_variance * gaps_s**2
    distances_m = positions_m - lost.extrapolated_m(gaps_s)[:, None]
    costs: FloatArray = np.square(distances_m).sum(axis=-1) / variance_m2[:, None]
    return costs


def load() -> None:
    """Imports the libraries of `assigned`, which takes too long within a tick."""
    import scipy.sparse.csgraph  # noqa: F401


def assigned(costs: FloatArray, is_allowed: BoolArray, limit: float) -> list[tuple[int, int]]:
    """The one-to-one assignment with the most allowed pairs, and the lowest cost among those.

    Args:
        costs: (A, B) cost of each pair, at least 0.
        is_allowed: (A, B) pairs that may be chosen.
        limit: maximum cost of an allowed pair.

    Returns:
        Rows and columns of the chosen pairs.
    """
    if not is_allowed.any():
        return []
    # Takes less than half the time and memory of scipy.optimize.linear_sum_assignment.
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    # A forbidden pair costs more than all allowed ones together. `+ limit`, as 0 means no edge.
    forbidden = limit * (min(costs.shape) + 1)
    edges = csr_matrix(np.where(is_allowed, costs, forbidden) + limit)
    chosen = zip(*min_weight_full_bipartite_matching(edges), strict=True)
    return [(int(row), int(column)) for row, column in chosen if is_allowed[row, column]]


def close_rows(positions_m: FloatArray, within_m: float) -> list[tuple[int, int]]:
    """Pairs of rows of (A, 2) positions within a distance, by a sweep along x."""
    order = positions_m[:, 0].argsort()
    x_m, y_m = positions_m.T.take(order, axis=1)
    places = np.arange(len(order))
    # Candidates are pairs within the distance along x; NaN is within no distance.
    n_next = np.maximum(x_m.searchsorted(x_m + within_m) - places - 1, 0)
    first = places.repeat(n_next)
    second = first + 1 + np.arange(len(first)) - (n_next.cumsum() - n_next).repeat(n_next)
    apart_m2 = np.square(x_m[second] - x_m[first]) + np.square(y_m[second] - y_m[first])
    near = apart_m2 < within_m**2
    return list(zip(order[first[near]].tolist(), order[second[near]].tolist(), strict=True))
