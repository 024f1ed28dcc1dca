"""Outliers: positions that do not fit their tracks.

A late one is skipped. A new one is held back until the next position of the track decides: if that
is near the held one, the tracker reused the id for another person and the track restarts; if it is
near the track, the held one was an outlier.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from social_implicit_ros.tracks.motions import motions_of
from social_implicit_ros.tracks.observations import ObservationTable, with_rows
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import BoolArray, FloatArray, IntArray, SkipReason

#: Displacement that is plausible in any time: changes of a detector's box, metres, and noise of two
#: positions, in standard deviations of one.
_REFIT_M, _REACH_STDS = 0.1, 8.0
#: Displacements below this speed are accepted without a comparison with earlier motion, m/s.
_STROLL_M_S = 1.0
#: Largest standard deviation of a velocity that is used for the comparison, metres per second.
_MAX_STD_M_S = 0.5
#: Plausible distance from the extrapolated position: acceleration of people, metres per second
#: squared, and changes of a detector's box, metres.
_ACCELERATION_M_S2, _BOX_M = 6.0, 0.3
#: Likewise: standard deviations of the noise and of the velocity, and a multiple of the largest
#: second difference of recent positions, as some tracks are noisier than others.
_NOISE_STDS, _VELOCITY_STDS, _SCATTER = 8.0, 2.0, 1.5
#: The recent positions for that, counted from the end of the track.
_RECENT = np.arange(5, 0, -1)


@dataclass(frozen=True)
class Reach:
    """How far a track plausibly moves.

    Attributes:
        max_speed_m_s: maximum plausible speed, m/s.
        noise_m: standard deviation of each coordinate of a position, metres.
    """

    max_speed_m_s: float
    noise_m: float = 0.0

    def covers(
        self, before_m: FloatArray, after_m: FloatArray, elapsed_ns: IntArray | int
    ) -> BoolArray:
        """(A,) whether displacements are plausible; False for positions that are not finite.

        Args:
            before_m: (A, 2) positions in metres.
            after_m: (A, 2) later positions in metres.
            elapsed_ns: one or (A,) times between them, integer nanoseconds.
        """
        x, y = (after_m - before_m).T
        reach_m = self.max_speed_m_s / NS_PER_S * elapsed_ns + _REFIT_M + _REACH_STDS * self.noise_m
        covered: BoolArray = x * x + y * y <= reach_m * reach_m
        return covered


def _leaves_motion(
    table: ObservationTable, rows: IntArray, stamp_ns: int, seen_m: FloatArray, reach: Reach
) -> BoolArray:
    """(A,) whether positions are out of reach, or implausible given the earlier motion.

    The latter finds ids that were reassigned to a neighbour after a gap; the track would have a
    high speed for seconds. Arguments as for `HeldJumps.weigh`.
    """
    motions = motions_of(table, rows)
    elapsed_ns = stamp_ns - motions.stamps_ns
    elapsed_s = elapsed_ns / NS_PER_S
    residuals_m = seen_m - motions.extrapolated_m(elapsed_s)
    columns = np.maximum(table.counts[rows, None] - _RECENT, 0)
    second_m = np.diff(table.states_m[rows[:, None], :2, columns], n=2, axis=1)
    allowed_m = (
        0.5 * _ACCELERATION_M_S2 * elapsed_s**2
        + _BOX_M
        + _NOISE_STDS * reach.noise_m
        + _VELOCITY_STDS * motions.velocity_std_m_s * elapsed_s
        + _SCATTER * np.hypot(second_m[..., 0], second_m[..., 1]).max(axis=1)
    )
    is_known = motions.velocity_std_m_s < _MAX_STD_M_S
    leaves: BoolArray = is_known & (np.hypot(*residuals_m.T) > allowed_m)
    return leaves | ~reach.covers(motions.positions_m, seen_m, elapsed_ns)


def insert_late(
    table: ObservationTable, rows: IntArray, stamp_ns: int, states_m: FloatArray, reach: Reach
) -> list[tuple[int, SkipReason]]:
    """Adds (A, 3) late states to their tracks; other arguments as for `HeldJumps.weigh`.

    Returns:
        Index and reason of each state that is skipped.
    """
    outlier = _is_late_outlier(table, rows, stamp_ns, states_m[:, :2], reach)
    fits = np.flatnonzero(~outlier)
    is_known, is_first = table.insert(rows[fits], stamp_ns, states_m[fits])
    refused = {
        SkipReason.LATE_OUTLIER: np.flatnonzero(outlier),
        SkipReason.DUPLICATE_STAMP: fits[is_known],
        SkipReason.OUT_OF_ORDER: fits[is_first],
    }
    return [(at, reason) for reason, indices in refused.items() for at in indices.tolist()]


def _is_late_outlier(
    table: ObservationTable, rows: IntArray, stamp_ns: int, late_m: FloatArray, reach: Reach
) -> BoolArray:
    """(A,) whether (A, 2) late positions are out of reach of the observation before or after."""
    times_ns = table.times_ns[rows]
    column = (times_ns < stamp_ns).sum(axis=1)
    each = np.arange(len(rows))
    # Positions before the first observation, and repeated stamps, are skipped for other reasons.
    inserts = (column > 0) & (times_ns[each, column] != stamp_ns)
    outlier = np.zeros(len(rows), dtype=bool)
    for neighbour in (column - 1, column):
        elapsed_ns = np.abs(stamp_ns - times_ns[each, neighbour])
        outlier |= ~reach.covers(table.states_m[rows, :2, neighbour], late_m, elapsed_ns)
    outlier &= inserts
    return outlier


class HeldJumps:
    """Held positions of an `ObservationTable`, at most one per row.

    Attributes:
        stamps_ns: (R,) stamps, integer nanoseconds; 0 for none.
        states_m: (R, 3) states, metres.
    """

    def __init__(self) -> None:
        self.stamps_ns: IntArray = np.empty(0, dtype=np.int64)
        self.states_m: FloatArray = np.empty((0, 3))

    def grow(self, n_rows: int) -> None:
        """Adds rows, up to `n_rows`."""
        self.stamps_ns = with_rows(self.stamps_ns, n_rows)
        self.states_m = with_rows(self.states_m, n_rows)

    def weigh(
        self,
        table: ObservationTable,
        rows: IntArray,
        stamp_ns: int,
        states_m: FloatArray,
        continues: BoolArray,
        reach: Reach,
    ) -> tuple[BoolArray, BoolArray, BoolArray, BoolArray]:
        """Decides on the held positions of some rows, and which new ones to hold.

        Args:
            table: earlier observations.
            rows: (A,) rows.
            stamp_ns: stamp of the new observations, integer nanoseconds.
            states_m: (A, 3) states of the new observations, metres.
            continues: (A,) whether a row has a recent observation to compare with.
            reach: how far the tracks plausibly move.

        Returns:
            Four (A,) booleans: the new position does not fit the track; it is held, too; it
            confirms the held position; the held position was an outlier.
        """
        newest_ns, newest_m = table.newest(rows)
        now_m = states_m[:, :2]
        stroll = replace(reach, max_speed_m_s=min(_STROLL_M_S, reach.max_speed_m_s))
        jumps = continues & ~stroll.covers(newest_m[:, :2], now_m, stamp_ns - newest_ns)
        if jumps.any():
            (fast,) = jumps.nonzero()
            jumps[fast] = _leaves_motion(table, rows[fast], stamp_ns, now_m[fast], reach)
        held_ns, held_m = self.stamps_ns[rows], self.states_m[rows]
        if not (jumps.any() or held_ns.any()):
            return jumps, jumps, jumps, jumps
        elapsed_ns = stamp_ns - held_ns
        # Only later stamps decide: the same message may arrive twice, or an older one.
        is_held = (held_ns > 0) & (elapsed_ns > 0)
        confirmed = is_held & reach.covers(held_m[:, :2], now_m, elapsed_ns)
        to_held_m, to_track_m = (np.hypot(*(now_m - at_m[:, :2]).T) for at_m in (held_m, newest_m))
        confirmed &= to_held_m < to_track_m
        # After a held position a second jump is not held, but restarts the track.
        waits = jumps & ~is_held
        self.stamps_ns[rows] = np.where(waits, stamp_ns, 0)
        self.states_m[rows] = states_m
        return jumps, waits, confirmed, is_held & ~confirmed
