"""Truncated recordings: left by a killed recorder, a full disk or an incomplete copy.

A truncated MCAP file is read up to the last complete message. A truncated sqlite3 file is refused.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from social_implicit_ros.recordings import compressed
from social_implicit_ros.recordings.storage import is_truncated_mcap, is_truncated_sqlite

#: Suffixes of the files of a bag.
BAG_SUFFIXES = (".mcap", ".db3")
METADATA = "metadata.yaml"
#: Prefix of temporary folders, before the process id.
_PREFIX = "social_implicit_ros-"


def is_bag_file(path: Path) -> bool:
    """Whether a path has the name of a file of a bag, compressed (`.mcap.zstd`) or not."""
    plain = path.with_suffix("") if path.suffix == compressed.SUFFIX else path
    return plain.suffix in BAG_SUFFIXES


@contextmanager
def readable(files: Sequence[Path]) -> Iterator[tuple[list[Path], str | None]]:
    """Yields uncompressed files with all of their messages, and a note on truncated ones, if any.

    Compressed files, and databases with a log (`-wal`, of rosbag2's resilient preset), are replaced
    by copies in a temporary folder. Raises ValueError for files that cannot be read.
    """
    for file in files:
        if not file.is_file():
            raise ValueError(f"{file.name} is not a regular file")
    with TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-") as folder:
        found = [_readable_file(file, Path(folder)) for file in files]
        names = [file.name for file, (_, is_cut) in zip(files, found, strict=True) if is_cut]
        yield [copy for copy, _ in found], _note(names) if names else None


def _note(names: Sequence[str]) -> str:
    return (
        f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} truncated, as by a recorder that "
        "was killed or still runs, or a full disk: only the messages before the cut are read"
    )


def remove_abandoned_copies() -> None:
    """Removes the temporary copies of processes that were killed."""
    for folder in Path(gettempdir()).glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _readable_file(file: Path, folder: Path) -> tuple[Path, bool]:
    """The file or its uncompressed copy, and whether it is truncated."""
    copy = folder / file.name.removesuffix(compressed.SUFFIX)
    logs, is_cut = _logs_of(file), False
    if file.suffix == compressed.SUFFIX:
        is_cut = compressed.decompress_file(file, copy)
    elif logs:
        for source in (file, *logs):
            shutil.copyfile(source, folder / source.name)
        with closing(sqlite3.connect(copy)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            database.execute("PRAGMA journal_mode = DELETE")
    else:
        copy, is_cut = file, is_truncated_mcap(file)
    if copy.suffix == ".db3" and is_truncated_sqlite(copy):
        raise ValueError(f"{file.name} is truncated or not a sqlite3 database")
    return copy, is_cut


def _logs_of(database: Path) -> list[Path]:
    """Log files of a database with changes that are not yet in the database."""
    logs = [database.with_name(f"{database.name}{suffix}") for suffix in ("-wal", "-journal")]
    return [log for log in logs if log.is_file() and log.stat().st_size > 0]
