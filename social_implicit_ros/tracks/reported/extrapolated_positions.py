"""Finds positions that a tracker extrapolates for people whom it has lost, without marking them.

Measured positions have noise. Positions that continue in an exact line are extrapolated. They are
compared in the tracker's own frame.
"""

from __future__ import annotations

import numpy as np

from social_implicit_ros.tracks.entries import EXACT_M, rows_of
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.tracks.to_and_fro import ToAndFro
from social_implicit_ros.types import BoolArray, FloatArray, Tracks

#: Tolerated deviation from a line: a share of the step, and of the coordinates for the rounding of
#: single precision.
_LINE_SHARE, _ROUNDING = 1e-5, 1e-6
#: Number of steps in a row that equal the one before until positions count as extrapolated; 1 for a
#: tracker that often extrapolates.
_N_STEPS = 2
#: Steps whose deviation is below this share of the noise count as exact, too, as in simulators
#: where velocities converge.
_ROUGH_SHARE = 0.25
#: Minimum share of deviating steps after a deviating one: in simulators, and between the key frames
#: of annotators, people turn and then really move in exact lines. Minimum share of exact steps
#: after an exact one for a tracker that often extrapolates: rounded positions are on a line only by
#: chance.
_MIN_OFF, _MIN_ON = 0.5, 0.5
#: Share of deviating steps that continue exactly along x or y, above which positions are rounded:
#: people on a grid walk in exact lines by chance.
_MAX_ROUNDED = 0.1
#: Number of recent steps that show whether people jump to and fro, and minimum number of jumps.
_N_RECENT, _MIN_JUMPS = 400, 60
#: Slower changes of the velocity are those of people who turn round, m/s^2.
_TURNING_M_S2 = 5.0
#: Minimum number of steps for each of these shares, and half-life in steps.
_LEAST = np.array([20.0, 8.0])
_HALF_LIFE = 1000.0

#: State of an id: its newest position, the step to it, the number of exact steps in a row, and the
#: newest deviation from a line; NaN if unknown.
_STATE = np.dtype(
    [
        ("position_m", np.float64, 2),
        ("step_m", np.float64, 2),
        ("n_on", np.int64),
        ("off_m", np.float64),
    ]
)
_NEW = np.array((np.nan, np.nan, 0, np.nan), dtype=_STATE)


class ExtrapolatedPositions:
    """Follows the steps of one tracker's people from message to message.

    Attributes:
        to_and_fro: whether positions jump to and fro, as of people whom two nodes report under the
            same ids.
    """

    def __init__(self) -> None:
        self.to_and_fro = ToAndFro(_N_RECENT, _MIN_JUMPS)
        # State at the newest message, and the time from the message before to it.
        self._ids: tuple[str, ...] = ()
        self._state = np.empty(0, dtype=_STATE)
        self._stamp_ns, self._elapsed_s = 0, 1.0
        # Numbers of deviating and of exact steps, after a deviating one and after an exact one.
        self._counts = np.zeros((2, 2))
        # Numbers of deviating steps that change along both axes, and along one only.
        self._axes = np.zeros(2)

    def find(self, tracks: Tracks, noise_m: float) -> BoolArray:
        """(A,) entries of a message that are extrapolated.

        Args:
            tracks: tracks of the message, in its frame.
            noise_m: standard deviation of each coordinate of the tracker's positions, metres.
        """
        elapsed_s = (tracks.stamp_ns - self._stamp_ns) / NS_PER_S
        if elapsed_s <= 0.0:
            return np.zeros(len(tracks.ids), dtype=bool)
        state, rough_m = self._before(tracks.ids), _ROUGH_SHARE * noise_m
        now_m, before_m, before_s = tracks.positions_m, state["step_m"], self._elapsed_s
        with np.errstate(invalid="ignore", over="ignore"):
            steps_m = now_m - state["position_m"]
            changes_m = steps_m - before_m
            # Some trackers extrapolate by their nominal period instead of the time between stamps.
            off_m = _length_m(steps_m - before_m * (elapsed_s / before_s))
            off_m = np.minimum(off_m, _length_m(changes_m))
            length_m = _length_m(steps_m)
            tolerance_m = _LINE_SHARE * length_m + _ROUNDING * np.maximum(_length_m(now_m), 1.0)
            # The second condition excludes people who stand.
            is_on = (off_m <= tolerance_m) & (length_m > 10.0 * tolerance_m)
            is_rounded = (np.abs(changes_m) <= tolerance_m[:, None]).any(axis=1)
            change_m_s = _length_m(steps_m / elapsed_s - before_m / before_s)
            is_fast = change_m_s > _TURNING_M_S2 * 0.5 * (elapsed_s + before_s)
        is_known = np.isfinite(off_m)
        self.to_and_fro.learn(before_m[is_known], steps_m[is_known], is_fast[is_known])
        is_off = is_known & (off_m >= rough_m)
        self._learn(is_off, is_known & ~is_off, state, rough_m)
        self._axes += np.count_nonzero(is_off & ~is_rounded), np.count_nonzero(is_off & is_rounded)
        state["position_m"], state["step_m"] = now_m, steps_m
        state["n_on"] = np.where(is_on, state["n_on"] + 1, 0)
        state["off_m"] = np.where(is_known & ~is_on, off_m, state["off_m"])
        self._ids, self._state = tracks.ids, state
        self._stamp_ns, self._elapsed_s = tracks.stamp_ns, elapsed_s
        return self._are_extrapolated(is_on, noise_m)

    def _before(self, ids: tuple[str, ...]) -> np.ndarray:
        """State of (A,) ids at the message before."""
        rows = rows_of(ids, self._ids)
        state = np.repeat(_NEW, len(ids))
        state[rows >= 0] = self._state[rows[rows >= 0]]
        return state

    def _learn(
        self, is_off: BoolArray, is_near: BoolArray, before: np.ndarray, rough_m: float
    ) -> None:
        """Counts deviating and exact steps, by the kind of the step before."""
        was_on = before["n_on"] > 0
        is_counted = (is_off | is_near) & (was_on | (before["off_m"] >= rough_m))
        kinds = 2 * was_on[is_counted] + is_near[is_counted]
        fading = 0.5 ** (len(kinds) / _HALF_LIFE)
        self._counts *= fading
        self._counts += np.bincount(kinds, minlength=4).reshape(2, 2)
        self._axes *= fading

    def _are_extrapolated(self, is_on: BoolArray, noise_m: float) -> BoolArray:
        """(A,) entries of the newest message that are extrapolated.

        Args:
            is_on: (A,) entries whose step is exact.
            noise_m: standard deviation of each coordinate of the tracker's positions, metres.
        """
        totals = self._counts.sum(axis=1)
        are_known, shares = totals >= _LEAST, np.diagonal(self._counts) / np.maximum(totals, 1.0)
        has_lines_by_chance = self._axes[1] > _MAX_ROUNDED * self._axes.sum()
        if noise_m < EXACT_M or has_lines_by_chance or not are_known[0] or shares[0] < _MIN_OFF:
            return np.zeros(len(is_on), dtype=bool)
        off_m = self._state["off_m"]
        was_noisy = off_m >= _ROUGH_SHARE * noise_m
        if are_known[1] and shares[1] >= _MIN_ON:
            # Includes people who were measured only twice.
            return np.asarray((was_noisy | np.isnan(off_m)) & is_on)
        return np.asarray(was_noisy & (self._state["n_on"] >= _N_STEPS))


def _length_m(offsets_m: FloatArray) -> FloatArray:
    """(A,) lengths of (A, 2) vectors."""
    return np.asarray(np.hypot(*offsets_m.T))
