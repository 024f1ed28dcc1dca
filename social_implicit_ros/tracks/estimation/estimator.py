"""Estimates tracks at the steps of a model, with the learned noise and motion priors."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.tracks.estimation.noise import TrackerNoise
from social_implicit_ros.tracks.estimation.site_motion import SiteMotion
from social_implicit_ros.tracks.estimation.smoothing import smooth
from social_implicit_ros.tracks.estimation.velocity_noise import VelocityNoise
from social_implicit_ros.tracks.observations import ObservationTable
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, IntArray

#: A step counts as observed if the first observation is at most this fraction of a step later.
_TOLERANCE = 0.25


class Estimator:
    """Learns the noise of each tracker and how people move here; estimates positions with both.

    Attributes:
        noise: noise of the positions of each tracker.
        velocities: reported velocities and their noise.
        site: distribution of velocities at this site.
    """

    def __init__(self, position_noise_m: float, *, step_s: float, n_steps: int) -> None:
        """Starts with the priors.

        Args:
            position_noise_m: first guess of the standard deviation of positions, metres.
            step_s: time between two steps, seconds.
            n_steps: number of steps of a window (H).
        """
        self.noise = TrackerNoise(position_noise_m)
        self.velocities = VelocityNoise()
        self.site = SiteMotion()
        self._step_s, self._n_steps = step_s, n_steps

    def grow(self, n_rows: int) -> None:
        """Adds rows, up to `n_rows`."""
        self.noise.grow(n_rows)
        self.velocities.grow(n_rows)

    def estimate(
        self,
        table: ObservationTable,
        rows: IntArray,
        stamp_ns: int,
        began_ns: IntArray,
        trackers: IntArray,
        *,
        is_exact: bool,
    ) -> tuple[FloatArray, IntArray, FloatArray | None]:
        """Estimates the tracks in some rows of a table.

        Args:
            table: the observations.
            rows: (A,) rows.
            stamp_ns: time of the last step, integer nanoseconds.
            began_ns: (A,) start of each track, integer nanoseconds.
            trackers: (A,) number of the tracker of each track, from 0.
            is_exact: whether positions have no noise and are interpolated.

        Returns:
            (A, H, 2) positions in metres, NaN before the observed steps; (A,) numbers of observed
            steps; and (A, 4, 4) covariances of the states, None for exact positions.
        """
        step_ns, n_steps = round(self._step_s * NS_PER_S), self._n_steps
        covariances = None
        if is_exact or len(rows) == 0:
            positions_m = _resample(table, rows, stamp_ns, step_ns=step_ns, n_steps=n_steps)
        else:
            times_ns, xy_m, is_known = table.since(
                rows, stamp_ns - (n_steps - 1) * step_ns, stamp_ns
            )
            has_begun = times_ns >= began_ns[:, None]
            is_known &= has_begun | ~(is_known & has_begun).any(axis=1, keepdims=True)
            positions_m, covariances = smooth(
                stamp_ns - times_ns,
                xy_m,
                is_known,
                self.noise.variances_m2(rows, stamp_ns - began_ns),
                self.velocities.newest(rows, trackers),
                self.site,
                step_s=self._step_s,
                n_steps=n_steps,
            )
        n_observed = _observed_steps(stamp_ns - table.times_ns[rows, 0], step_ns, n_steps)
        positions_m[np.arange(n_steps) < n_steps - n_observed[:, None]] = np.nan
        return positions_m, n_observed, covariances


def _observed_steps(past_ns: IntArray, step_ns: int, n_steps: int) -> IntArray:
    """(A,) numbers of observed steps, from (A,) times since the first observations."""
    known = (past_ns + round(_TOLERANCE * step_ns)) // step_ns + 1
    # Two observations within one step are enough for a position and a velocity.
    return np.minimum(np.maximum(known, 2), n_steps)


def _resample(
    table: ObservationTable, rows: IntArray, stamp_ns: int, *, step_ns: int, n_steps: int
) -> FloatArray:
    """(A, H, 2) positions at the steps.

    Before its first and after its last observation, an agent is extrapolated at constant velocity,
    measured over one step.
    """
    if len(rows) == 0:
        return np.empty((0, n_steps, 2))
    steps_ns = stamp_ns - step_ns * np.arange(n_steps - 1, -1, -1)
    last_ns = table.newest_ns(rows)[:, None]
    # Observations before the first step do not matter.
    first_ns = np.maximum(table.times_ns[rows, :1], np.minimum(steps_ns[0], last_ns - step_ns))
    targets_ns = np.empty((len(rows), n_steps + 4), dtype=np.int64)
    targets_ns[:, :n_steps], ends_ns = steps_ns, targets_ns[:, n_steps:]
    ends_ns[:, :1], ends_ns[:, 3:] = first_ns, last_ns
    ends_ns[:, 1:2] = np.minimum(first_ns + step_ns, last_ns)
    ends_ns[:, 2:3] = np.maximum(last_ns - step_ns, first_ns)
    found_m, _, _ = table.interpolate(rows, targets_ns)
    positions_m, ends_m = found_m[:, :n_steps], found_m[:, n_steps:]
    # Over the first step, and over the last one.
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
