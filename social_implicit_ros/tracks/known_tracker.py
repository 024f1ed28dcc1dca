"""Everything that is learned about one tracker from its messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from social_implicit_ros.settings import PipelineConfig
from social_implicit_ros.tracks.entries import EXACT_M
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities.coasting import Coasting
from social_implicit_ros.tracks.identities.doubles import Doubles
from social_implicit_ros.tracks.identities.stitching import TrackStitcher
from social_implicit_ros.tracks.identities.untangling import SwapUntangler
from social_implicit_ros.tracks.reported.extrapolated_positions import ExtrapolatedPositions
from social_implicit_ros.tracks.reported.reported_positions import ReportedPositions
from social_implicit_ros.tracks.stamp_guard import StampGuard
from social_implicit_ros.tracks.tracker_timing import PERIODS_KEPT, TrackerTiming
from social_implicit_ros.types import SkipReason, Tracks


class KnownTracker:
    """Statistics and state of one tracker.

    Attributes:
        guard: checks the stamps.
        timing: period and latency.
        reported: finds repeated positions and placeholders.
        extrapolated: finds extrapolated positions, and those that jump to and fro.
        coasting: follows missed tracks.
        doubles: finds tracks of the same person.
    """

    def __init__(self, guard: StampGuard, counts: Counter[str]) -> None:
        """Starts empty; `counts` are those of `Identities`."""
        self.guard, self._counts = guard, counts
        self.forget()

    def forget(self) -> None:
        """Forgets everything except the guard."""
        self.timing, self.reported, self.coasting = TrackerTiming(), ReportedPositions(), Coasting()
        self.doubles, self.extrapolated = Doubles(), ExtrapolatedPositions()
        self._stitcher, self._untangler = TrackStitcher(self._counts), SwapUntangler(self._counts)

    @property
    def needed_timeout_s(self) -> float:
        """Timeout that the tracks need, seconds; 0 if unknown."""
        kept_s = max(self.reported.holds.hold_s, self.coasting.usual_gap_s)
        return max(self.timing.needed_timeout_s, PERIODS_KEPT * kept_s)

    def frozen(self, min_s: float, noise_m: float) -> tuple[str, ...]:
        """Ids of tracks whose position has become exactly constant, although positions are noisy.

        Args:
            min_s: minimum time for which the position is constant, seconds.
            noise_m: standard deviation of each coordinate of a position, metres.
        """
        # Constant positions are normal for exact ones.
        return () if noise_m < EXACT_M else self.reported.stopped(min_s)

    def only_axis(self, noise_m: float) -> str:
        """The one coordinate in which people differ, as the others are not filled in; or empty.

        Args:
            noise_m: standard deviation of each coordinate of a position, metres.
        """
        axis = self.reported.only_axis
        # In simulators, people do walk exactly along x or y, but not one above the other.
        return axis if axis == "z" or noise_m >= EXACT_M else ""

    def observations(
        self, tracks: Tracks, noise_m: float, max_speed_m_s: float
    ) -> tuple[Tracks, Counter[SkipReason]]:
        """The observations of a message, and the number of other entries by reason.

        Args:
            tracks: tracks of the message, in its frame.
            noise_m: standard deviation of each coordinate of a position, metres.
            max_speed_m_s: maximum plausible speed, m/s.
        """
        tracks, skipped = self.reported.take(tracks, max_speed_m_s)
        is_extrapolated = self.extrapolated.find(tracks, noise_m)
        if is_extrapolated.any():
            skipped[SkipReason.EXTRAPOLATED] = int(np.count_nonzero(is_extrapolated))
            tracks = tracks.of_agents(~is_extrapolated)
        return tracks, skipped

    def rename(self, tracks: Tracks, history: TrackHistory, config: PipelineConfig) -> list[Tracks]:
        """The tracks to add to the history, in order: held ones, then the renamed message."""
        entering = [tracks]
        if config.untangling:
            entering = self._untangler.rename(tracks, history, self._stitcher.old_id_of)
        if config.stitching:
            entering = [new for each in entering for new in self._stitcher.rename(each, history)]
        return entering

    def known_as(self, ids: Iterable[str]) -> list[str]:
        """The ids in the history of people with the tracker's current ids."""
        own_id_of, old_id_of = self._untangler.own_id_of, self._stitcher.old_id_of
        own_ids = (own_id_of.get(agent_id, agent_id) for agent_id in ids)
        return [old_id_of.get(agent_id, agent_id) for agent_id in own_ids]

    def follow(self, tracks: Tracks, history: TrackHistory, config: PipelineConfig) -> None:
        """Updates which tracks are gone or doubles, from a renamed message that was added."""
        # People whose tracks are held back are present.
        held = sorted(self._untangler.held)
        present = [self._stitcher.old_id_of.get(agent_id, agent_id) for agent_id in held]
        self.coasting.observe(
            (*tracks.ids, *tracks.repeated_ids, *present, *sorted(self._stitcher.awaited)),
            tracks.stamp_ns,
            period_ns=self.reported.holds.period_ns,
            timeout_s=history.config.track_timeout_s,
            min_probability=config.min_return_probability,
        )
        if len(self.coasting) > 2 * config.max_agents:
            self.coasting.forget_others(history.ids)
        if config.merge_doubles:
            self.doubles.observe(tracks, history, self.reported.grid.cell_m)
