"""Pairs of tracks: one to one between two groups, and those that are close."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.types import BoolArray, FloatArray


def load() -> None:
    """Imports what `pairs` needs, which takes long: at configure, not within a tick."""
    import scipy.sparse.csgraph  # noqa: F401


def pairs(costs: FloatArray, is_allowed: BoolArray, limit: float) -> list[tuple[int, int]]:
    """As many allowed pairs as possible, and of these the cheapest.

    Args:
        costs: (A, B) of each pair, at least 0.
        is_allowed: (A, B) pairs that may be chosen.
        limit: no allowed pair costs more.

    Returns:
        Rows and columns of the chosen pairs.
    """
    if not is_allowed.any():
        return []
    # Less than half of scipy.optimize's time and memory, which solves the same problem.
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    # A forbidden pair costs more than all allowed ones together. A cost of 0 would be no edge.
    forbidden = limit * (min(costs.shape) + 1)
    edges = csr_matrix(np.where(is_allowed, costs, forbidden) + limit)
    chosen = zip(*min_weight_full_bipartite_matching(edges), strict=True)
    return [(int(row), int(column)) for row, column in chosen if is_allowed[row, column]]


def close_rows(positions_m: FloatArray, within_m: float) -> list[tuple[int, int]]:
    """Pairs of rows of (A, 2) positions that are nearer to each other, by a sweep along x."""
    order = positions_m[:, 0].argsort()
    x_m, y_m = positions_m.T.take(order, axis=1)
    places = np.arange(len(order))
    # Each with the next ones along x, as long as these are near; none is near to a NaN.
    n_next = np.maximum(x_m.searchsorted(x_m + within_m) - places - 1, 0)
    first = places.repeat(n_next)
    second = first + 1 + np.arange(len(first)) - (n_next.cumsum() - n_next).repeat(n_next)
    apart_m2 = np.square(x_m[second] - x_m[first]) + np.square(y_m[second] - y_m[first])
    near = apart_m2 < within_m**2
    return list(zip(order[first[near]].tolist(), order[second[near]].tolist(), strict=True))
