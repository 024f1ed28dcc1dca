"""The noise of reported velocities, learned from later positions."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.tracks.estimation.smoothing import Velocities
from social_implicit_ros.tracks.observations import with_rows
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, IntArray

#: First guess of the standard deviation of each component, metres per second, and its weight as a
#: number of residuals.
_FIRST_STD_M_S, _FIRST_WEIGHT = 0.3, 5.0
#: Velocities are not used if they leave more than this share of the squared displacements of people
#: unexplained. Only people above this speed count, metres per second.
_MAX_UNEXPLAINED, _MOVING_M_S = 0.5, 0.5
#: Minimum standard deviation, as people do not walk at constant velocity, metres per second.
_MIN_STD_M_S = 0.05
#: Half-life of residuals, in residuals.
_HALF_LIFE = 1000.0
#: Residuals are clipped to this value, metres per second.
_MAX_RESIDUAL_M_S = 3.0
#: A velocity is compared with the displacement after the first time, until the second, nanoseconds.
_AFTER_NS, _MAX_AFTER_NS = 400_000_000, 1_000_000_000
#: The filter of a tracker converges with the age of a track, so that the noise is learned for
#: groups by age. Ages at which the later groups begin, nanoseconds; the first group has age 0.
_AGES_NS = np.array([1, 300_000_000, 1_000_000_000])
#: Share of tracks whose first velocity is compared; for the others it is a later one.
_FIRST_SHARE = 0.6
_FIRST = np.tile(
    _FIRST_WEIGHT * np.array([1.0, _FIRST_STD_M_S**2, _FIRST_STD_M_S**2, 1.0]),
    (1, len(_AGES_NS) + 1, 1),
)

#: State of a row: its newest velocity, NaN if unknown, and the group by age of that; and a velocity
#: that waits for a later position, with the position, stamp and group then; stamp 0 for none.
_ROW = np.dtype(
    [
        ("newest_m_s", np.float64, 2),
        ("group", np.int64),
        ("waiting_m_s", np.float64, 2),
        ("waiting_m", np.float64, 2),
        ("waiting_ns", np.int64),
        ("waiting_group", np.int64),
    ]
)


class VelocityNoise:
    """Newest velocities of the rows of a table, and the noise of each tracker's velocities.

    The residual is a reported velocity minus the mean velocity to a later position. It contains the
    noise of the velocity, the noise of both positions, which is known, and changes of motion. Large
    residuals reveal a field that is not filled in, or is in the axes of another frame.
    """

    def __init__(self) -> None:
        self._rows = np.empty(0, dtype=_ROW)
        self._draws = np.random.default_rng(0)
        # Sums per tracker and group: number of residuals, and their squares minus the noise of
        # positions; for moving people squared residuals, and squared mean velocities.
        self._sums = np.empty((0, *_FIRST.shape[1:]))

    def grow(self, n_rows: int) -> None:
        """Adds rows, up to `n_rows`."""
        self._rows = with_rows(self._rows, n_rows)

    def forget(self, rows: IntArray | int) -> None:
        """Clears rows that begin another track."""
        self._rows["newest_m_s"][rows] = np.nan
        self._rows["waiting_ns"][rows] = 0

    def add(
        self,
        tracker: int,
        rows: IntArray,
        stamp_ns: int,
        positions_m: FloatArray,
        velocities_m_s: FloatArray,
        ages_ns: IntArray,
        noise_m: float,
    ) -> None:
        """Adds velocities of one tracker, and learns from earlier ones.

        Args:
            tracker: number of the tracker, from 0.
            rows: (A,) rows.
            stamp_ns: stamp of the message, integer nanoseconds.
            positions_m: (A, 2) positions, metres.
            velocities_m_s: (A, 2) velocities, metres per second; NaN if unknown.
            ages_ns: (A,) ages of the tracks, integer nanoseconds.
            noise_m: standard deviation of each coordinate of the positions, metres.
        """
        if tracker >= len(self._sums):
            n_new = tracker + 1 - len(self._sums)
            self._sums = np.concatenate([self._sums, np.tile(_FIRST, (n_new, 1, 1))])
        state = self._rows
        state["newest_m_s"][rows] = velocities_m_s
        state["group"][rows] = np.searchsorted(_AGES_NS, ages_ns, side="right")
        waiting_ns, is_known = state["waiting_ns"][rows], ~np.isnan(velocities_m_s[:, 0])
        if not (is_known.any() or waiting_ns.any()):  # the tracker reports no velocities
            return
        elapsed_ns = stamp_ns - waiting_ns
        is_due = elapsed_ns >= _AFTER_NS
        if not is_due.any():
            return
        is_learnt = is_due & (elapsed_ns <= _MAX_AFTER_NS)
        if is_learnt.any():
            elapsed_s = elapsed_ns[is_learnt] / NS_PER_S
            self._learn(tracker, rows[is_learnt], elapsed_s, positions_m[is_learnt], noise_m)
        is_due &= is_known
        # For most tracks the first velocity is compared, for the others the second.
        is_first = ages_ns == 0
        if is_first.any():
            is_due &= ~is_first | (self._draws.random(len(rows)) < _FIRST_SHARE)
        due = rows[is_due]
        state["waiting_ns"][due], state["waiting_group"][due] = stamp_ns, state["group"][due]
        state["waiting_m"][due] = positions_m[is_due]
        state["waiting_m_s"][due] = velocities_m_s[is_due]

    def newest(self, rows: IntArray, trackers: IntArray) -> Velocities | None:
        """The newest velocities of (A,) rows of (A,) trackers; None if all are unknown."""
        velocities_m_s = self._rows["newest_m_s"][rows]
        is_known = ~np.isnan(velocities_m_s[:, 0])
        if not is_known.any():
            return None
        sums = self._sums[trackers[is_known], self._rows["group"][rows[is_known]]]
        n_residuals, noise, unexplained, later = sums.T
        variances = np.full(len(rows), np.inf)
        variances[is_known] = np.where(
            unexplained > _MAX_UNEXPLAINED * later,
            np.inf,
            np.maximum(noise / n_residuals, _MIN_STD_M_S**2),
        )
        velocities_m_s[~is_known] = 0.0
        return Velocities(velocities_m_s, variances)

    def are_refuted(self, tracker: int) -> bool:
        """Whether the velocities of older tracks of a tracker (by number) do not fit positions."""
        if tracker >= len(self._sums):
            return False
        *_, unexplained, later = self._sums[tracker, -1]
        return bool(unexplained > _MAX_UNEXPLAINED * later)

    def _learn(
        self,
        tracker: int,
        rows: IntArray,
        elapsed_s: FloatArray,
        positions_m: FloatArray,
        noise_m: float,
    ) -> None:
        waiting = self._rows[rows]
        later_m_s = (positions_m - waiting["waiting_m"]) / elapsed_s[:, None]
        residuals = np.abs(later_m_s - waiting["waiting_m_s"])
        squares = np.square(np.minimum(residuals, _MAX_RESIDUAL_M_S)).mean(axis=1)
        noise = squares - 2.0 * np.square(noise_m / elapsed_s)
        later = np.square(later_m_s).mean(axis=1)
        fastest = np.maximum(later, np.square(waiting["waiting_m_s"]).mean(axis=1))
        is_moving = 2.0 * fastest > _MOVING_M_S**2
        found = np.stack(
            [np.ones(len(rows)), noise, squares * is_moving, later * is_moving], axis=1
        )
        groups = waiting["waiting_group"]
        for group in set(groups.tolist()):
            of_group = found[groups == group]
            sums = self._sums[tracker, group]
            sums *= 0.5 ** (len(of_group) / _HALF_LIFE)
            sums += of_group.sum(axis=0)
            # Single samples may be negative, but a negative sum would suppress later evidence.
            sums[1] = max(sums[1], 0.0)
