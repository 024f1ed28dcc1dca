"""Trajectories of people whose identity is known, interpolated between observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, IntArray, require_shape

#: An observation: stamp in nanoseconds, person, and x and y in metres.
Row = tuple[int, int, float, float]


@dataclass(frozen=True, eq=False)
class People:
    """N observations of P people.

    Attributes:
        stamps_ns: (N,) ascending stamps, integer nanoseconds.
        people: (N,) indices of the observed people, from 0 to P - 1; each at most once per stamp.
        positions_m: (N, 2) positions in metres, fixed frame.
        max_gap_s: longest gap between two observations over which positions are interpolated,
            seconds.
    """

    stamps_ns: IntArray
    people: IntArray
    positions_m: FloatArray
    max_gap_s: float

    def __post_init__(self) -> None:
        require_shape("People", "people", self.people, self.stamps_ns.shape)
        require_shape("People", "positions_m", self.positions_m, (*self.stamps_ns.shape, 2))
        if (np.diff(self.stamps_ns) < 0).any():
            raise ValueError("People.stamps_ns descends, expected ascending stamps")

    @classmethod
    def of_rows(cls, rows: Sequence[Row], max_gap_s: float) -> People:
        """Sorts one or more observations by time; keeps one position per person and stamp."""
        stamps_ns, people, x, y = map(np.array, zip(*rows, strict=True))
        order = np.lexsort((people, stamps_ns))
        is_new = np.diff(stamps_ns[order]) | np.diff(people[order])
        order = order[np.append(True, is_new.astype(bool))]
        positions_m = np.stack([x[order], y[order]], axis=1)
        return cls(stamps_ns[order], people[order], positions_m, max_gap_s)

    def positions_at(self, people: IntArray, stamps_ns: IntArray) -> FloatArray:
        """(A, T, 2) positions in metres of (A,) people at (T,) stamps; NaN if unknown.

        A negative person is nobody, whose positions are unknown.
        """
        frames_ns, order, keys = self._index
        targets = people[:, None] * (len(frames_ns) + 1) + np.searchsorted(frames_ns, stamps_ns)
        after = np.searchsorted(keys, targets)
        high = order[np.minimum(after, len(order) - 1)]
        low = order[np.maximum(after - 1, 0)]
        low_ns, high_ns = self.stamps_ns[low], self.stamps_ns[high]
        is_low, is_high = (self.people[rows] == people[:, None] for rows in (low, high))
        is_exact = is_high & (high_ns == stamps_ns)
        is_between = is_low & is_high & (low_ns < stamps_ns) & (stamps_ns < high_ns)
        is_between &= high_ns - low_ns <= round(self.max_gap_s * NS_PER_S)
        share = (stamps_ns - low_ns) / np.where(is_between, high_ns - low_ns, 1)
        share = np.where(is_exact, 1.0, np.where(is_between, share, np.nan))[..., None]
        low_m, high_m = self.positions_m[low], self.positions_m[high]
        return np.asarray(np.where(is_exact[..., None], high_m, low_m + share * (high_m - low_m)))

    def present_at(self, stamp_ns: int) -> tuple[IntArray, FloatArray]:
        """(A,) people whose positions are known at a stamp, and their (A, 2) positions, metres."""
        everybody = np.arange(self.people.max(initial=-1) + 1)
        positions_m = self.positions_at(everybody, np.array([stamp_ns]))[:, 0]
        is_known = ~np.isnan(positions_m[:, 0])
        return everybody[is_known], positions_m[is_known]

    def at_rate(self, rate_hz: float) -> People:
        """The same people with observations at a constant rate."""
        times_ns = np.arange(self.stamps_ns[0], self.stamps_ns[-1] + 1, round(NS_PER_S / rate_hz))
        seen = [self.present_at(stamp_ns) for stamp_ns in times_ns.tolist()]
        return People(
            np.repeat(times_ns, [len(people) for people, _ in seen]),
            np.concatenate([people for people, _ in seen]),
            np.concatenate([positions_m for _, positions_m in seen]),
            self.max_gap_s,
        )

    @cached_property
    def _index(self) -> tuple[IntArray, IntArray, IntArray]:
        """(F,) distinct stamps; (N,) order by person, then time; (N,) sorted keys of both."""
        frames_ns, frames = np.unique(self.stamps_ns, return_inverse=True)
        keys = self.people * (len(frames_ns) + 1) + frames
        order = np.argsort(keys)
        return frames_ns, order, keys[order]
