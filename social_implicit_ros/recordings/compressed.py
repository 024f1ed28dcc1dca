"""Recordings that were compressed as files (`.mcap.zstd`, `.db3.zstd`), complete or truncated.

`rosbags` decompresses complete files of a folder only: it refuses a truncated or damaged file
as a whole, and a single `.zstd` file.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: Suffix of files that rosbag2 compressed.
SUFFIX = ".zstd"
#: First bytes of a compressed frame.
_FRAME_MAGIC = b"\x28\xb5\x2f\xfd"
#: Compressed bytes decoded at once: damage loses no more than these.
_BLOCK_BYTES = 16 * 1024


def lacks_end(file: Path) -> bool:
    """Whether a compressed file does not end with the end of a frame; reads headers only."""
    if file.stat().st_size == 0:
        return True
    with (
        file.open("rb") as content,
        mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as data,
        memoryview(data) as view,
    ):
        offset = 0
        while offset < len(view):
            with view[offset:] as rest:
                try:
                    offset += zstd.get_frame_size(rest)
                except zstd.ZstdError:
                    return True
    return False


def decompress_message(data: bytes) -> bytes:
    """The message itself, whether it was compressed or not."""
    return zstd.decompress(data) if data.startswith(_FRAME_MAGIC) else data


def decompress_file(file: Path, into: Path) -> None:
    """Writes an uncompressed copy, up to the first damage or the end.

    Args:
        file: a `.zstd` file.
        into: the file to write.
    """
    with file.open("rb") as content, into.open("wb") as plain:
        plain.writelines(decompressed_blocks(content))


def decompressed_blocks(content: IO[bytes]) -> Iterator[bytes]:
    """Decompresses block by block, up to the first damage or the end.

    Args:
        content: open at the beginning of a frame; may be truncated or damaged.
    """
    frame = zstd.ZstdDecompressor()
    while data := content.read(_BLOCK_BYTES):
        while data:
            if frame.eof:
                frame = zstd.ZstdDecompressor()
            try:
                yield frame.decompress(data)
            except zstd.ZstdError:
                return
            data = frame.unused_data
