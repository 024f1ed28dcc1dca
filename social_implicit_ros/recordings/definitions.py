"""Message definitions of a recording, else of a sourced ROS workspace."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Nodetype
from rosbags.typesys import get_types_from_msg
from rosbags.typesys.store import Typestore

from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.tracks.cdr import Definitions, FieldType


def ensure_definition(reader: AnyReader, owner: Path | str, message_type: str) -> None:
    """Loads a definition that a recording lacks (sqlite3 before Iron) from a sourced workspace.

    Raises:
        RecordingError: the package is not in a sourced workspace either.
    """
    if message_type in reader.typestore.fielddefs:
        return
    pending, found = [message_type], {}
    while pending:
        kind = pending.pop()
        package, _, name = kind.split("/")
        text = _definition_text(package, name)
        if text is None:
            raise RecordingError(
                f"{owner} has no definition of {kind} (sqlite3 recordings before ROS Iron have "
                f"none): source a workspace that has {package}, or convert it there with "
                "`ros2 bag convert` to mcap"
            )
        types = get_types_from_msg(text, kind)
        found.update(types)
        for _, fields in types.values():
            pending.extend(
                inner
                for inner in _named_types(fields)
                if inner not in found and inner not in reader.typestore.fielddefs
            )
    reader.typestore.register(found)


def _definition_text(package: str, name: str) -> str | None:
    for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
        file = Path(prefix) / "share" / package / "msg" / f"{name}.msg"
        if file.is_file():
            return file.read_text()
    return None


def _named_types(fields: Any) -> Iterator[str]:
    for _, (node, detail) in fields:
        if node == Nodetype.NAME:
            yield detail
        elif node in (Nodetype.ARRAY, Nodetype.SEQUENCE) and detail[0][0] == Nodetype.NAME:
            yield detail[0][1]


def definitions_of(store: Typestore, message_type: str) -> Definitions:
    """The definitions of `package/msg/Type` and all nested types, as `tracks.cdr` reads them."""
    definitions: dict[str, list[tuple[str, FieldType]]] = {}
    pending = [message_type]
    while pending:
        kind = pending.pop()
        if kind not in definitions:
            _, fields = store.fielddefs[kind]
            definitions[kind] = [(name, _field_type(field)) for name, field in fields]
            pending.extend(_named_types(fields))
    return definitions


def _field_type(field: Any) -> FieldType:
    node, detail = field
    if node == Nodetype.NAME:
        return FieldType(detail)
    if node == Nodetype.BASE:
        return FieldType(detail[0])
    (item_node, item), length = detail
    name = item if item_node == Nodetype.NAME else item[0]
    # The length of a sequence is an upper bound.
    return FieldType(name, length if node == Nodetype.ARRAY else 0)
