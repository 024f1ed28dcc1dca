"""What installed message classes say of their fields, for who reads and writes bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from social_implicit_ros.ros.outputs.cdr_writer import CdrListWriter
from social_implicit_ros.tracks.cdr import Definitions, FieldType
from social_implicit_ros.tracks.spec import item_type

#: Numbers that message classes call by other names than message files.
_NUMBERS = {"boolean": "bool", "float": "float32", "double": "float64"}


def list_writer(
    message_class: type, *, entries_of: Callable[[Any], Sequence[object]], rewritten: Sequence[str]
) -> CdrListWriter:
    """See `CdrListWriter`."""
    package = message_class.__module__.partition(".")[0]
    message_type = f"{package}/msg/{message_class.__name__}"
    return CdrListWriter(
        message_type, definitions_of(message_type), entries_of=entries_of, rewritten=rewritten
    )


def fields_of(message_type: str) -> Mapping[str, str]:
    """Name -> type of the fields of `package/msg/Type`, which is installed."""
    package, *_, name = message_type.split("/")
    fields: Mapping[str, str] = getattr(
        import_module(f"{package}.msg"), name
    ).get_fields_and_field_types()
    return fields


def definitions_of(message_type: str) -> Definitions:
    """The definitions of a type and of all types within, as `core.cdr` reads them."""
    definitions: dict[str, list[tuple[str, FieldType]]] = {}
    pending = [message_type]
    while pending:
        kind = pending.pop()
        if kind not in definitions:
            fields = [(name, _field_type(text)) for name, text in fields_of(kind).items()]
            definitions[kind] = fields
            pending.extend(field.name for _, field in fields if "/" in field.name)
    return definitions


def _field_type(text: str) -> FieldType:
    item = item_type(text)
    length = None
    if item is not None:
        # The length of a sequence is but a bound.
        length = 0 if text.startswith("sequence<") else int(text[text.rindex("[") + 1 : -1])
    name = (item or text).replace("/", "/msg/")
    if name.startswith("string<"):
        name = "string"
    return FieldType(_NUMBERS.get(name, name), length)
