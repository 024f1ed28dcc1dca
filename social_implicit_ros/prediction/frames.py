"""Transforms tracks into the fixed frame, each message at its own stamp."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.tracks.transforms import (
    TransformLookup,
    TransformUnavailableError,
    transform_tracks,
)
from social_implicit_ros.types import Tracks

#: Most messages that wait for a transform at once; at 60 Hz about one second.
_MAX_WAITING = 64


@dataclass(frozen=True, eq=False)
class _Waiting:
    tracks: Tracks
    frame_id: str
    deadline_ns: int


class TransformQueue:
    """Messages that wait, up to a time limit, for the transform into the fixed frame."""

    def __init__(self, lookup: TransformLookup, fixed_frame: str, wait_s: float) -> None:
        self._lookup = lookup
        self._fixed_frame = fixed_frame
        self._wait_ns = round(wait_s * NS_PER_S)
        self._waiting: deque[_Waiting] = deque()

    def __len__(self) -> int:
        """Number of waiting messages."""
        return len(self._waiting)

    def add(self, tracks: Tracks, frame_id: str, now_ns: int) -> None:
        """Queues tracks of another frame; `take` returns them once they are transformed."""
        self._waiting.append(_Waiting(tracks, frame_id, now_ns + self._wait_ns))

    def take(self, now_ns: int) -> tuple[list[Tracks], list[tuple[Tracks, str]]]:
        """Removes the tracks that can be transformed, and those that have timed out.

        Args:
            now_ns: current time, integer nanoseconds.

        Returns:
            Tracks in the fixed frame in order of arrival, and tracks without a transform with the
            reason.
        """
        moved: list[Tracks] = []
        timed_out: list[tuple[Tracks, str]] = []
        still: deque[_Waiting] = deque()
        too_many = len(self._waiting) - _MAX_WAITING
        for n, entry in enumerate(self._waiting):
            try:
                transform = self._lookup.lookup(
                    self._fixed_frame, entry.frame_id, entry.tracks.stamp_ns
                )
            except TransformUnavailableError as error:
                if error.may_come and now_ns < entry.deadline_ns and n >= too_many:
                    still.append(entry)
                else:
                    timed_out.append((entry.tracks, str(error)))
            else:
                moved.append(transform_tracks(entry.tracks, transform))
        self._waiting = still
        return moved, timed_out

    def clear(self) -> None:
        """Drops all waiting messages."""
        self._waiting.clear()
