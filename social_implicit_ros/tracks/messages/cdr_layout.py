"""Layout of serialised ROS messages: the types of their fields, and where fields of fixed size lie.

Source: OMG Common Data Representation as ROS 2 writes it (XCDR1): every number is aligned to its
size, counted from the end of an encapsulation header of four bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

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
#: A recording may define arrays of arrays of messages; larger types are not compiled.
_MAX_FIELDS = 10_000


class UnsupportedLayoutError(ValueError):
    """A message type or an encoding that this module does not read; the text names it."""


@dataclass(frozen=True)
class FieldType:
    """Type of a field of a message.

    Attributes:
        name: of a number such as `float64`, `string`, or a message type `package/msg/Type`.
        length: of a fixed array; 0 for a sequence of any length, None for a single value.
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


def flattened(
    definitions: Definitions, message_type: str, *, whole: str | None = None
) -> list[tuple[str, FieldType]]:
    """Paths and types of the numbers, strings and sequences of a type, in their order.

    Args:
        definitions: of the type and of all types within.
        message_type: `package/msg/Type`.
        whole: path of an array of messages that is one of the fields, and not its elements.

    Raises:
        UnsupportedLayoutError: an unknown type, or too many fields.
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


def covers(path: str, name: str) -> bool:
    """Whether a chosen path names a field or a message around it."""
    return name == path or name.startswith((f"{path}.", f"{path}["))


class Run:
    """Consecutive numbers with the padding between them.

    The padding depends on the alignment of the start: its remainder modulo the size W of the
    largest number.

    Attributes:
        alignment: W.
        offsets: (N, W) bytes from the start of the run to each of N fields.
        n_bytes: (W,) bytes of the run.
    """

    def __init__(self, kinds: Sequence[FieldType]) -> None:
        sizes = [np.dtype(NUMBER_CODES[kind.name]).itemsize for kind in kinds]
        self.alignment = max(sizes)
        self.offsets = np.empty((len(kinds), self.alignment), dtype=np.int64)
        self.n_bytes = []
        for start in range(self.alignment):
            at = start
            for row, (size, kind) in enumerate(zip(sizes, kinds, strict=True)):
                at += -at % size
                self.offsets[row, start] = at - start
                at += size * (kind.length or 1)
            self.n_bytes.append(at - start)

    def end(self, at: int, count: int) -> int:
        """The end of a number of consecutive runs, the first of which starts at an offset."""
        if count == 0:
            return at
        at += self.n_bytes[at % self.alignment]
        # After the largest number the alignment is known, so all further runs have one size.
        return at + (count - 1) * self.n_bytes[at % self.alignment]
