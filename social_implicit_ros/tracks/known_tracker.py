"""What is known of a tracker from its messages."""

from __future__ import annotations

from dataclasses import dataclass, field

from social_implicit_ros.tracks.reported_positions import ReportedPositions
from social_implicit_ros.tracks.stamp_guard import StampGuard
from social_implicit_ros.tracks.tracker_timing import PERIODS_KEPT, TrackerTiming


@dataclass
class KnownTracker:
    """A tracker, which has a delay of its own.

    Attributes:
        guard: checks its stamps.
        timing: period and latency.
        reported: what its positions say.
    """

    guard: StampGuard
    timing: TrackerTiming = field(default_factory=TrackerTiming)
    reported: ReportedPositions = field(default_factory=ReportedPositions)

    def forget(self) -> None:
        """Forgets all but its stamps."""
        self.timing, self.reported = TrackerTiming(), ReportedPositions()

    @property
    def needed_timeout_s(self) -> float:
        """Time without observations after which its tracks are gone, seconds; 0 if unknown."""
        return max(self.timing.needed_timeout_s, PERIODS_KEPT * self.reported.hold_s)
