"""Loads recordings that are not bags: ETH/UCY text, CSV, TrajNet++ and NumPy arrays.

A line of ETH/UCY text is `frame  pedestrian_id  x_m  y_m`, separated by white space.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.text_formats.columns import ColumnsError, read_columns
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, IntArray, Tracks, require_shape

#: Frames per second of the ETH/UCY videos: 10 frames are a step of 0.4 s.
FRAMES_PER_SECOND = 25.0
_ETH_UCY_STEP = 10
#: Median speed above which positions are probably not in metres, m/s.
_SPRINT_M_S = 5.0
#: Speed of the fastest person below which positions are probably not in metres, m/s.
_STANDING_M_S = 0.05

#: Stamp of frame 0, nanoseconds: in ROS a stamp of 0 means "no time".
_START_NS = NS_PER_S
#: Year 2000: earlier times are relative to a start, or of a clock that is not set, nanoseconds.
CLOCK_SET_NS = 946_684_800 * NS_PER_S
#: Double precision does not represent all integers above.
_TOO_LARGE = 2.0**53
#: Latest time, seconds: in the year 2200.
_LONGEST_S = 7_258_118_400.0
_TOO_LATE = "is later than the year 2200: name another unit in the header, such as t_ms or t_ns"


@dataclass(frozen=True)
class TextFormat:
    """How to read a recording that is not a bag.

    Attributes:
        frames_per_second: None uses the rate in the file, or `FRAMES_PER_SECOND` if it has none.
        is_in_seconds: whether the column of frames contains seconds.
        columns: columns of frame or time, id, x and y, by name or number; empty finds them.
    """

    frames_per_second: float | None = None
    is_in_seconds: bool = False
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks rate and columns; raises RecordingError naming the option."""
        rate_hz = self.frames_per_second
        if rate_hz is not None and not _is_rate(rate_hz):
            raise RecordingError(f"frames per second is {rate_hz}, expected 0.001 to 100000")
        if rate_hz is not None and self.is_in_seconds:
            raise RecordingError("give --seconds or --frames-per-second: seconds have no rate")
        if len(self.columns) not in (0, 4):
            raise RecordingError(
                f"--columns has {len(self.columns)} names, expected four: of frame or time, id, x "
                "and y"
            )


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording that is not a bag, sorted by frame, then by id.

    Attributes:
        name: name of the file without suffix.
        frames: (N,) frame of each observation; nanoseconds if the file has times.
        ids: (N,) pedestrian of each observation.
        positions_m: (N, 2) positions in metres, world frame.
        frames_per_second: rate of the frames, 1/s.
        labels: the original id for each of `ids`, if the file has strings as ids; else None.
        assumes_rate: whether the rate is assumed, as neither the file nor an option gives it.
        remarks: remarks on how the file is read.
    """

    name: str
    frames: IntArray
    ids: IntArray
    positions_m: FloatArray
    frames_per_second: float = FRAMES_PER_SECOND
    labels: tuple[str, ...] | None = None
    assumes_rate: bool = False
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_shape("Recording", "ids", self.ids, self.frames.shape)
        require_shape("Recording", "positions_m", self.positions_m, (*self.frames.shape, 2))

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks, and notes on units that may be wrong, as not every file names them."""
        rows = np.lexsort((self.frames, self.ids))
        frames, positions_m = self.frames[rows], self.positions_m[rows]
        notes = list(self.remarks)
        step, speed_m_s = _typical_step(frames, self.ids[rows], positions_m)
        if step is None:
            return tuple(notes)
        speed_m_s *= self.frames_per_second
        fastest_m_s = _fastest(frames, self.ids[rows], positions_m) * self.frames_per_second
        # Who walks to and fro for minutes has a small extent for the duration, but moves.
        if max(fastest_m_s, speed_m_s) < _STANDING_M_S:
            notes.append(
                f"nobody moves faster than {fastest_m_s:.2g} m/s: if people walk there, positions "
                "are not in metres, or times not in seconds or the unit in the header"
            )
        if speed_m_s > _SPRINT_M_S:
            notes.append(
                f"people move at {speed_m_s:.0f} m/s (median): positions must be in metres, or "
                f"name their unit in the header, such as x_cm{self._hint_at_swap()}"
            )
        if self.assumes_rate and step != _ETH_UCY_STEP:
            notes.append(
                f"{FRAMES_PER_SECOND:g} frames per second are assumed, at which people move at "
                f"{speed_m_s:.2g} m/s (median): if that is wrong, give --frames-per-second"
            )
        return tuple(notes)

    def _hint_at_swap(self) -> str:
        """A hint if people walk when frames are taken for ids; else empty."""
        if not self.assumes_rate or self.labels is not None:
            return ""
        rows = np.lexsort((self.ids, self.frames))
        step, speed = _typical_step(self.ids[rows], self.frames[rows], self.positions_m[rows])
        if step is None or speed * self.frames_per_second > _SPRINT_M_S:
            return ""
        return ". If the first column has ids and the second frames, give --columns 2,1,3,4"


def _typical_step(
    frames: IntArray, ids: IntArray, positions_m: FloatArray
) -> tuple[float | None, float]:
    """Medians of frames between two observations of a person, and of metres per frame.

    Rows are in the order of ids, then frames. None and 0 without such observations.
    """
    steps = np.diff(frames)
    is_same = (np.diff(ids) == 0) & (steps > 0)
    if not is_same.any():
        return None, 0.0
    distances_m = np.linalg.norm(np.diff(positions_m, axis=0)[is_same], axis=1)
    return float(np.median(steps[is_same])), float(np.median(distances_m / steps[is_same]))


def _fastest(frames: IntArray, ids: IntArray, positions_m: FloatArray) -> float:
    """Largest extent of a track by its duration, metres per frame; rows as of `_typical_step`."""
    first_rows = np.unique(ids, return_index=True)[1]
    low, high = (extreme.reduceat(positions_m, first_rows) for extreme in (np.minimum, np.maximum))
    durations = np.diff([*first_rows, len(ids)])
    durations = frames[first_rows + durations - 1] - frames[first_rows]
    lasts = durations > 0
    return float((np.linalg.norm(high - low, axis=1)[lasts] / durations[lasts]).max())


def _is_rate(rate_hz: float) -> bool:
    return 1e-3 <= rate_hz <= 1e5


def load_recording(path: Path | str, text: TextFormat = TextFormat()) -> Recording:
    """Reads a recording that is not a bag; raises RecordingError if it cannot be read."""
    path = Path(path)
    path.stat()
    try:
        columns = read_columns(path, text.columns)
    except ColumnsError as error:
        raise RecordingError(f"{path} {error}") from error
    times, positions_m = columns.times, columns.positions_m
    if len(times) == 0:
        raise RecordingError(f"{path} has no observation")
    is_finite = np.isfinite(times) & np.isfinite(positions_m).all(axis=1)
    labels, ids = None, columns.ids
    if ids.dtype.kind == "U":
        found, ids = np.unique(ids, return_inverse=True)
        labels = tuple(map(str, found.tolist()))
    is_finite &= np.isfinite(ids)
    require = partial(_require_valid, path, columns.lines)
    require(~is_finite, "is not finite; remove or correct it")
    too_large = (np.abs(times) >= _TOO_LARGE) & (not columns.is_time) | (np.abs(ids) >= _TOO_LARGE)
    require(too_large, "has a frame or id beyond 2^53; renumber it")
    require(times < 0, "has a negative frame, expected frames from 0 on")
    require(ids != np.floor(ids), "has an id that is not an integer")
    known_hz = text.frames_per_second or columns.per_second
    if known_hz is not None and not columns.is_time and not _is_rate(known_hz):
        raise RecordingError(
            f"{path} says {known_hz:g} frames per second: give --frames-per-second, 0.001 to 100000"
        )
    rate_hz = known_hz or FRAMES_PER_SECOND
    if columns.is_time or text.is_in_seconds:
        unit_hz = columns.per_second if columns.is_time and columns.per_second else 1.0
        if text.frames_per_second or (unit_hz != 1.0 and text.is_in_seconds):
            option = "--seconds" if text.is_in_seconds else "--frames-per-second"
            raise RecordingError(
                f"{path} has times, {unit_hz:g} in a second by its header: leave {option} out"
            )
        require(times / unit_hz >= _LONGEST_S, _TOO_LATE)
        frames, rate_hz = np.rint(times * (NS_PER_S / unit_hz)), float(NS_PER_S)
    else:
        why = "has a frame that is not an integer: if the file has seconds, give --seconds"
        require(times != np.floor(times), why)
        require(times / rate_hz >= _LONGEST_S, f"{_TOO_LATE}, or --frames-per-second")
        frames = times
    rows = np.lexsort((ids, frames))
    frames, ids = frames[rows].astype(np.int64), ids[rows].astype(np.int64)
    assumes_rate = known_hz is None and not text.is_in_seconds
    return Recording(
        *(path.stem, frames, ids, positions_m[rows], rate_hz, labels, assumes_rate, columns.notes)
    )


def _require_valid(path: Path, lines: IntArray | None, is_invalid: ArrayLike, reason: str) -> None:
    invalid = np.flatnonzero(is_invalid)
    if len(invalid):
        where = f"observation {invalid[0] + 1}" if lines is None else f"line {lines[invalid[0]]}"
        raise RecordingError(f"{path}: {where} {reason}")


def text_tracks(recording: Recording) -> Iterator[Tracks]:
    """The tracks of a recording, frame by frame, with stamps of `frame_stamp_ns`."""
    frames, first_rows = np.unique(recording.frames, return_index=True)
    ends = [*first_rows[1:].tolist(), len(recording.frames)]
    labels = recording.labels
    for frame, first, end in zip(frames.tolist(), first_rows.tolist(), ends, strict=True):
        ids = recording.ids[first:end].tolist()
        yield Tracks(
            stamp_ns=frame_stamp_ns(frame, recording.frames_per_second),
            ids=tuple(str(agent) if labels is None else labels[agent] for agent in ids),
            positions_m=recording.positions_m[first:end],
        )


def frame_stamp_ns(frame: int, frames_per_second: float) -> int:
    """The stamp of a frame, integer nanoseconds; times since 1970 are kept as stamps."""
    since_ns = frame
    if frames_per_second != NS_PER_S:
        since_ns = round(frame / frames_per_second * 1e9)
    return since_ns if since_ns >= CLOCK_SET_NS else _START_NS + since_ns
