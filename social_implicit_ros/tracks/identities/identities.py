"""Identities across trackers: which tracks are the same person, the robot, or gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import numpy as np

from social_implicit_ros.settings import PipelineConfig
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities import pairing
from social_implicit_ros.tracks.identities.merging import TrackMerger
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import ROBOT_ID, SkipReason, Tracks

#: A track within this distance of the robot's centre for this time is the robot, as people cannot
#: stand there.
_NEAR_M, _CONFIRM_NS = 0.3, NS_PER_S
#: Distance beyond which such a track counts as a person again, metres.
_APART_M = 0.5
#: Longest time over which the robot's motion is extrapolated for a comparison, seconds.
_MAX_GAP_S = 1.0


class Identities:
    """Finds out which tracks are gone or the robot's, and merges those of one person."""

    def __init__(self, config: PipelineConfig) -> None:
        #: The options; may change.
        self.config = config
        #: Totals by name in `/diagnostics`: tracks continued under an old id, corrected swaps, and
        #: tracks merged with another of the same person.
        self.counts = Counter(stitched=0, untangled=0, merged=0)
        if config.stitching or config.merge_distance_m > 0.0:
            pairing.load()
        self.reset()

    def reset(self) -> None:
        """Forgets all ids."""
        self._merger = TrackMerger(self.counts)
        self._robot = _RobotTracks()
        #: Published ids of agents, if they differ from those in the history.
        self.published_ids: Mapping[str, str] = {}
        #: Agents that are remembered but not predicted, with the reason.
        self.hidden: Mapping[str, SkipReason] = {}

    def follow(
        self,
        tracks: Tracks,
        history: TrackHistory,
        vanished: Iterable[str],
        doubles: Collection[tuple[str, str]],
        now_ns: int,
    ) -> list[str]:
        """Updates which tracks are the robot, or the same person as a track of another tracker.

        Args:
            tracks: a renamed message.
            history: the history after the message was added.
            vanished: tracks of all trackers that are gone.
            doubles: pairs of tracks of this tracker that are the same person.
            now_ns: current time, integer nanoseconds; 0 if the clock does not run.

        Returns:
            A log text for each track that is newly recognised as the robot.
        """
        texts = self._robot.observe(tracks, history)
        self.hidden = {
            **dict.fromkeys(vanished, SkipReason.VANISHED),
            **dict.fromkeys(self._robot.ids, SkipReason.ROBOT),
        }
        self._merger.observe(tracks, history, self.config.merge_distance_m, doubles)
        if self._merger.has_merged:
            shown = [agent_id for agent_id in history.ids if agent_id not in self.hidden]
            merged = self._merger.hidden(shown, history, now_ns or tracks.stamp_ns)
            self.hidden = {**self.hidden, **dict.fromkeys(merged, SkipReason.MERGED)}
        self.published_ids = self._merger.published_ids(history.ids)
        return texts


class _RobotTracks:
    """Finds tracks that stay at the position of the robot, as ceiling cameras report them."""

    def __init__(self) -> None:
        # id -> first and newest stamp at which it was near.
        self._near_ns: dict[str, tuple[int, int]] = {}
        #: Tracks that are the robot.
        self.ids: tuple[str, ...] = ()

    def observe(self, tracks: Tracks, history: TrackHistory) -> list[str]:
        """Compares the tracks of a message with the robot, unless its position is unknown.

        Args:
            tracks: a renamed message.
            history: the history after the message was added.

        Returns:
            A log text for each track that is newly recognised as the robot.
        """
        unknown = set(history.unknown((ROBOT_ID, *tracks.ids, *self._near_ns)))
        self._near_ns = {i: ns for i, ns in self._near_ns.items() if i not in unknown}
        seen = tuple(i for i in dict.fromkeys(tracks.ids) if i not in unknown)
        if ROBOT_ID not in unknown and seen:
            stamps_ns, states_m = history.newest(seen)
            robot = history.motions((ROBOT_ID,))
            gaps_s = robot.gaps_s(stamps_ns)
            distances_m = np.hypot(*(states_m[:, :2] - robot.extrapolated_m(gaps_s)).T)
            # Only tracks that are near now, or were before, need a comparison.
            matters = (distances_m <= _NEAR_M) | [i in self._near_ns for i in seen]
            for row in np.flatnonzero(matters & (np.abs(gaps_s) <= _MAX_GAP_S)).tolist():
                self._compare(seen[row], float(distances_m[row]), int(stamps_ns[row]))
        before = self.ids
        self.ids = tuple(i for i in self._near_ns if self._is_robot(i))
        return [
            f"track {agent_id[:40]!a} stays within {_NEAR_M} m of the robot's position: it is the "
            "robot itself and is not predicted"
            for agent_id in self.ids
            if agent_id not in before
        ]

    def _compare(self, agent_id: str, distance_m: float, stamp_ns: int) -> None:
        limit_m = _APART_M if self._is_robot(agent_id) else _NEAR_M
        if distance_m > limit_m:
            self._near_ns.pop(agent_id, None)
        else:
            since_ns, _ = self._near_ns.get(agent_id, (stamp_ns, stamp_ns))
            self._near_ns[agent_id] = since_ns, stamp_ns

    def _is_robot(self, agent_id: str) -> bool:
        since_ns, newest_ns = self._near_ns.get(agent_id, (0, 0))
        return newest_ns - since_ns >= _CONFIRM_NS
