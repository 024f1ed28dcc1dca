"""Who is who: the ids of all trackers, and the people that they stand for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import partial

from social_implicit_ros.settings import PipelineConfig
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities import pairing
from social_implicit_ros.tracks.identities.coasting import Coasting
from social_implicit_ros.tracks.identities.merging import TrackMerger
from social_implicit_ros.tracks.identities.robot_tracks import RobotTracks
from social_implicit_ros.tracks.identities.stitching import TrackStitcher
from social_implicit_ros.tracks.identities.untangling import SwapUntangler
from social_implicit_ros.types import SkipReason, Tracks


class _OfTracker:
    """Who is who among the tracks of one tracker."""

    def __init__(self, counts: Counter[str]) -> None:
        self.stitcher, self.untangler = TrackStitcher(counts), SwapUntangler(counts)
        self.coasting = Coasting()


class Identities:
    """Corrects ids, finds out which tracks are gone or the robot's, and merges trackers."""

    def __init__(self, config: PipelineConfig) -> None:
        #: The limits; may change.
        self.config = config
        #: Tracks that went on under an old id, swaps that were undone, and tracks that were merged
        #: with another tracker's, in total, by the names that `/diagnostics` has for them.
        self.counts = Counter(stitched=0, untangled=0, merged=0)
        if config.stitching or config.merge_distance_m > 0.0:
            pairing.load()
        self.reset()

    @property
    def usual_gap_s(self) -> float:
        """Time for which a tracker usually leaves people out who come back, seconds."""
        return max((each.coasting.usual_gap_s for each in self._of.values()), default=0.0)

    def reset(self) -> None:
        """Forgets all ids."""
        # By tracker.
        self._of: defaultdict[str, _OfTracker] = defaultdict(partial(_OfTracker, self.counts))
        self._merger = TrackMerger(self.counts)
        self._robot = RobotTracks()
        #: Published ids of agents, where they are not their own.
        self.published_ids: Mapping[str, str] = {}
        #: Agents that are remembered but not predicted, with the reason.
        self.hidden: Mapping[str, SkipReason] = {}

    def forget(self, source: str) -> None:
        """Forgets the ids of a tracker."""
        self._of.pop(source, None)

    def rename(self, tracks: Tracks, history: TrackHistory) -> list[Tracks]:
        """What to add to the history in place of a message, in this order; the message last."""
        of = self._of[tracks.source]
        entering = [tracks]
        if self.config.untangling:
            entering = of.untangler.rename(tracks, history, of.stitcher.old_id_of)
        if self.config.stitching:
            entering = [new for each in entering for new in of.stitcher.rename(each, history)]
        return entering

    def known_as(self, ids: Iterable[str], source: str) -> list[str]:
        """The ids under which people of a tracker are remembered, by the tracker's present ids."""
        own_id_of = self._of[source].untangler.own_id_of
        old_id_of = self._of[source].stitcher.old_id_of
        own_ids = (own_id_of.get(agent_id, agent_id) for agent_id in ids)
        return [old_id_of.get(agent_id, agent_id) for agent_id in own_ids]

    def follow(
        self, tracks: Tracks, history: TrackHistory, now_ns: int, period_ns: int
    ) -> list[str]:
        """Finds out which tracks are gone, or the robot's.

        Args:
            tracks: a renamed message.
            history: after the message was added.
            now_ns: current time, integer nanoseconds; 0 if the clock does not run.
            period_ns: of the tracker, as of `ReportedPositions`.

        Returns:
            A text for each track that is the robot from now on.
        """
        of = self._of[tracks.source]
        coasting, stitcher = of.coasting, of.stitcher
        # Whoever is held back is there.
        held = sorted(of.untangler.held)
        present = [stitcher.old_id_of.get(agent_id, agent_id) for agent_id in held]
        coasting.observe(
            (*tracks.ids, *tracks.repeated_ids, *present, *sorted(stitcher.awaited)),
            tracks.stamp_ns,
            period_ns=period_ns,
            timeout_s=history.config.track_timeout_s,
            min_probability=self.config.min_return_probability,
        )
        if len(coasting) > 2 * self.config.max_agents:
            coasting.forget_others(history.ids)
        vanished = [i for each in self._of.values() for i in each.coasting.vanished]
        texts = self._robot.observe(tracks, history)
        self.hidden = {
            **dict.fromkeys(vanished, SkipReason.VANISHED),
            **dict.fromkeys(self._robot.ids, SkipReason.ROBOT),
        }
        if self.config.merge_distance_m > 0.0:
            self._merger.observe(tracks, history, self.config.merge_distance_m)
            shown = [agent_id for agent_id in history.ids if agent_id not in self.hidden]
            merged = self._merger.hidden(shown, history, now_ns or tracks.stamp_ns)
            self.hidden = {**self.hidden, **dict.fromkeys(merged, SkipReason.MERGED)}
            self.published_ids = self._merger.published_ids(history.ids)
        return texts
