"""Messages of a recording, in the order in which a node would receive them.

Streams rosbag2 (sqlite3, MCAP; split, compressed) and text recordings. The predictor transforms
the tracks and waits for transforms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from social_implicit_ros.prediction.localisation.frames import TransformQueue
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.robot_plan import PATH, PlanDecoder, RobotPlan
from social_implicit_ros.prediction.update import Refusal, Update
from social_implicit_ros.recordings.bag import BagReader, RecordingError, opened_bag
from social_implicit_ros.recordings.definitions import definitions_of, ensure_definition
from social_implicit_ros.recordings.fixed_frame import transform_connections
from social_implicit_ros.recordings.left_out import LeftOut
from social_implicit_ros.recordings.text_formats.text import load_recording, text_tracks
from social_implicit_ros.recordings.track_source import TrackSource, decoder_of
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.frames.transforms import TransformUnavailableError
from social_implicit_ros.tracks.messages.decoder import (
    ODOMETRY,
    DecodedMessage,
    robot_from_odometry,
)
from social_implicit_ros.tracks.messages.spec import TrackerSpec
from social_implicit_ros.tracks.stamps import NEVER_NS
from social_implicit_ros.types import ROBOT_ID, SkipReason, Tracks, plain_frame

#: Lead time of the transforms before a section of a recording, nanoseconds.
_HEAD_START_NS = 1_000_000_000
#: Maximum number of characters of the reason why a message cannot be used.
_LONGEST_REASON = 300


@dataclass(frozen=True, eq=False)
class TracksArrival:
    """A message of the tracker.

    Attributes:
        received_ns: receive time on the recording's clock, integer nanoseconds.
        tracks: tracks in the frame `frame_id`; None if the message contains no person.
        frame_id: frame of the message header.
        skipped: number of entries that the tracker mapping filters out, by reason.
        unusable: reason why the message cannot be used, or ''.
    """

    received_ns: int
    tracks: Tracks | None
    frame_id: str
    skipped: Counter[SkipReason]
    unusable: str = ""


@dataclass(frozen=True, eq=False)
class RobotArrival:
    """A message of the robot's odometry; attributes as in `TracksArrival`."""

    received_ns: int
    tracks: Tracks
    frame_id: str


@dataclass(frozen=True, eq=False)
class TransformsArrival:
    """A `tf2_msgs/TFMessage`.

    Attributes:
        received_ns: receive time on the recording's clock, integer nanoseconds.
        data: serialised message, input of `TransformBuffer.add`.
        is_static: whether it is from /tf_static, which is valid for the whole recording.
    """

    received_ns: int
    data: bytes
    is_static: bool


@dataclass(frozen=True, eq=False)
class PlanArrival:
    """A message of the robot's plan; None if it has none, or cannot be used."""

    received_ns: int
    plan: RobotPlan | None


@dataclass(frozen=True, eq=False)
class RefusedArrival:
    """A message about the robot that cannot be used."""

    received_ns: int
    refusal: Refusal


Arrival = TracksArrival | RobotArrival | TransformsArrival | PlanArrival | RefusedArrival


def arrivals_of(source: TrackSource) -> Iterator[Arrival]:
    """Streams a recording.

    Yields:
        Every message of the tracker; in between the transforms, as any message may be in another
        frame, and odometry and plan of the robot if its position is requested.

    Raises:
        RecordingError: the recording is damaged.
    """
    if source.tracker is None:
        for tracks in text_tracks(load_recording(source.path, source.text)):
            if source.start_ns <= tracks.stamp_ns <= source.end_ns:
                yield TracksArrival(tracks.stamp_ns, tracks, source.frame_id, Counter())
        return
    with opened_bag(source.path) as reader:
        yield from _bag_arrivals(source, source.tracker, reader)


def recorded_tracks(
    source: TrackSource,
    left_out: LeftOut | None = None,
    settings: PredictorConfig = PredictorConfig(),  # noqa: B008 (frozen)
) -> Iterator[Tracks]:
    """Like `moved_tracks` without the robot; of several entries with one id, the first is taken."""
    counts = left_out or LeftOut()
    for tracks in moved_tracks(replace(source, robot=None), settings, counts):
        rows = {agent_id: row for row, agent_id in reversed(list(enumerate(tracks.ids)))}
        for _ in range(len(tracks.ids) - len(rows)):
            counts.skip(SkipReason.DUPLICATE_ID)
        is_all = len(rows) == len(tracks.ids)
        yield tracks if is_all else tracks.of_agents(np.array(sorted(rows.values())))


def moved_tracks(
    source: TrackSource, settings: PredictorConfig, left_out: LeftOut
) -> Iterator[Tracks]:
    """Streams the tracks and the robot's positions, transformed into the fixed frame.

    Tracks without a transform within `transform_wait_s` are counted in `left_out`. Tracks without
    a stamp get their receive time as stamp; with `stamp_source: arrival` all tracks do.
    """
    for tracks in _moved_tracks(source, settings, left_out):
        left_out.entries += len(tracks.ids) - (ROBOT_ID in tracks.ids)
        yield tracks


def _moved_tracks(
    source: TrackSource, settings: PredictorConfig, left_out: LeftOut
) -> Iterator[Tracks]:
    transforms = TransformBuffer()
    target = plain_frame(source.fixed_frame)
    queue = TransformQueue(transforms, settings.transform_wait_s)

    def taken(now_ns: int) -> Iterator[Tracks]:
        moved, timed_out = queue.take(target, now_ns)
        for tracks, _ in timed_out:
            if ROBOT_ID in tracks.ids:
                left_out.add_robot(SkipReason.NO_TRANSFORM, 1)
            else:
                left_out.skipped[SkipReason.NO_TRANSFORM] += len(tracks.ids)
        return iter(moved)

    for arrival in arrivals_of(source):
        if isinstance(arrival, TracksArrival):
            left_out.add_message(arrival.skipped, arrival.unusable)
        if isinstance(arrival, TransformsArrival):
            with suppress(ValueError):  # the buffer counts them
                transforms.add(arrival.data, is_static=arrival.is_static)
        elif isinstance(arrival, RefusedArrival):
            left_out.add_other(arrival.refusal)
        elif not isinstance(arrival, PlanArrival) and (tracks := arrival.tracks) is not None:
            by_arrival = settings.stamp_source == "arrival" or tracks.stamp_ns <= 0
            if by_arrival and isinstance(arrival, TracksArrival):
                tracks = replace(tracks, stamp_ns=arrival.received_ns)
            if plain_frame(arrival.frame_id) == target:
                yield tracks
            else:
                queue.add(tracks, plain_frame(arrival.frame_id), arrival.received_ns)
            if source.robot is not None and not source.robot.topic:
                yield from _robot_by_transforms(source.robot.frame_id, source, transforms)
        yield from taken(arrival.received_ns)
    yield from taken(NEVER_NS)
    left_out.add_unreadable_transforms(transforms.n_unreadable)


def _robot_by_transforms(
    robot_frame: str, source: TrackSource, transforms: TransformBuffer
) -> Iterator[Tracks]:
    try:
        pose, stamp_ns = transforms.latest(plain_frame(source.fixed_frame), robot_frame)
    except TransformUnavailableError:
        return
    yield Tracks(stamp_ns, (ROBOT_ID,), pose.translation_m[None, :2])


def why_empty(source: TrackSource, start_s: float, duration_s: float | None) -> str:
    """Error text for a part of a recording (see `TrackSource.part`) without messages."""
    part = f"from {start_s:g}"
    part += " s on" if duration_s is None else f" to {start_s + duration_s:g} s"
    text = f"{source.path} has no messages {part}; it is {source.duration_s:.1f} s long"
    rest = source.part(start_s, None)
    later = (
        arrival.received_ns
        for arrival in arrivals_of(rest)
        if isinstance(arrival, TracksArrival) and arrival.tracks is not None
    )
    later_ns = next(later, None)
    # Stamps of another clock do not tell the time since the start of the recording.
    if later_ns is None or source.uses_stamps_as_clock:
        return text
    return (
        f"{text} and has a gap there: it continues at {(later_ns - source.start_ns) * 1e-9:.1f} s"
    )


def predictor_config(
    source: TrackSource, settings: PredictorConfig, *, is_tracked: bool = False
) -> PredictorConfig:
    """The predictor config of a node with these settings, for a recording.

    Args:
        source: the recording.
        settings: settings of the node.
        is_tracked: whether a text recording is the output of a tracker. Otherwise it is annotated,
            and tracks are not stitched, as ids of annotations are ground truth.
    """
    is_annotated = source.tracker is None and not is_tracked
    stitching = settings.pipeline.stitching and not is_annotated
    return replace(
        settings,
        fixed_frame=source.fixed_frame,
        pipeline=replace(settings.pipeline, stitching=stitching),
    )


def deliver(arrival: Arrival, predictor: Predictor, transforms: TransformBuffer) -> Update:
    """Passes a message to the predictor or to its transform buffer, as the node does."""
    if isinstance(arrival, TransformsArrival):
        try:
            transforms.add(arrival.data, is_static=arrival.is_static)
        except ValueError as error:
            text = f"transforms cannot be read: {error}"
            return Update(refusals=[Refusal("transforms", text)])
    elif isinstance(arrival, PlanArrival):
        predictor.robot_plan = arrival.plan
    elif isinstance(arrival, RefusedArrival):
        return Update(refusals=[arrival.refusal])
    elif isinstance(arrival, RobotArrival):
        return predictor.add_robot(arrival.tracks, arrival.frame_id, arrival.received_ns)
    elif arrival.tracks is not None:
        tracks, now_ns = arrival.tracks, arrival.received_ns
        if predictor.config.stamp_source == "arrival":
            tracks = replace(tracks, stamp_ns=now_ns)
        return predictor.add_tracks(tracks, arrival.frame_id, now_ns)
    return predictor.poll(arrival.received_ns)


def delivered(
    source: TrackSource,
    predictor: Predictor,
    transforms: TransformBuffer,
    left_out: LeftOut,
    advance: Callable[[int], None] = lambda n_messages: None,
) -> Iterator[Update]:
    """Delivers a whole recording to a predictor, and counts what is left out.

    Args:
        source: the recording.
        predictor: receives the messages.
        transforms: the predictor's transform buffer.
        left_out: counts what is left out.
        advance: called with the number of messages that were read since the last call.

    Yields:
        The update of each message.

    Raises:
        RecordingError: the recording is damaged.
    """
    for arrival in arrivals_of(source):
        if isinstance(arrival, TracksArrival):
            left_out.add_message(arrival.skipped, arrival.unusable)
            advance(1)
        update = deliver(arrival, predictor, transforms)
        left_out.add_update(update)
        yield update
    # Messages that still wait for a transform.
    left_out.add_update(predictor.poll(NEVER_NS))
    left_out.add_unreadable_transforms(transforms.n_unreadable)


def _bag_arrivals(
    source: TrackSource, tracker: TrackerSpec, reader: BagReader
) -> Iterator[Arrival]:
    tracks = reader.find(source.topic, tracker.message_type)
    decode = decoder_of(tracker, reader).decode
    odometry = plan = None
    if source.robot is not None:
        # The topic is empty if the robot's position comes from transforms.
        odometry = reader.find(source.robot.topic, ODOMETRY)
        if odometry is not None:
            ensure_definition(reader, ODOMETRY)
        plan = reader.find(source.robot.plan, PATH)
        ensure_definition(reader, PATH)
        plan_decoder = PlanDecoder(definitions_of(reader.typestore, PATH))
    moving, static = transform_connections(reader)
    for _, recorded_ns, data in reader.messages(static) if static else ():
        yield TransformsArrival(recorded_ns, data, is_static=True)
    # Transforms start earlier, so that those of the first tracks can be interpolated.
    first_ns, end_ns = None, None
    if source.is_part:
        first_ns, end_ns = source.start_ns - _HEAD_START_NS, source.end_ns + 1
    n_read, clock = 0, _ReceiveClock(source)
    topics = [*filter(None, [tracks, odometry, plan]), *moving]
    for topic, recorded_ns, data in reader.messages(topics, first_ns, end_ns):
        if topic is tracks:
            if source.is_part and recorded_ns < source.start_ns:
                continue
            n_read += 1
            yield _tracks_arrival(decode, clock, recorded_ns, data)
        elif topic is odometry:
            yield _robot_arrival(reader, clock, recorded_ns, data)
        elif topic is plan:
            yield from _plan_arrivals(plan_decoder, clock.received_ns(recorded_ns), data)
        else:
            yield TransformsArrival(clock.received_ns(recorded_ns), data, is_static=False)
    if n_read < source.n_messages and not (source.is_part or source.problem):
        raise RecordingError(
            f"{source.path} is damaged: of the {source.n_messages} messages in its index "
            f"on topic {source.topic} only {n_read} could be read"
        )


class _ReceiveClock:
    """Receive times: the record times, or the stamps if those replace the recorder's clock."""

    def __init__(self, source: TrackSource) -> None:
        self._uses_stamps = source.uses_stamps_as_clock
        self._now_ns = source.start_ns - _HEAD_START_NS

    def received_ns(self, recorded_ns: int, tracks: Tracks | None = None) -> int:
        """Receive time of the next message, integer nanoseconds."""
        if not self._uses_stamps:
            self._now_ns = max(self._now_ns, recorded_ns)
        elif tracks is not None:
            self._now_ns = tracks.stamp_ns  # decreases where recorded time jumped back
        return self._now_ns


def _tracks_arrival(
    decode: Callable[[bytes], DecodedMessage], clock: _ReceiveClock, recorded_ns: int, data: bytes
) -> TracksArrival:
    try:
        decoded = decode(data)
    except Exception as error:  # noqa: BLE001 (damaged bytes; the node continues, too)
        return TracksArrival(clock.received_ns(recorded_ns), None, "", Counter(), _reason(error))
    received_ns = clock.received_ns(recorded_ns, decoded.tracks)
    return TracksArrival(received_ns, decoded.tracks, decoded.frame_id, decoded.skipped)


def _robot_arrival(
    reader: BagReader, clock: _ReceiveClock, recorded_ns: int, data: bytes
) -> RobotArrival | RefusedArrival:
    try:
        message = reader.deserialize(data, ODOMETRY)
        robot = robot_from_odometry(message)
    except Exception as error:  # noqa: BLE001 (damaged bytes; the node continues, too)
        refusal = Refusal("odometry", f"odometry cannot be read: {_reason(error)}")
        return RefusedArrival(clock.received_ns(recorded_ns), refusal)
    return RobotArrival(clock.received_ns(recorded_ns, robot), robot, message.header.frame_id)


def _plan_arrivals(decoder: PlanDecoder, received_ns: int, data: bytes) -> list[Arrival]:
    try:
        return [PlanArrival(received_ns, decoder.decode(data, received_ns))]
    except Exception as error:  # noqa: BLE001 (damaged bytes; the node continues, too)
        refusal = Refusal("plan", f"the robot's plan cannot be used: {_reason(error)}")
        # The earlier plan ends all the same.
        return [PlanArrival(received_ns, None), RefusedArrival(received_ns, refusal)]


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:_LONGEST_REASON]
