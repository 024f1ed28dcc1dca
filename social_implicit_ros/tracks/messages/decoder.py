"""Decodes a tracker's messages into `Tracks`, by its mapping."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import compress
from typing import Any

import numpy as np

from social_implicit_ros.tracks.messages.cdr import CdrReader, Fields
from social_implicit_ros.tracks.messages.cdr_layout import Definitions, UnsupportedLayoutError
from social_implicit_ros.tracks.messages.field_path import FieldPath, TrackerSpecError
from social_implicit_ros.tracks.messages.point_cloud import (
    CLOUD_ATTRIBUTES,
    FIELD_ATTRIBUTES,
    Points,
    cloud_of_fields,
)
from social_implicit_ros.tracks.messages.spec import TrackerSpec, check_tracker_spec
from social_implicit_ros.tracks.stamps import NS_PER_S, stamp_ns_of
from social_implicit_ros.types import ROBOT_ID, BoolArray, FloatArray, IntArray, SkipReason, Tracks

ODOMETRY = "nav_msgs/msg/Odometry"
#: Length of a covariance array -> indices of the position's elements in it and in a 3 x 3 matrix.
#: Four numbers are a 2 x 2 matrix, six the upper triangle of a 3 x 3 matrix, 36 the 6 x 6 matrix of
#: a pose.
_COVARIANCE_ELEMENTS = {
    4: ([0, 1, 2, 3], [0, 1, 3, 4]),
    6: ([0, 1, 2, 1, 3, 4, 2, 4, 5], range(9)),
    9: (range(9), range(9)),
    36: ([0, 1, 2, 6, 7, 8, 12, 13, 14], range(9)),
}
#: Larger variances mean "unknown" (spencer_tracking_msgs).
_UNKNOWN_VARIANCE_M2 = 99999.0


@dataclass(frozen=True, eq=False)
class DecodedMessage:
    """Content of a tracker's message.

    Attributes:
        tracks: the pedestrians; None if stamp or frame are given per entry and no entry passes the
            filters.
        frame_id: coordinate frame of the positions.
        skipped: number of skipped entries by reason.
        n_entries: number of entries.
        ignored: number of entries that the mapping skips on purpose, by reason; `skipped` contains
            them, too.
        examples: the most frequent value of skipped entries, by reason; a value skipped on purpose
            only if there are no others.
    """

    tracks: Tracks | None
    frame_id: str
    skipped: Counter[SkipReason]
    n_entries: int = 0
    ignored: Counter[SkipReason] = field(default_factory=Counter)
    examples: dict[SkipReason, str] = field(default_factory=dict)


class TrackerDecoder:
    """Decodes serialised messages of one tracker, several times faster than rclpy does."""

    def __init__(self, spec: TrackerSpec, definitions: Definitions) -> None:
        """Checks the mapping, and compiles the reader.

        Args:
            spec: the tracker's mapping.
            definitions: definitions of the types of its messages.

        Raises:
            TrackerSpecError: as `check_tracker_spec`, or if a type cannot be read.
        """
        check_tracker_spec(spec, definitions)
        self.spec = spec
        in_message, in_list, list_path = [], [], "fields"
        if spec.entries is None:
            in_message, in_list = list(CLOUD_ATTRIBUTES), list(FIELD_ATTRIBUTES)
        else:
            list_path, filters = spec.entries.text, spec.filters
            # Scores, classes and states are read only if a filter needs them.
            optional = [
                spec.covariance,
                spec.score if filters.score_above is not None else None,
                *(path for path, *_ in spec.name_filters),
            ]
            paths = [*spec.id, *spec.position, *spec.velocity, *filter(None, optional)]
            in_list = [path.text for path in paths]
        for path in (spec.stamp, spec.frame):
            in_entry = spec.path_in_entry(path)
            if in_entry is None:
                in_message.append(path.text)
            else:
                in_list.append(in_entry.text)
        try:
            self._reader = CdrReader(
                spec.message_type,
                definitions,
                list_path=list_path,
                chosen=in_message,
                chosen_in_list=in_list,
            )
        except UnsupportedLayoutError as error:
            text = f"tracker {spec.name!r}: its messages cannot be read: {error}"
            raise TrackerSpecError(text) from error

    def decode(self, data: bytes) -> DecodedMessage:
        """Decodes a serialised message of `spec.message_type`.

        Values are not checked; only the filters of the mapping and empty ids remove entries.

        Raises:
            ValueError: the bytes are not such a message, its entries have different frames, or a
                PointCloud2 lacks mapped fields or data.
        """
        message, entries = self._reader.read(data)
        if self.spec.entries is None:
            points = Points(self.spec.name, cloud_of_fields(message, entries))
            return decoded_from(self.spec, message, points)
        return decoded_from(self.spec, message, entries)


def robot_from_odometry(message: Any) -> Tracks:
    """The robot as a track in the frame of the message's header; velocity in the robot's frame.

    If the orientation is not finite, the position is unknown, too: the estimator has diverged.

    Args:
        message: `nav_msgs/Odometry` of rclpy or of `rosbags`.
    """
    position, rotation = message.pose.pose.position, message.pose.pose.orientation
    velocity = message.twist.twist.linear
    is_pose = math.isfinite(rotation.x + rotation.y + rotation.z + rotation.w)
    return Tracks(
        stamp_ns=stamp_ns_of(message.header.stamp),
        ids=(ROBOT_ID,),
        positions_m=np.array([[position.x, position.y]]) if is_pose else np.full((1, 2), np.nan),
        heights_m=np.array([position.z]),
        velocities_m_s=np.array([[velocity.x, velocity.y, velocity.z]]),
    )


def decoded_from(spec: TrackerSpec, message: Fields, entries: Fields | Points) -> DecodedMessage:
    """The tracks of the entries that pass the filters of a mapping.

    Raises:
        ValueError: as of `TrackerDecoder.decode`.
    """
    ids = _ids([entries.values(path.text) for path in spec.id], spec.no_id)
    rows, rest = _passing_rows(spec, ids, entries)

    def header(path: FieldPath, field: str = "") -> list[Any]:
        """The value in the message, or one per entry that passes the filters."""
        in_entry = spec.path_in_entry(path)
        if in_entry is None:
            return message.values(path.text + field)
        values = entries.values(in_entry.text + field)
        return [values[row] for row in rows.tolist()]

    seconds, nanoseconds = header(spec.stamp, ".sec"), header(spec.stamp, ".nanosec")
    stamps_ns = [
        0 if sec is None else sec * NS_PER_S + nanosec
        for sec, nanosec in zip(seconds, nanoseconds, strict=True)
    ]
    spread_ns = round(spec.stamp_spread_s * NS_PER_S)
    if stamps_ns and max(stamps_ns) - min(stamps_ns) > spread_ns:
        is_now = _of_one_time(np.array(stamps_ns), spread_ns)
        if not is_now.all():
            rest.skipped[SkipReason.OTHER_STAMP] = int(np.count_nonzero(~is_now))
        rows, stamps_ns = rows[is_now], list(compress(stamps_ns, is_now.tolist()))
    frames = {str(frame) for frame in header(spec.frame) if frame is not None}
    if not any(sec is not None for sec in seconds) or not frames:
        return rest
    if len(frames) > 1:
        raise ValueError(
            f"one message has entries in {len(frames)} frames, such as "
            f"{' and '.join(map(repr, sorted(frames)[:2]))}: give all entries of a message the "
            "same frame"
        )
    tracks = _tracks(spec, ids, entries, rows, max(stamps_ns))
    return replace(rest, tracks=tracks, frame_id=frames.pop())


def _tracks(
    spec: TrackerSpec, ids: list[str], entries: Fields | Points, rows: IntArray, stamp_ns: int
) -> Tracks:
    """The tracks of these rows of the entries."""
    positions_m = _vectors(entries, spec.position)[rows]
    velocities_m_s = covariances_m2 = None
    if spec.velocity:
        velocities_m_s = _known_velocities(_vectors(entries, spec.velocity)[rows])
    if spec.covariance is not None and spec.entries is not None:  # a point has no arrays
        covariances_m2 = _covariances(entries.values(spec.covariance.text))[rows]
    return Tracks(
        stamp_ns=stamp_ns,
        ids=tuple(ids[row] for row in rows.tolist()),
        positions_m=positions_m[:, :2],
        heights_m=positions_m[:, 2],
        velocities_m_s=velocities_m_s,
        covariances_m2=covariances_m2,
    )


def _of_one_time(stamps_ns: IntArray, spread_ns: int) -> BoolArray:
    """(A,) whether stamps belong to the time of most entries; of equal numbers to the newest.

    Some trackers repeat people whom they have lost with their last stamp. Zeros are not set, and
    belong to any time.
    """
    ordered = np.sort(stamps_ns[stamps_ns != 0])
    n_earlier = np.arange(len(ordered)) - np.searchsorted(ordered, ordered - spread_ns)
    newest_ns = ordered[::-1][n_earlier[::-1].argmax()]
    is_now: BoolArray = (stamps_ns <= newest_ns) & (stamps_ns >= newest_ns - spread_ns)
    return is_now | (stamps_ns == 0)


def _passing_rows(
    spec: TrackerSpec, ids: list[str], entries: Fields | Points
) -> tuple[IntArray, DecodedMessage]:
    """(P,) rows that pass the filters, and a message with the counts of the others."""
    rest = DecodedMessage(None, "", Counter(), len(ids))
    rows = np.arange(len(ids))
    for passes, is_ignored, values, reason in _conditions(spec, ids, entries):
        failing = rows[~passes[rows]]
        if not len(failing):
            continue
        rows = rows[passes[rows]]
        rest.skipped[reason] += len(failing)
        lost = failing[~is_ignored[failing]]
        if len(lost) < len(failing):
            rest.ignored[reason] += len(failing) - len(lost)
        if values is not None:
            seen = Counter(_text(values[row]) for row in (lost if len(lost) else failing).tolist())
            rest.examples[reason] = seen.most_common(1)[0][0]
    return rows, rest


def _conditions(
    spec: TrackerSpec, ids: list[str], entries: Fields | Points
) -> Iterator[tuple[BoolArray, BoolArray, Sequence[Any] | None, SkipReason]]:
    """Per filter: (A,) passes, (A,) is skipped on purpose, (A,) values, reason."""
    filters, none = spec.filters, np.zeros(len(ids), dtype=np.bool_)
    for path, allowed, ignored, reason in spec.name_filters:
        values = entries.values(path.text)
        texts = [_text(value).casefold() for value in values]
        is_ignored = _is_in(texts, ignored)
        yield _is_in(texts, allowed or ("*",)) & ~is_ignored, is_ignored, values, reason
    if filters.score_above is not None and spec.score is not None:
        scores = _as_floats(entries.values(spec.score.text))
        yield scores > filters.score_above, none, scores.tolist(), SkipReason.LOW_SCORE
    # No track may take the id of the robot, which no valid ROS string equals.
    named = np.array([text not in ("", ROBOT_ID) for text in ids], dtype=np.bool_)
    yield named, none, None, SkipReason.EMPTY_ID


def _is_in(texts: Sequence[str], patterns: tuple[str | int, ...]) -> BoolArray:
    # A class may be a number in the message and a string in the file, or vice versa.
    folded = [str(pattern).casefold() for pattern in patterns]
    passes = {text: any(fnmatchcase(text, one) for one in folded) for text in set(texts)}
    return np.array([passes[text] for text in texts], dtype=np.bool_)


def _ids(parts: list[list[Any]], no_id: tuple[str | int, ...]) -> list[str]:
    """The ids of all entries, with parts joined by slashes; empty if a part is in `no_id`."""
    texts = [
        part if all(type(value) is str for value in part) else list(map(_text, part))
        for part in parts
    ]
    joined = texts[0] if len(texts) == 1 else list(map("/".join, zip(*texts, strict=True)))
    if no_id:
        unnamed = {str(value) for value in no_id}
        columns = [[text in unnamed for text in part] for part in texts]
        joined = ["" if any(row) else text for text, *row in zip(joined, *columns, strict=True)]
    return joined


def _text(value: Any) -> str:
    """An id as text: UUIDs (arrays of bytes) in hexadecimal, `7.0` as 7, None and NaN as empty."""
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
    data = np.asarray(value, np.uint8).tobytes()
    return data.hex() if any(data) else ""


def _vectors(entries: Fields | Points, paths: tuple[FieldPath, ...]) -> FloatArray:
    """(A, 3) from a point, an array or a path per coordinate; NaN if absent; a missing z is 0."""
    names = [path.text for path in paths]
    if len(names) == 1:
        if not entries.has(f"{names[0]}.x"):
            return _vectors_of_arrays(entries.values(names[0]))
        names = [f"{names[0]}.{axis}" for axis in "xyz"]
    if len(names) == 3 and not entries.has(names[2]):
        del names[2]
    vectors = np.zeros((len(entries), 3))
    vectors[:, : len(names)] = _as_floats([entries.values(name) for name in names]).T
    return vectors


def _vectors_of_arrays(values: list[Any]) -> FloatArray:
    """(A, 3) from arrays of two numbers or more."""
    vectors = np.full((len(values), 3), np.nan)
    for rows, numbers in _of_one_length(values):
        if numbers.shape[1] > 1:
            vectors[rows] = 0.0
            vectors[rows, : numbers.shape[1]] = numbers[:, :3]
    return vectors


def _as_floats(values: list[Any]) -> FloatArray:
    """Numbers or rows of numbers as float64; NaN for None."""
    # numpy warns when it converts a float32 that is a signalling NaN.
    with np.errstate(invalid="ignore"):
        return np.array(values, dtype=np.float64)


def _known_velocities(velocities: FloatArray) -> FloatArray:
    # A velocity of exact zeros is unknown: trackers that do not estimate it leave it unset.
    with np.errstate(invalid="ignore"):  # numpy warns of signalling NaNs
        unknown = ~velocities.any(axis=1)
    velocities[unknown] = np.nan
    return velocities


def _covariances(values: list[Any]) -> FloatArray:
    """(A, 3, 3) from arrays of 4, 6, 9 or 36 numbers; NaN where unknown."""
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


def _of_one_length(values: list[Any]) -> Iterator[tuple[IntArray, FloatArray]]:
    """Groups of rows whose arrays have the same length, with their numbers; without empty ones."""
    lengths = np.array([len(v) if hasattr(v, "__len__") else 0 for v in values], dtype=np.int64)
    for length in set(lengths.tolist()) - {0}:
        rows = np.flatnonzero(lengths == length)
        yield rows, _as_floats([values[row] for row in rows.tolist()])
