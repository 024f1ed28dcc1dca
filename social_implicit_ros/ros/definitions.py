"""Definitions of installed message types, in the form that the CDR decoder and writer need."""

from __future__ import annotations

import re
from importlib import import_module

from social_implicit_ros.tracks.messages.cdr_layout import Definitions, FieldType, collected

#: Arrays and sequences as message classes describe them: `double[36]`, `sequence<double, 4>`.
_ARRAY = re.compile(
    r"^(?:sequence<(?P<item>[^,>]+)(?:, *\d+)?>|(?P<array_item>.+)\[(?P<length>\d+)\])$"
)
#: Numbers that have different names in message classes and message files.
_NUMBERS = {"boolean": "bool", "float": "float32", "double": "float64"}


def definitions_of(message_type: str) -> Definitions:
    """The definitions of an installed type, `package/msg/Type`, and of all nested types."""

    def fields_of(kind: str) -> list[tuple[str, FieldType]]:
        package, _, name = kind.split("/")
        described = getattr(import_module(f"{package}.msg"), name).get_fields_and_field_types()
        return [(field, field_type(text)) for field, text in described.items()]

    return collected(message_type, fields_of)


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
