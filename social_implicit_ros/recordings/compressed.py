"""Decompresses files and messages, also truncated files, which `rosbags` refuses as a whole."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: Suffix of files that rosbag2 compressed.
SUFFIX = ".zstd"
#: First bytes of a pointer that Git LFS leaves in place of a large file that was not fetched.
GIT_LFS = b"version https://git-lfs"
#: First bytes of a compressed frame.
_FRAME_MAGIC = b"\x28\xb5\x2f\xfd"
#: Compressed bytes that are decoded at once: at most this much is lost before a damaged byte.
_BLOCK_BYTES = 16 * 1024
#: Maximum number of bytes that are unpacked at once.
_MAX_BLOCK_BYTES = 16 * 1024 * 1024
#: Environment variable with the maximum size of an unpacked file, GB. Workers inherit it.
LIMIT_VARIABLE = "SOCIAL_IMPLICIT_MAX_UNPACKED_GB"
DEFAULT_LIMIT_GB = 100.0
#: Maximum compression ratio: recordings reach a few tens, decompression bombs tens of thousands.
MAX_RATIO = 1000
#: Unpacked size up to which any ratio is allowed.
ANY_RATIO_BYTES = 64 * 1024 * 1024


class _CutError(zstd.ZstdError):
    """Compressed data ends before its last frame does."""


class UnpackedTooLargeError(ValueError):
    """Compressed data unpacks to more than the limit; the message names limit and fix."""


def require_allowed(n_packed: int, n_unpacked: int) -> None:
    """Raises UnpackedTooLargeError if compressed bytes unpack to more than the limit."""
    limit_bytes = float(os.environ.get(LIMIT_VARIABLE) or DEFAULT_LIMIT_GB) * 1e9
    if n_unpacked > min(limit_bytes, max(MAX_RATIO * n_packed, ANY_RATIO_BYTES)):
        raise UnpackedTooLargeError(
            f"{n_packed} compressed bytes unpack to {n_unpacked} or more, beyond {MAX_RATIO} times "
            f"as many or {limit_bytes / 1e9:g} GB: unpack it with zstd if you trust it, or raise "
            f"the limit with evaluate_bag --max-unpacked-gb or {LIMIT_VARIABLE}"
        )


def decompress_message(data: bytes) -> bytes:
    """The message, decompressed if it was compressed; raises ZstdError if it is damaged."""
    return b"".join(_blocks(io.BytesIO(data))) if data.startswith(_FRAME_MAGIC) else data


def decompress_file(file: Path, into: Path) -> bool:
    """Writes an uncompressed copy of a `.zstd` file, up to the first damage or the end.

    Returns whether the file is truncated.
    """
    with file.open("rb") as content, into.open("wb") as plain:
        try:
            plain.writelines(_blocks(content))
        except zstd.ZstdError as error:
            return isinstance(error, _CutError)
    return False


def decompressed_blocks(content: IO[bytes]) -> Iterator[bytes]:
    """Decompresses block by block, up to the first damage, the end, or the size limit."""
    with suppress(zstd.ZstdError):
        yield from _blocks(content)


def _blocks(content: IO[bytes]) -> Iterator[bytes]:
    frame = zstd.ZstdDecompressor()
    n_packed = n_unpacked = 0
    while data := content.read(_BLOCK_BYTES):
        n_packed += len(data)
        while data or not (frame.needs_input or frame.eof):
            if frame.eof:
                frame = zstd.ZstdDecompressor()
            block = frame.decompress(data, _MAX_BLOCK_BYTES)
            n_unpacked += len(block)
            require_allowed(n_packed, n_unpacked)
            yield block
            data = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise _CutError("compressed data is truncated")
