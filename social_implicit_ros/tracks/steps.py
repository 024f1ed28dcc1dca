"""Interpolates tracks at the steps of a model."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.tracks.observations import ObservationTable
from social_implicit_ros.types import FloatArray, IntArray

#: A step counts as observed if the first observation is at most this fraction of a step later.
_TOLERANCE = 0.25


def observed_steps(past_ns: IntArray, step_ns: int, n_steps: int) -> IntArray:
    """(A,) observed ones of the last steps, from (A,) times since the first observations."""
    known = (past_ns + round(_TOLERANCE * step_ns)) // step_ns + 1
    # Two observations within one step are enough for a position and a velocity.
    return np.minimum(np.maximum(known, 2), n_steps)


def resample(
    table: ObservationTable, rows: IntArray, stamp_ns: int, *, step_ns: int, n_steps: int
) -> FloatArray:
    """(A, H, 2) positions at the steps.

    Outside its observations an agent moves at its first or last velocity, taken over one step.
    """
    if len(rows) == 0:
        return np.empty((0, n_steps, 2))
    steps_ns = stamp_ns - step_ns * np.arange(n_steps - 1, -1, -1)
    last_ns = table.newest(rows)[0][:, None]
    # Observations before the first step do not matter.
    first_ns = np.maximum(table.times_ns[rows, :1], np.minimum(steps_ns[0], last_ns - step_ns))
    targets_ns = np.empty((len(rows), n_steps + 4), dtype=np.int64)
    targets_ns[:, :n_steps], ends_ns = steps_ns, targets_ns[:, n_steps:]
    ends_ns[:, :1], ends_ns[:, 3:] = first_ns, last_ns
    ends_ns[:, 1:2] = np.minimum(first_ns + step_ns, last_ns)
    ends_ns[:, 2:3] = np.maximum(last_ns - step_ns, first_ns)
    found_m, _, _ = table.interpolate(rows, targets_ns)
    positions_m, ends_m = found_m[:, :n_steps], found_m[:, n_steps:]
    # From the first of the ends to the second, and from the third to the fourth.
    elapsed_ns = (ends_ns[:, 1::2] - ends_ns[:, ::2])[..., None]
    first_velocity, last_velocity = np.moveaxis(
        (ends_m[:, 1::2] - ends_m[:, ::2]) / elapsed_ns, 1, 0
    )
    before_ns = np.minimum(steps_ns - first_ns, 0)
    after_ns = np.maximum(steps_ns - last_ns, 0)
    extrapolated_m: FloatArray = (
        positions_m
        + first_velocity[:, None] * before_ns[..., None]
        + last_velocity[:, None] * after_ns[..., None]
    )
    return extrapolated_m
