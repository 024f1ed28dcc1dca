"""Truncated recordings: a killed recorder, a full disk or a broken copy leaves a file without end.

An MCAP file is then read up to the last complete message: its readable part is copied into a
complete file, as `mcap recover` does. A truncated sqlite3 file is refused.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import IO, Any

import yaml
from lz4.frame import LZ4FrameDecompressor

from social_implicit_ros.recordings import compressed

#: Suffixes of files that hold a recording, or a part of one.
BAG_SUFFIXES = (".mcap", ".db3")
_METADATA = "metadata.yaml"
#: Characters with a meaning in the URI by which `rosbags` opens a database.
_UNSAFE = frozenset("#?%")
_BY_MESSAGE = re.compile(r"compression_mode['\"]?:\s*['\"]?message", re.IGNORECASE)
#: Of temporary folders; the number of the process follows.
_PREFIX = "social_implicit_ros-"
_MCAP_MAGIC = b"\x89MCAP0\r\n"


def is_bag_file(path: Path) -> bool:
    """Whether a path is named like a file of a bag, compressed (`.mcap.zstd`) or not."""
    plain = path.with_suffix("") if path.suffix == compressed.SUFFIX else path
    return plain.suffix in BAG_SUFFIXES


def truncated_files(path: Path) -> list[Path]:
    """The files of a rosbag2 folder, or a single file, that lack their end, compressed or not."""
    return [file for file in _files(path) if _is_truncated(file)]


def truncation_note(path: Path) -> str | None:
    """What is missing in a recording because files are truncated; None where none is."""
    files = truncated_files(path)
    if not files:
        return None
    names = ", ".join(file.name for file in files)
    return (
        f"{names} {'is' if len(files) == 1 else 'are'} truncated, as by a recorder that was killed "
        "or a full disk: only the messages before the cut are read"
    )


@contextmanager
def readable(path: Path) -> Iterator[Path]:
    """A path under which `rosbags` can read a recording although it is truncated or compressed.

    Args:
        path: a rosbag2 folder, or a single file.

    Yields:
        The path itself, or a complete and uncompressed copy in a temporary folder.

    Raises:
        ValueError: a truncated sqlite3 file.
        ImportError: the library `mcap` is not installed and a file is truncated.
    """
    pipes = [entry for entry in _entries(path) if is_bag_file(entry) and not entry.is_file()]
    if pipes:
        raise ValueError(f"{pipes[0].name} is no regular file")
    needs_copy = (
        any(file.suffix == compressed.SUFFIX for file in _files(path))
        or not _UNSAFE.isdisjoint(f"{path}{''.join(file.name for file in _files(path))}")
        or _compresses_messages(path / _METADATA)
    )
    if not needs_copy and not truncated_files(path):
        yield path
        return
    with TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-") as folder:
        copies = [_readable_copy(file, Path(folder)) for file in _files(path)]
        yield Path(folder) if path.is_dir() else copies[0]


def remove_abandoned_copies() -> None:
    """Removes the temporary copies of processes that were killed."""
    for folder in Path(gettempdir()).glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _entries(path: Path) -> Sequence[Path]:
    return [entry for entry in path.iterdir() if not entry.is_dir()] if path.is_dir() else [path]


def _safe(name: str) -> str:
    return "".join("_" if character in _UNSAFE else character for character in name)


def _compresses_messages(metadata: Path) -> bool:
    # Without YAML, which may take a second: rosbags refuses what is none.
    return metadata.is_file() and bool(_BY_MESSAGE.search(metadata.read_text(errors="replace")))


def _files(path: Path) -> Sequence[Path]:
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def _is_truncated(file: Path) -> bool:
    if file.suffix == compressed.SUFFIX:
        return is_bag_file(file) and compressed.lacks_end(file)
    if file.suffix == ".db3":
        return _is_truncated_sqlite(file)
    return file.suffix == ".mcap" and _is_truncated_mcap(file)


def _is_truncated_mcap(file: Path) -> bool:
    with file.open("rb") as content:
        is_mcap = content.read(len(_MCAP_MAGIC)) == _MCAP_MAGIC
        content.seek(max(content.seek(0, io.SEEK_END) - len(_MCAP_MAGIC), len(_MCAP_MAGIC)))
        return is_mcap and content.read() != _MCAP_MAGIC


def _is_truncated_sqlite(file: Path) -> bool:
    """Whether a database has fewer bytes than its header states.

    sqlite3 itself reads missing bytes of the last page as zeros, within a message too.
    """
    uri = f"{file.resolve().as_uri()}?mode=ro&immutable=1"
    query = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    with closing(sqlite3.connect(uri, uri=True)) as database:
        try:
            ((stated_bytes,),) = database.execute(query)
        except sqlite3.DatabaseError:
            return True
    return bool(file.stat().st_size < stated_bytes)


def _readable_copy(file: Path, folder: Path) -> Path:
    """Puts a file of a recording into a folder: uncompressed, and complete."""
    copy = folder / _safe(file.name.removesuffix(compressed.SUFFIX))
    if file.name == _METADATA:
        copy.write_text(_metadata_without_compression(file))
        return copy
    if file.suffix == compressed.SUFFIX:
        compressed.decompress_file(file, copy)
    else:
        # A link, as the file may be large.
        copy.symlink_to(file.resolve())
    if copy.suffix == ".db3" and _is_truncated_sqlite(copy):
        raise ValueError(f"{file.name} is truncated or no sqlite3 database")
    if copy.suffix == ".mcap" and _is_truncated_mcap(copy):
        complete = copy.with_suffix(".complete")
        _recover_mcap(copy, complete)
        complete.replace(copy)
    return copy


def _metadata_without_compression(file: Path) -> str:
    metadata = yaml.safe_load(file.read_text())
    information = metadata["rosbag2_bagfile_information"]
    information["compression_mode"] = information["compression_format"] = ""
    information["relative_file_paths"] = [
        _safe(name.removesuffix(compressed.SUFFIX)) for name in information["relative_file_paths"]
    ]
    return yaml.safe_dump(metadata)


def _recover_mcap(truncated: Path, complete: Path) -> None:
    """Writes the complete messages of a truncated MCAP file as a file with index and end."""
    try:
        from mcap.records import Channel, Header, Message, Schema
        from mcap.writer import Writer
    except ImportError as error:
        raise ImportError("a truncated MCAP file is read by mcap: pip install mcap") from error
    with truncated.open("rb") as source, complete.open("wb") as target:
        writer = Writer(target)
        schema_ids, channel_ids = {0: 0}, {}
        for record in _mcap_records(source):
            if isinstance(record, Header):
                writer.start(record.profile)
            elif isinstance(record, Schema) and record.id not in schema_ids:
                schema_ids[record.id] = writer.register_schema(
                    record.name, record.encoding, record.data
                )
            elif isinstance(record, Channel) and record.id not in channel_ids:
                channel_ids[record.id] = writer.register_channel(
                    record.topic,
                    record.message_encoding,
                    schema_ids[record.schema_id],
                    record.metadata,
                )
            elif isinstance(record, Message):
                writer.add_message(
                    channel_ids[record.channel_id],
                    record.log_time,
                    record.data,
                    record.publish_time,
                    record.sequence,
                )
        writer.finish()


def _mcap_records(source: IO[bytes]) -> Iterator[Any]:
    """Every complete record of an MCAP file, those in chunks instead of the chunks."""
    from mcap.data_stream import ReadDataStream
    from mcap.exceptions import McapError
    from mcap.opcode import Opcode
    from mcap.records import Chunk
    from mcap.stream_reader import StreamReader

    def records_in(chunk: Chunk) -> Iterator[Any]:
        data = io.BytesIO(_decompressed(chunk.data, chunk.compression))
        with suppress(*ends):
            yield from StreamReader(data, skip_magic=True).records

    #: How the reader ends where data ends, which may be inside a number or a name.
    ends = (McapError, struct.error, UnicodeDecodeError)
    start = 0
    with suppress(*ends):
        for record in StreamReader(source, emit_chunks=True).records:
            if isinstance(record, Chunk):
                yield from records_in(record)
            else:
                yield record
            start = source.tell()
    # The reader withholds an incomplete chunk, which holds complete messages.
    source.seek(start)
    with suppress(*ends):
        stream = ReadDataStream(source)
        if stream.read1() == Opcode.CHUNK:
            stream.read8()
            yield from records_in(Chunk.read(stream))


def _decompressed(data: bytes, compression: str) -> bytes:
    """The content of a chunk, as far as it can be decompressed."""
    if compression == "zstd":
        return b"".join(compressed.decompressed_blocks(io.BytesIO(data)))
    if compression == "lz4":
        plain: bytes = LZ4FrameDecompressor().decompress(data)
        return plain
    return data
