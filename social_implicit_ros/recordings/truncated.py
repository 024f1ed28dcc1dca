"""Recordings whose end is missing: what lies before the cut is read as if it were all.

A recorder that is killed, a full disk or a broken copy leaves a file without its end. There MCAP
has its index and sqlite3 some of its pages, so neither is opened as it is.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from social_implicit_ros.recordings import compressed
from social_implicit_ros.recordings.truncated_mcap import MAGIC, opened_mcap
from social_implicit_ros.recordings.truncated_sqlite import claimed_bytes, salvage

_SUFFIXES = (".mcap", ".db3")


@contextmanager
def mended(path: Path) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """A path under which a recording can be read although files of it are cut off.

    Args:
        path: a rosbag2 folder, or a single `.mcap` or `.db3` file, or one compressed.

    Yields:
        The path, the same one where nothing is cut off or compressed; and the files that are cut
        off.
    """
    if not any(file.suffix == compressed.SUFFIX for file in _files(path)):
        with _mended_plain(path) as found:
            yield found
        return
    with (
        TemporaryDirectory() as folder,
        _mended_plain(compressed.decompress_bag(path, Path(folder))) as (whole, _),
    ):
        yield whole, cut_off_files(path)


@contextmanager
def _mended_plain(path: Path) -> Iterator[tuple[Path, tuple[Path, ...]]]:
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
    return tuple(file for file in _files(path) if is_cut_off(file))


def _files(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else [path]


def is_cut_off(file: Path) -> bool:
    """Whether an `.mcap` or `.db3` file lacks its end, compressed or not; else False."""
    if compressed.is_compressed_bag(file, _SUFFIXES):
        return compressed.lacks_end(file)
    if file.suffix not in _SUFFIXES or not file.is_file():
        return False
    if file.suffix == ".db3":
        return file.stat().st_size < claimed_bytes(file)
    with file.open("rb") as content:
        is_mcap = content.read(len(MAGIC)) == MAGIC
        content.seek(max(content.seek(0, io.SEEK_END) - len(MAGIC), len(MAGIC)))
        return is_mcap and content.read() != MAGIC


class _MendedPath(type(Path())):  # type: ignore[misc]  # a path of this system
    """A path whose MCAP files, where they are cut off, end after their last whole record."""

    def open(self, mode: str = "r", *args: Any, **options: Any) -> IO[Any]:
        """Opens the file; one that is cut off has a proper end."""
        plain = Path(self)
        if mode == "rb" and self.suffix == ".mcap" and is_cut_off(plain):
            return opened_mcap(plain)
        opened: IO[Any] = super().open(mode, *args, **options)
        return opened


def _copied(path: Path, cut_off: tuple[Path, ...], folder: Path) -> Path:
    """The recording in another folder; of databases that are cut off, what can be read."""
    if path.is_file():
        salvage(path, folder / path.name)
        return folder / path.name
    for file in path.iterdir():
        if file in cut_off and file.suffix == ".db3":
            salvage(file, folder / file.name)
        elif file.is_file():
            # As a link, for it may be large.
            (folder / file.name).symlink_to(file.resolve())
    return _MendedPath(folder)
