"""The entries of a serialised list, field by field.

A list that lies like the one before is read in one step for all its entries: their numbers are
picked out by numpy, and whether it lies so is one comparison of the bytes that tell its lengths.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from social_implicit_ros.tracks.cdr_outline import (
    TEXT,
    KnownOutline,
    Outlines,
    Part,
    text_of,
)
from social_implicit_ros.types import FloatArray, IntArray

_COUNT = struct.Struct("<I")
#: Code of `struct` -> type of numpy.
_DTYPES = {code: np.dtype(f"<{code}") for code in "?BbHhIiQqfd"}
#: How a list lies is not kept of longer messages, in bytes, nor where more of its entries lie
#: differently: what is kept shall fill no memory.
_LONGEST_KEPT, _MOST_DIFFERENT = 1 << 21, 1000
#: Data -> the bytes of some texts.
_Texts = Callable[[bytes], tuple[bytes, ...]]


class ListReader:
    """Reads a sequence of messages of one type."""

    def __init__(self, entry: Sequence[Part], names: Sequence[str]) -> None:
        """Prepares.

        Args:
            entry: the parts of an entry.
            names: of the values that these choose, in their order.
        """
        self._entry, self._names = Outlines(entry), tuple(names)
        self._last: _ListOutline | None = None

    def read(self, data: bytes, at: int) -> tuple[Columns, int]:
        """What is chosen of the entries of a list that begins at a place, and where it ends.

        Raises:
            ValueError: bytes that hold no such list.
            struct.error: bytes that end too soon.
        """
        at += -at % _COUNT.size
        (count,) = _COUNT.unpack_from(data, at)
        at += _COUNT.size
        outline = self._last
        if outline is None or not outline.is_of(data, at, count):
            outline = self._found(data, at, count)
            self._last = outline if outline.is_worth_keeping else None
        return Columns(data, outline), outline.end

    def _found(self, data: bytes, at: int, count: int) -> _ListOutline:
        entries, begins = [], []
        end = at
        for _ in range(count):
            entry = self._entry.find(data, end)
            entries.append(entry)
            begins.append(end)
            end += entry.n_bytes
        return _ListOutline(self._names, entries, begins, data, (at, end))


@dataclass(frozen=True, eq=False)
class Columns:
    """What is chosen of the entries of a list.

    Attributes:
        data: all bytes of the message.
        outline: how the list lies in them.
    """

    data: bytes
    outline: _ListOutline

    def __len__(self) -> int:
        """How many entries."""
        return self.outline.n_entries

    def floats(self, *names: str) -> FloatArray | None:
        """(A, C) numbers as float64: one column a name, or the columns of one array.

        None where entries differ in kind or length there, or where there are no numbers.
        """
        numbers = self.outline.numbers_at(names)
        if numbers is None:
            return None
        found = numbers.of(self.data)
        if found.dtype == np.float64:
            return found
        # Of a float32 that signals that it is none, numpy would warn.
        with np.errstate(invalid="ignore"):
            return found.astype(np.float64)

    def values(self, name: str) -> list[Any]:
        """Of each entry a number, a tuple of numbers, a text, or None where it has none."""
        numbers = self.outline.numbers_at((name,))
        if numbers is not None:
            found = numbers.of(self.data)
            if numbers.is_array:
                return list(map(tuple, found.tolist()))
            return found[:, 0].tolist()
        texts = self.outline.texts_of(name)
        if texts is not None:
            in_bytes = texts(self.data)
            text_by_bytes = {one: text_of(one) for one in set(in_bytes)}  # often few differ
            return [text_by_bytes[one] for one in in_bytes]
        index = self.outline.index_of[name]
        return [row[index] for row in self._rows]

    @cached_property
    def _rows(self) -> list[list[Any]]:
        """The values of each entry, where entries are too different for columns."""
        return self.outline.rows_of(self.data)

    def content(self, name: str) -> object:
        """What compares equal where the values are equal, and costs less to make."""
        numbers = self.outline.numbers_at((name,))
        if numbers is not None:
            found = numbers.of(self.data)
            return found.shape, found.tobytes()
        texts = self.outline.texts_of(name)
        return self.values(name) if texts is None else texts(self.data)


@dataclass(frozen=True, eq=False)
class _Numbers:
    """Where numbers of one kind lie.

    Attributes:
        dtype: of each.
        at: (A, C) places in a table of such numbers.
        is_array: the columns are those of one array.
    """

    dtype: np.dtype[Any]
    at: IntArray
    is_array: bool

    def of(self, data: bytes) -> np.ndarray:
        """(A, C) the numbers in some bytes."""
        n_numbers = len(data) // self.dtype.itemsize
        if self.dtype.kind == "b":  # any byte but zero is true
            return np.frombuffer(data, np.uint8).take(self.at) != 0
        return np.frombuffer(data, self.dtype, n_numbers).take(self.at)


class _ListOutline:
    """How a list lies in a message."""

    def __init__(
        self,
        names: Sequence[str],
        entries: Sequence[KnownOutline],
        begins: Sequence[int],
        data: bytes,
        span: tuple[int, int],
    ) -> None:
        """Puts together what is known of its entries.

        Args:
            names: of the chosen values of an entry.
            entries: the outline of each.
            begins: where each begins.
            data: a message in which a list lies so.
            span: where the first begins and the last ends.
        """
        self.index_of = {name: index for index, name in enumerate(names)}
        self.n_entries = len(entries)
        self._entries, self._begins = entries, begins
        self._data, (self._begin, self.end) = data, span
        self._numbers_at: dict[tuple[str, ...], _Numbers | None] = {}
        self._texts_of: dict[str, _Texts | None] = {}

    @property
    def is_worth_keeping(self) -> bool:
        """Whether a list that lies alike may come, and little memory is needed to know it."""
        return len(self._data) <= _LONGEST_KEPT and len(set(self._entries)) <= _MOST_DIFFERENT

    def is_of(self, data: bytes, at: int, count: int) -> bool:
        """Whether the list from a place on lies like this."""
        return (
            (at, count) == (self._begin, self.n_entries)
            # Where lengths differ, so does mostly their sum.
            and len(data) == len(self._data)
            and self._telling_of(data) == self._telling
        )

    def rows_of(self, data: bytes) -> list[list[Any]]:
        """The values of each entry."""
        entries = zip(self._entries, self._begins, strict=True)
        return [entry.read(data, begin) for entry, begin in entries]

    def numbers_at(self, names: tuple[str, ...]) -> _Numbers | None:
        """Where the numbers of these names lie; None where they are not of one kind and length."""
        if names not in self._numbers_at:
            self._numbers_at[names] = self._numbers(names)
        return self._numbers_at[names]

    def texts_of(self, name: str) -> _Texts | None:
        """Data -> the bytes of the texts of a name; None where not all entries have one."""
        if name not in self._texts_of:
            self._texts_of[name] = self._texts(name)
        return self._texts_of[name]

    def _telling_of(self, data: bytes) -> bytes:
        return np.frombuffer(data, np.uint8).take(self._telling_at).tobytes()

    @cached_property
    def _telling(self) -> bytes:
        return self._telling_of(self._data)

    @cached_property
    def _telling_at(self) -> IntArray:
        """(B,) place of each byte that tells a length, of all entries of one outline after another.

        Made when a second message comes that may lie like this.
        """
        moves_of: dict[KnownOutline, list[int]] = {}
        for entry, move in zip(self._entries, self._moves.tolist(), strict=True):
            moves_of.setdefault(entry, []).append(move)
        places = [np.array(moves)[:, None] + entry.telling_at for entry, moves in moves_of.items()]
        return np.concatenate([np.empty(0, np.int64), *map(np.ravel, places)])

    @cached_property
    def _moves(self) -> IntArray:
        """(A,) how far each entry lies from where its outline was found."""
        found = [entry.begin for entry in self._entries]
        return np.array(self._begins, dtype=np.int64) - np.array(found, dtype=np.int64)

    @cached_property
    def _starts(self) -> IntArray:
        """(A, V) first byte of each value of each entry."""
        starts = np.array([entry.starts for entry in self._entries], dtype=np.int64)
        return starts + self._moves[:, None]

    @cached_property
    def _kinds(self) -> list[set[tuple[str, int | None]]]:
        """Of each value the kinds that it has in any entry: code and length."""
        different = {entry.kinds for entry in self._entries}
        return list(map(set, zip(*(zip(*kinds, strict=True) for kinds in different), strict=True)))

    def _numbers(self, names: tuple[str, ...]) -> _Numbers | None:
        kinds = {kind for name in names for kind in self._kinds_of(name)}
        if len(kinds) != 1:
            return None
        ((code, length),) = kinds
        if code not in _DTYPES or (length is not None and len(names) > 1):
            return None
        dtype = _DTYPES[code]
        at = self._starts[:, [self.index_of[name] for name in names]] // dtype.itemsize
        if length is not None:
            at = at + np.arange(length)
        return _Numbers(dtype, at, is_array=length is not None)

    def _texts(self, name: str) -> _Texts | None:
        if self._kinds_of(name) != {(TEXT, None)}:
            return None
        index = self.index_of[name]
        codes, at = ["<"], 0
        for entry, move in zip(self._entries, self._moves.tolist(), strict=True):
            first, end = entry.starts[index] + move, entry.ends[index] + move
            codes.append(f"{first - at}x{end - first}s")
            at = end
        return struct.Struct("".join(codes)).unpack_from

    def _kinds_of(self, name: str) -> set[tuple[str, int | None]]:
        return self._kinds[self.index_of[name]] if self.n_entries else set()
