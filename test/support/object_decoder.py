"""Decodes message objects of rclpy or `rosbags`, to compare with what is read from bytes."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from social_implicit_ros.tracks.messages.cdr import index_of_largest
from social_implicit_ros.tracks.messages.decoder import DecodedMessage, decoded_from
from social_implicit_ros.tracks.messages.field_path import FieldPath
from social_implicit_ros.tracks.messages.point_cloud import Points
from social_implicit_ros.tracks.messages.spec import TrackerSpec


class ObjectDecoder:
    """As `TrackerDecoder`, of message objects."""

    def __init__(self, spec: TrackerSpec) -> None:
        self.spec = spec

    def decode(self, message: Any) -> DecodedMessage:
        spec = self.spec
        entries: Any = Points(spec.name, message) if spec.entries is None else None
        if spec.entries is not None:
            entries = _Objects(read(spec.entries, message))
        return decoded_from(spec, _Objects([message]), entries)  # type: ignore[arg-type]


def read(path: FieldPath, message: Any) -> Any:
    """The value at the path, or None if an array on the path is too short."""
    for name, at in path.steps:
        message = getattr(message, name)
        if isinstance(at, FieldPath):
            at = index_of_largest([read(at, element) for element in message])
        if at is not None:
            if at >= len(message):
                return None
            message = message[at]
    return message


class _Objects:
    def __init__(self, messages: Sequence[Any]) -> None:
        self._messages = messages

    def __len__(self) -> int:
        return len(self._messages)

    def has(self, path: str) -> bool:
        try:
            self.values(path)
        except AttributeError:
            return False
        return True

    def values(self, path: str) -> list[Any]:
        if "[" in path:
            parsed = FieldPath.parse(path, "path")
            return [read(parsed, message) for message in self._messages]
        return list(map(attrgetter(path), self._messages))
