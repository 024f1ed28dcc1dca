"""Recordings that were compressed as files (`.mcap.zstd`, `.db3.zstd`), whole or cut off."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import yaml

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: Of files that rosbag2 compressed.
SUFFIX = ".zstd"
#: How every compressed frame begins.
FRAME_MAGIC = b"\x28\xb5\x2f\xfd"
#: As much is read at once: of damaged data, no more than that is lost.
_CHUNK_BYTES = 16 * 1024
_METADATA = "metadata.yaml"


def is_compressed_bag(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether a path is named like a compressed part of a bag.

    Args:
        path: of a file.
        suffixes: of uncompressed ones, such as `.mcap`.
    """
    return path.suffix == SUFFIX and path.with_suffix("").suffix in suffixes


def lacks_end(file: Path) -> bool:
    """Whether a compressed file does not end with the end of a frame; reads headers only."""
    if file.stat().st_size == 0:
        return True
    with (
        file.open("rb") as content,
        mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as data,
        memoryview(data) as view,
    ):
        at = 0
        while at < len(view):
            with view[at:] as rest:
                try:
                    at += zstd.get_frame_size(rest)
                except zstd.ZstdError:
                    return True
    return False


def decompress(data: bytes) -> bytes:
    """A message as it was before it was compressed, where it was."""
    return zstd.decompress(data) if data.startswith(FRAME_MAGIC) else data


def decompress_bag(path: Path, folder: Path) -> Path:
    """Makes an uncompressed copy of a recording, as far as its files can be read.

    Args:
        path: a rosbag2 folder, or a single compressed file.
        folder: an empty one, for the copy.

    Returns:
        The recording in there, of the same kind.
    """
    if path.is_file():
        return _decompress_file(path, folder)
    for file in sorted(path.iterdir()):
        if file.suffix == SUFFIX:
            _decompress_file(file, folder)
        elif file.is_file() and file.name != _METADATA:
            # As a link, for it may be large.
            (folder / file.name).symlink_to(file.resolve())
    metadata = yaml.safe_load((path / _METADATA).read_text())
    information = metadata["rosbag2_bagfile_information"]
    if information.get("compression_mode", "").lower() == "file":
        information["compression_mode"] = information["compression_format"] = ""
    information["relative_file_paths"] = [
        name.removesuffix(SUFFIX) for name in information["relative_file_paths"]
    ]
    (folder / _METADATA).write_text(yaml.safe_dump(metadata))
    return folder


def _decompress_file(file: Path, folder: Path) -> Path:
    into = folder / file.stem
    with file.open("rb") as content, into.open("wb") as plain:
        plain.writelines(decompressed_pieces(content))
    return into


def decompressed_pieces(content: IO[bytes]) -> Iterator[bytes]:
    """What can be read of compressed data, piece by piece.

    Args:
        content: open at the beginning of a frame; cut off or damaged, perhaps.
    """
    frame = zstd.ZstdDecompressor()
    while data := content.read(_CHUNK_BYTES):
        while data:
            if frame.eof:
                frame = zstd.ZstdDecompressor()
            try:
                yield frame.decompress(data)
            except zstd.ZstdError:
                # From here on it is damaged.
                return
            data = frame.unused_data
