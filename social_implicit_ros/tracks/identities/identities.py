"""Who is who: the ids of all trackers, and the people that they stand for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from social_implicit_ros.settings import PipelineConfig
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities import pairing
from social_implicit_ros.tracks.identities.coasting import Coasting
from social_implicit_ros.tracks.identities.merging import TrackMerger
from social_implicit_ros.tracks.identities.robot_tracks import RobotTracks
from social_implicit_ros.tracks.identities.stitching import TrackStitcher
from social_implicit_ros.tracks.identities.untangling import SwapUntangler
from social_implicit_ros.types import SkipReason, Tracks


class Identities:
    """Corrects ids, finds out which tracks are gone or the robot's, and merges trackers."""

    def __init__(self, config: PipelineConfig) -> None:
        #: The limits; may change.
        self.config = config
        #: Tracks that went on under an old id, swaps that were undone, and tracks that were merged
        #: with another tracker's, in total.
        self.n_stitched = self.n_untangled = self.n_merged = 0
        if config.stitching or config.merge_distance_m > 0.0:
            pairing.load()
        self.reset()

    @property
    def counts(self) -> dict[str, int]:
        """Corrections of ids in total, by the names that `/diagnostics` has for them."""
        return {
            "stitched": self.n_stitched,
            "untangled": self.n_untangled,
            "merged": self.n_merged,
        }

    @property
    def usual_gap_s(self) -> float:
        """Time for which a tracker usually leaves people out who come back, seconds."""
        return max((each.usual_gap_s for each in self._coastings.values()), default=0.0)

    def reset(self) -> None:
        """Forgets all ids."""
        self._stitchers: defaultdict[str, TrackStitcher] = defaultdict(TrackStitcher)
        self._untanglers: defaultdict[str, SwapUntangler] = defaultdict(SwapUntangler)
        self._coastings: defaultdict[str, Coasting] = defaultdict(Coasting)
        self._merger = TrackMerger()
        self._robot = RobotTracks()
        #: Published ids of agents, where they are not their own.
        self.published_ids: Mapping[str, str] = {}
        #: Agents that are remembered but not predicted, with the reason.
        self.hidden: Mapping[str, SkipReason] = {}

    def forget(self, source: str) -> None:
        """Forgets the ids of a tracker."""
        self._stitchers.pop(source, None)
        self._untanglers.pop(source, None)
        self._coastings.pop(source, None)

    def rename(self, tracks: Tracks, history: TrackHistory) -> list[Tracks]:
        """What to add to the history in place of a message, in this order; the message last."""
        entering = [tracks]
        if self.config.untangling:
            entering = self._untangled(tracks, history)
        if self.config.stitching:
            entering = [new for each in entering for new in self._stitched(each, history)]
        return entering

    def known_as(self, ids: Iterable[str], source: str) -> list[str]:
        """The ids under which people of a tracker are remembered, by the tracker's present ids."""
        own_id_of = self._untanglers[source].own_id_of
        old_id_of = self._stitchers[source].old_id_of
        own_ids = (own_id_of.get(agent_id, agent_id) for agent_id in ids)
        return [old_id_of.get(agent_id, agent_id) for agent_id in own_ids]

    def _untangled(self, tracks: Tracks, history: TrackHistory) -> list[Tracks]:
        untangler = self._untanglers[tracks.source]
        n_before = untangler.n_untangled
        known_as = self._stitchers[tracks.source].old_id_of
        entering = untangler.rename(tracks, history, known_as)
        self.n_untangled += untangler.n_untangled - n_before
        return entering

    def _stitched(self, tracks: Tracks, history: TrackHistory) -> list[Tracks]:
        stitcher = self._stitchers[tracks.source]
        n_before = stitcher.n_stitched
        entering = stitcher.rename(tracks, history)
        self.n_stitched += stitcher.n_stitched - n_before
        return entering

    def follow(self, tracks: Tracks, history: TrackHistory, now_ns: int = 0) -> list[str]:
        """Finds out which tracks are gone, or the robot's.

        Args:
            tracks: a renamed message.
            history: after the message was added.
            now_ns: current time, integer nanoseconds; 0 if the clock does not run.

        Returns:
            A text for each track that is the robot from now on.
        """
        coasting = self._coastings[tracks.source]
        stitcher = self._stitchers[tracks.source]
        # Whoever is held back is there.
        held = self._untanglers[tracks.source].held
        present = [stitcher.old_id_of.get(agent_id, agent_id) for agent_id in sorted(held)]
        coasting.observe(
            (*tracks.ids, *tracks.repeated_ids, *present, *sorted(stitcher.awaited)),
            tracks.stamp_ns,
            timeout_s=history.config.track_timeout_s,
            min_probability=self.config.min_return_probability,
        )
        if len(coasting) > 2 * self.config.max_agents:
            coasting.forget_others(history.ids)
        vanished = [i for each in self._coastings.values() for i in each.vanished]
        texts = self._robot.observe(tracks, history)
        self.hidden = {
            **dict.fromkeys(vanished, SkipReason.VANISHED),
            **dict.fromkeys(self._robot.ids, SkipReason.ROBOT),
        }
        if self.config.merge_distance_m > 0.0:
            self._merge(tracks, history, now_ns or tracks.stamp_ns)
        return texts

    def _merge(self, tracks: Tracks, history: TrackHistory, now_ns: int) -> None:
        merger = self._merger
        n_before = merger.n_merged
        merger.observe(tracks, history, self.config.merge_distance_m)
        self.n_merged += merger.n_merged - n_before
        shown = [agent_id for agent_id in history.ids if agent_id not in self.hidden]
        merged = dict.fromkeys(merger.hidden(shown, history, now_ns), SkipReason.MERGED)
        self.hidden = {**self.hidden, **merged}
        self.published_ids = merger.published_ids(history.ids)
