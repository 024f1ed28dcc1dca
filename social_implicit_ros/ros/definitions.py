"""Definitions of installed message types, in the form that the CDR decoder and writer need."""

from __future__ import annotations

import re
from importlib import import_module

from social_implicit_ros.tracks.messages.cdr_layout import Definitions, FieldType

#: Arrays and sequences as message classes describe them: `double[36]`, `sequence<double, 4>`.
_ARRAY = re.compile(
    r"^(?:sequence<(?P<item>[^,>]+)(?:, *\d+)?>|(?P<array_item>.+)\[(?P<length>\d+)\])$"
)
#: Numbers that have different names in message classes and message files.
_NUMBERS = {"boolean": "bool", "float": "float32", "double": "float64"}


def definitions_of(message_type: str) -> Definitions:
    """The definitions of an installed type, `package/msg/Type`, and of all nested types."""
    definitions: dict[str, list[tuple[str, FieldType]]] = {}
    pending = [message_type]
    while pending:
        kind = pending.pop()
        if kind not in definitions:
            package, _, name = kind.split("/")
            message_class = getattr(import_module(f"{package}.msg"), name)
            described = message_class.get_fields_and_field_types()
            fields = [(field, field_type(text)) for field, text in described.items()]
            definitions[kind] = fields
            pending.extend(field.name for _, field in fields if "/" in field.name)
    return definitions


def field_type(text: str) -> FieldType:
    """Parses a type as message classes describe it, such as `sequence<geometry_msgs/Point>`."""
    name, length = text, None
    match = _ARRAY.match(text)
    if match is not None:
        name = match["item"] or match["array_item"]
        length = int(match["length"] or 0)  # the bound of a sequence is not its length
    name = name.replace("/", "/msg/")
    if name.startswith("string<"):
        name = "string"
    return FieldType(_NUMBERS.get(name, name), length)
