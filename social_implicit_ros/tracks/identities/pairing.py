"""Pairs of tracks: positions to compare, close pairs, and one-to-one assignment of two groups."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.types import BoolArray, FloatArray

#: Ids of two tracks.
Pair = tuple[str, str]
#: Longest time over which a track is extrapolated for a comparison, seconds.
_MAX_GAP_S = 1.5


def positions_at(stamp_ns: int, ids: tuple[str, ...], history: TrackHistory) -> FloatArray:
    """(A, 2) positions of remembered tracks at a stamp near their newest one, metres."""
    motions = history.motions(ids)
    gaps_s = np.clip(motions.gaps_s(stamp_ns), -_MAX_GAP_S, _MAX_GAP_S)
    return motions.extrapolated_m(gaps_s)


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
