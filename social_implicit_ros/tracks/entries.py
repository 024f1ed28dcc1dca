"""Checks the entries of a message before they enter the history."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.types import BoolArray, FloatArray, IntArray, SkipReason, Tracks

#: Largest coordinate of any map (the largest northing of UTM), metres.
MAX_COORDINATE_M = 1e7
#: A larger variance means an unknown position; the limit also prevents overflow of float32.
_MAX_VARIANCE_M2 = 1e5
#: Below this noise of a tracker its positions may be exact, metres.
EXACT_M = 0.01
#: Tolerated asymmetry of a covariance matrix, relative to the product of the standard deviations.
_ROUNDING = 1e-3


def are_valid(positions_m: FloatArray) -> BoolArray:
    """(A,) whether (A, 2) positions are finite and within `MAX_COORDINATE_M`."""
    # False for NaN.
    return np.asarray((np.abs(positions_m) <= MAX_COORDINATE_M).all(axis=1))


def rows_of(ids: tuple[str, ...], known_ids: tuple[str, ...]) -> IntArray:
    """(A,) rows of ids among the known ones; -1 for unknown ids, and for repetitions of an id."""
    if ids == known_ids:
        return np.arange(len(ids))
    row_of = {agent_id: row for row, agent_id in enumerate(known_ids)}
    return np.array([row_of.pop(agent_id, -1) for agent_id in ids], dtype=np.int64)


def points_of(tracks: Tracks) -> FloatArray:
    """(A, 3) positions in metres; NaN if x or y is invalid; an invalid z is replaced by 0."""
    points_m = np.column_stack([tracks.positions_m, tracks.heights_m])
    points_m[~(np.abs(points_m[:, 2]) <= MAX_COORDINATE_M), 2] = 0.0
    points_m[~are_valid(tracks.positions_m)] = np.nan
    return points_m


def usable_entries(
    ids: tuple[str, ...], states_m: FloatArray
) -> tuple[dict[str, int], dict[str, SkipReason]]:
    """Valid entries as id -> column, and the others as id -> reason."""
    usable = are_valid(states_m[:, :2]).tolist()
    columns: dict[str, int] = {}
    rejected: dict[str, SkipReason] = {}
    for column, agent_id in enumerate(ids):
        if not agent_id:
            rejected[agent_id] = SkipReason.EMPTY_ID
        elif agent_id in columns:
            rejected[agent_id] = SkipReason.DUPLICATE_ID
        elif not usable[column]:
            is_finite = np.isfinite(states_m[column, :2]).all()
            rejected[agent_id] = SkipReason.OUT_OF_RANGE if is_finite else SkipReason.NOT_FINITE
        else:
            columns[agent_id] = column
            if agent_id in rejected:
                rejected[agent_id] = SkipReason.DUPLICATE_ID
    return columns, rejected


def known_covariances(covariances_m2: FloatArray) -> FloatArray:
    """(A, 2, 2) covariances; NaN replaces invalid ones and those that mean unknown."""
    xx, xy, yx, yy = covariances_m2.reshape(-1, 4).T
    # Comparisons with NaN are false.
    known = (xx > 0) & (yy > 0) & (np.maximum(xx, yy) <= _MAX_VARIANCE_M2)
    with np.errstate(invalid="ignore", over="ignore"):
        largest_m2 = np.sqrt(xx * yy)
        known &= np.abs(xy - yx) <= _ROUNDING * largest_m2
    known &= np.maximum(np.abs(xy), np.abs(yx)) <= largest_m2
    return np.where(known[:, None, None], covariances_m2, np.nan)


def known_velocities(velocities_m_s: FloatArray, max_speed_m_s: float) -> FloatArray:
    """(A, 2) x and y of (A, 3) velocities; NaN replaces implausible ones."""
    # False for NaN.
    known = np.all(np.abs(velocities_m_s) <= max_speed_m_s, axis=1)
    return np.where(known[:, None], velocities_m_s[:, :2], np.nan)
