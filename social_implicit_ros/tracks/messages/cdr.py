"""Reads chosen fields of serialised ROS messages without creating message objects.

Most fields of a tracker's message are not needed, such as colours of markers and covariances of
rotations. The definition of a message type is compiled once into parsers: for runs of numbers,
whose layout is fixed, and for strings and sequences, whose length fields must be read. One pass
over a message finds the offsets of the chosen fields; numpy then gathers each field of all entries
at once.

`cdr_layout` documents the format.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from social_implicit_ros.tracks.messages.cdr_layout import (
    NUMBER_CODES,
    Definitions,
    FieldType,
    Run,
    UnsupportedLayoutError,
    covers,
    flattened,
)
from social_implicit_ros.types import IntArray

#: First bytes of the encapsulation header -> byte order.
_BYTE_ORDERS = {b"\x00\x00": ">", b"\x00\x01": "<"}
_HEADER_BYTES = 4
#: Size and alignment of a length field.
_LENGTH_BYTES = 4
#: Largest index of an element that may be chosen.
_MAX_INDEX = 99
#: Offset of a field in an element that does not exist.
_ABSENT = -1
#: Skips a part of a message and appends the offsets of its chosen fields:
#: (message, the same as uint32, offset of the part, offsets to extend) -> offset of its end.
_Parser = Callable[[bytes, memoryview, int, list[int]], int]
#: Reads a chosen field: (message, byte order `<` or `>`, (A, S) offsets of A rows) -> A values.
_Column = Callable[[bytes, str, IntArray], list[Any]]


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
        self._message = _Compiler(definitions, chosen)
        self._in_list = _Compiler(definitions, chosen_in_list)
        self._before = self._message.parser(fields[:row])
        self._entry = self._in_list.parser(flattened(definitions, listed.name))
        self._after = self._message.parser(fields[row + 1 :])
        for compiler in (self._message, self._in_list):
            for path in compiler.chosen:
                if not any(covers(path, name) for name in compiler.columns):
                    raise UnsupportedLayoutError(f"{message_type} has no {path} that can be read")

    def read(self, data: bytes) -> tuple[Fields, Fields]:
        """Reads a serialised message.

        Returns:
            The chosen fields of the message, as a table of one row, and those of the entries of
            its list, one row each.

        Raises:
            ValueError: the bytes are not such a message.
            UnsupportedLayoutError: the encoding is not plain CDR.
        """
        order = _BYTE_ORDERS.get(data[:2])
        if order is None:
            raise UnsupportedLayoutError(
                f"a message of {len(data)} bytes is not plain CDR: it begins with {data[:2]!r}"
            )
        data = data[_HEADER_BYTES:]
        words = np.frombuffer(data, f"{order}u4", len(data) // _LENGTH_BYTES)
        lengths = words.astype(np.uint32, copy=False).data
        offsets: list[int] = []
        offsets_in_list: list[int] = []
        try:
            n_entries, at = self._n_entries, self._before(data, lengths, 0, offsets)
            if not n_entries:
                n_entries, at = _length_at(lengths, at)
            for _ in range(n_entries):
                at = self._entry(data, lengths, at, offsets_in_list)
                if at > len(data):  # entries of a fixed size do not notice the end
                    break
            at = self._after(data, lengths, at, offsets)
        except IndexError:  # a length field, or the end of a string, is beyond the end
            at = len(data) + 1
        if at > len(data):
            raise ValueError(f"a message of {len(data)} bytes ends before its last field")
        return (
            self._message.fields(data, order, offsets, 1),
            self._in_list.fields(data, order, offsets_in_list, n_entries),
        )


class Fields:
    """The chosen fields of a message, or of all entries of a list."""

    def __init__(
        self, data: bytes, order: str, columns: Mapping[str, _Column], offsets: IntArray
    ) -> None:
        self._data, self._order, self._columns, self._offsets = data, order, columns, offsets

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._offsets)

    def has(self, path: str) -> bool:
        """Whether the path is that of a chosen number, array or string."""
        return path in self._columns

    def values(self, path: str) -> list[Any]:
        """One value per row: a number, an (N,) array, a text, or None if it does not exist."""
        return self._columns[path](self._data, self._order, self._offsets)


class _Compiler:
    """Creates the parsers of a message and the columns of its chosen fields."""

    def __init__(self, definitions: Definitions, chosen: Sequence[str]) -> None:
        self.chosen = tuple(chosen)
        self.columns: dict[str, _Column] = {}
        self._definitions = definitions
        self._n_offsets = 0  # per row

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

        def parse(data: bytes, lengths: memoryview, at: int, offsets: list[int]) -> int:
            for one in parsers:
                at = one(data, lengths, at, offsets)
            return at

        return parse

    def fields(self, data: bytes, order: str, offsets: list[int], n_rows: int) -> Fields:
        """The chosen fields of a message at the offsets that the parsers found."""
        table = np.array(offsets, dtype=np.int64).reshape(n_rows, self._n_offsets)
        return Fields(data, order, self.columns, table)

    def _run(self, fields: Sequence[tuple[str, FieldType]]) -> _Parser:
        run = Run([kind for _, kind in fields])
        chosen = [row for row, (path, _) in enumerate(fields) if self._is_chosen(path)]
        for row in chosen:
            path, kind = fields[row]
            self._add_column(path, _numbers(self._n_offsets, kind, run.offsets[row]))
        n_bytes, alignment = run.n_bytes, run.alignment
        if not chosen:
            return lambda data, lengths, at, offsets: at + n_bytes[at % alignment]
        self._n_offsets += 1

        def parse(data: bytes, lengths: memoryview, at: int, offsets: list[int]) -> int:
            offsets.append(at)
            return at + n_bytes[at % alignment]

        return parse

    def _string_or_sequence(self, path: str, kind: FieldType) -> _Parser:
        if kind.length is None:
            return self._string(path)
        if kind.name in NUMBER_CODES:
            return self._sequence_of_numbers(path, NUMBER_CODES[kind.name])
        return self._sequence(path, kind.name)

    def _string(self, path: str) -> _Parser:
        is_chosen = self._is_chosen(path)
        if is_chosen:
            self.columns[path] = _strings(self._n_offsets)
            self._n_offsets += 2

        # Large messages spend most of their time here, so `_length_at` is inlined.
        def parse(data: bytes, lengths: memoryview, at: int, offsets: list[int]) -> int:
            word = (at + _LENGTH_BYTES - 1) // _LENGTH_BYTES
            at = (word + 1) * _LENGTH_BYTES
            end = at + lengths[word]
            if end > at and data[end - 1]:
                raise ValueError(f"a string at byte {at} does not end with a zero")
            if is_chosen:
                offsets += (at, end)
            return end

        return parse

    def _sequence_of_numbers(self, path: str, code: str) -> _Parser:
        size = np.dtype(code).itemsize
        is_chosen = self._is_chosen(path)
        if is_chosen:
            self._add_column(path, _sequences(self._n_offsets, code))
            self._n_offsets += 2

        def parse(data: bytes, lengths: memoryview, at: int, offsets: list[int]) -> int:
            length, at = _length_at(lengths, at)
            if length:  # an empty sequence is not aligned
                at += -at % size
            if is_chosen:
                offsets += (at, length)
            return at + length * size

        return parse

    def _sequence(self, path: str, item: str) -> _Parser:
        """A sequence of messages or strings; fields of one message may be chosen."""
        fields = flattened(self._definitions, item)
        skip = _skipper(fields, self._definitions)
        has_largest = self._choose_largest(path, fields)
        # For each element up to the last chosen one: its parser and number of offsets.
        elements: list[tuple[_Parser, int]] = []
        for index in range(max(self._chosen_elements(path), default=0) + 1):
            n_before, place = self._n_offsets, f"{path}[{index}]"
            named = [(f"{place}.{name}" if name else place, kind) for name, kind in fields]
            elements.append((self.parser(named), self._n_offsets - n_before))
        while elements and not elements[-1][1]:
            elements.pop()

        def parse(data: bytes, lengths: memoryview, at: int, offsets: list[int]) -> int:
            length, at = _length_at(lengths, at)
            if has_largest:
                offsets += (at, length)
            for parse_one, n_offsets in elements:
                if length:
                    at, length = parse_one(data, lengths, at, offsets), length - 1
                else:
                    offsets += [_ABSENT] * n_offsets
            return skip(data, lengths, at, length)

        return parse

    def _choose_largest(self, path: str, fields: Sequence[tuple[str, FieldType]]) -> bool:
        """Adds columns for `[max PATH]`; returns whether there are any.

        Their offsets are the start and the length of the sequence.
        """
        start = re.compile(rf"{re.escape(path)}\[max ([\w.]+)\](?:\.|$)")
        matches = [match for match in map(start.match, self.chosen) if match]
        for key in {match[1] for match in matches}:
            of_key = [match for match in matches if match[1] == key]
            chosen = [match.string[match.end() :] for match in of_key]
            if "" in chosen:  # all of the message
                chosen = [name for name, _ in fields]
            inner = _Compiler(self._definitions, [key, *chosen])
            parser = inner.parser(fields)
            for name in inner.columns:
                column = _largest(self._n_offsets, inner, parser, key, name)
                self.columns[f"{path}[max {key}].{name}"] = column
        self._n_offsets += 2 if matches else 0
        return bool(matches)

    def _is_chosen(self, path: str) -> bool:
        return any(covers(chosen, path) for chosen in self.chosen) or bool(
            self._chosen_elements(path)
        )

    def _chosen_elements(self, path: str) -> set[int]:
        """Indices of the chosen elements of an array, or of fields within these."""
        within = [c.removeprefix(f"{path}[") for c in self.chosen if c.startswith(f"{path}[")]
        indices = (rest.partition("]")[0] for rest in within)
        found = {int(index) for index in indices if index.isdecimal()}
        if max(found, default=0) > _MAX_INDEX:
            raise UnsupportedLayoutError(f"{path}[{max(found)}] is beyond [{_MAX_INDEX}]")
        return found

    def _add_column(self, path: str, column: _Column) -> None:
        """Adds a column, and one per chosen element of an array."""
        self.columns[path] = column
        for index in self._chosen_elements(path):
            self.columns[f"{path}[{index}]"] = _element(column, index)


def _length_at(lengths: memoryview, at: int) -> tuple[int, int]:
    """The value of a length field, and the offset of its end."""
    at += -at % _LENGTH_BYTES
    return lengths[at // _LENGTH_BYTES], at + _LENGTH_BYTES


def _skipper(
    fields: Sequence[tuple[str, FieldType]], definitions: Definitions
) -> Callable[[bytes, memoryview, int, int], int]:
    """A function that skips a number of consecutive messages."""
    kinds = [kind for _, kind in fields]
    if all(kind.has_fixed_size for kind in kinds):
        run = Run(kinds)
        return lambda data, lengths, at, count: run.end(at, count)
    entry = _Compiler(definitions, ()).parser(fields)

    def skip(data: bytes, lengths: memoryview, at: int, count: int) -> int:
        # Each entry has a length field, so that a wrong count stops at the end of the data.
        for _ in range(count):
            at = entry(data, lengths, at, [])
        return at

    return skip


def _numbers(slot: int, kind: FieldType, offsets_in_run: IntArray) -> _Column:
    """Column of numbers or fixed arrays in runs, whose offsets are in a slot."""
    dtypes = {order: np.dtype(order + NUMBER_CODES[kind.name]) for order in "<>"}
    in_array = None if kind.length is None else np.arange(kind.length)

    def read(data: bytes, order: str, offsets: IntArray) -> list[Any]:
        starts, dtype = offsets[:, slot], dtypes[order]
        is_present = starts != _ABSENT
        is_complete = np.count_nonzero(is_present) == len(starts)
        if not is_complete:
            starts = starts[is_present]
        at = (starts + offsets_in_run[starts % len(offsets_in_run)]) // dtype.itemsize
        if in_array is not None:
            at = at[:, None] + in_array
        found = np.frombuffer(data, dtype, len(data) // dtype.itemsize).take(at)
        values = found.tolist() if in_array is None else list(found)
        if is_complete:
            return values
        remaining = iter(values)
        return [next(remaining) if present else None for present in is_present.tolist()]

    return read


def _element(arrays: _Column, index: int) -> _Column:
    """Column of one element of each array; None for shorter arrays."""

    def read(data: bytes, order: str, offsets: IntArray) -> list[Any]:
        return [
            None if array is None or index >= len(array) else array[index].item()
            for array in arrays(data, order, offsets)
        ]

    return read


def _sequences(slot: int, code: str) -> _Column:
    """Column of sequences of numbers, whose offsets and lengths are in two slots."""

    def read(data: bytes, order: str, offsets: IntArray) -> list[Any]:
        return [
            None if at == _ABSENT else np.frombuffer(data, order + code, length, at)
            for at, length in offsets[:, slot : slot + 2].tolist()
        ]

    return read


def _strings(slot: int) -> _Column:
    """Column of strings, whose starts and ends are in two slots."""

    def read(data: bytes, order: str, offsets: IntArray) -> list[Any]:
        spans = offsets[:, slot : slot + 2].tolist()
        # As rclpy does: up to the first zero, with invalid UTF-8 replaced.
        return [
            None if at == _ABSENT else data[at:end].partition(b"\0")[0].decode("utf-8", "replace")
            for at, end in spans
        ]

    return read


def _largest(slot: int, inner: _Compiler, parser: _Parser, key: str, name: str) -> _Column:
    """Column of a field of the element with the largest number at `key`, one per sequence.

    The start of a sequence is in `slot`, its length in the next one.
    """

    def read(data: bytes, order: str, offsets: IntArray) -> list[Any]:
        words = np.frombuffer(data, f"{order}u4", len(data) // _LENGTH_BYTES)
        lengths = words.astype(np.uint32, copy=False).data
        spans = [
            (at, 0 if at == _ABSENT else length)
            for at, length in offsets[:, slot : slot + 2].tolist()
        ]
        found: list[int] = []
        for at, length in spans:
            for _ in range(length):
                at = parser(data, lengths, at, found)
        fields = inner.fields(data, order, found, sum(length for _, length in spans))
        numbers, values = fields.values(key), fields.values(name)
        chosen, start = [], 0
        for _, length in spans:
            largest = index_of_largest(numbers[start : start + length])
            chosen.append(values[start + largest] if length else None)
            start += length
        return chosen

    return read


def index_of_largest(numbers: Sequence[float | None]) -> int:
    """Index of the first largest number; NaN and None are smaller than any; 0 if there is none."""
    known = [-math.inf if n is None or math.isnan(n) else n for n in numbers]
    return known.index(max(known)) if known else 0
