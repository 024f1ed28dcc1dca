"""Reads chosen fields of serialised ROS messages without creating message objects.

Most fields of a tracker's message are not needed, such as colours of markers and covariances of
rotations. The definition of a message type is compiled once into parsers: one per run of numbers,
whose layout is fixed, and one per string or sequence, whose length must be read. In one pass over
a message they append the values of the chosen fields.

Source of the format: see `cdr_layout`.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from social_implicit_ros.tracks.messages.cdr_layout import (
    NUMBER_CODES,
    Definitions,
    FieldType,
    UnsupportedLayoutError,
    flattened,
)

#: First bytes of the encapsulation header -> byte order.
_BYTE_ORDERS = {b"\x00\x00": ">", b"\x00\x01": "<"}
_HEADER_BYTES = 4
#: Size and alignment of a length field.
_LENGTH_BYTES = 4
#: Largest index of an element that may be chosen.
_MAX_INDEX = 99
#: Before the path of the number whose largest value chooses an element.
_MAX = "max "
#: Maximum value of a length field.
_LONGEST = 2**32 - 1
#: Reads a part of a message and appends the values of its chosen fields:
#: (message, the same as uint32, offset of the part, values to extend) -> offset of its end.
_Parser = Callable[[bytes, memoryview, int, list[Any]], int]
#: Path of a chosen field -> its place among the values of a row, and what converts its bytes.
_Columns = dict[str, tuple[int, Callable[[bytes], Any] | None]]


class CdrReader:
    """Reads chosen fields of one message type, and of the entries of one list in it.

    Fields are chosen by dotted path. The path of a message chooses all its fields, the path of an
    array all its numbers; `[0]` takes the first element of an array or a sequence, `[max PATH]` the
    message with the largest number at PATH in a sequence.
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
        """Compiles the definition.

        Args:
            message_type: `package/msg/Type`.
            definitions: definitions of this type and of all types that it contains.
            list_path: path of the list, a sequence or an array of messages.
            chosen: paths relative to the message.
            chosen_in_list: paths relative to an entry.

        Raises:
            UnsupportedLayoutError: a type is unknown, or a path does not exist.
        """
        fields = flattened(definitions, message_type, whole=list_path)
        listed = dict(fields).get(list_path, FieldType(""))
        if listed.name not in definitions:
            raise UnsupportedLayoutError(f"{message_type} has no list {list_path}")
        row = fields.index((list_path, listed))
        self._n_entries = listed.length or 0  # of an array; 0 if each message states it
        self._layouts = {}
        for header, order in _BYTE_ORDERS.items():
            message = _Compiler(definitions, chosen, order)
            in_list = _Compiler(definitions, chosen_in_list, order)
            self._layouts[header] = _Layout(
                order,
                before=message.parser(fields[:row]),
                entry=in_list.parser(flattened(definitions, listed.name)),
                after=message.parser(fields[row + 1 :]),
                columns=message.columns,
                columns_in_list=in_list.columns,
            )
            message.require_chosen(message_type)
            in_list.require_chosen(message_type)

    def read(self, data: bytes) -> tuple[Fields, Fields]:
        """Reads a serialised message.

        Returns:
            The chosen fields of the message, as a table of one row, and those of the entries of
            its list, one row each.

        Raises:
            ValueError: the bytes are not such a message.
            UnsupportedLayoutError: the encoding is not plain CDR.
        """
        layout = self._layouts.get(data[:2])
        if layout is None:
            raise UnsupportedLayoutError(
                f"a message of {len(data)} bytes is not plain CDR: it begins with {data[:2]!r}"
            )
        data = data[_HEADER_BYTES:]
        words = np.frombuffer(data, f"{layout.order}u4", len(data) // _LENGTH_BYTES)
        lengths = words.astype(np.uint32, copy=False).data
        values: list[Any] = []
        values_in_list: list[Any] = []
        try:
            n_entries, at = self._n_entries, layout.before(data, lengths, 0, values)
            if not n_entries:
                n_entries, at = _length_at(lengths, at)
            for _ in range(n_entries):
                at = layout.entry(data, lengths, at, values_in_list)
                if at > len(data):  # entries that are only skipped do not notice the end
                    break
            at = layout.after(data, lengths, at, values)
        except (IndexError, struct.error):  # a length, a number or a string is beyond the end
            at = len(data) + 1
        if at > len(data):
            raise ValueError(f"a message of {len(data)} bytes ends before its last field")
        in_list = Fields(layout.columns_in_list, values_in_list, n_entries)
        return Fields(layout.columns, values, 1), in_list


class _Layout(NamedTuple):
    """Parsers of a message in one byte order, and the columns that they fill."""

    order: str
    before: _Parser
    entry: _Parser
    after: _Parser
    columns: _Columns
    columns_in_list: _Columns


class Fields:
    """The chosen fields of a message, or of all entries of a list."""

    def __init__(self, columns: _Columns, values: list[Any], n_rows: int) -> None:
        self._columns, self._values, self._n_rows = columns, values, n_rows

    def __len__(self) -> int:
        """Number of rows."""
        return self._n_rows

    def has(self, path: str) -> bool:
        """Whether the path is that of a chosen number, array or string."""
        return path in self._columns

    def values(self, path: str) -> list[Any]:
        """One value per row: a number, an (N,) array, a text, or None if it does not exist."""
        place, convert = self._columns[path]
        found = self._values[place :: len(self._values) // (self._n_rows or 1) or 1]
        if convert is None:
            return found
        return [None if value is None else convert(value) for value in found]


class _Compiler:
    """Creates the parsers of a message and the columns of its chosen fields."""

    def __init__(self, definitions: Definitions, chosen: Sequence[str], order: str) -> None:
        self.columns: _Columns = {}
        self.n_values = 0  # per row
        self._definitions, self._chosen, self._order = definitions, tuple(chosen), order

    def require_chosen(self, message_type: str) -> None:
        """Raises UnsupportedLayoutError if a chosen path has no column."""
        for path in self._chosen:
            if not any(_covers(path, name) for name in self.columns):
                raise UnsupportedLayoutError(f"{message_type} has no {path} that can be read")

    def parser(self, fields: Sequence[tuple[str, FieldType]]) -> _Parser:
        """One parser for consecutive fields."""
        parsers: list[_Parser] = []
        for has_fixed_size, group in groupby(fields, key=lambda field: field[1].has_fixed_size):
            if has_fixed_size:
                parsers.append(self._run(list(group)))
            else:
                parsers += [self._string_or_sequence(path, kind) for path, kind in group]
        if len(parsers) == 1:
            return parsers[0]

        def parse(data: bytes, lengths: memoryview, at: int, values: list[Any]) -> int:
            for one in parsers:
                at = one(data, lengths, at, values)
            return at

        return parse

    def _run(self, fields: Sequence[tuple[str, FieldType]]) -> _Parser:
        """Consecutive numbers and fixed arrays, of which arrays are read as bytes."""
        is_read = [self._add_column(path, kind) for path, kind in fields]
        # The padding between them depends on where they start.
        layouts = [
            _run_layout(fields, is_read, start, self._order)
            for start in range(max(_size(kind) for _, kind in fields))
        ]
        alignment, sizes = len(layouts), [layout.size for layout in layouts]
        if not any(is_read):
            return lambda data, lengths, at, values: at + sizes[at % alignment]
        readers = [layout.unpack_from for layout in layouts]

        def parse(data: bytes, lengths: memoryview, at: int, values: list[Any]) -> int:
            start = at % alignment
            values += readers[start](data, at)
            return at + sizes[start]

        return parse

    def _string_or_sequence(self, path: str, kind: FieldType) -> _Parser:
        if kind.length is None:
            return self._string(path)
        if kind.name in NUMBER_CODES:
            return self._sequence_of_numbers(path, kind)
        return self._sequence(path, kind.name)

    def _string(self, path: str) -> _Parser:
        is_read = self._add_column(path, FieldType("string"))

        # Large messages spend most of their time here, so `_length_at` is inlined.
        def parse(data: bytes, lengths: memoryview, at: int, values: list[Any]) -> int:
            word = (at + _LENGTH_BYTES - 1) // _LENGTH_BYTES
            at = (word + 1) * _LENGTH_BYTES
            end = at + lengths[word]
            if end > at and data[end - 1]:
                raise ValueError(f"a string at byte {at} does not end with a zero")
            if is_read:
                # As rclpy does: up to the first zero, with invalid UTF-8 replaced.
                values.append(data[at:end].partition(b"\0")[0].decode("utf-8", "replace"))
            return end

        return parse

    def _sequence_of_numbers(self, path: str, kind: FieldType) -> _Parser:
        size = _size(kind)
        is_read = self._add_column(path, kind)

        def parse(data: bytes, lengths: memoryview, at: int, values: list[Any]) -> int:
            length, at = _length_at(lengths, at)
            if length:  # an empty sequence is not aligned
                at += -at % size
            end = at + length * size
            if is_read:
                values.append(data[at:end])
            return end

        return parse

    def _sequence(self, path: str, item: str) -> _Parser:
        """A sequence of messages or strings, of which elements may be chosen."""
        fields = flattened(self._definitions, item)
        skip = self._skipper(fields)
        chosen = self._chosen_elements(path)
        if not chosen:
            return lambda data, lengths, at, values: skip(data, lengths, *_length_at(lengths, at))
        names = {name for inside in chosen.values() for name in inside}
        if "" in names:  # an element as a whole
            names = names - {""} | {name for name, _ in fields}
        keys = {element: element[len(_MAX) :] for element in chosen if element.startswith(_MAX)}
        inner = _Compiler(self._definitions, sorted({*names, *keys.values()}), self._order)
        read = inner.parser(fields)
        inner.require_chosen(item)
        n_inner, n_most = inner.n_values, 0
        for element in chosen:
            for name, (place, convert) in inner.columns.items():
                column = f"{path}[{element}].{name}".removesuffix(".")
                self.columns[column] = (self.n_values + place, convert)
            self.n_values += n_inner
            n_most = max(n_most, _LONGEST if element in keys else int(element) + 1)
        places = {element: inner.columns[key][0] for element, key in keys.items()}

        def parse(data: bytes, lengths: memoryview, at: int, values: list[Any]) -> int:
            length, at = _length_at(lengths, at)
            found: list[list[Any]] = []
            for _ in range(min(length, n_most)):
                element_values: list[Any] = []
                at = read(data, lengths, at, element_values)
                found.append(element_values)
            for element in chosen:
                if element in places:
                    index = index_of_largest([row[places[element]] for row in found])
                else:
                    index = int(element)
                values += found[index] if index < len(found) else [None] * n_inner
            return skip(data, lengths, length - len(found), at)

        return parse

    def _skipper(
        self, fields: Sequence[tuple[str, FieldType]]
    ) -> Callable[[bytes, memoryview, int, int], int]:
        """A function that skips a number of consecutive messages, the first at an offset."""
        has_fixed_size = all(kind.has_fixed_size for _, kind in fields)
        one = _Compiler(self._definitions, (), self._order).parser(fields)

        def skip(data: bytes, lengths: memoryview, count: int, at: int) -> int:
            if has_fixed_size and count:
                at = one(data, lengths, at, [])
                # Each ends at the same alignment, so that all further ones have the same size.
                return at + (count - 1) * (one(data, lengths, at, []) - at)
            # Each has a length field, so that a wrong count stops at the end of the data.
            for _ in range(count):
                at = one(data, lengths, at, [])
            return at

        return skip

    def _add_column(self, path: str, kind: FieldType) -> bool:
        """Adds the columns of a field and of its chosen elements; returns whether it is read."""
        elements = self._chosen_elements(path)
        if not elements and not any(_covers(chosen, path) for chosen in self._chosen):
            return False
        convert: Callable[[bytes], Any] | None = None
        if kind.length is not None:
            dtype = np.dtype(self._order + NUMBER_CODES[kind.name])
            convert = partial(_numbers, dtype)
            for index in map(int, elements):
                self.columns[f"{path}[{index}]"] = (self.n_values, partial(_element, dtype, index))
        self.columns[path] = (self.n_values, convert)
        self.n_values += 1
        return True

    def _chosen_elements(self, path: str) -> dict[str, list[str]]:
        """Chosen elements of an array, such as `0` or `max score` -> the chosen paths in them."""
        found: dict[str, list[str]] = {}
        for chosen in self._chosen:
            match = re.match(rf"{re.escape(path)}\[(\d+|{_MAX}[\w.]+)\](?:\.|$)", chosen)
            if match is not None:
                found.setdefault(match[1], []).append(chosen[match.end() :])
        highest = max((int(element) for element in found if element.isdecimal()), default=0)
        if highest > _MAX_INDEX:
            raise UnsupportedLayoutError(f"{path}[{highest}] is beyond [{_MAX_INDEX}]")
        return found


def _run_layout(
    fields: Sequence[tuple[str, FieldType]], is_read: Sequence[bool], start: int, order: str
) -> struct.Struct:
    """The layout of consecutive numbers and fixed arrays that start at an offset."""
    at, codes = start, order
    for (_, kind), is_chosen in zip(fields, is_read, strict=True):
        padding, size = -at % _size(kind), _size(kind) * (kind.length or 1)
        if is_chosen:
            codes += f"{padding}x{NUMBER_CODES[kind.name] if kind.length is None else f'{size}s'}"
        else:
            codes += f"{padding + size}x"
        at += padding + size
    return struct.Struct(codes)


def _size(kind: FieldType) -> int:
    """Size and alignment of a number, bytes."""
    return struct.calcsize(f"<{NUMBER_CODES[kind.name]}")


def _length_at(lengths: memoryview, at: int) -> tuple[int, int]:
    """The value of a length field, and the offset of its end."""
    at += -at % _LENGTH_BYTES
    return lengths[at // _LENGTH_BYTES], at + _LENGTH_BYTES


def _covers(path: str, name: str) -> bool:
    """Whether a chosen path names a field or a message around it."""
    return name == path or name.startswith((f"{path}.", f"{path}["))


def _numbers(dtype: np.dtype, data: bytes) -> np.ndarray:
    """The numbers of an array that is given by its bytes."""
    return np.frombuffer(data, dtype)


def _element(dtype: np.dtype, index: int, data: bytes) -> float | None:
    """A number of an array that is given by its bytes; None for shorter arrays."""
    numbers = _numbers(dtype, data)
    return numbers[index].item() if index < len(numbers) else None


def index_of_largest(numbers: Sequence[float | None]) -> int:
    """Index of the first largest number; NaN and None are smaller than any; 0 if there is none."""
    known = [-math.inf if n is None or math.isnan(n) else n for n in numbers]
    return known.index(max(known)) if known else 0
