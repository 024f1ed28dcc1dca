"""How the bytes of a message lie, found once and then known again.

Entries of a list are mostly alike: their texts and sequences are as long as those of the one
before. Then all that is between them is one `struct`, and whether they are alike is another.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

#: Follows a part of a message that begins at a place: tells the outline what lies there, and
#: returns its end.
Part = Callable[[bytes, int, "Outline"], int]

#: Of each alignment so many outlines are known: texts of ever new lengths shall fill no memory.
_MOST_KNOWN = 8
#: Numbers are aligned to at most so many bytes.
_ALIGNMENT = 8


class Outline:
    """What lies one after another in some bytes: values, lengths, and what is passed over."""

    def __init__(self) -> None:
        self._values, self._lengths = ["<"], ["<"]
        self._before_value = self._before_length = 0  # bytes passed over
        self._n_values = 0
        self._expected: list[int] = []
        self._conversions: list[tuple[int, Callable[[bytes], Any]]] = []

    def skip(self, n_bytes: int) -> None:
        """What is not read."""
        self._before_value += n_bytes
        self._before_length += n_bytes

    def length(self, value: int, code: str = "I") -> None:
        """A number that decides what follows, or that must be as it is."""
        self._lengths.append(f"{self._before_length}x{code}")
        self._expected.append(value)
        self._before_value += struct.calcsize(f"<{code}")
        self._before_length = 0

    def numbers(self, codes: str, n_values: int) -> None:
        """Values, by the codes of `struct` for them and the bytes between them."""
        self._values.append(f"{self._before_value}x{codes}")
        self._before_value = 0
        self._before_length += struct.calcsize(f"<{codes}")
        self._n_values += n_values

    def converted(self, n_bytes: int, convert: Callable[[bytes], Any]) -> None:
        """A value that is made of some bytes."""
        self._conversions.append((self._n_values, convert))
        self.numbers(f"{n_bytes}s", 1)

    def text(self, size: int, convert: Callable[[bytes], str] | None) -> None:
        """A text with the zero at its end; not read without a conversion."""
        before = self._before_length
        if convert is None:
            self.skip(size)
        else:
            self.converted(size, convert)
        if size:
            self._lengths.append(f"{before + size - 1}xB")
            self._expected.append(0)
            self._before_length = 0

    def finished(self, n_bytes: int) -> _Known:
        """The outline of so many bytes, to read others by."""
        return _Known(
            n_bytes,
            struct.Struct("".join(self._lengths)).unpack_from,
            tuple(self._expected),
            struct.Struct("".join(self._values)).unpack_from,
            tuple(self._conversions),
        )


@dataclass(frozen=True)
class _Known:
    """An outline to read bytes by.

    Attributes:
        n_bytes: of all.
        lengths_from: data and place -> its lengths.
        expected: what these are in bytes that lie like this.
        values_from: data and place -> the values of such bytes.
        conversions: of values that are bytes yet, by their index.
    """

    n_bytes: int
    lengths_from: Callable[[bytes, int], tuple[int, ...]]
    expected: tuple[int, ...]
    values_from: Callable[[bytes, int], tuple[Any, ...]]
    conversions: tuple[tuple[int, Callable[[bytes], Any]], ...]


class OutlineReader:
    """Reads parts that lie one after another."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = tuple(parts)
        self._known: list[list[_Known]] = [[] for _ in range(_ALIGNMENT)]

    def read(self, data: bytes, at: int) -> tuple[list[Any], int]:
        """The values of all parts from a place on, and where they end.

        Raises:
            ValueError: bytes that hold no such parts.
            struct.error: bytes that end too soon.
        """
        known = self._known[at % _ALIGNMENT]
        for outline in known:
            end = at + outline.n_bytes
            if end <= len(data) and outline.lengths_from(data, at) == outline.expected:
                break
        else:
            outline = self._followed(data, at)
            known[:] = [outline, *known[: _MOST_KNOWN - 1]]
        values = list(outline.values_from(data, at))
        for index, convert in outline.conversions:
            values[index] = convert(values[index])
        return values, at + outline.n_bytes

    def _followed(self, data: bytes, at: int) -> _Known:
        outline, end = Outline(), at
        for part in self._parts:
            end = part(data, end, outline)
        if end > len(data):
            raise too_short(data, end)
        return outline.finished(end - at)


def too_short(data: bytes, end: int) -> ValueError:
    """The error of a message that ends before a byte."""
    return ValueError(f"a message of {len(data)} bytes ends before byte {end}")
