"""Untangling: two people whose ids a tracker swapped keep their own.

Trackers swap the ids of people who pass close to each other. If both continue on the other's path
and neither on its own, their ids were swapped. Where motion does not tell, nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from social_implicit_ros.tracks.history import Motions, TrackHistory
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.tracks.stitching import (
    MOTION_GATE,
    POSITION_GATE,
    motion_cost,
    position_costs,
    velocity_std_m_s,
)
from social_implicit_ros.types import FloatArray, Tracks

#: Ids are swapped between people who are closer than this, metres.
_CLOSE_M = 0.7
#: Standard deviation of a position, metres.
_POSITION_STD_M = 0.1
#: By how much the sum of two squared Mahalanobis distances must be less with swapped ids.
_MARGIN = 9.0
#: Time for which positions are compared with the motion before, seconds.
_MEMORY_S = 1.5
#: Age of that motion at which it is read again if it proved right, seconds.
_REFRESH_S = 0.3
#: Time over which a velocity is taken after a swap, seconds.
_CONFIRM_S = 0.35
#: Time for which two people are awaited to tell, seconds.
_WAIT_S = 0.9
#: Velocities that are less certain tell nothing, metres per second.
_MAX_STD_M_S = 0.5
#: Ids that are remembered as swapped; most are those of people who left long ago.
_MAX_SWAPPED = 10_000

_Pair = tuple[str, str]


@dataclass(eq=False)
class _Suspects:
    """Two tracks that are held back, as their ids may be swapped.

    Attributes:
        before: (2,) their motions.
        held: their observations since, oldest first.
    """

    before: Motions
    held: list[Tracks]


class SwapUntangler:
    """Renames the ids of one tracker's messages."""

    def __init__(self) -> None:
        #: Swaps that were undone.
        self.n_untangled = 0
        self._own_id_of: dict[str, str] = {}  # by the tracker's id; a permutation
        self._before: dict[_Pair, Motions] = {}  # of people who are or were close
        self._suspects: dict[_Pair, _Suspects] = {}

    @property
    def held(self) -> set[str]:
        """Ids that are held back."""
        return {agent_id for pair in self._suspects for agent_id in pair}

    def rename(
        self, tracks: Tracks, history: TrackHistory, known_as: Mapping[str, str]
    ) -> list[Tracks]:
        """The tracks under the ids of the people.

        Args:
            tracks: one message of the tracker, in the frame of `history`.
            history: before the message is added.
            known_as: ids in the history, where they differ.

        Returns:
            What to add to the history, in this order: tracks that were held back, and the message
            without those that are held back now.
        """
        entering = self._decide(tracks)
        if self._own_id_of:
            tracks = replace(tracks, ids=tuple(self._own_id_of.get(i, i) for i in tracks.ids))
        pairs = {
            (tracks.ids[row], tracks.ids[other])
            for row, other in _close_pairs(tracks.positions_m)
            if tracks.ids[row] != tracks.ids[other]
        }
        pairs = {(min(pair), max(pair)) for pair in pairs}
        if pairs or self._before:
            self._watch(pairs, tracks, history, known_as)
        held = self.held
        if held:
            tracks = tracks.of_agents(np.array([i not in held for i in tracks.ids], dtype=bool))
        return [*entering, tracks]

    def _watch(
        self,
        pairs: set[_Pair],
        tracks: Tracks,
        history: TrackHistory,
        known_as: Mapping[str, str],
    ) -> None:
        """Compares people who were close with their motions before, and holds back suspects."""
        row_of = {agent_id: row for row, agent_id in enumerate(tracks.ids)}
        held = self.held
        for pair in sorted(pairs | self._before.keys()):
            before = self._before.get(pair) or _motions(pair, history, known_as)
            if held.intersection(pair) or before is None:
                continue
            self._before[pair] = before
            age_s = (tracks.stamp_ns - int(before.stamps_ns.min())) / NS_PER_S
            gain = 0.0
            if row_of.keys() >= set(pair) and tracks.stamp_ns > before.stamps_ns.max():
                both = tracks.of_agents(np.array([row_of[agent_id] for agent_id in pair]))
                costs = position_costs(
                    before, both.positions_m, both.stamp_ns, std_m=_POSITION_STD_M
                )
                gain = _gain(costs)
                if gain >= _MARGIN and max(costs[0, 1], costs[1, 0]) <= POSITION_GATE:
                    self._suspects[pair] = _Suspects(before, [both])
                    held.update(pair)
            if age_s > _MEMORY_S or (gain <= -_MARGIN and age_s > _REFRESH_S):
                del self._before[pair]

    def _decide(self, tracks: Tracks) -> list[Tracks]:
        """Releases suspects of which it is known by now whether they were swapped."""
        entering: list[Tracks] = []
        for pair, suspects in list(self._suspects.items()):
            reported = [self._own_id_of.get(agent_id, agent_id) for agent_id in tracks.ids]
            names = tuple(agent_id for agent_id in pair if agent_id in reported)
            rows = np.array([reported.index(agent_id) for agent_id in names], dtype=np.int64)
            seen = replace(tracks.of_agents(rows), ids=names)
            elapsed_s = (seen.stamp_ns - suspects.held[0].stamp_ns) / NS_PER_S
            is_confirmable = elapsed_s >= _CONFIRM_S and names == pair
            if elapsed_s <= _WAIT_S and not is_confirmable:
                suspects.held.append(seen)
                continue
            if is_confirmable and _is_swapped(suspects, seen):
                self._swap(pair)
                other = dict(zip(pair, pair[::-1], strict=True))
                suspects.held = [
                    replace(each, ids=tuple(other[i] for i in each.ids)) for each in suspects.held
                ]
                self._before.pop(pair, None)
            del self._suspects[pair]
            entering.extend(suspects.held)
        return sorted(entering, key=lambda each: each.stamp_ns)

    def _swap(self, pair: _Pair) -> None:
        self.n_untangled += 1
        other = {pair[0]: pair[1], pair[1]: pair[0]}
        reported = {own: agent_id for agent_id, own in self._own_id_of.items()}
        for own in pair:
            self._own_id_of[reported.get(own, own)] = other[own]
        self._own_id_of = {i: own for i, own in self._own_id_of.items() if i != own}
        if len(self._own_id_of) > _MAX_SWAPPED:
            self._own_id_of.clear()


def _is_swapped(suspects: _Suspects, later: Tracks) -> bool:
    """Whether two tracks move as the other did before, and not as they did themselves."""
    first = suspects.held[0]
    elapsed_s = (later.stamp_ns - first.stamp_ns) / NS_PER_S
    velocities_m_s = (later.positions_m - first.positions_m) / elapsed_s
    before = [suspects.before.of_tracks(np.array([row])) for row in (0, 1)]
    costs = np.array(
        [
            [
                motion_cost(
                    motion, position_m, velocity_m_s, velocity_std_m_s(elapsed_s), first.stamp_ns
                )
                for position_m, velocity_m_s in zip(first.positions_m, velocities_m_s, strict=True)
            ]
            for motion in before
        ]
    )
    return _gain(costs) >= _MARGIN and max(costs[0, 1], costs[1, 0]) <= MOTION_GATE


def _gain(costs: FloatArray) -> float:
    """How much lower (2, 2) costs are with swapped ids."""
    return float(costs[0, 0] + costs[1, 1] - costs[0, 1] - costs[1, 0])


def _motions(pair: _Pair, history: TrackHistory, known_as: Mapping[str, str]) -> Motions | None:
    """Where two people were before this message; None if that is not known well enough."""
    names = tuple(known_as.get(agent_id, agent_id) for agent_id in pair)
    if names[0] == names[1] or history.unknown(names):
        return None
    motions = history.motions(names)
    return motions if motions.velocity_std_m_s.max() <= _MAX_STD_M_S else None


def _close_pairs(positions_m: FloatArray) -> Iterator[tuple[int, int]]:
    """Rows of people who are close to each other, found by a sweep along x."""
    order = np.argsort(positions_m[:, 0])
    sorted_m = positions_m[order]
    for n in range(1, len(order)):
        apart_m = sorted_m[n:] - sorted_m[:-n]
        is_near = apart_m[:, 0] < _CLOSE_M
        if not is_near.any():
            return
        is_near &= np.abs(apart_m[:, 1]) < _CLOSE_M
        if is_near.any():
            (near,) = np.nonzero(is_near)
            near = near[np.hypot(*apart_m[near].T) < _CLOSE_M]
            yield from zip(order[near].tolist(), order[near + n].tolist(), strict=True)
