"""Paths of people whose identity is known, for times in between two observations too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, IntArray, require_shape


@dataclass(frozen=True, eq=False)
class People:
    """N observations of P people.

    Attributes:
        stamps_ns: (N,) ascending, integer nanoseconds.
        people: (N,) the person of each, from 0 to P - 1; each person once at a stamp.
        positions_m: (N, 2) metres, fixed frame.
        max_gap_s: longest time between two observations over which a position is interpolated.
    """

    stamps_ns: IntArray
    people: IntArray
    positions_m: FloatArray
    max_gap_s: float

    def __post_init__(self) -> None:
        """Checks the shapes and the order; raises ValueError naming the field."""
        require_shape("People", "people", self.people, self.stamps_ns.shape)
        require_shape("People", "positions_m", self.positions_m, (*self.stamps_ns.shape, 2))
        if (np.diff(self.stamps_ns) < 0).any():
            raise ValueError("People.stamps_ns descends, expected ascending stamps")

    @property
    def n_people(self) -> int:
        """Number of people."""
        return len(self._paths)

    def positions_at(self, people: IntArray, stamps_ns: IntArray) -> FloatArray:
        """Positions by interpolation, without extrapolation.

        Args:
            people: (A,) persons; a negative one is nobody.
            stamps_ns: (T,) times, integer nanoseconds.

        Returns:
            (A, T, 2) metres; NaN where unknown.
        """
        positions_m = np.full((len(people), len(stamps_ns), 2), np.nan)
        for row, person in enumerate(people.tolist()):
            if person >= 0:
                positions_m[row] = self._on_path(person, stamps_ns)
        return positions_m

    def present_at(self, stamp_ns: int) -> tuple[IntArray, FloatArray]:
        """The (A,) people whose position is known at a time, and (A, 2) where they are, metres."""
        begins_ns, ends_ns = self._spans_ns
        people = np.flatnonzero((begins_ns <= stamp_ns) & (stamp_ns <= ends_ns))
        positions_m = self.positions_at(people, np.array([stamp_ns]))[:, 0]
        is_known = ~np.isnan(positions_m[:, 0])
        return people[is_known], positions_m[is_known]

    def at_rate(self, rate_hz: float) -> People:
        """The same people, observed at this rate."""
        times_ns = np.arange(self.stamps_ns[0], self.stamps_ns[-1] + 1, round(NS_PER_S / rate_hz))
        seen = [self.present_at(stamp_ns) for stamp_ns in times_ns.tolist()]
        return People(
            np.repeat(times_ns, [len(people) for people, _ in seen]),
            np.concatenate([people for people, _ in seen]),
            np.concatenate([positions_m for _, positions_m in seen]),
            self.max_gap_s,
        )

    @cached_property
    def _paths(self) -> list[tuple[IntArray, FloatArray]]:
        """Times and positions of each person."""
        order = np.argsort(self.people, kind="stable")
        counts = np.bincount(self.people)
        return [
            (self.stamps_ns[rows], self.positions_m[rows])
            for rows in np.split(order, np.cumsum(counts)[:-1])
        ]

    @cached_property
    def _spans_ns(self) -> tuple[IntArray, IntArray]:
        """(P,) first and last observations."""
        spans = [(t[0], t[-1]) if len(t) else (1, 0) for t, _ in self._paths]
        begins_ns, ends_ns = np.array(spans, dtype=np.int64).reshape(-1, 2).T
        return begins_ns, ends_ns

    def _on_path(self, person: int, stamps_ns: IntArray) -> FloatArray:
        """(T, 2) metres."""
        times_ns, path_m = self._paths[person]
        high = np.searchsorted(times_ns, stamps_ns)
        low = np.maximum(high - 1, 0)
        high = np.minimum(high, len(times_ns) - 1)
        is_known = (times_ns[low] < stamps_ns) & (stamps_ns <= times_ns[high])
        is_known &= times_ns[high] - times_ns[low] <= round(self.max_gap_s * NS_PER_S)
        is_known |= times_ns[high] == stamps_ns
        since_s = (times_ns - times_ns[0]) / NS_PER_S
        asked_s = (stamps_ns - times_ns[0]) / NS_PER_S
        positions_m = np.stack([np.interp(asked_s, since_s, column) for column in path_m.T], axis=1)
        positions_m[~is_known] = np.nan
        return positions_m
