"""Chosen fields of serialised ROS messages, read without making the messages.

A tracker's message is mostly what nobody asks for: colours of markers, covariances of rotations,
small objects by the dozen. Here the layout of a type is walked once, and its chosen fields are
picked out of the bytes; of a list whose entries lie like those before, all at once.

Source: OMG Common Data Representation as ROS 2 writes it (XCDR1, little endian): every number is
aligned to its size, counted from the end of a header of four bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from social_implicit_ros.tracks.cdr_columns import Columns, ListReader
from social_implicit_ros.tracks.cdr_outline import (
    ABSENT,
    ALIGNMENT,
    TEXT,
    KnownOutline,
    Outline,
    Outlines,
    Part,
    too_short,
)

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
_count_from = struct.Struct("<I").unpack_from
#: An array of messages of numbers, such as points of a skeleton, is one part up to so many.
_MOST_JOINED = 4096


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
        parts = layout.parts_of(message_type, "")
        names, self.names_in_list = tuple(layout.names), tuple(layout.names_in_list)
        if list_path not in names:
            raise UnsupportedLayoutError(f"{message_type} has no list {list_path}")
        list_at = names.index(list_path)
        self._names_before, self._names_after = names[:list_at], names[list_at + 1 :]
        # The list is the only part that is read and not followed.
        entries = next(part for part in parts if isinstance(part, ListReader))
        at = parts.index(entries)
        self._before = Outlines(_followed(parts[:at]))
        self._entries = entries
        self._after = Outlines(_followed(parts[at + 1 :]))
        for paths, found in ((chosen, names), (chosen_in_list, self.names_in_list)):
            for path in paths:
                if not any(_covers(path, name) for name in found):
                    raise UnsupportedLayoutError(f"{message_type} has no {path} that can be read")

    def read(self, data: bytes) -> tuple[dict[str, Any], Columns]:
        """The values of a message by their paths, and those of the entries of its list.

        Fields of the first message of an empty sequence are None.

        Raises:
            ValueError: bytes that are no such message.
            UnsupportedLayoutError: a message in big endian.
        """
        if data[:2] != _LITTLE_ENDIAN:
            raise UnsupportedLayoutError("only messages in little endian are read")
        data = data[_HEADER_BYTES:]
        try:
            before = self._before.find(data, 0)
            columns, at = self._entries.read(data, before.n_bytes)
            after = self._after.find(data, at)
        except struct.error as error:
            raise ValueError(f"a message ends before its last field ({error})") from error
        values = _read(self._names_before, before, data, 0)
        values.update(_read(self._names_after, after, data, at))
        return values, columns


def _read(names: Sequence[str], outline: KnownOutline, data: bytes, at: int) -> dict[str, Any]:
    """The chosen values of a part that begins at a place."""
    return dict(zip(names, outline.read(data, at), strict=True))


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

    def parts_of(self, message_type: str, path: str) -> list[Part | ListReader]:
        """The parts of a message at a path; empty for the outermost."""
        return _made(self._joined(message_type, path))

    def _joined(self, message_type: str, path: str) -> list[_Unmade]:
        """Parts, where numbers that follow one another are still a list."""
        fields = self._definitions.get(message_type)
        if not fields:
            raise UnsupportedLayoutError(f"no definition of {message_type}")
        parts: list[_Unmade] = []
        for name, kind in fields:
            for part in self._field(kind, f"{path}.{name}" if path else name):
                if isinstance(part, list) and parts and isinstance(parts[-1], list):
                    parts[-1].extend(part)
                else:
                    parts.append(part)
        return parts

    def _field(self, kind: FieldType, path: str) -> list[_Unmade]:
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

    def _messages(self, kind: FieldType, path: str) -> list[_Unmade]:
        """A sequence or an array of messages: the list, or one whose first entry may be chosen."""
        if self._rows is not None and path == self._rows[0] and kind.length == 0:
            entry = _Layout(self._definitions, self._rows[1])
            parts_of_entry = _followed(entry.parts_of(kind.name, ""))
            self.names_in_list = entry.names
            self.names.append(path)
            return [ListReader(parts_of_entry, entry.names)]
        parts = _Layout(self._definitions, ())._joined(kind.name, "")
        if kind.length and len(parts) == 1:
            (part,) = parts
            if isinstance(part, list) and kind.length * len(part) <= _MOST_JOINED:
                return [part * kind.length]
        unchosen = _in_order(_followed(_made(parts)))
        if kind.length:
            return [_repeated(unchosen, kind.length)]
        before = len(self.names)
        first = _in_order(_followed(self.parts_of(kind.name, f"{path}[0]")))
        return [_sequence(unchosen, first, len(self.names) - before)]


@dataclass(frozen=True)
class _Number:
    code: str
    count: int
    is_chosen: bool


#: Numbers that follow one another are a list until their parts are made.
_Unmade = list[_Number] | Part | ListReader


def _made(parts: Sequence[_Unmade]) -> list[Part | ListReader]:
    return [_numbers(part) if isinstance(part, list) else part for part in parts]


def _followed(parts: Sequence[Part | ListReader]) -> list[Part]:
    """The same parts, none of which is the list."""
    followed = [part for part in parts if not isinstance(part, ListReader)]
    if len(followed) < len(parts):
        raise UnsupportedLayoutError("a list within a list is not read here")
    return followed


def _covers(path: str, name: str) -> bool:
    """Whether a chosen path names a field or something around it."""
    return name == path or name.startswith((f"{path}.", f"{path}["))


def _in_order(parts: Sequence[Part]) -> Part:
    def follow(data: bytes, at: int, outline: Outline) -> int:
        for part in parts:
            at = part(data, at, outline)
        return at

    return follow


def _numbers(numbers: Sequence[_Number]) -> Part:
    """Numbers one after another; those that are not chosen are passed over."""
    # Where padding is needed depends on where the first one lies.
    placed = [_placed(numbers, offset) for offset in range(ALIGNMENT)]

    def follow(data: bytes, at: int, outline: Outline) -> int:
        places, n_bytes = placed[at % ALIGNMENT]
        for first, end, code in places:
            outline.values.append((at + first, at + end, code, None))
        return at + n_bytes

    return follow


def _placed(numbers: Sequence[_Number], offset: int) -> tuple[list[tuple[int, int, str]], int]:
    """Where the chosen numbers lie from the first byte on, with their codes; bytes of all."""
    places, at = [], offset
    for number in numbers:
        size = _size_of(number.code)
        at += -at % size
        if number.is_chosen:
            places.append((at - offset, at - offset + size, number.code))
        at += size * number.count
    return places, at - offset


def _size_of(code: str) -> int:
    return struct.calcsize(f"<{code}")


def _array(code: str, count: int) -> Part:
    """A fixed array of numbers, chosen."""
    size = _size_of(code)

    def follow(data: bytes, at: int, outline: Outline) -> int:
        at += -at % size
        end = at + count * size
        outline.values.append((at, end, code, count))
        return end

    return follow


def _sequence_of_numbers(code: str, is_chosen: bool) -> Part:
    size = _size_of(code)

    def follow(data: bytes, at: int, outline: Outline) -> int:
        count, at = _followed_count(data, at, outline)
        if count:
            at += -at % size
        end = at + count * size
        if end > len(data):
            raise too_short(data, end)
        if is_chosen:
            outline.values.append((at, end, code, count))
        return end

    return follow


def _string(is_chosen: bool) -> Part:
    def follow(data: bytes, at: int, outline: Outline) -> int:
        size, at = _followed_count(data, at, outline)
        end = at + size
        if end > len(data):
            raise too_short(data, end)
        if size:
            if data[end - 1] != 0:
                raise ValueError(f"a string at byte {at} does not end with a zero")
            outline.telling.append((end - 1, end))
        if is_chosen:
            outline.values.append((at, end, TEXT, None))
        return end

    return follow


def _sequence(entry: Part, first: Part | None = None, n_values: int = 0) -> Part:
    """A sequence, not chosen but for its first entry."""

    def follow(data: bytes, at: int, outline: Outline) -> int:
        count, at = _followed_count(data, at, outline)
        if count == 0:
            for _ in range(n_values):
                outline.values.append((at, at, ABSENT, None))
        for index in range(count):
            at = (first if index == 0 and first else entry)(data, at, outline)
            # A count of billions costs no more than the bytes that are there.
            if at > len(data):
                raise too_short(data, at)
        return at

    return follow


def _repeated(entry: Part, count: int) -> Part:
    """An array of messages, not chosen."""

    def follow(data: bytes, at: int, outline: Outline) -> int:
        for _ in range(count):
            at = entry(data, at, outline)
        return at

    return follow


def _followed_count(data: bytes, at: int, outline: Outline) -> tuple[int, int]:
    """A length before a text or a sequence, and where it ends."""
    at += -at % 4
    (count,) = _count_from(data, at)
    end = at + 4
    outline.telling.append((at, end))
    return count, end
