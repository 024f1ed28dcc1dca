"""Loads tracker mappings by name or path and checks them against the message types."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import PurePosixPath

from ament_index_python import get_resource
from rclpy.exceptions import InvalidTopicNameException
from rclpy.validate_topic_name import validate_topic_name

from social_implicit_ros.ros.definitions import definitions_of
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.messages.decoder import DecodedMessage, TrackerDecoder
from social_implicit_ros.tracks.messages.field_path import TrackerSpecError
from social_implicit_ros.tracks.messages.spec import find_tracker_spec

TRACKS_TOPIC = "~/tracks"


@dataclass(frozen=True)
class Tracker:
    """A tracker to subscribe to.

    Attributes:
        topic: topic to subscribe to.
        message_class: message class of the topic.
        decoder: decodes its serialised messages.
        source: prefix of every id, which identifies it; empty if there is only one.
    """

    topic: str
    message_class: type
    decoder: TrackerDecoder
    source: str = ""

    def decode(self, data: bytes) -> DecodedMessage:
        """As `TrackerDecoder.decode`, but prepends `source` to the ids."""
        decoded = self.decoder.decode(data)
        if decoded.tracks is None or not self.source:
            return decoded
        ids = tuple(f"{self.source}{agent_id}" for agent_id in decoded.tracks.ids)
        return replace(decoded, tracks=replace(decoded.tracks, ids=ids))


def load_trackers(
    text: str, stamp_spread_s: float = PredictorConfig.stamp_spread_s
) -> list[Tracker]:
    """Loads one tracker, or several at once.

    Args:
        text: name of a shipped mapping or path of a YAML file, several separated by commas. An @
            precedes the topic, which defaults to `~/tracks`: `people` or
            `people, zed@/zed/objects`.
        stamp_spread_s: largest accepted difference between the stamps of one message.

    Raises:
        TrackerSpecError: as `load_tracker`, or two trackers on one topic.
    """
    entries = [entry.partition("@") for entry in text.split(",")]
    trackers = [
        load_tracker(name.strip(), topic.strip() or TRACKS_TOPIC, stamp_spread_s)
        for name, _, topic in entries
    ]
    if len({tracker.topic for tracker in trackers}) < len(trackers):
        raise TrackerSpecError(
            f"tracker is {text!r}, which has two trackers on one topic: give each its own topic, "
            "as in people@/people, zed@/zed/objects"
        )
    if len(trackers) == 1:
        return trackers
    return [
        replace(tracker, source=f"{n}/{tracker.decoder.spec.name}/")
        for n, tracker in enumerate(trackers)
    ]


def load_tracker(
    tracker: str, topic: str, stamp_spread_s: float = PredictorConfig.stamp_spread_s
) -> Tracker:
    """Reads a tracker mapping, imports its message type and checks its field paths.

    Args:
        tracker: name of a shipped mapping, such as `people`, or path of a YAML file.
        topic: topic to subscribe to.
        stamp_spread_s: largest accepted difference between the stamps of one message.

    Raises:
        TrackerSpecError: no such mapping, an invalid mapping, a message package that is not
            installed, a field path that the message type does not have, or an invalid topic name.
    """
    try:
        validate_topic_name(topic)
    except InvalidTopicNameException as error:
        raise TrackerSpecError(f"tracker {tracker!r} has an invalid topic name: {error}") from error
    spec = replace(find_tracker_spec(tracker), stamp_spread_s=stamp_spread_s)
    message_class = import_message(spec.message_type, f"tracker {spec.name!r}")
    decoder = TrackerDecoder(spec, definitions_of(spec.message_type))
    return Tracker(topic, message_class, decoder)


def import_message(message_type: str, owner: str) -> type:
    """Imports the class of a message type.

    Args:
        message_type: `package/msg/Type`.
        owner: what needs the type, for the error message.

    Raises:
        TrackerSpecError: the package is not installed, or has no such type.
    """
    package, _, name = message_type.split("/")
    install = (
        f"install ros-$ROS_DISTRO-{package.replace('_', '-')}, or source the workspace that "
        "contains it"
    )
    # Checked before the import, which runs the code of any Python package with this name.
    offered = _installed_messages(package)
    if not offered:
        raise TrackerSpecError(
            f"{owner} needs the message package {package}, which is not installed: {install}"
        )
    if name not in offered:
        raise TrackerSpecError(
            f"{owner} needs {message_type}, but the installed {package} has only "
            f"{', '.join(offered)}"
        )
    try:
        message_class: type = getattr(import_module(f"{package}.msg"), name)
    except (AttributeError, ImportError) as error:
        raise TrackerSpecError(
            f"{owner} needs {message_type}, which cannot be imported ({error}): {install}"
        ) from error
    return message_class


def _installed_messages(package: str) -> list[str]:
    """Names of the message types of a package in the ament index; empty if there are none."""
    try:
        content, _ = get_resource("rosidl_interfaces", package)
    # Without a sourced workspace the index raises EnvironmentError.
    except (LookupError, OSError, ValueError):
        return []
    files = map(PurePosixPath, content.splitlines())
    return sorted({file.stem for file in files if file.parent.name == "msg"})
