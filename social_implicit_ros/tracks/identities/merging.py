"""Merging: a person with tracks of several trackers, or two of one, is predicted once.

The tracks stay separate in the history. One of them is predicted, the others are hidden. If its
tracker loses it, another one is predicted under the same id.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping

import numpy as np

from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities.pairing import Pair, assigned, positions_at
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, Tracks

#: Time for which two tracks must be close before they are merged, seconds.
_MERGE_S = 1.0
#: Merged tracks are split if they are farther apart than this many merge distances for this time.
_SPLIT_DISTANCES, _SPLIT_S = 2.0, 0.5
#: Lag of a tracker behind another from which on the other one's track is predicted, seconds.
_LAG_S = 0.3
#: Tolerated lead of trackers' clocks over this node's clock, seconds.
_AHEAD_S = 0.05


class TrackMerger:
    """Follows which tracks are the same person."""

    def __init__(self, counts: Counter[str]) -> None:
        """Starts without tracks; counts merged tracks in `counts["merged"]`."""
        self._counts = counts
        self._source_of: dict[str, str] = {}
        self._person_of: dict[str, str] = {}  # published id of each merged track
        self._close_since_ns: dict[Pair, int] = {}
        self._apart_since_ns: dict[str, int] = {}

    def observe(
        self,
        tracks: Tracks,
        history: TrackHistory,
        max_distance_m: float,
        doubles: Collection[Pair] = (),
    ) -> None:
        """Compares the tracks of a message with those of other trackers.

        Args:
            tracks: a renamed message.
            history: the history after the message was added.
            max_distance_m: maximum distance between tracks of one person by two trackers, metres; 0
                merges none.
            doubles: pairs of ids of this tracker that are the same person.
        """
        if not (max_distance_m or doubles or self._person_of):
            return
        known = dict.fromkeys(history.ids)
        for remembered in (self._source_of, self._person_of, self._apart_since_ns):
            for agent_id in remembered.keys() - known.keys():
                del remembered[agent_id]
        rows = [row for row, agent_id in enumerate(tracks.ids) if agent_id in known]
        own = tuple(tracks.ids[row] for row in rows)
        self._source_of.update(dict.fromkeys(own, tracks.source))
        others: tuple[str, ...] = ()
        if max_distance_m:
            source_of = self._source_of
            others = tuple(i for i in known if source_of.get(i, tracks.source) != tracks.source)
        distances_m = np.empty((len(own), len(others)))
        if own and others:
            expected_m = positions_at(tracks.stamp_ns, others, history)
            distances_m = np.linalg.norm(tracks.positions_m[rows, None] - expected_m, axis=-1)
        for pair in doubles:
            persons = {self._person_of.get(agent_id, agent_id) for agent_id in pair}
            if len(persons) == 2 and known.keys() >= set(pair):
                self._merge(pair, history)
        kept = {agent_id for pair in doubles for agent_id in pair}
        self._split(own, others, distances_m, tracks.stamp_ns, max_distance_m, kept)
        close = self._assigned(own, others, distances_m, max_distance_m)
        for pair in [p for p in self._close_since_ns if p[0] in own or p[0] not in known]:
            if pair not in close:
                del self._close_since_ns[pair]
        for pair in sorted(close):
            since_ns = self._close_since_ns.setdefault(pair, tracks.stamp_ns)
            if tracks.stamp_ns - since_ns >= _MERGE_S * NS_PER_S:
                sources = self._sources()
                # A pair earlier in this loop may have merged one of them with a third track.
                if sources[pair[0]].isdisjoint(sources[pair[1]]):
                    self._merge(pair, history)

    @property
    def has_merged(self) -> bool:
        """Whether any tracks are merged."""
        return bool(self._person_of)

    def hidden(self, shown: Collection[str], history: TrackHistory, now_ns: int) -> list[str]:
        """Tracks that are not predicted, as another track of the same person is.

        The predicted one is chosen in this order: a track with several observations, one that did
        not restart just now, one that neither lags nor is ahead of the clock, the one whose id is
        published.

        Args:
            shown: tracks that could be predicted, oldest first.
            history: their history.
            now_ns: current time, integer nanoseconds.
        """
        members = tuple(i for i in shown if i in self._person_of)
        if not members:
            return []
        motions, began_ns = history.motions(members), history.began_ns(members)
        persons = [self._person_of[i] for i in members]
        off_ns = now_ns - motions.stamps_ns
        # Positions stamped in the future cannot be used yet.
        off_ns = np.where(off_ns < -_AHEAD_S * NS_PER_S, NS_PER_S, np.maximum(off_ns, 0))
        least_ns = dict(zip(persons, off_ns.tolist(), strict=True))
        for person, of_track_ns in zip(persons, off_ns.tolist(), strict=True):
            least_ns[person] = min(least_ns[person], of_track_ns)
        lags_ns = off_ns - np.array([least_ns[person] for person in persons])
        defects = np.stack(
            [
                np.array(members) != persons,
                lags_ns > _LAG_S * NS_PER_S,
                motions.stamps_ns - began_ns < _MERGE_S * NS_PER_S,
                motions.intervals_ns == 0,
            ]
        )
        taken: set[str] = set()
        hidden = []
        for row in np.lexsort(defects).tolist():
            if persons[row] in taken:
                hidden.append(members[row])
            taken.add(persons[row])
        return hidden

    def published_ids(self, known: Collection[str]) -> Mapping[str, str]:
        """Published ids of tracks, if they differ from those in the history.

        Args:
            known: all tracks. No person is published under the id of another one.
        """
        return {
            agent_id: person
            for agent_id, person in self._person_of.items()
            if person != agent_id and (person not in known or self._person_of.get(person) == person)
        }

    def _split(
        self,
        own: tuple[str, ...],
        others: tuple[str, ...],
        distances_m: FloatArray,
        stamp_ns: int,
        max_distance_m: float,
        kept: Collection[str],
    ) -> None:
        """Splits off tracks that are far from all other tracks of their person.

        Tracks in `kept` stay. Tracks of one tracker that are no longer doubles are split off.
        """
        persons = np.array([self._person_of.get(other) for other in others], dtype=object)
        for agent_id, to_others_m in zip(own, distances_m, strict=True):
            person = self._person_of.get(agent_id)
            same_m = to_others_m[persons == person]
            if person is None or agent_id in kept:
                is_near = True
            elif len(same_m):
                is_near = same_m.min() <= _SPLIT_DISTANCES * max_distance_m
            else:
                members = [other for other in own if self._person_of.get(other) == person]
                is_near = set(members) == {agent_id}
            if is_near:
                self._apart_since_ns.pop(agent_id, None)
                continue
            since_ns = self._apart_since_ns.setdefault(agent_id, stamp_ns)
            if stamp_ns - since_ns < _SPLIT_S * NS_PER_S:
                continue
            # The published id stays with the track that it came from; if that one splits off, all
            # other tracks leave the person.
            leaving = [agent_id]
            if person == agent_id:
                leaving = [i for i, p in self._person_of.items() if p == person]
            for each in leaving:
                del self._person_of[each]
            del self._apart_since_ns[agent_id]

    def _assigned(
        self,
        own: tuple[str, ...],
        others: tuple[str, ...],
        distances_m: FloatArray,
        max_distance_m: float,
    ) -> set[Pair]:
        """Pairs of close tracks, assigned one to one with each other tracker."""
        if not own or not others:
            return set()
        sources, is_allowed = self._sources(), distances_m <= max_distance_m
        for row, column in np.argwhere(is_allowed).tolist():
            is_allowed[row, column] = sources[own[row]].isdisjoint(sources[others[column]])
        trackers = np.array([self._source_of[i] for i in others])
        found = set()
        for tracker in dict.fromkeys(trackers.tolist()):
            columns = np.flatnonzero(trackers == tracker)
            chosen = assigned(distances_m[:, columns], is_allowed[:, columns], max_distance_m)
            found |= {(own[row], others[columns[column]]) for row, column in chosen}
        return found

    def _sources(self) -> dict[str, set[str]]:
        """The trackers of each track's person, who has at most one track of each."""
        of_person: defaultdict[str, set[str]] = defaultdict(set)
        for agent_id, person in self._person_of.items():
            of_person[person].add(self._source_of[agent_id])
        merged = {agent_id: of_person[person] for agent_id, person in self._person_of.items()}
        return {i: merged.get(i, {source}) for i, source in self._source_of.items()}

    def _merge(self, pair: Pair, history: TrackHistory) -> None:
        """Merges two tracks into one person, with the id of the better track."""
        began_ns, newest_ns = history.began_ns(pair), history.newest(pair)[0]
        lags_s = (newest_ns.max() - newest_ns) / NS_PER_S
        is_second = began_ns[1] < began_ns[0] if lags_s.max() < _LAG_S else lags_s[0] > 0.0
        better = pair[int(is_second)]
        # A person who is merged already keeps the published id.
        merged = [i for i in pair if i in self._person_of]
        person = self._person_of[merged[-1]] if merged else better
        persons = {self._person_of[i] for i in merged}
        members = [i for i, p in self._person_of.items() if p in persons]
        self._person_of.update(dict.fromkeys((*members, *pair), person))
        self._close_since_ns.pop(pair, None)
        self._counts["merged"] += 1
