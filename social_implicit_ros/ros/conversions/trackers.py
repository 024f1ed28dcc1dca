"""The trackers that the node understands: descriptions by name or by path, checked and compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from social_implicit_ros.core.tracker_decoder import DecodedMessage, TrackerDecoder
from social_implicit_ros.core.tracker_spec import (
    TrackerSpecError,
    check_tracker_spec,
    find_tracker_spec,
)


@dataclass(frozen=True)
class Tracker:
    """How to subscribe to a tracker.

    Attributes:
        name: of its description.
        message_class: of the topic.
        decoder: of its messages.
    """

    name: str
    message_class: type
    decoder: TrackerDecoder

    def decode(self, message: Any) -> DecodedMessage:
        """As `TrackerDecoder.decode`."""
        return self.decoder.decode(message)


def load_tracker(tracker: str) -> Tracker:
    """Reads a tracker's description, imports its messages and checks one against the other.

    Args:
        tracker: a shipped description's name such as `people`, or the path of a YAML file.

    Raises:
        TrackerSpecError: no such description, a bad one, a message package that is not installed,
            or a path that the message type does not have.
    """
    spec = find_tracker_spec(tracker)
    message_class = import_message(spec.message_type, f"tracker {spec.name!r}")
    check_tracker_spec(spec, _fields_of)
    return Tracker(spec.name, message_class, TrackerDecoder(spec))


def import_message(message_type: str, owner: str) -> type:
    """The class of a message type.

    Args:
        message_type: `package/msg/Type`.
        owner: who needs it, for the error message.

    Raises:
        TrackerSpecError: the package is not installed, or has no such type.
    """
    package, _, name = message_type.split("/")
    try:
        message_class: type = getattr(import_module(f"{package}.msg"), name)
    except ImportError as error:
        raise TrackerSpecError(
            f"{owner} needs the message package {package}, which cannot be imported ({error}): "
            f"install ros-$ROS_DISTRO-{package.replace('_', '-')}, or source the workspace that "
            "has it"
        ) from error
    except AttributeError as error:
        offered = ", ".join(n for n in dir(import_module(f"{package}.msg")) if n[0].isupper())
        raise TrackerSpecError(
            f"{owner} needs {message_type}, but the installed {package} has only {offered}"
        ) from error
    return message_class


def _fields_of(message_type: str) -> Mapping[str, str]:
    package, *_, name = message_type.split("/")
    fields: Mapping[str, str] = getattr(
        import_module(f"{package}.msg"), name
    ).get_fields_and_field_types()
    return fields
