"""Stitching: a track that a tracker cuts continues under its old id.

Trackers lose people for a moment and report them again under a new id. A new id is the same person
if its position and velocity match those extrapolated from a vanished track.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities.pairing import (
    MOTION_GATE,
    POSITION_GATE,
    assigned,
    motion_costs,
    position_costs,
)
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import Tracks

#: A track is missed if it was not reported for this share of its observation interval. Some
#: trackers report each person in a separate message.
_MISSED_SHARE = 0.75


@dataclass(frozen=True, eq=False)
class _Held:
    """First observation of a new track that may continue `old_id`; not in the history yet."""

    old_id: str
    first: Tracks


class TrackStitcher:
    """Renames the ids of one tracker's messages."""

    def __init__(self, counts: Counter[str]) -> None:
        """Starts without ids; counts continued tracks in `counts["stitched"]`."""
        self._counts = counts
        #: The tracker's current id -> id in the history, of continued tracks.
        self.old_id_of: dict[str, str] = {}
        self._held: dict[str, _Held] = {}  # by the tracker's current id
        self._own: set[str] = set()  # ids of this tracker in the history

    @property
    def awaited(self) -> set[str]:
        """Old ids that held tracks may continue."""
        return {held.old_id for held in self._held.values()}

    def rename(self, tracks: Tracks, history: TrackHistory) -> list[Tracks]:
        """Renames the tracks of a message to their ids in the history.

        A new track that may continue an old one is held back until its second observation decides.
        Until then the old one is extrapolated.

        Args:
            tracks: one message of the tracker, with valid positions, in the frame of `history`.
            history: the history before the message is added.

        Returns:
            The tracks to add to the history, in order: tracks that were held back, then the message
            without those that are held back now. No two tracks of a message get the same id.
        """
        if not self._held and not self.old_id_of and not history.unknown(tracks.ids):
            self._own.update(tracks.ids)
            return [tracks]
        # If the tracker reports an old id again, the new one is another person.
        reported = (*tracks.ids, *tracks.repeated_ids)
        returned = set(self.old_id_of.values()).intersection(reported)
        self._drop(returned)
        entering = self._decide(tracks, history)
        new = [
            agent_id
            for agent_id in history.unknown(tracks.ids)
            if agent_id and agent_id not in self.old_id_of and agent_id not in self._held
        ]
        new = [agent_id for agent_id in new if all(agent_id not in t.ids for t in entering)]
        if new:
            self._hold(new, tracks, history)
        is_held = np.array([agent_id in self._held for agent_id in tracks.ids], dtype=bool)
        if is_held.any():
            tracks = tracks.of_agents(~is_held)
        if self.old_id_of:
            tracks = tracks.renamed(self.old_id_of)
        self._own.update(tracks.ids)
        return [*entering, tracks]

    def _decide(self, tracks: Tracks, history: TrackHistory) -> list[Tracks]:
        """The held tracks that are decided by now, with their ids in the history."""
        entering = []
        limit_ns = round(history.config.track_timeout_s * NS_PER_S)
        for new_id, held in list(self._held.items()):
            elapsed_ns = tracks.stamp_ns - held.first.stamp_ns
            is_seen = new_id in tracks.ids
            if elapsed_ns <= limit_ns and (not is_seen or elapsed_ns <= 0):
                continue
            del self._held[new_id]
            is_same = (
                is_seen
                and held.old_id not in tracks.ids
                and held.old_id not in tracks.repeated_ids
                and held.old_id not in self.old_id_of.values()
                and not history.unknown((held.old_id,))
            )
            if is_same:
                lost = history.motions((held.old_id,))
                second = tracks.of_agents(np.array([tracks.ids.index(new_id)]))
                cost = motion_costs(lost, held.first, second)[0, 0]
                is_same = lost.stamps_ns[0] < held.first.stamp_ns and cost <= MOTION_GATE
            if is_same:
                self.old_id_of[new_id] = held.old_id
                self._counts["stitched"] += 1
            entering.append(replace(held.first, ids=(held.old_id,)) if is_same else held.first)
        return entering

    def _hold(self, new: list[str], tracks: Tracks, history: TrackHistory) -> None:
        """Holds back new tracks that appear near the extrapolated position of an old one."""
        self._own.intersection_update(history.ids)
        taken = self.awaited
        reported = (*tracks.ids, *tracks.repeated_ids)
        taken.update(self.old_id_of.get(agent_id, agent_id) for agent_id in reported)
        missing = tuple(i for i in history.ids if i in self._own and i not in taken)
        if not missing:
            return
        lost = history.motions(missing)
        gap_ns = tracks.stamp_ns - lost.stamps_ns
        is_lost = (gap_ns > 0) & (gap_ns >= _MISSED_SHARE * lost.intervals_ns)
        is_lost &= gap_ns <= history.config.track_timeout_s * NS_PER_S
        if not is_lost.any():
            return
        columns = np.array([tracks.ids.index(agent_id) for agent_id in new])
        rows = np.flatnonzero(is_lost)
        costs = position_costs(lost.of_tracks(rows), tracks.positions_m[columns], tracks.stamp_ns)
        found = assigned(costs, costs <= POSITION_GATE, POSITION_GATE)
        for row, column in found:
            first = tracks.of_agents(columns[column : column + 1])
            self._held[first.ids[0]] = _Held(missing[rows[row]], first)
        self._drop({missing[rows[row]] for row, _ in found})

    def _drop(self, old: set[str]) -> None:
        """Undoes the renaming to these old ids."""
        self.old_id_of = {new: to for new, to in self.old_id_of.items() if to not in old}
