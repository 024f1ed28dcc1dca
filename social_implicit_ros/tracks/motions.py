"""Newest positions and velocities of tracks."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from social_implicit_ros.tracks.observations import ObservationTable
from social_implicit_ros.tracks.stamps import NEVER_NS, NS_PER_S
from social_implicit_ros.types import FloatArray, IntArray

#: Number of recent observations for the interval between them.
_RECENT_OBSERVATIONS = 4
#: Assumed standard deviation of positions when a velocity is computed from two of them, metres.
_NOISE_STD_M = 0.1
#: Prior standard deviation of each component of people's velocities, metres per second.
_WALKING_STD_M_S = 0.9


@dataclass(frozen=True, eq=False)
class Motions:
    """Newest states of tracks.

    Attributes:
        stamps_ns: (A,) stamps of the newest observations, integer nanoseconds.
        positions_m: (A, 2) newest positions, metres.
        velocities_m_s: (A, 2) estimated velocities, metres per second.
        velocity_std_m_s: (A,) standard deviation of each component of the velocity.
        intervals_ns: (A,) shortest time between two recent observations, integer nanoseconds; 0
            with a single observation.
    """

    stamps_ns: IntArray
    positions_m: FloatArray
    velocities_m_s: FloatArray
    velocity_std_m_s: FloatArray
    intervals_ns: IntArray

    def of_tracks(self, rows: IntArray) -> Motions:
        """The motions in some rows."""
        return Motions(*(getattr(self, entry.name)[rows] for entry in fields(self)))

    def gaps_s(self, stamp_ns: int | IntArray) -> FloatArray:
        """(A,) seconds from the newest observations to a stamp, or to (A,) stamps."""
        return np.asarray((stamp_ns - self.stamps_ns) / NS_PER_S)

    def extrapolated_m(self, gaps_s: FloatArray) -> FloatArray:
        """(A, 2) positions in metres, extrapolated by (A,) times in seconds."""
        return np.asarray(self.positions_m + self.velocities_m_s * gaps_s[:, None])

    def followed_by(self, others: Motions) -> Motions:
        """These motions, followed by others."""
        values = ((getattr(self, e.name), getattr(others, e.name)) for e in fields(self))
        return Motions(*map(np.concatenate, values))


def motions_of(table: ObservationTable, rows: IntArray) -> Motions:
    """The motions of the tracks in (A,) rows of a table, each with an observation.

    The velocity is the mean over the last second, shrunk towards zero according to the noise.
    """
    newest_ns, newest_m = table.newest(rows)
    newest_m = newest_m[:, :2]
    since_ns = np.maximum(newest_ns - NS_PER_S, table.times_ns[rows, 0])
    before_m = table.interpolate(rows, since_ns[:, None])[0][:, 0]
    elapsed_s = np.maximum((newest_ns - since_ns) / NS_PER_S, 1e-9)[:, None]
    noise_m2_s2 = 2.0 * np.square(_NOISE_STD_M / elapsed_s)
    weight = _WALKING_STD_M_S**2 / (_WALKING_STD_M_S**2 + noise_m2_s2)
    velocities_m_s = weight * (newest_m - before_m) / elapsed_s
    std_m_s = np.sqrt(1.0 - weight[:, 0]) * _WALKING_STD_M_S
    last = table.counts[rows, None] - np.arange(1, _RECENT_OBSERVATIONS + 1)
    recent_ns = table.times_ns[rows[:, None], np.maximum(last, 0)]
    intervals_ns = recent_ns[:, :-1] - recent_ns[:, 1:]
    intervals_ns[last[:, 1:] < 0] = NEVER_NS
    intervals_ns = intervals_ns.min(axis=1)
    intervals_ns[table.counts[rows] < 2] = 0
    return Motions(newest_ns, newest_m, velocities_m_s, std_m_s, intervals_ns)
