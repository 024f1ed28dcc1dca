"""Untangling: corrects swapped ids.

Trackers swap the ids of people who pass close to each other. If each of the two tracks continues
the motion of the other and not its own, their ids were swapped. In doubt nothing is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities.pairing import (
    MOTION_GATE,
    POSITION_GATE,
    Pair,
    close_rows,
    motion_costs,
    position_costs,
)
from social_implicit_ros.tracks.motions import Motions
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, IntArray, Tracks

#: Distance below which ids may be swapped, metres.
_CLOSE_M = 0.7
#: Standard deviation of a position, metres.
_POSITION_STD_M = 0.1
#: Minimum decrease of the sum of both squared Mahalanobis distances by swapped ids.
_MARGIN = 9.0
#: Time for which positions are compared with the motion before the encounter, seconds.
_MEMORY_S = 1.2
#: Age at which that motion is replaced by a newer one if the ids were right, seconds.
_REFRESH_S = 0.3
#: Time over which the velocity after a swap is measured, seconds.
_CONFIRM_S = 0.38
#: Minimum time between two comparisons, seconds, for trackers at 20 Hz and more.
_PERIOD_S = 0.09
#: Maximum time for which two tracks are held back, seconds.
_WAIT_S = 0.9
#: Largest standard deviation of a velocity that is used, metres per second.
_MAX_STD_M_S = 0.5
#: Maximum number of swapped ids in memory; most are those of people who left long ago.
_MAX_SWAPPED = 10_000


@dataclass(eq=False)
class _Suspects:
    """Two tracks that are held back, as their ids may be swapped.

    Attributes:
        before: (2,) their motions before.
        held: their observations since then, oldest first.
    """

    before: Motions
    held: list[Tracks]


class SwapUntangler:
    """Renames the ids of one tracker's messages."""

    def __init__(self, counts: Counter[str]) -> None:
        """Starts without ids; counts corrected swaps in `counts["untangled"]`."""
        self._counts = counts
        #: The tracker's id -> id of the person, if they differ; a permutation.
        self.own_id_of: dict[str, str] = {}
        self._pairs: list[Pair] = []  # people who are or were close to each other
        self._before: Motions | None = None  # (2 P,) motions of both people of each pair
        self._suspects: dict[Pair, _Suspects] = {}
        self._compared_ns: int | None = None

    @property
    def held(self) -> set[str]:
        """Ids of the tracks that are held back."""
        return {agent_id for pair in self._suspects for agent_id in pair}

    def rename(
        self, tracks: Tracks, history: TrackHistory, known_as: Mapping[str, str]
    ) -> list[Tracks]:
        """Renames the tracks of a message to the ids of their people.

        Args:
            tracks: one message of the tracker, in the frame of `history`.
            history: the history before the message is added.
            known_as: id -> id in the history, if they differ.

        Returns:
            The tracks to add to the history, in order: tracks that were held back, then the message
            without those that are held back now.
        """
        entering = self._decide(tracks) if self._suspects else []
        if self.own_id_of:
            tracks = tracks.renamed(self.own_id_of)
        if abs(tracks.stamp_ns - (self._compared_ns or 0)) >= _PERIOD_S * NS_PER_S:
            self._compared_ns = tracks.stamp_ns
            self._watch(_close_pairs(tracks), history, known_as)
            if self._pairs and tracks.ids:
                self._compare(tracks)
        held = self.held
        if held:
            tracks = tracks.of_agents(np.array([i not in held for i in tracks.ids], dtype=bool))
        return [*entering, tracks]

    def _watch(self, close: list[Pair], history: TrackHistory, known_as: Mapping[str, str]) -> None:
        """Stores the motions of people who come close to each other."""
        watched = {*self._pairs, *self._suspects}
        new = [pair for pair in close if pair not in watched]
        names = [known_as.get(agent_id, agent_id) for pair in new for agent_id in pair]
        unknown = set(history.unknown(names))
        if unknown:
            pairs = zip(new, zip(names[::2], names[1::2], strict=True), strict=True)
            new = [pair for pair, both in pairs if unknown.isdisjoint(both)]
            names = [known_as.get(agent_id, agent_id) for pair in new for agent_id in pair]
        if not new:
            return
        before = history.motions(tuple(names))
        before = before if self._before is None else self._before.followed_by(before)
        self._pairs, self._before = [*self._pairs, *new], before
        is_known = before.velocity_std_m_s.reshape(-1, 2).max(axis=1) <= _MAX_STD_M_S
        if not is_known.all():
            self._keep(np.flatnonzero(is_known))

    def _compare(self, tracks: Tracks) -> None:
        """Compares people who were close with their earlier motions, and holds back suspects."""
        assert self._before is not None
        row_of = {agent_id: row for row, agent_id in enumerate(tracks.ids)}
        rows = np.array([[row_of.get(i, -1) for i in pair] for pair in self._pairs])
        stamps_ns = self._before.stamps_ns.reshape(-1, 2)
        age_s = (tracks.stamp_ns - stamps_ns.min(axis=1)) / NS_PER_S
        is_decided = (rows >= 0).all(axis=1) & (stamps_ns.max(axis=1) < tracks.stamp_ns)
        held = self.held
        if held:
            is_decided &= [held.isdisjoint(pair) for pair in self._pairs]
        # (P, 2, 2): costs between each person's motion and each person's position.
        costs = position_costs(
            self._before,
            np.repeat(tracks.positions_m[rows], 2, axis=0),
            tracks.stamp_ns,
            std_m=_POSITION_STD_M,
        ).reshape(-1, 2, 2)
        gain = np.where(is_decided, _gain(costs), 0.0)
        is_swapped = (gain >= _MARGIN) & (_swapped_cost(costs) <= POSITION_GATE)
        for index in np.flatnonzero(is_swapped):
            pair = self._pairs[index]
            if held.isdisjoint(pair):
                before = self._before.of_tracks(2 * index + np.arange(2))
                self._suspects[pair] = _Suspects(before, [tracks.of_agents(rows[index])])
                held.update(pair)
        is_over = (age_s > _MEMORY_S) | ((gain <= -_MARGIN) & (age_s > _REFRESH_S))
        if is_over.any():
            self._keep(np.flatnonzero(~is_over))

    def _keep(self, rows: IntArray) -> None:
        """Keeps only the pairs in some rows."""
        assert self._before is not None
        self._pairs = [self._pairs[row] for row in rows]
        self._before = self._before.of_tracks((2 * rows[:, None] + np.arange(2)).ravel())

    def _decide(self, tracks: Tracks) -> list[Tracks]:
        """Releases suspects for whom it is decided by now whether they were swapped."""
        entering: list[Tracks] = []
        for pair, suspects in list(self._suspects.items()):
            reported = [self.own_id_of.get(agent_id, agent_id) for agent_id in tracks.ids]
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
                suspects.held = [each.renamed(other) for each in suspects.held]
            del self._suspects[pair]
            entering.extend(suspects.held)
        return sorted(entering, key=lambda each: each.stamp_ns)

    def _swap(self, pair: Pair) -> None:
        self._counts["untangled"] += 1
        others = [row for row, watched in enumerate(self._pairs) if watched != pair]
        self._keep(np.array(others, dtype=np.int64))
        other = {pair[0]: pair[1], pair[1]: pair[0]}
        reported = {own: agent_id for agent_id, own in self.own_id_of.items()}
        for own in pair:
            self.own_id_of[reported.get(own, own)] = other[own]
        self.own_id_of = {i: own for i, own in self.own_id_of.items() if i != own}
        if len(self.own_id_of) > _MAX_SWAPPED:
            self.own_id_of.clear()


def _is_swapped(suspects: _Suspects, later: Tracks) -> bool:
    """Whether each of two tracks continues the other's motion, and not its own."""
    costs = motion_costs(suspects.before, suspects.held[0], later)
    return bool(_gain(costs) >= _MARGIN and _swapped_cost(costs) <= MOTION_GATE)


def _gain(costs: FloatArray) -> FloatArray:
    """(...) decrease of the sum of (..., 2, 2) costs by swapped ids."""
    own, swapped = costs[..., 0, 0] + costs[..., 1, 1], costs[..., 0, 1] + costs[..., 1, 0]
    gain: FloatArray = own - swapped
    return gain


def _swapped_cost(costs: FloatArray) -> FloatArray:
    """(...) larger of both people's (..., 2, 2) costs with swapped ids."""
    return np.maximum(costs[..., 0, 1], costs[..., 1, 0])


def _close_pairs(tracks: Tracks) -> list[Pair]:
    """Ids of people who are close to each other."""
    close = ((tracks.ids[a], tracks.ids[b]) for a, b in close_rows(tracks.positions_m, _CLOSE_M))
    return [(min(pair), max(pair)) for pair in close if pair[0] != pair[1]]
