"""Chosen fields of serialised ROS messages, read without making the messages.

A tracker's message is mostly what nobody asks for: colours of markers, covariances of rotations,
small objects by the dozen. Here the layout of a type is walked once, and its chosen fields are
picked out of the bytes; all numbers between two strings are one `struct`.

Source: OMG Common Data Representation as ROS 2 writes it (XCDR1, little endian): every number is
aligned to its size, counted from the end of a header of four bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Name of a number's type -> code of `struct`.
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
_LITTLE_ENDIAN = b"\x00\x01"
_HEADER_BYTES = 4
_COUNT = struct.Struct("<I")
#: An array of messages of numbers, such as points of a skeleton, is one part up to so many.
_MOST_JOINED = 4096
#: Reads a part of a message that begins at a place: appends what is chosen of it, returns its end.
_Part = Callable[[bytes, int, list[Any]], int]


class UnsupportedLayoutError(ValueError):
    """A type or a message that is not read here; the text says why."""


@dataclass(frozen=True)
class FieldType:
    """What a field of a message holds.

    Attributes:
        name: of a number such as `float64`, `string`, or the message type `package/msg/Type`.
        length: of a fixed array; 0 for a sequence of any length, None for a single value.
    """

    name: str
    length: int | None = None


#: Message type -> its fields in their order, by name.
Definitions = Mapping[str, Sequence[tuple[str, FieldType]]]


class CdrReader:
    """Reads chosen fields of one message type, and of the entries of one list in it.

    Fields are chosen by dotted path. The path of a message chooses all its fields, that of an
    array of numbers all of these as a tuple; `[0]` takes the first message of a sequence.

    Attributes:
        names: path of each value of a message that `read` gives.
        names_in_list: path of each value of an entry, from the entry on.
    """

    def __init__(
        self,
        message_type: str,
        definitions: Definitions,
        *,
        list_path: str,
        chosen: Sequence[str],
        chosen_in_list: Sequence[str],
    ) -> None:
        """Prepares.

        Args:
            message_type: `package/msg/Type`.
            definitions: of it and of all types within.
            list_path: of the list, a sequence of messages.
            chosen: paths from the message on.
            chosen_in_list: paths from an entry on.

        Raises:
            UnsupportedLayoutError: a type that is not known, or a path that is not there.
        """
        layout = _Layout(definitions, (*chosen, list_path), (list_path, tuple(chosen_in_list)))
        self._read = _in_order(layout.parts_of(message_type, ""))
        self.names, self.names_in_list = tuple(layout.names), tuple(layout.names_in_list)
        if list_path not in self.names:
            raise UnsupportedLayoutError(f"{message_type} has no list {list_path}")
        self._list_at = self.names.index(list_path)
        for paths, names in ((chosen, self.names), (chosen_in_list, self.names_in_list)):
            for path in paths:
                if not any(_covers(path, name) for name in names):
                    raise UnsupportedLayoutError(f"{message_type} has no {path} that can be read")

    def read(self, data: bytes) -> tuple[list[Any], list[list[Any]]]:
        """The values of a message, and those of each entry of its list.

        Fields of the first message of an empty sequence are None.

        Raises:
            ValueError: bytes that are no such message.
            UnsupportedLayoutError: a message in big endian.
        """
        if data[:2] != _LITTLE_ENDIAN:
            raise UnsupportedLayoutError("only messages in little endian are read")
        values: list[Any] = []
        try:
            self._read(data[_HEADER_BYTES:], 0, values)
        except struct.error as error:
            raise ValueError(f"a message ends before its last field ({error})") from error
        return values, values[self._list_at]


class _Layout:
    """Walks a type's definition and makes the parts that read it."""

    def __init__(
        self,
        definitions: Definitions,
        chosen: tuple[str, ...],
        rows: tuple[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._definitions, self._chosen, self._rows = definitions, chosen, rows
        self.names: list[str] = []
        self.names_in_list: list[str] = []

    def parts_of(self, message_type: str, path: str) -> list[_Part]:
        """The parts of a message at a path; empty for the outermost."""
        return _made(self._joined(message_type, path))

    def _joined(self, message_type: str, path: str) -> list[list[_Number] | _Part]:
        """Parts, where numbers that follow one another are still a list."""
        fields = self._definitions.get(message_type)
        if not fields:
            raise UnsupportedLayoutError(f"no definition of {message_type}")
        parts: list[list[_Number] | _Part] = []
        for name, kind in fields:
            for part in self._field(kind, f"{path}.{name}" if path else name):
                if isinstance(part, list) and parts and isinstance(parts[-1], list):
                    parts[-1].extend(part)
                else:
                    parts.append(part)
        return parts

    def _field(self, kind: FieldType, path: str) -> list[list[_Number] | _Part]:
        is_chosen = any(_covers(wanted, path) for wanted in self._chosen)
        if kind.name in NUMBER_CODES:
            if is_chosen:
                self.names.append(path)
            if kind.length == 0:
                return [_sequence_of_numbers(NUMBER_CODES[kind.name], is_chosen)]
            if kind.length is not None and is_chosen:
                return [_array(NUMBER_CODES[kind.name], kind.length)]
            return [[_Number(NUMBER_CODES[kind.name], kind.length or 1, is_chosen)]]
        if kind.name == "string":
            is_chosen = is_chosen and kind.length is None
            if is_chosen:
                self.names.append(path)
            one = _string(is_chosen)
            return [_sequence(one)] if kind.length == 0 else [one] * (kind.length or 1)
        if kind.length is None:
            return self._joined(kind.name, path)
        return self._messages(kind, path)

    def _messages(self, kind: FieldType, path: str) -> list[list[_Number] | _Part]:
        """A sequence or an array of messages: the list, or one whose first entry may be chosen."""
        if self._rows is not None and path == self._rows[0] and kind.length == 0:
            entry = _Layout(self._definitions, self._rows[1])
            read = _in_order(entry.parts_of(kind.name, ""))
            self.names_in_list = entry.names
            self.names.append(path)
            return [_rows(read)]
        parts = _Layout(self._definitions, ())._joined(kind.name, "")
        if kind.length and len(parts) == 1:
            (part,) = parts
            if isinstance(part, list) and kind.length * len(part) <= _MOST_JOINED:
                return [part * kind.length]
        unchosen = _in_order(_made(parts))
        if kind.length:
            return [_repeated(unchosen, kind.length)]
        before = len(self.names)
        first = _in_order(self.parts_of(kind.name, f"{path}[0]"))
        return [_sequence(unchosen, first, len(self.names) - before)]


@dataclass(frozen=True)
class _Number:
    code: str
    count: int
    is_chosen: bool


def _made(parts: list[list[_Number] | _Part]) -> list[_Part]:
    return [_numbers(part) if isinstance(part, list) else part for part in parts]


def _covers(path: str, name: str) -> bool:
    """Whether a chosen path names a field or something around it."""
    return name == path or name.startswith((f"{path}.", f"{path}["))


def _in_order(parts: Sequence[_Part]) -> _Part:
    def read(data: bytes, at: int, values: list[Any]) -> int:
        for part in parts:
            at = part(data, at, values)
        return at

    return read


def _numbers(numbers: Sequence[_Number]) -> _Part:
    """Numbers one after another; those that are not chosen are passed over."""
    # Where padding is needed depends on where the first one lies.
    layouts = [struct.Struct(_format(numbers, offset)) for offset in range(8)]

    def read(data: bytes, at: int, values: list[Any]) -> int:
        layout = layouts[at & 7]
        values += layout.unpack_from(data, at)
        return at + layout.size

    return read


def _format(numbers: Sequence[_Number], offset: int) -> str:
    codes, at = ["<"], offset
    for number in numbers:
        size = struct.calcsize(f"<{number.code}")
        padding, n_bytes = -at % size, size * number.count
        codes.append(f"{padding}x")
        codes.append(f"{number.count}{number.code}" if number.is_chosen else f"{n_bytes}x")
        at += padding + n_bytes
    return "".join(codes)


def _array(code: str, count: int) -> _Part:
    """A fixed array of numbers, chosen: one tuple."""
    layout = struct.Struct(f"<{count}{code}")
    size = struct.calcsize(f"<{code}")

    def read(data: bytes, at: int, values: list[Any]) -> int:
        at += -at % size
        values.append(layout.unpack_from(data, at))
        return at + layout.size

    return read


def _sequence_of_numbers(code: str, is_chosen: bool) -> _Part:
    size = struct.calcsize(f"<{code}")
    count_at = _COUNT.unpack_from

    def read(data: bytes, at: int, values: list[Any]) -> int:
        at += -at % 4
        (count,) = count_at(data, at)
        at += 4
        if count:
            at += -at % size
        end = at + count * size
        if end > len(data):
            raise _too_short(data, end)
        if is_chosen:
            values.append(struct.unpack_from(f"<{count}{code}", data, at))
        return end

    return read


def _string(is_chosen: bool) -> _Part:
    count_at = _COUNT.unpack_from

    def read(data: bytes, at: int, values: list[Any]) -> int:
        at += -at % 4
        (size,) = count_at(data, at)
        at += 4
        end = at + size
        if end > len(data):
            raise _too_short(data, end)
        if size and data[end - 1] != 0:
            raise ValueError(f"a string at byte {at} does not end with a zero")
        if is_chosen:
            # As rclpy reads texts: up to the first zero, what is no UTF-8 replaced.
            values.append(data[at:end].partition(b"\0")[0].decode("utf-8", "replace"))
        return end

    return read


def _rows(entry: _Part) -> _Part:
    """A sequence of messages, chosen: one list of what is chosen of each."""

    def read(data: bytes, at: int, values: list[Any]) -> int:
        at += -at % 4
        (count,) = _COUNT.unpack_from(data, at)
        at += 4
        rows = []
        for _ in range(count):
            row: list[Any] = []
            at = entry(data, at, row)
            rows.append(row)
        values.append(rows)
        return at

    return read


def _sequence(entry: _Part, first: _Part | None = None, n_values: int = 0) -> _Part:
    """A sequence, not chosen but for its first entry."""
    count_at, nothing = _COUNT.unpack_from, [None] * n_values

    def read(data: bytes, at: int, values: list[Any]) -> int:
        at += -at % 4
        (count,) = count_at(data, at)
        at += 4
        if count == 0:
            values += nothing
        for index in range(count):
            at = (first if index == 0 and first else entry)(data, at, values)
        return at

    return read


def _repeated(entry: _Part, count: int) -> _Part:
    """An array of messages, not chosen."""

    def read(data: bytes, at: int, values: list[Any]) -> int:
        for _ in range(count):
            at = entry(data, at, values)
        return at

    return read


def _too_short(data: bytes, end: int) -> ValueError:
    return ValueError(f"a message of {len(data)} bytes ends before byte {end}")
