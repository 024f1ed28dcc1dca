"""Recordings as files: rosbag2 (MCAP, sqlite3) through `rosbags`, and ETH/UCY text.

ROS need not be installed; `track_source` makes tracks of what is read here.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection
from rosbags.typesys import Stores, get_typestore

from social_implicit_ros.recordings.compressed import decompress, is_compressed_bag
from social_implicit_ros.recordings.eth_ucy import Recording, load_recording
from social_implicit_ros.recordings.truncated import mended
from social_implicit_ros.types import Tracks

#: Where the time of a text recording begins: frame 0 is second 1, as ROS takes 0 for "no time".
TEXT_START_NS = 1_000_000_000

#: Frames per second of the ETH/UCY videos: 10 frames are a step of 0.4 s.
TEXT_FRAMES_PER_SECOND = 25.0

#: Where a recording names no coordinate frame: the predictor's default.
DEFAULT_FRAME = "odom"

#: Of files that hold a bag, or a part of one.
BAG_SUFFIXES = (".mcap", ".db3")


class RecordingError(ValueError):
    """A recording cannot be used; the message says which, why and how to mend it."""


def is_bag_file(path: Path) -> bool:
    """Whether a path is named like a file of a bag, compressed (`.mcap.zstd`) or not."""
    return path.suffix in BAG_SUFFIXES or is_compressed_bag(path, BAG_SUFFIXES)


class _FileReader(AnyReader):
    """Reads a file alone, where no metadata.yaml tells that its messages are compressed."""

    def messages(
        self,
        connections: Collection[Connection] = (),
        start: int | None = None,
        stop: int | None = None,
    ) -> Generator[tuple[Connection, int, bytes], None, None]:
        for connection, recorded_ns, data in super().messages(connections, start, stop):
            yield connection, recorded_ns, decompress(data)


@contextmanager
def opened_bag(path: Path) -> Iterator[AnyReader]:
    """A rosbag2 recording, open for reading; of one that is cut off, what is there.

    Args:
        path: a rosbag2 folder, or a single `.mcap` or `.db3` file, or one compressed.

    Raises:
        RecordingError: whenever something goes wrong while it is open, as damage in a file shows
            only where it is read.
    """
    if path.is_dir() and not (path / "metadata.yaml").exists():
        raise RecordingError(
            f"{path} has no metadata.yaml: it is no rosbag2 folder, or its recording was cut off; "
            f"`ros2 bag reindex {path}` makes it, or give the .mcap or .db3 file itself"
        )
    reader_of = AnyReader if path.is_dir() else _FileReader
    try:
        # Definitions for bags that hold none (sqlite3, before Iron).
        default = get_typestore(Stores.ROS2_HUMBLE)
        with (
            mended(path) as (whole, cut_off),
            _told_cut_off(cut_off),
            reader_of([whole], default_typestore=default) as reader,
        ):
            yield reader
    except RecordingError:
        raise
    except Exception as error:
        # Damaged bytes make parsers, decompressors and databases raise whatever they meet.
        raise RecordingError(
            f"{path} is damaged, cut off or no rosbag2 recording "
            f"({str(error) or type(error).__name__}); record it again, or try `ros2 bag reindex`"
        ) from error


@contextmanager
def _told_cut_off(cut_off: Sequence[Path]) -> Iterator[None]:
    """Says so in every error, as that may be the reason."""
    try:
        yield
    except RecordingError as error:
        if not cut_off:
            raise
        raise RecordingError(f"{error} ({missing_end(cut_off)})") from error


def missing_end(cut_off: Sequence[Path]) -> str:
    """What is said of files that are cut off."""
    names = ", ".join(file.name for file in cut_off)
    return (
        f"{names} {'is' if len(cut_off) == 1 else 'are'} cut off, as by a recorder that was killed "
        "or a full disk: all is missing that was recorded from there on"
    )


def load_text(path: Path) -> Recording:
    """A text recording, checked.

    Raises:
        RecordingError: not text, not lines of four numbers, or frames before 0.
    """
    try:
        recording = load_recording(path)
    except UnicodeDecodeError as error:
        raise RecordingError(
            f"{path} is neither text nor a bag: give an ETH/UCY text file, an .mcap or .db3 file, "
            "or a rosbag2 folder"
        ) from error
    except ValueError as error:
        raise RecordingError(str(error)) from error
    if recording.frames[0] < 0:
        raise RecordingError(
            f"{path} begins at frame {recording.frames[0]}, expected frames from 0 on"
        )
    return recording


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
