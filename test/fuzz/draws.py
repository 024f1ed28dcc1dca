"""Decisions read from bytes, so that a fuzzer of bytes builds messages and values."""

from __future__ import annotations

import struct

#: Values on which arithmetic and formats fail.
NUMBERS = (
    *(0.0, -0.0, 1.0, -1.0, 0.4, 1e-300, 1e308, -1e308, 1e7, -1e7, 1e15),
    *(float("nan"), float("inf"), float("-inf")),
)
TEXTS = ("", "person", "1", "odom", "0", "\0robot", "\udc80", "7/7", "x" * 1000, "nan", "-1")


class Draws:
    """Reads decisions. After the end of the bytes all are zero, so that every case ends."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, n_bytes: int) -> bytes:
        taken = self._data[self._at : self._at + n_bytes]
        self._at += n_bytes
        return taken.ljust(n_bytes, b"\0")

    def byte(self) -> int:
        return self.take(1)[0]

    def integer(self, n_bytes: int, *, signed: bool) -> int:
        """Mostly a small integer, sometimes any integer of this size."""
        if self.byte() < 192:
            return self.byte() % 16
        return int.from_bytes(self.take(n_bytes), "little", signed=signed)

    def number(self) -> float:
        """Mostly a position in a room, sometimes a special value or any bits."""
        kind = self.byte()
        if kind < 160:
            return (self.byte() - 128) / 8.0
        if kind < 224:
            return NUMBERS[self.byte() % len(NUMBERS)]
        (value,) = struct.unpack("<d", self.take(8))
        return float(value)

    def text(self) -> str:
        kind = self.byte()
        if kind < 200:
            return TEXTS[kind % len(TEXTS)]
        return self.take(self.byte()).decode("utf-8", errors="replace")
