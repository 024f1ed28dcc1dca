"""sqlite3 recordings whose end is missing: the rows that are there as a whole."""

from __future__ import annotations

import sqlite3
import struct
import uuid
from contextlib import closing
from pathlib import Path

import apsw

_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100


def claimed_bytes(file: Path) -> int:
    """How large a database says it is; 0 where the file is none.

    Args:
        file: perhaps a database, perhaps cut off.
    """
    with file.open("rb") as content:
        head = content.read(_HEADER_BYTES)
    if len(head) < _HEADER_BYTES or not head.startswith(_MAGIC):
        return 0
    (page_bytes,), (n_pages,) = (
        struct.unpack_from(">H", head, 16),
        struct.unpack_from(">I", head, 28),
    )
    # 1 stands for 65536, which does not fit into two bytes.
    return n_pages * (65536 if page_bytes == 1 else page_bytes)


def salvage(file: Path, into: Path) -> None:
    """Copies the rows of every table until the first that is not all there.

    Args:
        file: a database that is cut off.
        into: a file to make.
    """
    # It stays registered as long as it is referred to.
    strict = _StrictFiles(file)
    uri = f"{file.resolve().as_uri()}?immutable=1"
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    with (
        closing(apsw.Connection(uri, flags=flags, vfs=strict.name)) as source,
        closing(sqlite3.connect(into)) as target,
    ):
        tables = source.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        for name, definition in tables:
            target.execute(str(definition))
            _copy_rows(source, target, str(name))
        target.commit()


def _copy_rows(source: apsw.Connection, target: sqlite3.Connection, table: str) -> None:
    try:
        for row in source.execute(f'SELECT * FROM "{table}"'):
            places = ", ".join("?" for _ in row)
            target.execute(f'INSERT INTO "{table}" VALUES ({places})', row)
    except apsw.Error:
        # From here on it is cut off.
        return


class _StrictFiles(apsw.VFS):
    """Opens a file that says its full size, and cannot be read where it is not there.

    By itself sqlite takes a page beyond the end for zeros, and so part of a message, too.
    """

    def __init__(self, file: Path) -> None:
        self.name = f"strict_{uuid.uuid4().hex}"
        self._n_bytes = claimed_bytes(file)
        super().__init__(self.name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 (apsw's)
        return _StrictFile(name, flags, self._n_bytes)


class _StrictFile(apsw.VFSFile):
    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int], n_bytes: int) -> None:
        super().__init__("", name, flags)
        self._n_bytes = n_bytes

    def xFileSize(self) -> int:  # noqa: N802 (apsw's)
        return self._n_bytes

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 (apsw's)
        data = super().xRead(amount, offset)
        if len(data) < amount:
            raise apsw.IOError("beyond the end")
        return data
