"""Doubles: finds pairs of tracks of one tracker that are the same person.

Two detectors or two views may give two tracks of one person, each with its own noise. Couples are
farther apart than that noise explains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities.pairing import Pair, close_rows, positions_at
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import Tracks

#: Two tracks are compared while they are within this distance, metres.
_NEAR_M = 0.4
#: Minimum time for which they must be close, nanoseconds, and minimum number of messages.
_CONFIRM_NS, _MIN_MESSAGES = 2 * NS_PER_S, 5
#: Maximum RMS distance of doubles beyond the noise of two positions, metres, and in total. These
#: values merge no people of annotated crowds, with 5 cm of noise or without.
_BIAS_M, _MAX_RMS_M = 0.1, 0.18
#: Factor for the variance of noise, as some tracks are noisier than the tracker's mean.
_NOISE_SHARE = 1.2
#: RMS distance beyond the noise from which on doubles are two people again, metres.
_APART_M = 0.3
#: After this number of doubles, half of the time is enough to confirm further ones.
_N_USUAL = 5
#: Largest cell of rounded positions, metres; in larger ones two people may share a cell.
_MAX_CELL_M = 0.1
#: Time for which a track that is no longer reported is compared with others, nanoseconds.
_JUST_NS = NS_PER_S // 2


@dataclass
class _Closeness:
    """How close two tracks are: first and newest stamp, and mean squared distance."""

    since_ns: int
    newest_ns: int
    distance_m2: float
    n_messages: int = 1

    def add(self, stamp_ns: int, distance_m2: float) -> None:
        """Updates the moving average of the squared distance, over `_CONFIRM_NS`."""
        self.n_messages += 1
        share = max(1.0 / self.n_messages, (stamp_ns - self.newest_ns) / _CONFIRM_NS)
        self.newest_ns = max(self.newest_ns, stamp_ns)
        self.distance_m2 += min(share, 1.0) * (distance_m2 - self.distance_m2)


class Doubles:
    """Follows which tracks of one tracker are the same person."""

    def __init__(self) -> None:
        #: Pairs of ids that are the same person.
        self.found: dict[Pair, None] = {}
        self._close: dict[Pair, _Closeness] = {}
        self._n_found = 0
        self._seen_ns: dict[str, int] = {}  # newest stamp of each id

    def observe(self, tracks: Tracks, history: TrackHistory, cell_m: float) -> None:
        """Compares the tracks of a message with each other, and with those of the last moment.

        Two cameras may take turns, each with ids of its own.

        Args:
            tracks: a renamed message.
            history: the history after the message was added.
            cell_m: cell size of rounded positions, metres; 0 if they are not rounded.
        """
        ids, places_m = tracks.ids, tracks.positions_m
        others = self._just_seen(tracks, history)
        if others:
            ids = (*ids, *others)
            places_m = np.concatenate([places_m, positions_at(tracks.stamp_ns, others, history)])
        near = close_rows(places_m, _NEAR_M) if len(ids) > 1 else []
        if not near and not self._close:
            return
        present = set(tracks.ids)
        row_of = {agent_id: row for row, agent_id in enumerate(ids)}
        for rows in near:
            one, other = sorted(ids[row] for row in rows)
            if one != other and (one, other) not in self._close:
                self._close[one, other] = _Closeness(tracks.stamp_ns, tracks.stamp_ns, 0.0, 0)
        noise_m2 = 4.0 * history.noise_m(tracks.source) ** 2
        for pair, known in list(self._close.items()):
            if any(i not in row_of for i in pair) or present.isdisjoint(pair):
                if history.unknown(pair):
                    self._drop(pair)
                continue
            apart_m = places_m[row_of[pair[0]]] - places_m[row_of[pair[1]]]
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

    def _just_seen(self, tracks: Tracks, history: TrackHistory) -> tuple[str, ...]:
        """Ids that are not in a message, but were in one shortly before it."""
        self._seen_ns = {
            agent_id: seen_ns
            for agent_id, seen_ns in self._seen_ns.items()
            if 0 <= tracks.stamp_ns - seen_ns <= _JUST_NS
        }
        just_seen = self._seen_ns.keys() - set(tracks.ids)
        self._seen_ns.update(dict.fromkeys(tracks.ids, tracks.stamp_ns))
        unknown = set(history.unknown(just_seen))
        return tuple(sorted(just_seen - unknown))

    def _is_double(self, known: _Closeness, noise_m2: float, cell_m: float) -> bool:
        least_ns = _CONFIRM_NS // (2 if self._n_found >= _N_USUAL else 1)
        limit_m2 = min(_BIAS_M**2 + _NOISE_SHARE * noise_m2, _MAX_RMS_M**2)
        return (
            known.newest_ns - known.since_ns >= least_ns
            and known.n_messages >= _MIN_MESSAGES
            and known.distance_m2 <= limit_m2
            and cell_m <= _MAX_CELL_M
        )

    def _drop(self, pair: Pair) -> None:
        del self._close[pair]
        self.found.pop(pair, None)
