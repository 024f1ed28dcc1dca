"""Schedules the tracks of a recording for playback; needs no clock and no ROS."""

from __future__ import annotations

from collections.abc import Iterator

from social_implicit_ros.recordings.arrivals import recorded_tracks, why_empty
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.left_out import LeftOut
from social_implicit_ros.recordings.track_source import TrackSource
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.types import Tracks


class Playback:
    """Plays a recording; the caller measures the time."""

    def __init__(
        self,
        recording: TrackSource,
        *,
        rate: float = 1.0,
        start_s: float = 0.0,
        duration_s: float | None = None,
        loop: bool = False,
        settings: PredictorConfig = PredictorConfig(),  # noqa: B008 (frozen)
    ) -> None:
        """Reads the first tracks.

        Args:
            recording: the recording to play.
            rate: recorded seconds per second.
            start_s: seconds to skip at the beginning.
            duration_s: recorded seconds to play; None plays to the end.
            loop: restart at the end.
            settings: settings of the node, for stamps and transforms.

        Raises:
            RecordingError: an option is invalid, or the part to play is empty.
        """
        if not 0.01 <= rate <= 1000.0:
            raise RecordingError(f"rate is {rate}, expected a value from 0.01 to 1000")
        if not start_s >= 0.0:
            raise RecordingError(f"start is {start_s} s, expected 0 or more")
        if duration_s is not None and not duration_s > 0.0:
            raise RecordingError(f"duration is {duration_s} s, expected more than 0")
        self._recording, self._part = recording, (start_s, duration_s)
        self._settings = settings
        self._rate, self._loop = rate, loop
        #: Counts what was left out in all loops so far.
        self.left_out = LeftOut()
        self._entries: Iterator[Tracks] = iter(())
        self._next: Tracks | None = None
        self._origin_ns, self._origin_s = 0, 0.0
        self._begin(elapsed_s=0.0)

    @property
    def is_done(self) -> bool:
        """Whether all tracks were returned; never true in a loop."""
        return self._next is None and not self._loop

    def advance(self, elapsed_s: float) -> tuple[int, list[Tracks]]:
        """Continues the playback until `elapsed_s` since its start, which must not decrease.

        Returns:
            The recording's time, integer nanoseconds, which jumps back when a loop restarts, and
            the tracks that became due since the last call, oldest first.
        """
        if self._next is None and not self.is_done:
            self._begin(elapsed_s)
        now_ns = self._origin_ns + round((elapsed_s - self._origin_s) * self._rate * 1e9)
        due = []
        while self._next is not None and self._next.stamp_ns <= now_ns:
            due.append(self._next)
            self._next = next(self._entries, None)
        return now_ns, due

    def _begin(self, elapsed_s: float) -> None:
        start_s, duration_s = self._part
        part = self._recording.part(start_s, duration_s)
        self._entries = recorded_tracks(part, self.left_out, self._settings)
        self._next = next(self._entries, None)
        if self._next is None:
            why = [why_empty(self._recording, start_s, duration_s), *self.left_out.notes()]
            raise RecordingError("; ".join(why))
        self._origin_ns, self._origin_s = self._next.stamp_ns, elapsed_s
