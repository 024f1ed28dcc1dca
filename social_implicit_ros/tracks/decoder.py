"""A tracker's message -> `Tracks`, by its description.

Reads attributes only, so it takes what rclpy delivers as well as what `rosbags` reads from a file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

import numpy as np

from social_implicit_ros.tracks.agent_ids import ROBOT_ID
from social_implicit_ros.tracks.cdr import CdrReader, Definitions, UnsupportedLayoutError
from social_implicit_ros.tracks.cdr_columns import Columns
from social_implicit_ros.tracks.point_cloud import point_cloud_array, stamp_ns_of
from social_implicit_ros.tracks.spec import FieldPath, TrackerFilters, TrackerSpec
from social_implicit_ros.types import BoolArray, FloatArray, IntArray, SkipReason, Tracks

#: Length of a covariance array -> which of its elements make up the 3 x 3 of the position. Four
#: numbers are a 2 x 2, six the upper triangle of a 3 x 3, 36 the 6 x 6 of pose and rotation.
_COVARIANCE_ELEMENTS = {
    4: ([0, 1, 2, 3], [0, 1, 3, 4]),
    6: ([0, 1, 2, 1, 3, 4, 2, 4, 5], range(9)),
    9: (range(9), range(9)),
    36: ([0, 1, 2, 6, 7, 8, 12, 13, 14], range(9)),
}
#: Trackers write variances above this for "not known" (spencer_tracking_msgs).
_UNKNOWN_VARIANCE_M2 = 99999.0


@dataclass(frozen=True, eq=False)
class DecodedMessage:
    """What a tracker's message says.

    Attributes:
        tracks: the pedestrians; None where the message holds no entry that tells its time.
        frame_id: the coordinate frame of the positions.
        skipped: how many entries were left out, by reason.
    """

    tracks: Tracks | None
    frame_id: str
    skipped: Counter[SkipReason]


class TrackerDecoder:
    """Decodes the messages of one tracker."""

    def __init__(self, spec: TrackerSpec) -> None:
        self.spec = spec

    def decode(self, message: Any) -> DecodedMessage:
        """Decodes a message of `spec.message_type`.

        Ids, positions and so on pass through unjudged; only the filters of the description, and
        empty ids, take entries out.

        Raises:
            ValueError: entries of different times or frames, or a PointCloud2 without the
                described fields or shorter than it says.
        """
        spec = self.spec
        if spec.entries is None:
            entries: Sequence[Any] = ()
            columns = _cloud_columns(spec, message)
        else:
            entries = spec.entries.read(message)
            columns = _columns(spec, _EntryFields(entries))
        rows, skipped = _counting_rows(spec.filters, columns)
        counting = [entries[row] for row in rows] if len(entries) else []
        stamps_ns = {stamp_ns_of(stamp) for stamp in _headers(spec, spec.stamp, message, counting)}
        frames = {str(frame) for frame in _headers(spec, spec.frame, message, counting)}
        return _decoded(columns, rows, skipped, stamps_ns, frames)


class RawTrackerDecoder:
    """Decodes the messages of one tracker from their bytes, several times faster."""

    def __init__(self, spec: TrackerSpec, definitions: Definitions) -> None:
        """Prepares.

        Args:
            spec: the tracker's description.
            definitions: of the types of its messages.

        Raises:
            UnsupportedLayoutError: `TrackerDecoder` must do, for example for a PointCloud2.
        """
        if spec.entries is None:
            raise UnsupportedLayoutError(f"{spec.message_type} is no list of messages")
        filters = spec.filters
        # What no filter asks for is not read.
        spec = self._spec = replace(
            spec,
            score=None if filters.score_above is None else spec.score,
            class_=spec.class_ if filters.class_in else None,
            state=spec.state if filters.state_in else None,
        )
        self._stamp = _Header.at(spec, spec.stamp, ".sec", ".nanosec")
        self._frame = _Header.at(spec, spec.frame, "")
        headers = (self._stamp, self._frame)
        optional = filter(None, (spec.covariance, spec.score, spec.class_, spec.state))
        in_list = [path.text for path in (*spec.id, *spec.position, *spec.velocity, *optional)]
        self._reader = CdrReader(
            spec.message_type,
            definitions,
            list_path=str(spec.entries),
            chosen=[header.path for header in headers if not header.in_entry],
            chosen_in_list=[*in_list, *(header.path for header in headers if header.in_entry)],
        )
        self._last_ids = _LastIds()
        self._coordinates = {
            paths[0].text: _coordinates(paths, self._reader.names_in_list)
            for paths in (spec.position, spec.velocity)
            if paths
        }

    def decode(self, data: bytes) -> DecodedMessage:
        """Decodes a serialised message of the described type, as `TrackerDecoder.decode`.

        Raises:
            ValueError: no such message, or entries of different times or frames.
        """
        message, entries = self._reader.read(data)
        columns = _columns(self._spec, _RawFields(entries, self._last_ids, self._coordinates))
        counting, skipped = _counting_rows(self._spec.filters, columns)
        stamps = self._stamp.read(message, entries, counting)
        return _decoded(
            columns,
            counting,
            skipped,
            {seconds * 1_000_000_000 + rest for seconds, rest in stamps},
            {frame for (frame,) in self._frame.read(message, entries, counting)},
        )


class _Header(NamedTuple):
    """Where the stamp or the frame stands in bytes: in the message, or in every entry of it."""

    path: str
    in_entry: bool
    names: tuple[str, ...]

    @classmethod
    def at(cls, spec: TrackerSpec, path: FieldPath, *fields: str) -> _Header:
        within = spec.path_in_entry(path)
        text = path.text if within is None else within.text
        return cls(text, within is not None, tuple(text + name for name in fields))

    def read(self, message: Mapping[str, Any], entries: Columns, rows: IntArray) -> set[Any]:
        """All that there are in the message, or in some rows of its entries."""
        if not self.in_entry:
            return {tuple([message[name] for name in self.names])}
        of_entries = list(zip(*map(entries.values, self.names), strict=True))
        return {of_entries[row] for row in rows.tolist()}


def _coordinates(paths: tuple[FieldPath, ...], names: Sequence[str]) -> tuple[str, ...]:
    """The names of a vector's values: of a point, an array, or one path per coordinate."""
    if len(paths) > 1 or paths[0].text in names:
        return tuple(path.text for path in paths)
    points = (paths[0].text + axis for axis in (".x", ".y", ".z"))
    return tuple(name for name in points if name in names)


def _decoded(
    columns: _Columns,
    rows: IntArray,
    skipped: Counter[SkipReason],
    stamps_ns: set[int],
    frames: set[str],
) -> DecodedMessage:
    """Entries that count, with the stamps and frames that they have."""
    if not stamps_ns or not frames:
        return DecodedMessage(None, "", skipped)
    if len(stamps_ns) > 1 or len(frames) > 1:
        raise ValueError(
            f"one message holds entries of {len(stamps_ns)} stamps and {len(frames)} frames; "
            "give all entries of a message the same header"
        )
    return DecodedMessage(_tracks(columns, rows, stamps_ns.pop()), frames.pop(), skipped)


@dataclass(frozen=True, eq=False)
class _Columns:
    """The described fields of all entries, one row an entry."""

    ids: Sequence[str]
    positions: FloatArray  # (A, 3)
    velocities: FloatArray | None  # (A, 3)
    covariances: FloatArray | None  # (A, 3, 3)
    scores: FloatArray | None
    classes: Sequence[Any] | None
    states: Sequence[Any] | None


def _headers(spec: TrackerSpec, path: FieldPath, message: Any, counting: list[Any]) -> list[Any]:
    """Frame or stamp of the message, or of every entry that counts where it stands in these."""
    in_entry = spec.path_in_entry(path)
    if in_entry is None:
        return [path.read(message)]
    return list(map(_getter(in_entry), counting))


def _counting_rows(
    filters: TrackerFilters, columns: _Columns
) -> tuple[IntArray, Counter[SkipReason]]:
    """Which entries pass the filters, and how many do not, by reason."""
    conditions: list[tuple[BoolArray, SkipReason]] = []
    if filters.class_in and columns.classes is not None:
        conditions.append((_is_in(columns.classes, filters.class_in), SkipReason.OTHER_CLASS))
    if filters.state_in and columns.states is not None:
        conditions.append((_is_in(columns.states, filters.state_in), SkipReason.OTHER_STATE))
    if filters.score_above is not None and columns.scores is not None:
        conditions.append((columns.scores > filters.score_above, SkipReason.LOW_SCORE))
    # Nobody may pass for the robot, whose id no text of a message can be by the rules of IDL.
    if "" in columns.ids or ROBOT_ID in columns.ids:
        named = [text not in ("", ROBOT_ID) for text in columns.ids]
        conditions.append((np.array(named, dtype=np.bool_), SkipReason.EMPTY_ID))
    skipped: Counter[SkipReason] = Counter()
    rows = np.arange(len(columns.ids))
    for passes, reason in conditions:
        passing = rows[passes[rows]]
        if len(passing) < len(rows):
            skipped[reason] += len(rows) - len(passing)
            rows = passing
    return rows, skipped


def _tracks(columns: _Columns, counting: IntArray, stamp_ns: int) -> Tracks:
    rows: IntArray | slice = counting
    ids = columns.ids
    if len(counting) == len(ids):
        rows = slice(None)  # all of them: nothing needs a copy
    else:
        ids = [ids[row] for row in counting]
    return Tracks(
        stamp_ns=stamp_ns,
        ids=tuple(ids),
        positions_m=columns.positions[rows, :2],
        heights_m=columns.positions[rows, 2],
        velocities_m_s=None if columns.velocities is None else columns.velocities[rows],
        covariances_m2=None if columns.covariances is None else columns.covariances[rows],
    )


def _is_in(values: Sequence[Any], allowed: tuple[str | int, ...]) -> BoolArray:
    # A class may be a number in the message and a text in the file, or the reverse.
    texts = {str(value) for value in allowed}
    return np.array([_text(value) in texts for value in values], dtype=np.bool_)


class _Fields(Protocol):
    """The entries of a message, field by field."""

    def ids(self, paths: tuple[FieldPath, ...]) -> Sequence[str]:
        """The ids, of one part or several."""

    def values(self, path: FieldPath) -> list[Any]:
        """What each entry holds there."""

    def arrays(self, path: FieldPath) -> list[Any] | FloatArray:
        """The numbers of an array in each entry: (A, C) where all are as long."""

    def vectors(self, paths: tuple[FieldPath, ...]) -> FloatArray:
        """(A, 3) of a point, an array, or one path per coordinate; missing z is zero."""


class _EntryFields:
    """Of messages with attributes."""

    def __init__(self, entries: Sequence[Any]) -> None:
        self._entries = entries

    def ids(self, paths: tuple[FieldPath, ...]) -> list[str]:
        return _ids([self.values(path) for path in paths], len(self._entries))

    def values(self, path: FieldPath) -> list[Any]:
        return list(map(_getter(path), self._entries))

    def arrays(self, path: FieldPath) -> list[Any]:
        return self.values(path)

    def vectors(self, paths: tuple[FieldPath, ...]) -> FloatArray:
        if len(paths) > 1:
            return _padded(list(zip(*map(self.values, paths), strict=True)))
        points = self.values(paths[0])
        if not points or not hasattr(points[0], "x"):
            return _padded(points)
        has_z = hasattr(points[0], "z")
        rows = [(point.x, point.y, point.z if has_z else 0.0) for point in points]
        return np.array(rows, dtype=np.float64)


class _LastIds:
    """The ids of the last message: most name the same people as the one before."""

    def __init__(self) -> None:
        self._content: list[object] = []
        self._ids: tuple[str, ...] = ()

    def of(self, entries: Columns, paths: tuple[FieldPath, ...]) -> tuple[str, ...]:
        """The ids of some entries; the same tuple for the same ids."""
        content = [entries.content(path.text) for path in paths]
        if content != self._content:
            parts = [entries.values(path.text) for path in paths]
            self._content, self._ids = content, tuple(_ids(parts, len(entries)))
        return self._ids


class _RawFields:
    """Of entries that a `CdrReader` read."""

    def __init__(
        self, entries: Columns, last_ids: _LastIds, coordinates: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._entries, self._last_ids, self._coordinates = entries, last_ids, coordinates

    def ids(self, paths: tuple[FieldPath, ...]) -> tuple[str, ...]:
        return self._last_ids.of(self._entries, paths)

    def values(self, path: FieldPath) -> list[Any]:
        return self._entries.values(path.text)

    def arrays(self, path: FieldPath) -> list[Any] | FloatArray:
        floats = self._entries.floats(path.text)
        return self.values(path) if floats is None else floats

    def vectors(self, paths: tuple[FieldPath, ...]) -> FloatArray:
        names = self._coordinates[paths[0].text]
        floats = self._entries.floats(*names)
        if floats is not None:
            return _padded(floats)
        columns = [self._entries.values(name) for name in names]
        is_array = names == (paths[0].text,)
        return _padded(columns[0] if is_array else list(zip(*columns, strict=True)))


def _columns(spec: TrackerSpec, fields: _Fields) -> _Columns:
    def values(path: FieldPath | None) -> list[Any] | None:
        return None if path is None else fields.values(path)

    scores = values(spec.score)
    return _Columns(
        ids=fields.ids(spec.id),
        positions=fields.vectors(spec.position),
        velocities=_known_velocities(fields.vectors(spec.velocity)) if spec.velocity else None,
        covariances=None
        if spec.covariance is None
        else _covariances(fields.arrays(spec.covariance)),
        scores=None if scores is None else np.array([np.nan if s is None else s for s in scores]),
        classes=values(spec.class_),
        states=values(spec.state),
    )


def _cloud_columns(spec: TrackerSpec, message: Any) -> _Columns:
    points = point_cloud_array(message)
    names = points.dtype.names or ()

    def column(path: FieldPath) -> np.ndarray:
        if str(path) not in names:
            raise ValueError(
                f"PointCloud2 has no field {path} (it has {', '.join(names) or 'none'}), which "
                f"tracker {spec.name!r} needs"
            )
        return points[str(path)]

    def vector(paths: tuple[FieldPath, ...]) -> FloatArray:
        values = np.zeros((len(points), 3))
        for axis, path in enumerate(paths):
            if axis < 2 or str(path) in names:  # z may be missing
                values[:, axis] = column(path)
        return values

    return _Columns(
        ids=_ids([column(path).tolist() for path in spec.id], len(points)),
        positions=vector(spec.position),
        velocities=_known_velocities(vector(spec.velocity)) if spec.velocity else None,
        covariances=None,
        scores=column(spec.score).astype(np.float64) if spec.score else None,
        classes=column(spec.class_).tolist() if spec.class_ else None,
        states=column(spec.state).tolist() if spec.state else None,
    )


def _getter(path: FieldPath) -> Callable[[Any], Any]:
    if all(at is None for _, at in path.steps):
        return attrgetter(str(path))  # several times faster than a loop in Python
    return path.read


def _ids(parts: list[list[Any]], n_entries: int) -> list[str]:
    texts = [
        part if all(type(value) is str for value in part) else list(map(_text, part))
        for part in parts
    ]
    if len(texts) == 1:
        return texts[0]
    return ["/".join(part[row] for part in texts) for row in range(n_entries)]


def _text(value: Any) -> str:
    """An id as text: arrays of bytes (uuids) in hexadecimal, `7.0` as 7, none as empty."""
    if isinstance(value, (str, int)):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() else repr(value)
    if np.ndim(value) == 0:
        return str(value)
    data = bytes(value) if isinstance(value, tuple) else np.asarray(value, np.uint8).tobytes()
    return data.hex() if any(data) else ""


def _padded(vectors: Sequence[Sequence[float]] | FloatArray) -> FloatArray:
    """(A, 3) of vectors of two numbers or more; missing z is zero."""
    if len(vectors) == 0:
        return np.zeros((0, 3))
    values = np.asarray(vectors, dtype=np.float64)[:, :3]
    if values.shape[1] == 3:
        return values
    padded = np.zeros((len(values), 3))
    padded[:, : values.shape[1]] = values
    return padded


def _known_velocities(velocities: FloatArray) -> FloatArray:
    # Trackers that do not estimate a velocity leave the field at zero.
    with np.errstate(invalid="ignore"):  # numbers that are none are turned away later
        unknown = ~velocities.any(axis=1)
    velocities[unknown] = np.nan
    return velocities


def _covariances(values: list[Any] | FloatArray) -> FloatArray:
    covariances = np.full((len(values), 9), np.nan)
    for rows, numbers in _of_one_length(values):
        elements = _COVARIANCE_ELEMENTS.get(numbers.shape[1])
        if elements is None:
            continue
        source, target = elements
        if numbers.shape[1] == 4:
            covariances[rows] = 0.0
        covariances[rows[:, None], list(target)] = numbers[:, list(source)]
    variances = covariances[:, [0, 4]]
    unknown = ~((variances > 0) & (variances <= _UNKNOWN_VARIANCE_M2)).all(axis=1)
    covariances[unknown] = np.nan
    return covariances.reshape(-1, 3, 3)


def _of_one_length(values: list[Any] | FloatArray) -> Iterator[tuple[IntArray, FloatArray]]:
    """Rows whose arrays are as long, and their numbers."""
    if isinstance(values, np.ndarray):
        yield np.arange(len(values)), values
        return
    lengths = np.array([0 if value is None else len(value) for value in values])
    for length in set(lengths.tolist()) - {0}:
        rows = np.flatnonzero(lengths == length)
        yield rows, np.array([values[row] for row in rows], dtype=np.float64)
