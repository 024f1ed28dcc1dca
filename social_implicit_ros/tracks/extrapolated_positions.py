"""Finds positions that a tracker extrapolates for people whom it has lost, without marking them.

Measured positions have noise. Positions that continue in an exact line are extrapolated. They are
compared in the tracker's own frame.
"""

from __future__ import annotations

from collections import deque
from itertools import compress
from operator import and_
from statistics import median

import numpy as np

from social_implicit_ros.tracks.entries import EXACT_M, rows_of
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import BoolArray, FloatArray, IntArray, Tracks

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
#: Positions jump to and fro if at least this share of recent steps longer than this (metres) is
#: undone by the next one, up to a share of its length: number of steps, and minimum of jumps.
_RETURNING, _JUMP_M, _REST, _N_RECENT, _MIN_JUMPS = 0.8, 0.1, 0.5, 400, 60
#: Slower changes of the velocity are those of people who turn round, m/s^2.
_TURNING_M_S2 = 5.0
#: Minimum number of steps for each of these shares, and half-life in steps.
_LEAST = np.array([20.0, 8.0])
_HALF_LIFE = 1000.0


class ExtrapolatedPositions:
    """Follows the steps of one tracker's people from message to message."""

    def __init__(self) -> None:
        # State at the newest message.
        self._ids: tuple[str, ...] = ()
        self._stamp_ns = 0
        self._elapsed_s = 0.0
        self._positions_m = np.empty((0, 2))
        self._steps_m = np.empty((0, 2))  # NaN without two positions
        self._n_on = np.empty(0, dtype=np.int64)  # number of exact steps in a row
        self._off_m = np.empty(0)  # newest deviation from a line; NaN without any
        # Numbers of deviating and of exact steps, after a deviating one and after an exact one.
        self._counts = np.zeros((2, 2))
        # Numbers of deviating steps that change along both axes, and along one only.
        self._axes = np.zeros(2)
        # Lengths of recent steps, and whether the next one undoes them.
        self._lengths_m: deque[float] = deque(maxlen=_N_RECENT)
        self._are_undone: deque[bool] = deque(maxlen=_N_RECENT)

    @property
    def to_and_fro_m(self) -> float:
        """Distance by which positions jump to and fro, metres; 0 if they do not.

        As of people whom two nodes report under the same ids. White noise returns less often, and
        people turn round more slowly.
        """
        are_jumps = [length_m > _JUMP_M for length_m in self._lengths_m]
        n_undone = sum(map(and_, are_jumps, self._are_undone))
        if n_undone < max(_MIN_JUMPS, _RETURNING * sum(are_jumps)):
            return 0.0
        return median(compress(self._lengths_m, are_jumps))

    def find(self, tracks: Tracks, noise_m: float) -> BoolArray:
        """(A,) entries of a message that are extrapolated.

        Args:
            tracks: tracks of the message, in its frame.
            noise_m: standard deviation of each coordinate of the tracker's positions, metres.
        """
        elapsed_s = (tracks.stamp_ns - self._stamp_ns) / NS_PER_S
        if elapsed_s <= 0.0:
            return np.zeros(len(tracks.ids), dtype=bool)
        before_m, steps_m, n_before, off_before_m = self._before(tracks.ids)
        now_m, before_s = tracks.positions_m, max(self._elapsed_s, 1e-9)
        with np.errstate(invalid="ignore", over="ignore"):
            now_steps_m = now_m - before_m
            # Some trackers extrapolate by their nominal period instead of the time between stamps.
            changes_m = now_steps_m - steps_m
            off_m = np.minimum(
                _length_m(now_steps_m - steps_m * (elapsed_s / before_s)),
                _length_m(changes_m),
            )
            length_m = _length_m(now_steps_m)
            tolerance_m = _LINE_SHARE * length_m + _ROUNDING * np.maximum(_length_m(now_m), 1.0)
            # The second condition excludes people who stand.
            is_on = (off_m <= tolerance_m) & (length_m > 10.0 * tolerance_m)
            before_length_m = _length_m(steps_m)
            returns = _length_m(now_steps_m + steps_m) < _REST * before_length_m
            change_m_s = _length_m(now_steps_m / elapsed_s - steps_m / before_s)
            returns &= change_m_s > _TURNING_M_S2 * 0.5 * (elapsed_s + before_s)
            is_rounded = (np.abs(changes_m) <= tolerance_m[:, None]).any(axis=1)
        is_known = np.isfinite(off_m)
        self._lengths_m.extend(before_length_m[is_known].tolist())
        self._are_undone.extend(returns[is_known].tolist())
        is_off = is_known & (off_m >= _ROUGH_SHARE * noise_m)
        self._learn(is_off, is_known & ~is_off, n_before, off_before_m >= _ROUGH_SHARE * noise_m)
        self._axes += np.count_nonzero(is_off & ~is_rounded), np.count_nonzero(is_off & is_rounded)
        self._ids, self._stamp_ns, self._elapsed_s = tracks.ids, tracks.stamp_ns, elapsed_s
        self._positions_m, self._steps_m = now_m, now_steps_m
        self._n_on = np.where(is_on, n_before + 1, 0)
        self._off_m = np.where(is_known & ~is_on, off_m, off_before_m)
        are_known = self._counts.sum(axis=1) >= _LEAST
        shares = np.diagonal(self._counts) / np.maximum(self._counts.sum(axis=1), 1.0)
        has_lines_by_chance = self._axes[1] > _MAX_ROUNDED * self._axes.sum()
        if noise_m < EXACT_M or has_lines_by_chance or not are_known[0] or shares[0] < _MIN_OFF:
            return np.zeros(len(tracks.ids), dtype=bool)
        was_noisy = self._off_m >= _ROUGH_SHARE * noise_m
        if are_known[1] and shares[1] >= _MIN_ON:
            # Includes people who were measured only twice.
            return (was_noisy | np.isnan(self._off_m)) & is_on
        found: BoolArray = was_noisy & (self._n_on >= _N_STEPS)
        return found

    def _before(self, ids: tuple[str, ...]) -> tuple[FloatArray, FloatArray, IntArray, FloatArray]:
        """State of (A,) ids at the message before; NaN and 0 for new ids."""
        known = self._positions_m, self._steps_m, self._n_on, self._off_m
        if ids == self._ids:
            return known
        rows = rows_of(ids, self._ids)
        new = np.full((2, len(ids), 2), np.nan)
        state = *new, np.zeros(len(ids), dtype=np.int64), np.full(len(ids), np.nan)
        for now, before in zip(state, known, strict=True):
            now[rows >= 0] = before[rows[rows >= 0]]
        before_m, steps_m, n_on, off_m = state
        return before_m, steps_m, n_on, off_m

    def _learn(
        self, is_off: BoolArray, is_near: BoolArray, n_before: IntArray, was_noisy: BoolArray
    ) -> None:
        """Counts deviating and exact steps, by the kind of the step before."""
        was_on = n_before > 0
        is_counted = (is_off | is_near) & (was_on | was_noisy)
        kinds = 2 * was_on[is_counted] + is_near[is_counted]
        new = np.bincount(kinds, minlength=4).reshape(2, 2)
        fading = 0.5 ** (len(kinds) / _HALF_LIFE)
        self._counts *= fading
        self._counts += new
        self._axes *= fading


def _length_m(offsets_m: FloatArray) -> FloatArray:
    """(A,) lengths of (A, 2) vectors."""
    return np.asarray(np.hypot(*offsets_m.T))
