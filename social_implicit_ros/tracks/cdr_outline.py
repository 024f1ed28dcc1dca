"""How the bytes of a message lie, found once and then known again.

Most messages lie like one before: their texts and sequences are as long. Then it is enough to look
at the few bytes that tell these lengths, and everything else is where it was.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from social_implicit_ros.types import IntArray

#: Follows a part of a message that begins at a place: tells the outline what lies there, and
#: returns its end.
Part = Callable[[bytes, int, "Outline"], int]

#: Stands in place of a number's code: a text, and a value that is not there.
TEXT, ABSENT = "s", ""

#: Of each alignment so many outlines are known: texts of ever new lengths shall fill no memory.
_MOST_KNOWN = 8
#: Nor shall outlines of very long ones, in bytes.
_LONGEST_KNOWN = 16384
#: Numbers are aligned to at most so many bytes.
ALIGNMENT = 8


class Outline:
    """What parts of a message tell of some bytes as they follow them.

    Attributes:
        values: first and end of each chosen one, the code of `struct` for its numbers (or `TEXT`,
            or `ABSENT`), and how many they are in an array, None without.
        telling: first and end of the bytes that decide what follows, or must be as they are.
    """

    def __init__(self) -> None:
        self.values: list[tuple[int, int, str, int | None]] = []
        self.telling: list[tuple[int, int]] = []


class KnownOutline:
    """An outline to know bytes by.

    Attributes:
        n_bytes: of all.
        begin: where they begin in the message in which they were found, from which on all places
            are counted here.
        starts, ends: first and end of the chosen values.
        kinds: of these the codes and the lengths, see `Outline.values`.
    """

    def __init__(self, outline: Outline, data: bytes, begin: int, end: int) -> None:
        """Takes the outline of the bytes from a place to another."""
        self.begin, self.n_bytes = begin, end - begin
        values = tuple(zip(*outline.values, strict=True)) or ((), (), (), ())
        self.starts, self.ends, self.kinds = values[0], values[1], values[2:]
        self._places = outline.telling
        codes, at = ["<"], begin
        for first, stop in outline.telling:
            codes.append(f"{first - at}x{stop - first}s")
            at = stop
        self._telling_of = struct.Struct("".join(codes)).unpack_from
        self._telling = self._telling_of(data, begin)

    def is_of(self, data: bytes, at: int) -> bool:
        """Whether the bytes from a place on lie like this."""
        return at + self.n_bytes <= len(data) and self._telling_of(data, at) == self._telling

    def read(self, data: bytes, at: int) -> list[Any]:
        """Each value of bytes that lie like this: a number, a tuple of them, a text, or None."""
        moved = at - self.begin
        return [
            _value(data, first + moved, end + moved, code, length)
            for first, end, code, length in zip(self.starts, self.ends, *self.kinds, strict=True)
        ]

    @cached_property
    def telling_at(self) -> IntArray:
        """(B,) place of each byte that tells a length."""
        ranges = [range(first, end) for first, end in self._places]
        return np.fromiter(chain.from_iterable(ranges), dtype=np.int64)


def _value(data: bytes, first: int, end: int, code: str, length: int | None) -> Any:
    if code == ABSENT:
        return None
    if code == TEXT:
        return text_of(data[first:end])
    if length is None:
        return struct.unpack_from(f"<{code}", data, first)[0]
    return struct.unpack_from(f"<{length}{code}", data, first)


class Outlines:
    """The outlines of parts that lie one after another."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)
        self._known: list[list[KnownOutline]] = [[] for _ in range(ALIGNMENT)]

    def find(self, data: bytes, at: int) -> KnownOutline:
        """The outline of what begins at a place.

        Raises:
            ValueError: bytes that hold no such parts.
            struct.error: bytes that end too soon.
        """
        known = self._known[at % ALIGNMENT]
        for outline in known:
            if outline.is_of(data, at):
                return outline
        outline = self._followed(data, at)
        if outline.n_bytes <= _LONGEST_KNOWN:
            known[:] = [outline, *known[: _MOST_KNOWN - 1]]
        return outline

    def _followed(self, data: bytes, at: int) -> KnownOutline:
        outline, end = Outline(), at
        for part in self._parts:
            end = part(data, end, outline)
        if end > len(data):
            raise too_short(data, end)
        return KnownOutline(outline, data, at, end)


def text_of(data: bytes) -> str:
    """As rclpy reads texts: up to the first zero, what is no UTF-8 replaced."""
    return data.partition(b"\0")[0].decode("utf-8", "replace")


def too_short(data: bytes, end: int) -> ValueError:
    """The error of a message that ends before a byte."""
    return ValueError(f"a message of {len(data)} bytes ends before byte {end}")
