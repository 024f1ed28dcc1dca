"""Recordings of tracks, from rosbag2 (MCAP, sqlite3) or ETH/UCY text, as a stream of `Tracks`.

Bags are read through `rosbags`, so ROS need not be installed. They are streamed: memory does not
grow with the length of a recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection
from rosbags.typesys import Stores, get_typestore

from social_implicit_ros.core.decoding import DECODERS, frame_id_of
from social_implicit_ros.core.recordings import Recording, load_recording
from social_implicit_ros.core.types import Tracks

#: Where the time of a text recording begins: frame 0 is second 1, as ROS takes 0 for "no time".
TEXT_START_NS = 1_000_000_000

#: Frames per second of the ETH/UCY videos: 10 frames are a step of 0.4 s.
TEXT_FRAMES_PER_SECOND = 25.0

#: Where a recording names no coordinate frame: the predictor's default.
DEFAULT_FRAME = "odom"

_BAG_SUFFIXES = (".mcap", ".db3")


class RecordingError(ValueError):
    """A recording cannot be used; the message says which, why and how to mend it."""


@dataclass(frozen=True)
class TrackRecording:
    """A recording that was opened once and found usable.

    Attributes:
        path: of the file, or of the rosbag2 folder.
        topic: the tracks' topic; empty for text.
        message_type: ROS type of the messages; empty for text.
        frame_id: coordinate frame of the positions; empty where the recording names none.
        start_ns: time of the first entry, integer nanoseconds.
        end_ns: time of the last entry, integer nanoseconds.
        frames_per_second: the video rate of a text recording.
    """

    path: Path
    topic: str
    message_type: str
    frame_id: str
    start_ns: int
    end_ns: int
    frames_per_second: float = TEXT_FRAMES_PER_SECOND

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last entry."""
        return (self.end_ns - self.start_ns) * 1e-9

    def tracks(self, *, start_s: float = 0.0, duration_s: float | None = None) -> Iterator[Tracks]:
        """Streams the tracks in the order of recording; may be called again.

        Args:
            start_s: seconds to skip at the beginning.
            duration_s: seconds to read from there; None reads to the end.

        Raises:
            RecordingError: a damaged file, or a message that cannot be decoded.
        """
        first_ns = self.start_ns + round(start_s * 1e9)
        last_ns = self.end_ns if duration_s is None else first_ns + round(duration_s * 1e9)
        if self.topic:
            return _bag_tracks(self.path, self.topic, first_ns, last_ns)
        return (
            tracks
            for tracks in text_tracks(load_recording(self.path), self.frames_per_second)
            if first_ns <= tracks.stamp_ns <= last_ns
        )


def open_recording(
    path: Path | str,
    *,
    topic: str | None = None,
    frames_per_second: float = TEXT_FRAMES_PER_SECOND,
) -> TrackRecording:
    """Opens a rosbag2 or an ETH/UCY text file and checks that it holds tracks.

    Args:
        path: a rosbag2 folder, a single `.mcap` or `.db3` file, or a text file.
        topic: the tracks' topic in a bag; may be left out where only one topic has a type that
            can be decoded.
        frames_per_second: rate of the frame numbers in a text file, 1/s.

    Raises:
        RecordingError: no such file, a damaged or empty one, no such topic, or a topic of another
            type.
    """
    path = Path(path)
    if not path.exists():
        raise RecordingError(f"no recording {path}: no such file or folder")
    if path.is_dir() or path.suffix in _BAG_SUFFIXES:
        return _open_bag(path, topic)
    return _open_text(path, frames_per_second)


@contextmanager
def opened_bag(path: Path) -> Iterator[AnyReader]:
    """A rosbag2 recording, open for reading.

    Args:
        path: a rosbag2 folder, or a single `.mcap` or `.db3` file.

    Raises:
        RecordingError: whenever something goes wrong while it is open, as damage in a file shows
            only where it is read.
    """
    if path.is_dir() and not (path / "metadata.yaml").exists():
        raise RecordingError(
            f"{path} has no metadata.yaml: it is no rosbag2 folder, or its recording was cut off; "
            f"`ros2 bag reindex {path}` makes it, or give the .mcap or .db3 file itself"
        )
    try:
        # Definitions for bags that hold none (sqlite3, before Iron).
        with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
            yield reader
    except RecordingError:
        raise
    except Exception as error:
        # Damaged bytes make parsers, decompressors and databases raise whatever they meet.
        raise RecordingError(
            f"{path} is damaged, cut off or no rosbag2 recording "
            f"({str(error) or type(error).__name__}); record it again, or try `ros2 bag reindex`"
        ) from error


def text_tracks(
    recording: Recording, frames_per_second: float = TEXT_FRAMES_PER_SECOND
) -> Iterator[Tracks]:
    """A text recording, frame by frame.

    Args:
        recording: sorted by frame.
        frames_per_second: rate of its frame numbers, 1/s.

    Yields:
        The tracks of one frame, stamped `TEXT_START_NS` + frame / frames_per_second.
    """
    frames, first_rows = np.unique(recording.frames, return_index=True)
    ends = [*first_rows[1:].tolist(), len(recording.frames)]
    for frame, first, end in zip(frames.tolist(), first_rows.tolist(), ends, strict=True):
        yield Tracks(
            stamp_ns=frame_stamp_ns(frame, frames_per_second),
            ids=tuple(str(agent) for agent in recording.ids[first:end].tolist()),
            positions_m=recording.positions_m[first:end],
        )


def frame_stamp_ns(frame: int, frames_per_second: float) -> int:
    """The stamp of a text recording's frame, integer nanoseconds."""
    return TEXT_START_NS + round(frame / frames_per_second * 1e9)


def _open_text(path: Path, frames_per_second: float) -> TrackRecording:
    if not frames_per_second > 0:
        raise RecordingError(f"frames per second is {frames_per_second}, expected a rate above 0")
    try:
        frames = load_recording(path).frames
    except UnicodeDecodeError as error:
        raise RecordingError(
            f"{path} is neither text nor a bag: give an ETH/UCY text file, an .mcap or .db3 file, "
            "or a rosbag2 folder"
        ) from error
    except ValueError as error:
        raise RecordingError(str(error)) from error
    if frames[0] < 0:
        raise RecordingError(f"{path} begins at frame {frames[0]}, expected frames from 0 on")
    return TrackRecording(
        path=path,
        topic="",
        message_type="",
        frame_id="",
        start_ns=frame_stamp_ns(int(frames[0]), frames_per_second),
        end_ns=frame_stamp_ns(int(frames[-1]), frames_per_second),
        frames_per_second=frames_per_second,
    )


def _open_bag(path: Path, topic: str | None) -> TrackRecording:
    with opened_bag(path) as reader:
        connection = _choose_connection(path, reader.connections, topic)
        first = next(reader.messages([connection]), None)
        if first is None:
            raise RecordingError(
                f"{path} holds no message on topic {connection.topic}: record it again"
            )
        message = reader.deserialize(first[2], connection.msgtype)
        return TrackRecording(
            path=path,
            topic=connection.topic,
            message_type=connection.msgtype,
            frame_id=frame_id_of(message),
            start_ns=first[1],
            end_ns=reader.end_time - 1,
        )


def _bag_tracks(path: Path, topic: str, first_ns: int, last_ns: int) -> Iterator[Tracks]:
    with opened_bag(path) as reader:
        connection = _choose_connection(path, reader.connections, topic)
        decode = DECODERS[connection.msgtype]
        for _, _, data in reader.messages([connection], start=first_ns, stop=last_ns + 1):
            message = reader.deserialize(data, connection.msgtype)
            try:
                tracks = decode(message)
            except ValueError as error:
                raise RecordingError(f"{path}, topic {topic}: {error}") from error
            if tracks is not None:
                yield tracks


def _choose_connection(path: Path, connections: list[Connection], topic: str | None) -> Connection:
    """The connection of `topic`, or the only one that can be decoded."""
    known = ", ".join(sorted(DECODERS))
    listing = ", ".join(f"{entry.topic} ({entry.msgtype})" for entry in connections) or "none"
    if topic is not None:
        wanted = [entry for entry in connections if entry.topic == topic]
        if not wanted:
            raise RecordingError(f"{path} has no topic {topic!r}; its topics: {listing}")
        if wanted[0].msgtype not in DECODERS:
            raise RecordingError(
                f"{path}, topic {topic}: type {wanted[0].msgtype} holds no tracks; expected one of "
                f"{known}"
            )
        return wanted[0]
    candidates = [entry for entry in connections if entry.msgtype in DECODERS]
    if len(candidates) != 1:
        raise RecordingError(
            f"{path} has {len(candidates)} topics of type {known}; its topics: {listing}; name the "
            "tracks' topic"
        )
    return candidates[0]
