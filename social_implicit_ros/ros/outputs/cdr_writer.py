"""Serialises messages with a long list from numpy arrays, without message objects.

rclpy would take 60 ms per tick to create and convert a thousand small messages. Between ticks and
entries only numbers and strings of a few lengths differ. So the entries of each shape are
serialised once from template messages, and a list is a concatenation of these bytes. At each tick
the numbers are written into them, all values of a field at once.

Source: OMG Common Data Representation, see `tracks.cdr_layout`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from social_implicit_ros.ros.definitions import definitions_of
from social_implicit_ros.tracks.messages.cdr_layout import (
    NUMBER_CODES,
    Definitions,
    FieldType,
    UnsupportedLayoutError,
)

#: Encapsulation header: CDR, little endian.
_ENCAPSULATION = b"\x00\x01\x00\x00"
#: The largest alignment of a number, counted from the end of the header.
_WORD_BYTES = 8
#: Size of the length field of a list.
_COUNT_BYTES = 4
#: Maximum number of cached shapes and alignments, as strings of new lengths may keep coming.
_MOST_GROUPS = 64
#: Code of `struct` -> size of a number, bytes.
_SIZES = {code: struct.calcsize(f"<{code}") for code in NUMBER_CODES.values()}
_NO_OFFSETS = np.zeros(0, dtype=np.int64)


class CdrListWriter:
    """Serialises messages of one type that ends with a list of messages.

    The list consists of groups of entries. The shape of a group identifies its layout: the lengths
    of its strings and sequences.
    """

    def __init__(
        self,
        message_type: str,
        definitions: Definitions,
        entries_of: Callable[[Any], Sequence[object]],
    ) -> None:
        """Takes the type and the templates of its entries.

        Args:
            message_type: `package/msg/Type`.
            definitions: definitions of this type and of all nested types.
            entries_of: shape of a group -> template messages of its entries, in which all fields
                are set that `write` does not set.

        Raises:
            UnsupportedLayoutError: a type that does not end with a list of messages.
        """
        *before, (_, last) = definitions[message_type]
        if last.length != 0 or last.name not in definitions:
            raise UnsupportedLayoutError(f"{message_type} does not end with a list of messages")
        self._message_type, self._entry_type = message_type, last.name
        self._definitions = {**definitions, message_type: before}
        self._rewritten: tuple[str, ...] = ()
        self._entries_of = entries_of
        self._groups: dict[tuple[Hashable, int], _Group] = {}
        self._list: _List | None = None

    def write(
        self, message: object, shapes: Sequence[Hashable], values: Mapping[str, ArrayLike]
    ) -> bytes:
        """The serialised message, whose fields before the list are those of `message`.

        Args:
            message: provides the fields before the list.
            shapes: shapes of the groups, in order.
            values: dotted path, relative to an entry, of each field to set: numbers, arrays,
                messages of numbers of one type (a pose, a stamp), and strings -> values of the
                first entry, then of the second, and so on, in an array of any shape. Strings as
                `text_bytes`.

        Raises:
            ValueError: the number of values does not match the message.
            UnsupportedLayoutError: an unknown type, or a rewritten message with several types.
        """
        if self._rewritten != tuple(values):
            self._rewritten, self._list = tuple(values), None
            self._groups.clear()
        encoder = _Encoder(self._definitions)
        encoder.add(self._message_type, message)
        head = encoder.content + bytes(-len(encoder.content) % _COUNT_BYTES)
        if self._list is None or self._list.layout != (len(head), tuple(shapes)):
            self._list = self._assembled(len(head), tuple(shapes))
        data = self._list.data
        data[_WORD_BYTES : _WORD_BYTES + len(head)] = np.frombuffer(head, np.uint8)
        for path, (numbers, places) in self._list.places.items():
            new = np.asarray(values[path]).reshape(-1)
            if len(new) != len(places):
                raise ValueError(f"{path}: {len(new)} values for {len(places)} places")
            numbers[places] = new
        return data[_WORD_BYTES - len(_ENCAPSULATION) : self._list.end].tobytes()

    def _assembled(self, n_head_bytes: int, shapes: tuple[Hashable, ...]) -> _List:
        groups, starts = [], []
        end = n_head_bytes + _COUNT_BYTES
        for shape in shapes:
            groups.append(self._group(shape, end % _WORD_BYTES))
            starts.append(end)
            end += len(groups[-1].content)
        # Numbers are written through array views, so the buffer consists of whole words.
        data = np.zeros(_WORD_BYTES + -(-end // _WORD_BYTES) * _WORD_BYTES, np.uint8)
        data[:_WORD_BYTES] = np.frombuffer(bytes(4) + _ENCAPSULATION, np.uint8)
        content = data[_WORD_BYTES:]
        count = struct.pack("<I", sum(group.n_entries for group in groups))
        parts = [count, *(group.content for group in groups)]
        content[n_head_bytes:end] = np.frombuffer(b"".join(parts), np.uint8)
        places = {}
        for path in self._rewritten:
            in_groups = [group.offsets[path] for group in groups]
            lengths = [len(at) for at in in_groups]
            at = np.concatenate([_NO_OFFSETS, *in_groups]) + np.repeat(
                np.array(starts, np.int64), lengths
            )
            code = next((group.codes[path] for group in groups if path in group.codes), "B")
            places[path] = (content.view(f"<{code}"), at // _SIZES[code])
        return _List((n_head_bytes, shapes), data, _WORD_BYTES + end, places)

    def _group(self, shape: Hashable, offset: int) -> _Group:
        """The group of a shape, starting at an offset modulo the word size."""
        group = self._groups.get((shape, offset))
        if group is None:
            if len(self._groups) >= _MOST_GROUPS:
                self._groups.clear()
            entries = self._entries_of(shape)
            encoder = _Encoder(self._definitions, self._rewritten, offset)
            encoder.add_all(self._entry_type, entries)
            offsets = {
                path: np.array(at, dtype=np.int64) - offset for path, at in encoder.offsets.items()
            }
            group = _Group(len(entries), encoder.content[offset:], encoder.codes, offsets)
            self._groups[shape, offset] = group
        return group


def list_writer(
    message_class: type, entries_of: Callable[[Any], Sequence[object]]
) -> CdrListWriter:
    """A writer for an installed message class; see `CdrListWriter`."""
    package = message_class.__module__.partition(".")[0]
    message_type = f"{package}/msg/{message_class.__name__}"
    return CdrListWriter(message_type, definitions_of(message_type), entries_of)


def text_bytes(text: str) -> bytes:
    """The bytes of a string as rclpy writes it: UTF-8, up to the first zero."""
    return text.partition("\0")[0].encode(errors="replace")


@dataclass(frozen=True, eq=False)
class _Group:
    """Serialised entries, and the offsets of the rewritten fields in them.

    Attributes:
        n_entries: number of entries.
        content: their bytes, including the padding before the first.
        codes: path -> code of `struct` of its numbers.
        offsets: path -> (N,) bytes from the start of the content to each number.
    """

    n_entries: int
    content: bytes
    codes: Mapping[str, str]
    offsets: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class _List:
    """The buffer of the last message, reused while the layout stays the same.

    Attributes:
        layout: bytes before the length field of the list, and shapes of the groups.
        data: four unused bytes, the header and the message, padded to a whole word.
        end: offset of the end of the message in the data.
        places: path -> the data as an array of numbers, and (N,) indices of the path's numbers.
    """

    layout: tuple[int, tuple[Hashable, ...]]
    data: NDArray[np.uint8]
    end: int
    places: Mapping[str, tuple[NDArray[Any], NDArray[np.int64]]]


class _Encoder:
    """Serialises messages field by field and records the offsets of rewritten fields."""

    def __init__(
        self, definitions: Definitions, rewritten: Sequence[str] = (), offset: int = 0
    ) -> None:
        self._definitions = definitions
        self._content = bytearray(offset)
        self._rewritten = tuple(rewritten)
        # Path of a field -> rewritten paths that contain it.
        self._rewritten_of: dict[str, list[str]] = {}
        self.codes: dict[str, str] = {}
        self.offsets: dict[str, list[int]] = {path: [] for path in rewritten}

    @property
    def content(self) -> bytes:
        return bytes(self._content)

    def add(self, message_type: str, message: object, path: str = "") -> None:
        if message_type not in self._definitions:
            raise UnsupportedLayoutError(f"no definition of {message_type}, in {path}")
        for name, kind in self._definitions[message_type]:
            self._add_field(kind, getattr(message, name), f"{path}.{name}" if path else name)

    def add_all(self, message_type: str, messages: Sequence[object], path: str = "") -> None:
        """Serialises messages in order; the bytes of an object that occurs again are copied."""
        known: dict[tuple[int, int], tuple[int, int, dict[str, slice]]] = {}
        for message in messages:
            start = len(self._content)
            key = (id(message), start % _WORD_BYTES)
            if key in known:
                first, end, spans = known[key]
                self._content += self._content[first:end]
                for rewritten, span in spans.items():
                    recorded = self.offsets[rewritten]
                    recorded += [at + start - first for at in recorded[span]]
            else:
                before = {rewritten: len(found) for rewritten, found in self.offsets.items()}
                self.add(message_type, message, path)
                spans = {r: slice(before[r], len(found)) for r, found in self.offsets.items()}
                known[key] = (start, len(self._content), spans)

    def _add_field(self, kind: FieldType, value: Any, path: str) -> None:
        items = [value] if kind.length is None else value
        if kind.length == 0:
            self._add_numbers("I", [len(items)])
        if kind.name in NUMBER_CODES:
            code = NUMBER_CODES[kind.name]
            self._record(path, code, self._add_numbers(code, items))
        elif kind.name == "string":
            for text in map(text_bytes, items):
                self._add_numbers("I", [len(text) + 1])
                self._record(path, "B", self._add_numbers("B", text))
                self._content.append(0)
        elif kind.length is None:
            self.add(kind.name, value, path)
        else:
            self.add_all(kind.name, items, path)

    def _add_numbers(self, code: str, numbers: Sequence[Any]) -> range:
        size = _SIZES[code]
        if len(numbers):  # an empty sequence is not aligned
            self._content += bytes(-len(self._content) % size)
        start = len(self._content)
        self._content += struct.pack(f"<{len(numbers)}{code}", *numbers)
        return range(start, len(self._content), size)

    def _record(self, path: str, code: str, offsets: range) -> None:
        if path not in self._rewritten_of:
            around = [outer for outer in self._rewritten if f"{path}.".startswith(f"{outer}.")]
            self._rewritten_of[path] = around
        for rewritten in self._rewritten_of[path]:
            if not _have_same_size(self.codes.setdefault(rewritten, code), code):
                raise UnsupportedLayoutError(f"{rewritten} has numbers of several types")
            self.offsets[rewritten].extend(offsets)


def _have_same_size(code: str, other: str) -> bool:
    """Whether numbers of both types can be written through one array; signs are not compared."""
    if code == other:
        return True
    one, two = np.dtype(code), np.dtype(other)
    return one.itemsize == two.itemsize and (one.kind == "f") == (two.kind == "f")
