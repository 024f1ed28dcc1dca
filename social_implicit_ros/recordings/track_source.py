"""Opens a recording and determines topic, tracker mapping, frames and clock of its tracks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from social_implicit_ros.prediction.replay_settings import NODE_NAME
from social_implicit_ros.prediction.robot_plan import PATH
from social_implicit_ros.prediction.scoring.online_evaluation import MAX_GAP_S
from social_implicit_ros.recordings.bag import BagReader, RecordingError, is_bag, opened_bag
from social_implicit_ros.recordings.definitions import definitions_of, ensure_definition
from social_implicit_ros.recordings.fixed_frame import choose_fixed_frame
from social_implicit_ros.recordings.left_out import RECORDED_FIXES
from social_implicit_ros.recordings.storage import Topic
from social_implicit_ros.recordings.text_formats.text import (
    CLOCK_SET_NS,
    TextFormat,
    frame_stamp_ns,
    load_recording,
)
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.messages.decoder import ODOMETRY, DecodedMessage, TrackerDecoder
from social_implicit_ros.tracks.messages.field_path import TrackerSpecError
from social_implicit_ros.tracks.messages.spec import (
    POINT_CLOUD,
    TrackerFilters,
    TrackerSpec,
    find_tracker_spec,
    load_tracker_spec,
    shipped_trackers,
)
from social_implicit_ros.types import SkipReason
from social_implicit_ros.untrusted_files import did_you_mean, short_text

#: Types that are not only used for tracks: a topic of a more specific type is preferred.
_GENERIC_TYPES = (POINT_CLOUD, "visualization_msgs/msg/MarkerArray")
#: Difference between record time and header stamp above which they are of two clocks, seconds.
_OTHER_CLOCK_S = 10.0

_NO_ROBOT = "text has no position of the robot: people are predicted without it"


@dataclass(frozen=True)
class RobotSource:
    """The robot's position: a topic of nav_msgs/Odometry, or a frame of the transforms.

    `plan` is the topic of its plan, empty for none.
    """

    topic: str = ""
    frame_id: str = ""
    plan: str = ""


@dataclass(frozen=True)
class SourceChoices:
    """What to read in recordings; everything that is left out is found in each recording.

    Attributes:
        topic: topic of the tracks; None if only one qualifies.
        tracker: name or file of a mapping; None if the topic's type has a shipped one.
        odometry: topic of the robot's odometry; None if there is only one.
        text: format of recordings that are not bags.
    """

    topic: str | None = None
    tracker: str | None = None
    odometry: str | None = None
    text: TextFormat = TextFormat()  # noqa: RUF009 (frozen)


@dataclass(frozen=True)
class TrackSource:
    """A recording, and how to read its tracks; text has no topic, tracker and frames.

    Attributes:
        frame_id: frame of the recorded tracks.
        fixed_frame: frame into which they are transformed.
        start_ns, end_ns: record times of the first and last message, integer nanoseconds.
        n_messages: number of messages on the topic; an estimate for a part.
        uses_stamps_as_clock: whether header stamps replace the receive times, as the messages were
            recorded with another clock.
        notes: remarks on how the recording is read.
        problem: note on truncated files; None if there are none.
        robot: source of the robot's position; None if it is not used.
        is_part: whether only messages between start and end are read.
        text: format of a text recording.
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
    text: TextFormat = TextFormat()  # noqa: RUF009 (frozen)

    @property
    def message_type(self) -> str:
        """ROS type of the messages; empty for text."""
        return self.tracker.message_type if self.tracker else ""

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes, and the problem if there is one."""
        return (*self.notes, *filter(None, [self.problem]))

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last message."""
        return (self.end_ns - self.start_ns) * 1e-9

    @property
    def period_s(self) -> float:
        """Mean seconds between two messages."""
        return self.duration_s / max(self.n_messages - 1, 1)

    def part(self, start_s: float, duration_s: float | None) -> TrackSource:
        """A part of the recording; raises RecordingError if the recording ends before it."""
        if start_s == 0 and duration_s is None:
            return self
        if start_s >= self.duration_s > 0:
            raise RecordingError(
                f"{self.path} has no messages from {start_s:g} s on; "
                f"it is {self.duration_s:.1f} s long"
            )
        start_ns = self.start_ns + round(start_s * 1e9)
        end_ns = self.end_ns
        if duration_s is not None:
            end_ns = min(end_ns, start_ns + round(duration_s * 1e9))
        share = (end_ns - start_ns) / max(self.end_ns - self.start_ns, 1)
        n_messages = round(share * max(self.n_messages - 1, 0)) + 1
        return replace(self, start_ns=start_ns, end_ns=end_ns, n_messages=n_messages, is_part=True)

    def longest_gap_s(self, track_timeout_s: float) -> float:
        """Longest gap to interpolate: two periods, at most the timeout, at least `MAX_GAP_S`."""
        return min(max(MAX_GAP_S, 2.1 * self.period_s), max(track_timeout_s, MAX_GAP_S))


def open_source(
    path: Path,
    settings: PredictorConfig = PredictorConfig(fixed_frame=""),  # noqa: B008 (frozen)
    choices: SourceChoices = SourceChoices(),
    *,
    names_frame: bool = False,
) -> TrackSource:
    """Opens a recording and determines how to read it.

    Args:
        path: a rosbag2 folder, an `.mcap` or `.db3` file, or a file that
            `recordings.text_formats.columns` reads.
        settings: settings of a node. An empty `fixed_frame` chooses a frame that does not move.
        choices: what to read.
        names_frame: use `fixed_frame` only as a name if no transform leads to it.

    Raises:
        RecordingError: not a recording, damaged, or without such tracks.
        TrackerSpecError: no such tracker mapping, or an invalid one.
    """
    if not path.exists():
        raise RecordingError(f"no recording {path}: no such file or folder")
    if not is_bag(path):
        return _open_text(path, choices.text, settings.robot)
    wanted = None if choices.tracker is None else find_tracker_spec(choices.tracker)
    with opened_bag(path) as reader:
        topic, spec = _choose_topic(reader, choices.topic, wanted)
        spec = replace(spec, stamp_spread_s=settings.stamp_spread_s)
        begin_ns, received_ns, first = _first_decoded(reader, topic, decoder_of(spec, reader))
        if first.tracks is None:
            raise RecordingError(
                f"{path}, topic {topic.topic}: no message contains a person{_left_out(first)}"
            )
        chosen_frame, notes = choose_fixed_frame(
            reader, first.frame_id, settings.fixed_frame, is_name=names_frame
        )
        clock_notes = _notes_on_clock(received_ns, first.tracks.stamp_ns)
        notes += clock_notes
        notes += [
            f"topic {topic.topic} has {other.msgcount} messages of another type, {other.msgtype}: "
            "they are left out"
            for other in reader.topics
            if other.topic == topic.topic and other is not topic
        ]
        robot_source, robot_notes = _robot(reader, settings, choices.odometry)
        return TrackSource(
            path=path,
            topic=topic.topic,
            tracker=spec,
            frame_id=first.frame_id,
            fixed_frame=chosen_frame,
            start_ns=begin_ns,
            end_ns=reader.end_ns,
            n_messages=topic.msgcount,
            uses_stamps_as_clock=bool(clock_notes),
            notes=(*notes, *robot_notes),
            problem=reader.problem,
            robot=robot_source,
        )


def _notes_on_clock(received_ns: int, stamp_ns: int) -> list[str]:
    """A note if a message was recorded with another clock than that of its stamp, else none."""
    late_s = (received_ns - stamp_ns) * 1e-9
    if abs(late_s) <= _OTHER_CLOCK_S or stamp_ns <= 0:
        return []
    return [
        f"messages were recorded {abs(late_s):.0f} s {'after' if late_s > 0 else 'before'} their "
        "header stamps, by another clock: the stamps are used as receive times, so latency is not "
        "measured"
    ]


def _open_text(path: Path, text: TextFormat, robot: str) -> TrackSource:
    recording = load_recording(path, text)
    frames = np.unique(recording.frames)
    start_ns, end_ns = (
        frame_stamp_ns(int(frames[at]), recording.frames_per_second) for at in (0, -1)
    )
    notes = recording.notes + ((_NO_ROBOT,) if robot != "none" else ())
    return TrackSource(
        path, "", None, "", "", start_ns, end_ns, len(frames), notes=notes, text=text
    )


def _choose_topic(
    reader: BagReader, name: str | None, wanted: TrackerSpec | None
) -> tuple[Topic, TrackerSpec]:
    """The topic of the tracks, and the mapping that reads it."""
    readable = [wanted] if wanted else map(load_tracker_spec, shipped_trackers().values())
    specs = {spec.message_type: spec for spec in readable}
    # A topic may have messages of several types; the type of most messages is preferred.
    topics = sorted(reader.topics, key=lambda topic: -topic.msgcount)
    fitting = [topic for topic in topics if topic.msgtype in specs]
    if name is not None:
        candidates = [topic for topic in fitting if topic.topic == name][:1]
    else:
        fitting = [topic for topic in fitting if not _is_own_output(topic.topic)]
        candidates = list({t.topic: t for t in reversed(fitting) if t.msgcount}.values())
        candidates = [topic for topic in candidates if topic.msgtype not in _GENERIC_TYPES] or [
            topic for topic in candidates if _may_be_tracks(reader, topic, specs[topic.msgtype])
        ]
    if len(candidates) == 1:
        return candidates[0], specs[candidates[0].msgtype]
    empty = [topic.topic for topic in fitting if not topic.msgcount]
    if name is None and empty and not candidates:
        raise RecordingError(f"{reader.path} has no message on topic {empty[0]}: record it again")
    why = _why_no_topic(topics, name, wanted, len(candidates))
    raise RecordingError(f"{reader.path}{why}")


def _why_no_topic(
    topics: Sequence[Topic], name: str | None, wanted: TrackerSpec | None, n_candidates: int
) -> str:
    """Why no topic, or not the one of that name, was chosen; follows the path in an error."""
    if not topics:
        return (
            " has no topics: its recorder has not written anything yet, so stop it first, or "
            "nobody published while it ran"
        )
    listing = ", ".join(sorted({f"{topic.topic} ({topic.msgtype})" for topic in topics}))
    if name is None:
        number = f"{n_candidates} topics" if n_candidates else "no topic"
        sought = f"tracker {wanted.name!r} reads" if wanted else "a shipped tracker reads"
        return (
            f" has {number} that {sought}; its topics: {listing}; name the tracks' topic with "
            "--tracks, and its mapping with --tracker if it has a custom type"
        )
    message_type = next((topic.msgtype for topic in topics if topic.topic == name), None)
    if message_type is None:
        hint = did_you_mean(name, (topic.topic for topic in topics))
        return f" has no topic {name!r}{hint}; its topics: {listing}"
    if wanted is None:
        return (
            f", topic {name}: no shipped tracker reads {message_type}; write a tracker mapping "
            "and pass its YAML file as --tracker"
        )
    return (
        f", topic {name}: its type is {message_type}, but tracker {wanted.name!r} reads "
        f"{wanted.message_type}"
    )


def _is_own_output(topic: str) -> bool:
    """Whether the node publishes it: `ros2 bag record --all` records its people, too."""
    *_, node, name = ("", *topic.split("/"))
    return node == NODE_NAME and name != "tracks"


def _may_be_tracks(reader: BagReader, topic: Topic, spec: TrackerSpec) -> bool:
    """Whether a point cloud has the fields of tracks; lidars publish point clouds, too."""
    if spec.message_type != POINT_CLOUD:
        return True
    first = next(reader.messages([topic]), None)
    if first is None:
        return False
    # Without optional fields, as decoding the tracks names those that are missing.
    needed = replace(spec, velocity=(), filters=TrackerFilters())
    try:
        decoder_of(needed, reader).decode(first[2])
    except ValueError:
        return False
    return True


def decoder_of(spec: TrackerSpec, reader: BagReader) -> TrackerDecoder:
    """A decoder of recorded messages; raises RecordingError."""
    ensure_definition(reader, spec.message_type)
    definitions = definitions_of(reader.typestore, spec.message_type)
    try:
        return TrackerDecoder(spec, definitions)
    except TrackerSpecError as error:
        raise RecordingError(f"{reader.path}: {error}") from error


def _first_decoded(
    reader: BagReader, topic: Topic, decoder: TrackerDecoder
) -> tuple[int, int, DecodedMessage]:
    """Record times of the first message and of the first with a person, which is decoded."""
    skipped: Counter[SkipReason] = Counter()
    examples: dict[SkipReason, str] = {}
    begin_ns: int | None = None
    damage: ValueError | None = None
    # A record time from before the clock was set would lengthen the recording by decades; 0 means
    # "no time".
    earliest_ns = CLOCK_SET_NS if reader.end_ns > CLOCK_SET_NS else 1
    for _, recorded_ns, data in reader.messages([topic]):
        if begin_ns is None or begin_ns < earliest_ns:
            begin_ns = recorded_ns
        try:
            decoded = decoder.decode(data)
        except ValueError as error:
            damage = damage or error
            continue
        if decoded.tracks is not None and decoded.tracks.ids and recorded_ns >= earliest_ns:
            return begin_ns, recorded_ns, decoded
        skipped += decoded.skipped
        lost = decoded.skipped - decoded.ignored
        examples |= {r: v for r, v in decoded.examples.items() if r in lost or r not in examples}
    if begin_ns is None:
        raise RecordingError(
            f"{reader.path} has no message on topic {topic.topic}: record it again"
        )
    if damage is not None:
        raise RecordingError(
            f"{reader.path}, topic {topic.topic}: no message can be used: {damage}"
        ) from damage
    return begin_ns, begin_ns, DecodedMessage(None, "", skipped, examples=examples)


def _left_out(decoded: DecodedMessage) -> str:
    """Why all entries of a recording are left out: reason, a value seen, and the fix."""
    texts = []
    for reason, n in decoded.skipped.most_common():
        seen = decoded.examples.get(reason)
        example = "" if seen is None else f", such as {short_text(seen)}"
        fix = RECORDED_FIXES[reason]
        texts.append(f"; {n} entries are left out, {reason.value}{example}: {fix}")
    return "".join(texts)


def _robot(
    reader: BagReader, settings: PredictorConfig, odometry: str | None
) -> tuple[RobotSource | None, list[str]]:
    """The source of the robot's position, and notes about it."""
    if settings.robot == "none":
        return None, []
    plan = _plan_topic(reader)
    if settings.robot == "tf":
        return RobotSource(frame_id=settings.robot_frame, plan=plan), []
    topics = sorted({c.topic for c in reader.topics if c.msgtype == ODOMETRY})
    if odometry is not None and odometry not in topics:
        raise RecordingError(
            f"{reader.path} has no odometry on topic {odometry!r}; its topics of {ODOMETRY}: "
            f"{', '.join(topics) or 'none'}"
        )
    if odometry is None and len(topics) != 1:
        found = f"{len(topics)} topics of {ODOMETRY} ({', '.join(topics)})" if topics else "none"
        return None, [
            f"the robot's odometry is requested, but the recording has {found}: people are "
            "predicted without the robot; name its topic with --odometry"
        ]
    ensure_definition(reader, ODOMETRY)
    return RobotSource(topic=odometry or topics[0], plan=plan), []


def _plan_topic(reader: BagReader) -> str:
    """The topic of the robot's plan: by name, as bags have several of that type; '' for none."""
    topics = (topic for topic in reader.topics if topic.msgtype == PATH)
    return min((t.topic for t in topics if t.topic.split("/")[-1] == "plan"), default="")
