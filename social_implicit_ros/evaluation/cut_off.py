"""Recordings whose end is missing: what lies before the cut is read as if it were all.

A recorder that is killed, a full disk or a broken copy leaves a file without its end. There MCAP
has its index and sqlite3 some of its pages, so neither is opened as it is.
"""

from __future__ import annotations

import io
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

_MAGIC = b"\x89MCAP0\r\n"
#: A footer that names no index, and the magic after it: readers then go through every record.
_END = struct.pack("<BQQQI", 0x02, 20, 0, 0, 0) + _MAGIC
_RECORD = struct.Struct("<BQ")
_DATABASE = b"SQLite format 3\x00"
_DATABASE_HEADER_BYTES = 100


@contextmanager
def mended(path: Path) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """A path under which a recording can be read although files of it are cut off.

    Args:
        path: a rosbag2 folder, or a single `.mcap` or `.db3` file.

    Yields:
        The path, the same one where nothing is cut off; and the files that are.
    """
    cut_off = cut_off_files(path)
    if not cut_off:
        yield path, ()
    elif all(file.suffix == ".mcap" for file in cut_off):
        yield _MendedPath(path), cut_off
    else:
        with TemporaryDirectory() as folder:
            yield _copied(path, cut_off, Path(folder)), cut_off


def cut_off_files(path: Path) -> tuple[Path, ...]:
    """The files of a recording that lack their end.

    Args:
        path: a rosbag2 folder, or a single file.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return tuple(file for file in files if is_cut_off(file))


def is_cut_off(file: Path) -> bool:
    """Whether an `.mcap` or `.db3` file lacks its end; of other files nothing is said."""
    if file.suffix not in (".mcap", ".db3") or not file.is_file():
        return False
    with file.open("rb") as content:
        head = content.read(_DATABASE_HEADER_BYTES)
        n_bytes = content.seek(0, io.SEEK_END)
        if file.suffix == ".mcap":
            content.seek(max(n_bytes - len(_MAGIC), len(_MAGIC)))
            return head.startswith(_MAGIC) and content.read() != _MAGIC
    if len(head) < _DATABASE_HEADER_BYTES or not head.startswith(_DATABASE):
        return False
    (page_bytes,), (n_pages,) = (
        struct.unpack_from(">H", head, 16),
        struct.unpack_from(">I", head, 28),
    )
    # 1 stands for 65536, which does not fit into two bytes.
    return n_bytes < n_pages * (65536 if page_bytes == 1 else page_bytes)


class _MendedPath(type(Path())):  # type: ignore[misc]  # a path of this system
    """A path whose MCAP files, where they are cut off, end after their last whole record."""

    def open(self, mode: str = "r", *args: Any, **options: Any) -> IO[Any]:
        """Opens the file; one that is cut off has a proper end."""
        plain = Path(self)
        if mode == "rb" and self.suffix == ".mcap" and is_cut_off(plain):
            return io.BufferedReader(_Mended(plain))
        opened: IO[Any] = super().open(mode, *args, **options)
        return opened


class _Mended(io.RawIOBase):
    """The whole records of an MCAP file, and an end."""

    def __init__(self, path: Path) -> None:
        self._content = path.open("rb")
        self._n_whole = _whole_bytes(self._content)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._n_whole + len(_END)}
        self._at = max(start[whence] + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at < self._n_whole:
            self._content.seek(self._at)
            data = self._content.read(min(len(buffer), self._n_whole - self._at))
        else:
            first = self._at - self._n_whole
            data = _END[first : first + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._content.close()
        super().close()


def _whole_bytes(content: IO[bytes]) -> int:
    """Where the last record ends that is there as a whole."""
    n_bytes = content.seek(0, io.SEEK_END)
    at = len(_MAGIC)
    while True:
        content.seek(at)
        head = content.read(_RECORD.size)
        if len(head) < _RECORD.size:
            return at
        kind, size = _RECORD.unpack(head)
        # No record is of kind 0: a file of reserved space ends in zeros.
        if kind == 0 or at + _RECORD.size + size > n_bytes:
            return at
        at += _RECORD.size + size


def _copied(path: Path, cut_off: tuple[Path, ...], folder: Path) -> Path:
    """The recording in another folder; of databases that are cut off, what can be read."""
    if path.is_file():
        _salvage(path, folder / path.name)
        return folder / path.name
    for file in path.iterdir():
        if file in cut_off and file.suffix == ".db3":
            _salvage(file, folder / file.name)
        elif file.is_file():
            # As a link, for it may be large.
            (folder / file.name).symlink_to(file.resolve())
    return _MendedPath(folder)


def _salvage(file: Path, into: Path) -> None:
    """Copies the rows of every table until the first that cannot be read."""
    with (
        closing(sqlite3.connect(f"{file.resolve().as_uri()}?immutable=1", uri=True)) as source,
        closing(sqlite3.connect(into)) as target,
    ):
        # Else a database with fewer pages than it says is not read at all.
        source.execute("PRAGMA writable_schema=ON")
        tables = source.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        for name, definition in tables:
            target.execute(definition)
            _copy_rows(source, target, name)
        target.commit()


def _copy_rows(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> None:
    rows = source.execute(f'SELECT * FROM "{table}"')
    places = ", ".join("?" for _ in rows.description)
    try:
        for row in rows:
            target.execute(f'INSERT INTO "{table}" VALUES ({places})', row)
    except sqlite3.DatabaseError:
        # From here on it is cut off.
        return
