"""Identities across trackers: which tracks are the same person, the robot, or gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from social_implicit_ros.settings import PipelineConfig
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities import pairing
from social_implicit_ros.tracks.identities.merging import TrackMerger
from social_implicit_ros.tracks.identities.robot_tracks import RobotTracks
from social_implicit_ros.types import SkipReason, Tracks


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
        self._robot = RobotTracks()
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
