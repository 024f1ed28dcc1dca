"""Layout of serialised ROS messages: definitions of types, and their fields in order.

Source: OMG Common Data Representation as ROS 2 writes it (XCDR1). Every number is aligned to its
size, counted from the end of an encapsulation header of four bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

#: Name of a number's type -> code of `struct` and numpy.
NUMBER_CODES = {
    "bool": "?",
    "byte": "B",
    "octet": "B",
    "char": "B",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
#: Maximum number of fields of a type, as a recording may define arrays of arrays of messages.
_MAX_FIELDS = 10_000


class UnsupportedLayoutError(ValueError):
    """A message type or an encoding is not supported; the text names it."""


@dataclass(frozen=True)
class FieldType:
    """Type of a field of a message.

    Attributes:
        name: type of a number such as `float64`, `string`, or a message type `package/msg/Type`.
        length: length of a fixed array; 0 for a sequence of any length, None for a single value.
    """

    name: str
    length: int | None = None

    def __str__(self) -> str:
        """As in message files: `float64`, `float64[36]`, `float64[]`."""
        return self.name if self.length is None else f"{self.name}[{self.length or ''}]"

    @property
    def has_fixed_size(self) -> bool:
        """Whether it is a number or a fixed array of numbers."""
        return self.name in NUMBER_CODES and self.length != 0


#: Message type -> its fields in their order, by name.
Definitions = Mapping[str, Sequence[tuple[str, FieldType]]]


def collected(
    message_type: str, fields_of: Callable[[str], Sequence[tuple[str, FieldType]]]
) -> Definitions:
    """The definitions of a type and of all types that it contains.

    Args:
        message_type: `package/msg/Type`.
        fields_of: message type -> its fields.
    """
    definitions: dict[str, Sequence[tuple[str, FieldType]]] = {}
    pending = [message_type]
    while pending:
        kind = pending.pop()
        if kind not in definitions:
            definitions[kind] = fields_of(kind)
            pending.extend(inner.name for _, inner in definitions[kind] if "/" in inner.name)
    return definitions


def flattened(
    definitions: Definitions, message_type: str, *, whole: str | None = None
) -> list[tuple[str, FieldType]]:
    """Paths and types of the numbers, strings and sequences of a type, in their order.

    Args:
        definitions: definitions of the type and of all types that it contains.
        message_type: `package/msg/Type`.
        whole: path of an array of messages that is kept as one field, not split into elements.

    Raises:
        UnsupportedLayoutError: a type is unknown, or there are too many fields.
    """
    fields: list[tuple[str, FieldType]] = []

    def add(kind: FieldType, path: str) -> None:
        if len(fields) == _MAX_FIELDS:
            raise UnsupportedLayoutError(f"{message_type} has more than {_MAX_FIELDS} fields")
        is_text = kind == FieldType("string")
        is_whole = path == whole and kind.length is not None
        if kind.length == 0 or kind.has_fixed_size or is_text or is_whole:
            fields.append((path, kind))
        elif kind.length is not None:
            for index in range(kind.length):
                add(FieldType(kind.name), f"{path}[{index}]")
        elif definitions.get(kind.name):
            for name, inner in definitions[kind.name]:
                add(inner, f"{path}.{name}" if path else name)
        else:
            raise UnsupportedLayoutError(f"no definition of {kind.name}")

    add(FieldType(message_type), "")
    return fields
