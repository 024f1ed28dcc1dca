"""The tracks of a recording as the node would receive them: any tracker, in the fixed frame.

Reads rosbag2 (sqlite3, MCAP; split, compressed) through `rosbags`, and ETH/UCY text. Streams.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection

from social_implicit_ros.recordings.bag import RecordingError, opened_bag
from social_implicit_ros.recordings.definitions import definitions_of, ensure_definition
from social_implicit_ros.recordings.text import (
    FRAMES_PER_SECOND,
    frame_stamp_ns,
    load_recording,
    text_tracks,
)
from social_implicit_ros.recordings.truncated import is_bag_file, truncation_note
from social_implicit_ros.tracks.agent_ids import ROBOT_ID
from social_implicit_ros.tracks.cdr import UnsupportedLayoutError
from social_implicit_ros.tracks.decoder import (
    DecodedMessage,
    RawTrackerDecoder,
    TrackerDecoder,
)
from social_implicit_ros.tracks.point_cloud import point_cloud_array
from social_implicit_ros.tracks.spec import (
    POINT_CLOUD,
    TrackerSpec,
    find_tracker_spec,
    load_tracker_spec,
    shipped_trackers,
)
from social_implicit_ros.tracks.stamps import stamp_ns_of
from social_implicit_ros.tracks.transforms import (
    TransformBuffer,
    TransformUnavailableError,
    transform_tracks,
)
from social_implicit_ros.types import SkipReason, Tracks

TF_MESSAGE = "tf2_msgs/msg/TFMessage"
ODOMETRY = "nav_msgs/msg/Odometry"
#: Types that many things besides trackers publish: another type is preferred where there is one.
GENERIC_TYPES = (POINT_CLOUD, "visualization_msgs/msg/MarkerArray")
#: The frame in which robots are predicted (the node's default), where the recording has it.
PREFERRED_FRAME = "odom"
#: Recorded so long before or after they were stamped, messages were stamped by another clock.
_OTHER_CLOCK_S = 10.0
#: So much earlier than a part of a recording its transforms are read.
_HEAD_START_NS = 1_000_000_000
#: As many moving transforms are read to learn how frames hang together.
_TRANSFORMS_TO_LEARN = 500


#: Serialised message -> what it says.
_Decode = Callable[[bytes], DecodedMessage]


@dataclass(frozen=True, eq=False)
class Arrival:
    """One message of the tracks' topic, when the node could have used it.

    Attributes:
        received_ns: on the recording's clock, integer nanoseconds.
        tracks: in the fixed frame; None where the message could not be used.
        skipped: entries left out, by reason.
        is_robot: the tracks are the robot's own position, of another topic.
    """

    received_ns: int
    tracks: Tracks | None
    skipped: Counter[SkipReason]
    is_robot: bool = False


@dataclass(frozen=True)
class RobotSource:
    """Where a recording tells of the robot's own position.

    Attributes:
        topic: of nav_msgs/Odometry; empty where its transforms tell.
        frame_id: the robot's frame, where its transforms tell.
    """

    topic: str = ""
    frame_id: str = ""


@dataclass(frozen=True)
class TrackSource:
    """A recording that was opened once and found usable.

    Attributes:
        path: of the file, or of the rosbag2 folder.
        topic: of the tracks; empty for text.
        tracker: the description of its messages; None for text.
        frame_id: frame in which the tracks were recorded; empty for text.
        fixed_frame: frame into which they are moved.
        start_ns, end_ns: when the first and last message were recorded, integer nanoseconds.
        n_messages: on the topic; of a part about so many.
        uses_stamps_as_clock: header stamps tell when a message was received, as the recording's
            own times are of another clock.
        notes: what a reader of the results should know.
        problem: what is missing in it, because a file is cut off.
        robot: where the robot's own position stands; None without it.
        is_part: only what lies between start and end is read.
        frames_per_second: the video rate of a text recording.
    """

    path: Path
    topic: str
    tracker: TrackerSpec | None
    frame_id: str
    fixed_frame: str
    start_ns: int
    end_ns: int
    n_messages: int
    uses_stamps_as_clock: bool = False
    notes: tuple[str, ...] = ()
    problem: str | None = None
    robot: RobotSource | None = None
    is_part: bool = False
    frames_per_second: float = FRAMES_PER_SECOND

    @property
    def message_type(self) -> str:
        """ROS type of the messages; empty for text."""
        return self.tracker.message_type if self.tracker else ""

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last message."""
        return (self.end_ns - self.start_ns) * 1e-9

    @property
    def period_s(self) -> float:
        """Mean seconds between two messages."""
        return self.duration_s / max(self.n_messages - 1, 1)

    def part(self, start_s: float, duration_s: float | None) -> TrackSource:
        """A part of the recording.

        Args:
            start_s: seconds to skip at the beginning.
            duration_s: seconds to keep from there; None keeps all.

        Raises:
            RecordingError: the recording ends before.
        """
        if start_s == 0 and duration_s is None:
            return self
        if start_s >= self.duration_s > 0:
            raise RecordingError(
                f"{self.path} holds nothing from {start_s:g} s on; "
                f"it is {self.duration_s:.1f} s long"
            )
        start_ns = self.start_ns + round(start_s * 1e9)
        end_ns = self.end_ns
        if duration_s is not None:
            end_ns = min(end_ns, start_ns + round(duration_s * 1e9))
        share = (end_ns - start_ns) / max(self.end_ns - self.start_ns, 1)
        n_messages = round(share * max(self.n_messages - 1, 0)) + 1
        return replace(self, start_ns=start_ns, end_ns=end_ns, n_messages=n_messages, is_part=True)

    def why_empty(self, start_s: float, duration_s: float | None) -> str:
        """What to say of a part of this recording in which there is no message.

        Args:
            start_s: seconds skipped at the beginning.
            duration_s: seconds kept from there; None for all.
        """
        if duration_s is None:
            what = f"from {start_s:g} s on"
        else:
            what = f"from {start_s:g} to {start_s + duration_s:g} s"
        text = f"{self.path} holds nothing {what}; it is {self.duration_s:.1f} s long"
        rest = replace(self.part(start_s, None), fixed_frame=self.frame_id, robot=None)
        later = next((a for a in rest.arrivals(transform_wait_s=0.0) if a.tracks is not None), None)
        # Stamps of another clock do not tell where it is in the recording.
        if later is None or self.uses_stamps_as_clock:
            return text
        at_s = (later.received_ns - self.start_ns) * 1e-9
        return f"{text} and has a gap there: it goes on at {at_s:.1f} s"

    def arrivals(self, *, transform_wait_s: float) -> Iterator[Arrival]:
        """Streams the messages in the order in which they can be used.

        Args:
            transform_wait_s: how long a message may wait for its transform.

        Raises:
            RecordingError: the recording turns out to be damaged.
        """
        if self.tracker is None:
            for tracks in text_tracks(load_recording(self.path), self.frames_per_second):
                if self.start_ns <= tracks.stamp_ns <= self.end_ns:
                    yield Arrival(tracks.stamp_ns, tracks, Counter())
            return
        with opened_bag(self.path) as reader:
            ensure_definition(reader, self.path, self.tracker.message_type)
            yield from _BagArrivals(self, self.tracker, reader, transform_wait_s)

    def tracks(self, *, start_s: float = 0.0, duration_s: float | None = None) -> Iterator[Tracks]:
        """Streams the tracks as they were recorded, in their own frame; may be called again.

        Args:
            start_s: seconds to skip at the beginning.
            duration_s: seconds to read from there; None reads to the end.

        Raises:
            RecordingError: the recording ends before, or turns out to be damaged.
        """
        recorded = replace(self, fixed_frame=self.frame_id).part(start_s, duration_s)
        arrivals = recorded.arrivals(transform_wait_s=0.0)
        return (arrival.tracks for arrival in arrivals if arrival.tracks is not None)


def open_source(
    path: Path,
    *,
    topic: str | None = None,
    tracker: str | None = None,
    fixed_frame: str | None = None,
    frames_per_second: float = FRAMES_PER_SECOND,
    robot: str = "none",
    robot_frame: str = "base_link",
    odometry: str | None = None,
) -> TrackSource:
    """Opens a recording and finds out how to read it.

    Args:
        path: a rosbag2 folder, an `.mcap` or `.db3` file, or ETH/UCY text.
        topic: of the tracks; may be left out where only one topic can be meant.
        tracker: a shipped description's name or a YAML file; may be left out where the type of
            the topic tells.
        fixed_frame: into which tracks are moved; None chooses one that does not move.
        frames_per_second: rate of the frame numbers in a text file, 1/s.
        robot: where the robot's own position comes from, as the node's parameter.
        robot_frame: its frame, where that is tf.
        odometry: topic of the robot's odometry; may be left out where there is but one.

    Raises:
        RecordingError: no recording, a damaged one, or none with such tracks.
        TrackerSpecError: no such tracker description, or a bad one.
    """
    if not path.exists():
        raise RecordingError(f"no recording {path}: no such file or folder")
    if not path.is_dir() and not is_bag_file(path):
        return _open_text(path, frames_per_second)
    wanted = None if tracker is None else find_tracker_spec(tracker)
    with opened_bag(path) as reader:
        connections, spec = _choose_topic(path, reader, topic, wanted)
        ensure_definition(reader, path, spec.message_type)
        begin_ns, received_ns, first = _first_decoded(
            reader, connections, _decoder_of(spec, reader), path
        )
        topic = connections[0].topic
        if first.tracks is None:
            raise RecordingError(
                f"{path}, topic {topic}: none of its messages tells of anybody"
                + _skipped_text(first.skipped)
            )
        frames, notes = _frames(reader, first.frame_id, fixed_frame)
        other_clock_s = (received_ns - first.tracks.stamp_ns) * 1e-9
        uses_stamps = abs(other_clock_s) > _OTHER_CLOCK_S and first.tracks.stamp_ns > 0
        if uses_stamps:
            notes.append(
                f"messages were recorded {abs(other_clock_s):.0f} s "
                f"{'after' if other_clock_s > 0 else 'before'} their header stamps, by another "
                "clock: the stamps are taken as the time of arrival, so no latency is seen"
            )
        robot_source, robot_notes = _robot(path, reader, robot, robot_frame, odometry)
        return TrackSource(
            path=path,
            topic=topic,
            tracker=spec,
            frame_id=first.frame_id,
            fixed_frame=frames,
            start_ns=begin_ns,
            end_ns=reader.end_time - 1,
            n_messages=sum(connection.msgcount for connection in connections),
            uses_stamps_as_clock=uses_stamps,
            notes=(*notes, *robot_notes),
            problem=truncation_note(path),
            robot=robot_source,
        )


class _BagArrivals:
    """Reads tracks and transforms side by side."""

    def __init__(
        self, source: TrackSource, spec: TrackerSpec, reader: AnyReader, transform_wait_s: float
    ) -> None:
        self._source, self._reader = source, reader
        self._decode = _decoder_of(spec, reader)
        self._wait_ns = round(transform_wait_s * 1e9)
        self._transforms = TransformBuffer()
        self._waiting: deque[tuple[int, DecodedMessage, bool]] = deque()
        self._now_ns = 0

    def __iter__(self) -> Iterator[Arrival]:
        """Every message of the topic once, and the robot's positions in between."""
        source, reader = self._source, self._reader
        tracks = [entry for entry in reader.connections if entry.topic == source.topic]
        odometry = self._odometry_connections()
        moving: list[Connection] = []
        if _plain(source.frame_id) != _plain(source.fixed_frame) or source.robot is not None:
            moving, still = _transform_connections(reader)
            _read_static(reader, still, self._transforms)
        # Transforms begin earlier, so that the first tracks have one on either side.
        first_ns, end_ns = None, None
        if source.is_part:
            first_ns, end_ns = source.start_ns - _HEAD_START_NS, source.end_ns + 1
        n_read = 0
        messages = reader.messages([*tracks, *odometry, *moving], start=first_ns, stop=end_ns)
        for connection, recorded_ns, data in messages:
            if connection.topic == source.topic:
                if source.is_part and recorded_ns < source.start_ns:
                    continue
                n_read += 1
                try:
                    decoded = self._decode(data)
                except ValueError as error:
                    raise _unreadable(source.path, source.topic, error) from error
                self._waiting.append((self._received_ns(recorded_ns, decoded), decoded, False))
            elif connection in odometry:
                robot = _robot_from_odometry(reader.deserialize(data, ODOMETRY))
                self._waiting.append((self._received_ns(recorded_ns, robot), robot, True))
            else:
                message = reader.deserialize(data, connection.msgtype)
                self._transforms.add(message, is_static=False)
                yield from self._robot_from_transforms(recorded_ns)
            yield from self._released(recorded_ns, at_end=False)
        yield from self._released(self._now_ns, at_end=True)
        if n_read < source.n_messages and not (source.is_part or source.problem):
            raise RecordingError(
                f"{source.path} is damaged: of the {source.n_messages} messages that its index "
                f"tells of on topic {source.topic} only {n_read} could be read"
            )

    def _received_ns(self, recorded_ns: int, decoded: DecodedMessage) -> int:
        if not self._source.uses_stamps_as_clock:
            return recorded_ns
        return self._now_ns if decoded.tracks is None else decoded.tracks.stamp_ns

    def _released(self, recorded_ns: int, *, at_end: bool) -> Iterator[Arrival]:
        """The messages that can be used by now, in the order in which they came."""
        while self._waiting:
            received_ns, decoded, is_robot = self._waiting[0]
            tracks, skipped = decoded.tracks, decoded.skipped
            if tracks is not None:
                try:
                    tracks = self._moved(tracks, decoded.frame_id)
                except TransformUnavailableError as error:
                    waited_ns = recorded_ns - received_ns
                    if error.may_come and waited_ns < self._wait_ns and not at_end:
                        return
                    skipped = skipped + Counter({SkipReason.NO_TRANSFORM: len(tracks.ids)})
                    tracks = None
            self._waiting.popleft()
            if self._source.uses_stamps_as_clock:
                self._now_ns = received_ns  # falls where recorded time jumped back
            else:
                self._now_ns = max(self._now_ns, received_ns, recorded_ns)
            yield Arrival(self._now_ns, tracks, skipped, is_robot)

    def _odometry_connections(self) -> list[Connection]:
        robot = self._source.robot
        if robot is None or not robot.topic:
            return []
        return [entry for entry in self._reader.connections if entry.topic == robot.topic]

    def _robot_from_transforms(self, recorded_ns: int) -> Iterator[Arrival]:
        """Where the robot is by all that is known so far."""
        robot = self._source.robot
        if robot is None or not robot.frame_id:
            return
        try:
            pose, stamp_ns = self._transforms.latest(self._source.fixed_frame, robot.frame_id)
        except TransformUnavailableError:
            return
        at = pose.translation_m
        tracks = Tracks(stamp_ns, (ROBOT_ID,), at[None, :2], at[2:])
        decoded = DecodedMessage(tracks, self._source.fixed_frame, Counter())
        self._now_ns = max(self._now_ns, self._received_ns(recorded_ns, decoded))
        yield Arrival(self._now_ns, tracks, Counter(), is_robot=True)

    def _moved(self, tracks: Tracks, frame_id: str) -> Tracks:
        target = self._source.fixed_frame
        if _plain(frame_id) == _plain(target):
            return tracks
        transform = self._transforms.lookup(target, frame_id, tracks.stamp_ns)
        return transform_tracks(tracks, transform)


def _open_text(path: Path, frames_per_second: float) -> TrackSource:
    if not frames_per_second > 0:
        raise RecordingError(f"frames per second is {frames_per_second}, expected a rate above 0")
    frames = np.unique(load_recording(path).frames)
    return TrackSource(
        path=path,
        topic="",
        tracker=None,
        frame_id="",
        fixed_frame="",
        start_ns=frame_stamp_ns(int(frames[0]), frames_per_second),
        end_ns=frame_stamp_ns(int(frames[-1]), frames_per_second),
        n_messages=len(frames),
        frames_per_second=frames_per_second,
    )


def _choose_topic(
    path: Path, reader: AnyReader, topic: str | None, wanted: TrackerSpec | None
) -> tuple[list[Connection], TrackerSpec]:
    """The connections of the tracks' topic, and how to read them."""
    connections = reader.connections
    listing = ", ".join(sorted({f"{c.topic} ({c.msgtype})" for c in connections})) or "none"
    known = _trackers_by_type()
    if topic is not None:
        chosen = [c for c in connections if c.topic == topic]
        if not chosen:
            raise RecordingError(f"{path} has no topic {topic!r}; its topics: {listing}")
        message_type = chosen[0].msgtype
        spec = wanted or known.get(message_type)
        if spec is None:
            raise RecordingError(
                f"{path}, topic {topic}: no shipped tracker reads {message_type}; describe it in a "
                "YAML file and give that as --tracker"
            )
        if spec.message_type != message_type:
            raise RecordingError(
                f"{path}, topic {topic}: its type is {message_type}, but tracker {spec.name!r} "
                f"reads {spec.message_type}"
            )
        return chosen, spec
    types = {wanted.message_type: wanted} if wanted is not None else known
    candidates = {c.topic: c.msgtype for c in connections if c.msgtype in types and c.msgcount}
    specific = {t: kind for t, kind in candidates.items() if kind not in GENERIC_TYPES}
    candidates = specific or {
        t: kind for t, kind in candidates.items() if _may_be_tracks(reader, t, types[kind])
    }
    empty = [c.topic for c in connections if c.msgtype in types and not c.msgcount]
    if not candidates and empty:
        raise RecordingError(f"{path} holds no message on topic {empty[0]}: record it again")
    if len(candidates) != 1:
        found = "no topic" if not candidates else f"{len(candidates)} topics"
        sought = f"tracker {wanted.name!r} reads" if wanted else "a shipped tracker reads"
        raise RecordingError(
            f"{path} has {found} that {sought}; its topics: {listing}; name the tracks' topic "
            "with --tracks, and its description with --tracker where it has a type of its own"
        )
    ((only, kind),) = candidates.items()
    return [c for c in connections if c.topic == only], types[kind]


def _trackers_by_type() -> dict[str, TrackerSpec]:
    specs = [load_tracker_spec(file) for file in shipped_trackers().values()]
    return {spec.message_type: spec for spec in specs}


def _may_be_tracks(reader: AnyReader, topic: str, spec: TrackerSpec) -> bool:
    """Whether a point cloud has the fields of tracks; lidars publish clouds, too."""
    if spec.message_type != POINT_CLOUD:
        return True
    connections = [c for c in reader.connections if c.topic == topic]
    first = next(reader.messages(connections), None)
    if first is None:
        return False
    message: Any = reader.deserialize(first[2], spec.message_type)
    try:
        names = point_cloud_array(message).dtype.names or ()
    except ValueError:
        return False
    needed = {str(step) for step in (*spec.id, *spec.position[:2])}
    return needed <= set(names)


def _decoder_of(spec: TrackerSpec, reader: AnyReader) -> _Decode:
    """Decodes serialised messages, from their bytes where the type allows it."""
    try:
        return RawTrackerDecoder(spec, definitions_of(reader.typestore, spec.message_type)).decode
    except UnsupportedLayoutError:
        plain = TrackerDecoder(spec)
        return lambda data: plain.decode(reader.deserialize(data, spec.message_type))


def _first_decoded(
    reader: AnyReader, connections: Sequence[Connection], decode: _Decode, path: Path
) -> tuple[int, int, DecodedMessage]:
    """When the first message, and the first with somebody in it, were recorded; and the latter."""
    skipped: Counter[SkipReason] = Counter()
    first_ns: int | None = None
    for connection, recorded_ns, data in reader.messages(connections):
        first_ns = recorded_ns if first_ns is None else first_ns
        try:
            decoded = decode(data)
        except ValueError as error:
            raise _unreadable(path, connection.topic, error) from error
        if decoded.tracks is not None and decoded.tracks.ids:
            return first_ns, recorded_ns, decoded
        skipped += decoded.skipped
    if first_ns is None:
        raise RecordingError(
            f"{path} holds no message on topic {connections[0].topic}: record it again"
        )
    return first_ns, first_ns, DecodedMessage(None, "", skipped)


def _unreadable(path: Path, topic: str, error: ValueError) -> RecordingError:
    return RecordingError(f"{path}, topic {topic}: a message is damaged or no tracks: {error}")


def _skipped_text(skipped: Counter[SkipReason]) -> str:
    if not skipped:
        return ""
    reasons = ", ".join(f"{count} {reason.value}" for reason, count in skipped.items())
    return f"; left out: {reasons} (see the tracker's filters)"


def _frames(reader: AnyReader, frame_id: str, fixed_frame: str | None) -> tuple[str, list[str]]:
    """The frame to predict in, and notes about it."""
    if fixed_frame is not None:
        return fixed_frame, []
    moving, still = _transform_connections(reader)
    transforms = TransformBuffer()
    _read_static(reader, still, transforms)
    messages = reader.messages(moving) if moving else iter(())
    for _, (connection, _, data) in zip(range(_TRANSFORMS_TO_LEARN), messages, strict=False):
        transforms.add(reader.deserialize(data, connection.msgtype), is_static=False)
    chain = transforms.ancestors(frame_id)
    if PREFERRED_FRAME in chain:
        return PREFERRED_FRAME, []
    if len(chain) > 1:
        return chain[-1], [f"the recording has no frame odom: people are predicted in {chain[-1]}"]
    if moving or still:
        return frame_id, [f"no transform moves frame {frame_id}: it is taken as fixed"]
    return frame_id, [f"the recording has no transforms: frame {frame_id} is taken as fixed"]


def _robot(
    path: Path, reader: AnyReader, robot: str, robot_frame: str, odometry: str | None
) -> tuple[RobotSource | None, list[str]]:
    """Where the robot's own position stands, and notes about it."""
    if robot == "none":
        return None, []
    if robot == "tf":
        return RobotSource(frame_id=robot_frame), []
    topics = sorted({c.topic for c in reader.connections if c.msgtype == ODOMETRY})
    if odometry is not None and odometry not in topics:
        raise RecordingError(
            f"{path} has no odometry on topic {odometry!r}; its topics of {ODOMETRY}: "
            f"{', '.join(topics) or 'none'}"
        )
    if odometry is None and len(topics) != 1:
        found = f"{len(topics)} topics of {ODOMETRY} ({', '.join(topics)})" if topics else "none"
        return None, [
            f"the robot's odometry is asked for, and the recording has {found}: people are "
            "predicted without the robot; name its topic with --odometry"
        ]
    ensure_definition(reader, path, ODOMETRY)
    return RobotSource(topic=odometry or topics[0]), []


def _robot_from_odometry(message: Any) -> DecodedMessage:
    position = message.pose.pose.position
    tracks = Tracks(
        stamp_ns_of(message.header.stamp),
        (ROBOT_ID,),
        np.array([[position.x, position.y]]),
        np.array([position.z]),
    )
    return DecodedMessage(tracks, str(message.header.frame_id), Counter())


def _transform_connections(reader: AnyReader) -> tuple[list[Connection], list[Connection]]:
    """The connections with moving and with static transforms."""
    transforms = [c for c in reader.connections if c.msgtype == TF_MESSAGE]
    if transforms:
        ensure_definition(reader, Path(), TF_MESSAGE)
    still = [c for c in transforms if c.topic.endswith("tf_static")]
    return [c for c in transforms if c not in still], still


def _read_static(reader: AnyReader, still: list[Connection], into: TransformBuffer) -> None:
    if not still:
        return
    for connection, _, data in reader.messages(still):
        into.add(reader.deserialize(data, connection.msgtype), is_static=True)


def _plain(frame: str) -> str:
    return frame.lstrip("/")
