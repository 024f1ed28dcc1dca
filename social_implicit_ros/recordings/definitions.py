"""Loads message definitions from a recording, or from a sourced ROS workspace."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.base import make_typesdict
from rosbags.typesys.idl import IDLParser
from rosbags.typesys.store import Typestore

from social_implicit_ros.recordings.bag import BagReader, RecordingError
from social_implicit_ros.tracks.messages.cdr_layout import Definitions, FieldType, collected


def ensure_definition(reader: BagReader, message_type: str) -> None:
    """Loads a definition from the recording or a sourced workspace; raises RecordingError."""
    if message_type in reader.typestore.fielddefs:
        return
    found = _recorded(reader, message_type)
    pending = [message_type, *found]
    standard = get_typestore(Stores.ROS2_HUMBLE).fielddefs
    while pending:
        kind = pending.pop()
        if kind in reader.typestore.fielddefs:
            continue
        if kind not in found:
            package, _, name = kind.partition("/msg/")
            text = _definition_text(package, name)
            if text is not None:
                types = get_types_from_msg(text, kind)
            elif kind in standard:
                types = {kind: standard[kind]}
            else:
                raise RecordingError(
                    f"{reader.path} has no definition of {kind} (sqlite3 recordings before ROS "
                    f"Iron have none): source a workspace that has {package}, or convert it there "
                    "with `ros2 bag convert` to mcap"
                )
            found.update(types)
        named = (_field_type(field).name for _, field in found[kind][1])
        pending.extend(name for name in named if "/" in name and name not in found)
    loaded = reader.typestore.fielddefs
    reader.typestore.register({kind: of for kind, of in found.items() if kind not in loaded})


def _recorded(reader: BagReader, message_type: str) -> dict[str, Any]:
    """The definition in the recording and those of nested types; empty if it has none."""
    topic = next((t for t in reader.topics if t.msgtype == message_type and t.definition), None)
    if topic is None or topic.encoding not in _PARSERS:
        return {}
    try:
        return dict(_PARSERS[topic.encoding](topic.definition, message_type))
    except Exception as error:  # a parser may raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise RecordingError(
            f"{reader.path}: the definition of {message_type} cannot be read ({reason})"
        ) from error


def _from_idl(text: str, message_type: str) -> dict[str, Any]:
    """Parses IDL; the text may hold several files, each after a line with its name."""
    line = "=" * 80 + "\n"
    parts = text.split(line)[1:] if text.startswith(f"{line}IDL: ") else [f"\n{text}"]
    found: dict[str, Any] = {}
    for part in parts:
        found.update(make_typesdict(_IdlParser(part.partition("\n")[2]).specification()))
    return found


#: Encoding of a definition -> its parser.
_PARSERS = {"ros2msg": get_types_from_msg, "ros2idl": _from_idl, "omgidl": _from_idl}


class _IdlParser(IDLParser):
    """Caches parsed expressions: nested brackets would otherwise take exponential time."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        for name in _EXPRESSIONS:
            setattr(self, name, cache(getattr(self, name)))


_EXPRESSIONS = tuple(name for name in vars(IDLParser) if name.endswith("_expr"))


def _definition_text(package: str, name: str) -> str | None:
    for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
        file = Path(prefix) / "share" / package / "msg" / f"{name}.msg"
        if file.is_file():
            return file.read_text(encoding="utf-8", errors="replace")
    return None


def definitions_of(store: Typestore, message_type: str) -> Definitions:
    """The definitions of `package/msg/Type` and all nested types, in the form for `tracks.cdr`."""

    def fields_of(kind: str) -> list[tuple[str, FieldType]]:
        return [(name, _field_type(field)) for name, field in store.fielddefs[kind][1]]

    return collected(message_type, fields_of)


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
