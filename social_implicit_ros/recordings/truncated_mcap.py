"""MCAP files whose end is missing: every whole message, and the index that the end held.

Layout: https://mcap.dev/spec. Without an index readers demand messages in the order of time, in
which recorders of several topics do not write them.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from lz4.frame import LZ4FrameDecompressor

from social_implicit_ros.recordings.compressed import decompressed_pieces

MAGIC = b"\x89MCAP0\r\n"
_FOOTER, _MESSAGE, _CHUNK, _MESSAGE_INDEX, _CHUNK_INDEX = 0x02, 0x05, 0x06, 0x07, 0x08
_STATISTICS, _DATA_END = 0x0B, 0x0F
#: Kind and size of a record.
_RECORD = struct.Struct("<BQ")
#: Of a message: channel, sequence number, time of recording.
_MESSAGE_HEAD = struct.Struct("<HIQ")
#: Of a chunk: first and last time, size when uncompressed, checksum, length of the next.
_CHUNK_HEAD = struct.Struct("<QQQII")
#: A message index of one entry: readers tell from such sizes which channels a chunk holds.
_INDEX_BYTES = 9 + 2 + 4 + 16


@dataclass
class _Chunk:
    """A chunk, and what an index says of it."""

    offset: int
    n_bytes: int
    start_ns: int
    end_ns: int
    compression: bytes
    n_compressed: int
    n_uncompressed: int
    channels: set[int] = field(default_factory=set)

    @property
    def index_record(self) -> bytes:
        """Its entry in the index."""
        end = self.offset + self.n_bytes
        offsets = b"".join(
            struct.pack("<HQ", channel, end + i * _INDEX_BYTES)
            for i, channel in enumerate(sorted(self.channels))
        )
        content = (
            struct.pack(
                "<QQQQI", self.start_ns, self.end_ns, self.offset, self.n_bytes, len(offsets)
            )
            + offsets
            + struct.pack("<QI", len(self.channels) * _INDEX_BYTES, len(self.compression))
            + self.compression
            + struct.pack("<QQ", self.n_compressed, self.n_uncompressed)
        )
        return _RECORD.pack(_CHUNK_INDEX, len(content)) + content


def opened_mcap(path: Path) -> IO[bytes]:
    """Opens an MCAP file that lacks its end as one that has it.

    Args:
        path: of the file, which is left as it is.
    """
    return io.BufferedReader(_Mended(path))


class _Mended(io.RawIOBase):
    """The whole records of a file, and an end."""

    def __init__(self, path: Path) -> None:
        self._content = path.open("rb")
        self._n_whole, self._end = _end_of(self._content)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        n_bytes = self._n_whole + len(self._end)
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: n_bytes}
        self._at = max(start[whence] + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at < self._n_whole:
            self._content.seek(self._at)
            data = self._content.read(min(len(buffer), self._n_whole - self._at))
        else:
            first = self._at - self._n_whole
            data = self._end[first : first + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._content.close()
        super().close()


def _end_of(content: IO[bytes]) -> tuple[int, bytes]:
    """How many bytes are whole records, and what has to follow them."""
    n_bytes = content.seek(0, io.SEEK_END)
    chunks: list[_Chunk] = []
    at, kind, end = len(MAGIC), 0, 0
    while True:
        content.seek(at)
        head = content.read(_RECORD.size)
        if len(head) < _RECORD.size:
            kind = 0
            break
        kind, size = _RECORD.unpack(head)
        end = at + _RECORD.size + size
        # No record is of kind 0: a file of reserved space ends in zeros.
        if kind in (0, _DATA_END) or end > n_bytes:
            break
        if kind == _CHUNK:
            chunks.append(_chunk_at(content, at, size))
        elif kind == _MESSAGE_INDEX and chunks:
            chunks[-1].channels.update(struct.unpack("<H", content.read(2)))
        at = end
    rest = b""
    if kind == _CHUNK:
        rest, salvaged = _salvaged(content, at)
        chunks.extend(salvaged)
    for chunk in chunks:
        # Of the last one the indexes may be missing, too.
        if chunk.offset < at and (not chunk.channels or chunk is chunks[-1]):
            chunk.channels = _channels_in(content, chunk)
    return at, rest + _summary(chunks, at + len(rest))


def _summary(chunks: list[_Chunk], start: int) -> bytes:
    """The index and the end of a file; without chunks readers go through every record."""
    index = b"".join(chunk.index_record for chunk in chunks)
    if chunks:
        # Counts are left to the reader.
        index += _RECORD.pack(_STATISTICS, 46) + bytes(46)
    footer = struct.pack("<QQI", start if chunks else 0, 0, 0)
    return index + _RECORD.pack(_FOOTER, len(footer)) + footer + MAGIC


def _chunk_at(content: IO[bytes], offset: int, size: int) -> _Chunk:
    """A chunk's head; the file is then at its records."""
    start_ns, end_ns, n_uncompressed, _, n_name = _CHUNK_HEAD.unpack(content.read(_CHUNK_HEAD.size))
    compression = content.read(min(n_name, 16))
    (n_compressed,) = struct.unpack("<Q", content.read(8))
    return _Chunk(
        offset, _RECORD.size + size, start_ns, end_ns, compression, n_compressed, n_uncompressed
    )


def _salvaged(content: IO[bytes], offset: int) -> tuple[bytes, list[_Chunk]]:
    """What is whole of the chunk that was cut off, as a chunk of its own."""
    content.seek(offset + _RECORD.size)
    try:
        chunk = _chunk_at(content, offset, 0)
    except struct.error:
        return b"", []
    records = _uncompressed(content.read(), chunk.compression)
    times_ns, whole = [], 0
    for kind, first, end in _records(records):
        whole = end
        if kind == _MESSAGE:
            channel, _, time_ns = _MESSAGE_HEAD.unpack_from(records, first)
            times_ns.append(time_ns)
            chunk.channels.add(channel)
    if not times_ns:
        return b"", []
    chunk.start_ns, chunk.end_ns = min(times_ns), max(times_ns)
    chunk.compression, chunk.n_compressed, chunk.n_uncompressed = b"", whole, whole
    body = (
        _CHUNK_HEAD.pack(chunk.start_ns, chunk.end_ns, whole, 0, 0)
        + struct.pack("<Q", whole)
        + records[:whole]
    )
    chunk.n_bytes = _RECORD.size + len(body)
    return _RECORD.pack(_CHUNK, len(body)) + body, [chunk]


def _channels_in(content: IO[bytes], chunk: _Chunk) -> set[int]:
    content.seek(chunk.offset + _RECORD.size)
    _chunk_at(content, chunk.offset, 0)
    records = _uncompressed(content.read(chunk.n_compressed), chunk.compression)
    return {
        _MESSAGE_HEAD.unpack_from(records, first)[0]
        for kind, first, _ in _records(records)
        if kind == _MESSAGE
    }


def _uncompressed(data: bytes, compression: bytes) -> bytes:
    """A chunk's records, as far as they are there."""
    if compression == b"zstd":
        return b"".join(decompressed_pieces(io.BytesIO(data)))
    if compression == b"lz4":
        plain: bytes = LZ4FrameDecompressor().decompress(data)
        return plain
    return data


def _records(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Kind, beginning and end of the content of each whole record."""
    at = 0
    while at + _RECORD.size <= len(data):
        kind, size = _RECORD.unpack_from(data, at)
        first = at + _RECORD.size
        at = first + size
        if at > len(data):
            return
        yield kind, first, at
