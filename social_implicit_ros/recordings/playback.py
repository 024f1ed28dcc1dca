"""When each entry of a recording is due; needs no clock and no ROS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from social_implicit_ros.recordings.arrivals import recorded_tracks, why_empty
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.track_source import TrackSource
from social_implicit_ros.types import Tracks


@dataclass(frozen=True)
class PlaybackOptions:
    """How a recording is played.

    Attributes:
        rate: recorded seconds per second.
        start_s: seconds to skip at the beginning.
        duration_s: recorded seconds to play; None plays to the end.
    """

    rate: float = 1.0
    start_s: float = 0.0
    duration_s: float | None = None
    loop: bool = False

    def __post_init__(self) -> None:
        """Checks the values; raises RecordingError naming the option."""
        if not 0.01 <= self.rate <= 1000.0:
            raise RecordingError(f"rate is {self.rate}, expected a value from 0.01 to 1000")
        if not self.start_s >= 0.0:
            raise RecordingError(f"start is {self.start_s} s, expected 0 or more")
        if self.duration_s is not None and not self.duration_s > 0.0:
            raise RecordingError(f"duration is {self.duration_s} s, expected more than 0")


class Playback:
    """Plays a recording by a time that the caller measures."""

    def __init__(self, recording: TrackSource, options: PlaybackOptions) -> None:
        """Reads the first entry; raises RecordingError if the part to play is empty."""
        self._recording = recording
        self._options = options
        self._entries: Iterator[Tracks] = iter(())
        self._next: Tracks | None = None
        self._origin_ns, self._origin_s = 0, 0.0
        self._begin(elapsed_s=0.0)

    @property
    def is_done(self) -> bool:
        """Whether every entry was returned and none follows."""
        return self._next is None and not self._options.loop

    def advance(self, elapsed_s: float) -> tuple[int, list[Tracks]]:
        """Continues the playback until `elapsed_s` since its start, which must not decrease.

        Returns:
            The recording's time, integer nanoseconds, which jumps back when a loop restarts, and
            the entries that became due since the last call, oldest first.
        """
        if self._next is None and not self.is_done:
            self._begin(elapsed_s)
        now_ns = self._origin_ns + round((elapsed_s - self._origin_s) * self._options.rate * 1e9)
        due = []
        while self._next is not None and self._next.stamp_ns <= now_ns:
            due.append(self._next)
            self._next = next(self._entries, None)
        return now_ns, due

    def _begin(self, elapsed_s: float) -> None:
        options = self._options
        self._entries = recorded_tracks(
            self._recording, start_s=options.start_s, duration_s=options.duration_s
        )
        self._next = next(self._entries, None)
        if self._next is None:
            raise RecordingError(why_empty(self._recording, options.start_s, options.duration_s))
        self._origin_ns, self._origin_s = self._next.stamp_ns, elapsed_s
