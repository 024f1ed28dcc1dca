"""Text recordings of pedestrians in the ETH/UCY format.

A line holds `frame  pedestrian_id  x_m  y_m`, separated by white space.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.types import FloatArray, IntArray, Tracks, require_shape

#: Frames per second of the ETH/UCY videos: 10 frames are a step of 0.4 s.
FRAMES_PER_SECOND = 25.0

#: Stamp of frame 0: ROS takes a stamp of 0 for "no time".
_START_NS = 1_000_000_000
#: From here on double precision does not represent every integer.
_TOO_LARGE = 2.0**53


@dataclass(frozen=True, eq=False)
class Recording:
    """A text recording, sorted by frame, then by id.

    Attributes:
        name: the file's stem.
        frames: (N,) video frame of each observation.
        ids: (N,) pedestrian of each observation.
        positions_m: (N, 2) in metres, world frame.
    """

    name: str
    frames: IntArray
    ids: IntArray
    positions_m: FloatArray

    def __post_init__(self) -> None:
        """Checks the shapes; raises ValueError naming the field."""
        require_shape("Recording", "ids", self.ids, self.frames.shape)
        require_shape("Recording", "positions_m", self.positions_m, (*self.frames.shape, 2))


def load_recording(path: Path | str) -> Recording:
    """Reads a text recording.

    Raises:
        FileNotFoundError: no such file.
        RecordingError: not text, no line, a line that is not four finite numbers, or a frame
            below 0.
    """
    path = Path(path)
    path.stat()  # older versions of numpy do not report a missing file
    try:
        with warnings.catch_warnings():
            # An empty file is refused below, with what is expected.
            warnings.simplefilter("ignore", UserWarning)
            rows = np.loadtxt(path, dtype=np.float64, ndmin=2)
    except UnicodeDecodeError as error:
        raise RecordingError(
            f"{path} is neither text nor a bag: give an ETH/UCY text file, an .mcap or .db3 file, "
            "or a rosbag2 folder"
        ) from error
    except ValueError as error:
        raise RecordingError(
            f"{path}: {error}; every line must hold four numbers: frame id x_m y_m"
        ) from error
    if rows.size == 0 or rows.shape[1] != 4:
        raise RecordingError(
            f"{path}: found an array of shape {rows.shape}, expected lines of four numbers: "
            "frame id x_m y_m"
        )
    _require_valid(path, ~np.isfinite(rows).all(axis=1), "is not finite; remove or correct it")
    too_large = (np.abs(rows[:, :2]) >= _TOO_LARGE).any(axis=1)
    _require_valid(path, too_large, "has a frame or id beyond 2^53; renumber it")
    _require_valid(path, rows[:, 0] < 0, "has a negative frame, expected frames from 0 on")
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    return Recording(
        path.stem, rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), rows[:, 2:]
    )


def _require_valid(path: Path, is_invalid: ArrayLike, reason: str) -> None:
    invalid = np.flatnonzero(is_invalid)
    if len(invalid):
        raise RecordingError(f"{path}: observation {invalid[0] + 1} {reason}")


def text_tracks(
    recording: Recording, frames_per_second: float = FRAMES_PER_SECOND
) -> Iterator[Tracks]:
    """A text recording, frame by frame, at a rate of its frame numbers in 1/s.

    Yields:
        The tracks of one frame, stamped by `frame_stamp_ns`.
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
    return _START_NS + round(frame / frames_per_second * 1e9)
