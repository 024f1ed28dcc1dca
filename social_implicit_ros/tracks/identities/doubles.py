"""Doubles: a person whom one tracker lists twice, under two ids, is one person.

Two detectors, or two views, may become two tracks of the same person, each with noise of its own.
Couples who walk side by side are farther apart than that noise explains: in a second, two people
are never as close as two tracks of one.
"""

from __future__ import annotations

from dataclasses import dataclass

from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities.pairing import close_rows
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import Tracks

#: Two tracks are compared once they are closer than this, until they are not, metres.
_NEAR_M = 0.4
#: Time for which they must be close, nanoseconds, and the least number of messages.
_CONFIRM_NS, _MIN_MESSAGES = 2 * NS_PER_S, 5
#: They are one person if their RMS distance is that of the noise of two positions and this, metres,
#: at most the second number. Of annotated crowds nobody is merged, with 5 cm of noise or without.
_BIAS_M, _MAX_RMS_M = 0.1, 0.18
#: Share by which the noise of two people may exceed the usual.
_NOISE_SHARE = 1.2
#: Two again once their RMS distance is above this, metres.
_APART_M = 0.3
#: A tracker that listed so many people twice does so again: then half the time confirms it.
_N_USUAL = 5
#: Positions that are rounded to longer cells say nothing: two people share a cell, metres.
_MAX_CELL_M = 0.1


@dataclass
class _Pair:
    """Two tracks that are close: since when, until when, and how they are on average."""

    since_ns: int
    newest_ns: int
    distance_m2: float
    n_messages: int = 1

    def add(self, stamp_ns: int, distance_m2: float) -> None:
        """Follows the mean squared distance over the time that confirms."""
        self.n_messages += 1
        share = max(1.0 / self.n_messages, (stamp_ns - self.newest_ns) / _CONFIRM_NS)
        self.newest_ns = max(self.newest_ns, stamp_ns)
        self.distance_m2 += min(share, 1.0) * (distance_m2 - self.distance_m2)


class Doubles:
    """Follows which tracks of one tracker are the same person."""

    def __init__(self) -> None:
        #: Pairs of ids that are one person.
        self.found: dict[tuple[str, str], None] = {}
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self._n_found = 0

    def observe(self, tracks: Tracks, history: TrackHistory, cell_m: float) -> None:
        """Compares the tracks of a message with each other.

        Args:
            tracks: a renamed message.
            history: after the message was added.
            cell_m: to which positions are rounded, metres; 0 if they are not.
        """
        near = close_rows(tracks.positions_m, _NEAR_M) if len(tracks.ids) > 1 else []
        if not near and not self._pairs:
            return
        row_of = {agent_id: row for row, agent_id in enumerate(tracks.ids)}
        for rows in near:
            one, other = sorted(tracks.ids[row] for row in rows)
            if one != other and (one, other) not in self._pairs:
                self._pairs[one, other] = _Pair(tracks.stamp_ns, tracks.stamp_ns, 0.0, 0)
        noise_m2 = 4.0 * history.noise_m(tracks.source) ** 2
        for pair, known in list(self._pairs.items()):
            if any(i not in row_of for i in pair):
                if history.unknown(pair):
                    self._drop(pair)
                continue
            apart_m = tracks.positions_m[row_of[pair[0]]] - tracks.positions_m[row_of[pair[1]]]
            known.add(tracks.stamp_ns, float(apart_m @ apart_m))
            if pair in self.found:
                is_one = known.distance_m2 <= _APART_M**2 + noise_m2
            else:
                is_one = apart_m @ apart_m < _NEAR_M**2
            if not is_one:
                self._drop(pair)
            elif self._is_double(known, noise_m2, cell_m) and pair not in self.found:
                self.found[pair] = None
                self._n_found += 1

    def _is_double(self, known: _Pair, noise_m2: float, cell_m: float) -> bool:
        least_ns = _CONFIRM_NS // (2 if self._n_found >= _N_USUAL else 1)
        limit_m2 = min(_BIAS_M**2 + _NOISE_SHARE * noise_m2, _MAX_RMS_M**2)
        return (
            known.newest_ns - known.since_ns >= least_ns
            and known.n_messages >= _MIN_MESSAGES
            and known.distance_m2 <= limit_m2
            and cell_m <= _MAX_CELL_M
        )

    def _drop(self, pair: tuple[str, str]) -> None:
        del self._pairs[pair]
        self.found.pop(pair, None)
