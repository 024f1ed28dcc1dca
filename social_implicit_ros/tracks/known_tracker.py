"""What is known of a tracker from its messages."""

from __future__ import annotations

from dataclasses import dataclass, field

from social_implicit_ros.tracks.reported_positions import ReportedPositions
from social_implicit_ros.tracks.stamp_guard import StampGuard
from social_implicit_ros.tracks.tracker_timing import PERIODS_KEPT, TrackerTiming

#: Positions with less noise may be exact: people stand still to the last bit, metres.
_EXACT_M = 0.01


@dataclass
class KnownTracker:
    """What is known of a tracker from its messages.

    Attributes:
        guard: checks its stamps.
        timing: its period and latency.
        reported: positions that it repeats, and those that stand for none.
    """

    guard: StampGuard
    timing: TrackerTiming = field(default_factory=TrackerTiming)
    reported: ReportedPositions = field(default_factory=ReportedPositions)

    def forget(self) -> None:
        """Forgets all but the guard."""
        self.timing, self.reported = TrackerTiming(), ReportedPositions()

    @property
    def needed_timeout_s(self) -> float:
        """Time without observations after which its tracks are gone, seconds; 0 if unknown."""
        return max(self.timing.needed_timeout_s, PERIODS_KEPT * self.reported.hold_s)

    def frozen(self, min_s: float, noise_m: float) -> tuple[str, ...]:
        """Tracks that do not move any more at all, though positions are noisy.

        Args:
            min_s: time for which they did not change, seconds.
            noise_m: standard deviation of each coordinate of a position.
        """
        return () if noise_m < _EXACT_M else self.reported.stopped(min_s)
