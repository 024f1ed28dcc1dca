"""Positions out of reach of their tracks, held back until the next one tells what they are.

If the next position of the track is near the held one, the track is somebody else's from there on:
the tracker reused its id. If it is near the track, the held one was an outlier.
"""

from __future__ import annotations

import numpy as np

from social_implicit_ros.tracks.observations import with_rows
from social_implicit_ros.tracks.reach import is_in_reach
from social_implicit_ros.types import BoolArray, FloatArray, IntArray


class HeldJumps:
    """At most one held position of each row of an `ObservationTable`.

    Attributes:
        stamps_ns: (R,) integer nanoseconds, 0 for none.
        states_m: (R, 3) metres.
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
        rows: IntArray,
        stamp_ns: int,
        states_m: FloatArray,
        newest_m: FloatArray,
        jumps: BoolArray,
        max_speed_m_s: float,
        noise_m: float,
    ) -> tuple[BoolArray, BoolArray, BoolArray]:
        """Decides on the held positions of some rows, and which new ones to hold.

        Args:
            rows: (A,) rows.
            stamp_ns: of their new observations, integer nanoseconds.
            states_m: (A, 3) these, metres.
            newest_m: (A, 3) the observations before.
            jumps: (A,) new observations that are out of reach of those.
            max_speed_m_s: maximum plausible speed.
            noise_m: standard deviation of each coordinate of a position.

        Returns:
            (A,) new observations that are held, rows of which the held one confirms the new one,
            and rows of which it was an outlier.
        """
        held_ns, held_m = self.stamps_ns[rows], self.states_m[rows]
        now_m, elapsed_ns = states_m[:, :2], stamp_ns - held_ns
        # The same message may arrive twice, or an older one.
        is_held = (held_ns > 0) & (elapsed_ns > 0)
        confirmed = is_held & is_in_reach(held_m[:, :2], now_m, elapsed_ns, max_speed_m_s, noise_m)
        off_m, back_m = (np.hypot(*(now_m - at_m[:, :2]).T) for at_m in (held_m, newest_m))
        confirmed &= off_m < back_m
        # A track that jumps again and again is nobody's.
        waits = jumps & ~is_held
        self.stamps_ns[rows] = np.where(waits, stamp_ns, 0)
        self.states_m[rows] = states_m
        return waits, confirmed, is_held & ~confirmed
