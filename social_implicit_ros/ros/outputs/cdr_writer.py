"""Messages with a long list, written from arrays of numbers without making the messages.

rclpy takes 60 ms to make and convert a thousand small messages, at every tick. But all that
differs from tick to tick and from entry to entry are numbers, and texts of a few lengths. So a
group of entries of each shape is written once, from messages made by hand; a list is such bytes
one after another; and each tick puts its numbers where they belong, all those of a field at once.

Source: OMG Common Data Representation, see `core.cdr`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from social_implicit_ros.ros.definitions import definitions_of
from social_implicit_ros.tracks.cdr import (
    NUMBER_CODES,
    Definitions,
    FieldType,
    UnsupportedLayoutError,
)

#: Names the encoding: CDR, little endian.
_ENCAPSULATION = b"\x00\x01\x00\x00"
#: The largest alignment of a number, counted from the end of the encapsulation.
_WORD_BYTES = 8
#: Before a list.
_COUNT_BYTES = 4
#: So many shapes and alignments are remembered: texts of ever new lengths shall fill no memory.
_MOST_GROUPS = 64
#: Code of `struct` -> bytes of a number.
_SIZES = {code: struct.calcsize(f"<{code}") for code in NUMBER_CODES.values()}
_NOWHERE = np.zeros(0, dtype=np.int64)


class CdrListWriter:
    """Writes messages of one type that ends with a list of messages.

    The entries of the list come in groups. A group has a shape, which says all in which it differs
    from other groups beside numbers and characters: how long its texts and sequences are.
    """

    def __init__(
        self,
        message_type: str,
        definitions: Definitions,
        *,
        entries_of: Callable[[Any], Sequence[object]],
        rewritten: Sequence[str],
    ) -> None:
        """Prepares.

        Args:
            message_type: `package/msg/Type`.
            definitions: of it and of all types within.
            entries_of: shape -> the entries of such a group as messages, in which everything is
                set that is not rewritten.
            rewritten: dotted paths, from an entry on, of what `write` is given: numbers, arrays of
                them, messages of like numbers (a pose, a stamp), and texts.

        Raises:
            UnsupportedLayoutError: a type that does not end with a list of messages.
        """
        *before, (_, last) = definitions[message_type]
        if last.length != 0 or last.name not in definitions:
            raise UnsupportedLayoutError(f"{message_type} does not end with a list of messages")
        self._message_type, self._entry_type = message_type, last.name
        self._definitions = {**definitions, message_type: before}
        self._rewritten = tuple(rewritten)
        self._entries_of = entries_of
        self._groups: dict[tuple[Hashable, int], _Group] = {}
        self._list: _List | None = None

    def write(
        self, message: object, shapes: Sequence[Hashable], values: Mapping[str, ArrayLike]
    ) -> bytes:
        """The serialised message.

        Args:
            message: whose other fields are taken as they are.
            shapes: of the groups.
            values: path -> what is there in the first entry, then in the second, and so on; in an
                array of any shape. Texts as `text_bytes`.

        Raises:
            ValueError: more or fewer values than there are places for them.
            UnsupportedLayoutError: a field of a type that is not known, or a rewritten message
                whose numbers are of several kinds.
        """
        encoder = _Encoder(self._definitions)
        encoder.add(self._message_type, message)
        head = encoder.content + bytes(-len(encoder.content) % _COUNT_BYTES)
        if self._list is None or self._list.made_for != (len(head), tuple(shapes)):
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
        # Numbers are reached as members of arrays, so these begin and end with a word.
        data = np.zeros(_WORD_BYTES + -(-end // _WORD_BYTES) * _WORD_BYTES, np.uint8)
        data[:_WORD_BYTES] = np.frombuffer(bytes(4) + _ENCAPSULATION, np.uint8)
        content = data[_WORD_BYTES:]
        count = struct.pack("<I", sum(group.n_entries for group in groups))
        parts = [count, *(group.content for group in groups)]
        content[n_head_bytes:end] = np.frombuffer(b"".join(parts), np.uint8)
        places = {}
        for path in self._rewritten:
            in_groups = [group.places[path] for group in groups]
            lengths = [len(at) for at in in_groups]
            at = np.concatenate([_NOWHERE, *in_groups]) + np.repeat(
                np.array(starts, np.int64), lengths
            )
            code = next((group.codes[path] for group in groups if path in group.codes), "B")
            places[path] = (content.view(f"<{code}"), at // _SIZES[code])
        return _List((n_head_bytes, shapes), data, _WORD_BYTES + end, places)

    def _group(self, shape: Hashable, offset: int) -> _Group:
        """The group as it is where it begins so many bytes behind a whole word."""
        group = self._groups.get((shape, offset))
        if group is None:
            if len(self._groups) >= _MOST_GROUPS:
                self._groups.clear()
            entries = self._entries_of(shape)
            encoder = _Encoder(self._definitions, self._rewritten, offset)
            encoder.add_all(self._entry_type, entries)
            places = {
                path: np.array(at, dtype=np.int64) - offset for path, at in encoder.places.items()
            }
            group = _Group(len(entries), encoder.content[offset:], encoder.codes, places)
            self._groups[shape, offset] = group
        return group


def list_writer(
    message_class: type, *, entries_of: Callable[[Any], Sequence[object]], rewritten: Sequence[str]
) -> CdrListWriter:
    """A writer for an installed message class; see `CdrListWriter`."""
    package = message_class.__module__.partition(".")[0]
    message_type = f"{package}/msg/{message_class.__name__}"
    return CdrListWriter(
        message_type, definitions_of(message_type), entries_of=entries_of, rewritten=rewritten
    )


def text_bytes(text: str) -> bytes:
    """The bytes of a text as rclpy writes it: UTF-8, up to the first zero."""
    return text.partition("\0")[0].encode(errors="replace")


@dataclass(frozen=True, eq=False)
class _Group:
    """Serialised entries, and where in them is what is rewritten.

    Attributes:
        n_entries: how many.
        content: their bytes, padding before the first included.
        codes: path -> code of `struct` of its numbers.
        places: path -> (N,) where they begin, bytes from the beginning of the content.
    """

    n_entries: int
    content: bytes
    codes: Mapping[str, str]
    places: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class _List:
    """The message that was written last.

    Attributes:
        made_for: bytes before the list's count, and shapes of the groups.
        data: four bytes of nothing, the encapsulation, the message, up to a whole word.
        end: of the message in the data.
        places: path -> the data as an array of numbers, and (N,) which of them are the path's.
    """

    made_for: tuple[int, tuple[Hashable, ...]]
    data: NDArray[np.uint8]
    end: int
    places: Mapping[str, tuple[NDArray[Any], NDArray[np.int64]]]


class _Encoder:
    """Writes messages field by field and notes where rewritten ones begin."""

    def __init__(
        self, definitions: Definitions, rewritten: Sequence[str] = (), offset: int = 0
    ) -> None:
        self._definitions = definitions
        self._content = bytearray(offset)
        self._rewritten = tuple(rewritten)
        self._rewritten_of: dict[str, list[str]] = {}  # path of a field -> what it is part of
        self.codes: dict[str, str] = {}
        self.places: dict[str, list[int]] = {path: [] for path in rewritten}

    @property
    def content(self) -> bytes:
        return bytes(self._content)

    def add(self, message_type: str, message: object, path: str = "") -> None:
        if message_type not in self._definitions:
            raise UnsupportedLayoutError(f"no definition of {message_type}, in {path}")
        for name, kind in self._definitions[message_type]:
            self._add_field(kind, getattr(message, name), f"{path}.{name}" if path else name)

    def add_all(self, message_type: str, messages: Sequence[object], path: str = "") -> None:
        """One after another; one and the same message again takes the bytes that it took."""
        known: dict[tuple[int, int], tuple[int, int, dict[str, slice]]] = {}
        for message in messages:
            start = len(self._content)
            key = (id(message), start % _WORD_BYTES)
            if key in known:
                first, end, spans = known[key]
                self._content += self._content[first:end]
                for rewritten, span in spans.items():
                    noted = self.places[rewritten]
                    noted += [at + start - first for at in noted[span]]
            else:
                before = {rewritten: len(noted) for rewritten, noted in self.places.items()}
                self.add(message_type, message, path)
                spans = {r: slice(before[r], len(noted)) for r, noted in self.places.items()}
                known[key] = (start, len(self._content), spans)

    def _add_field(self, kind: FieldType, value: Any, path: str) -> None:
        items = [value] if kind.length is None else value
        if kind.length == 0:
            self._add_numbers("I", [len(items)])
        if kind.name in NUMBER_CODES:
            code = NUMBER_CODES[kind.name]
            self._note(path, code, self._add_numbers(code, items))
        elif kind.name == "string":
            for text in map(text_bytes, items):
                self._add_numbers("I", [len(text) + 1])
                self._note(path, "B", self._add_numbers("B", text))
                self._content.append(0)
        elif kind.length is None:
            self.add(kind.name, value, path)
        else:
            self.add_all(kind.name, items, path)

    def _add_numbers(self, code: str, numbers: Sequence[Any]) -> range:
        size = _SIZES[code]
        if len(numbers):  # an empty sequence is not even aligned
            self._content += bytes(-len(self._content) % size)
        start = len(self._content)
        self._content += struct.pack(f"<{len(numbers)}{code}", *numbers)
        return range(start, len(self._content), size)

    def _note(self, path: str, code: str, places: range) -> None:
        if path not in self._rewritten_of:
            around = [outer for outer in self._rewritten if f"{path}.".startswith(f"{outer}.")]
            self._rewritten_of[path] = around
        for rewritten in self._rewritten_of[path]:
            if not _are_alike(self.codes.setdefault(rewritten, code), code):
                raise UnsupportedLayoutError(f"{rewritten} has numbers of several kinds")
            self.places[rewritten].extend(places)


def _are_alike(code: str, other: str) -> bool:
    """Whether an array of the one holds the other; signs of integers are the caller's care."""
    if code == other:
        return True
    one, two = np.dtype(code), np.dtype(other)
    return one.itemsize == two.itemsize and (one.kind == "f") == (two.kind == "f")
