"""Opens rosbag2 recordings (MCAP, sqlite3) through `rosbags`; ROS need not be installed."""

from __future__ import annotations

import errno
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection
from rosbags.typesys import Stores, get_typestore

from social_implicit_ros.recordings.compressed import UnpackedTooLargeError, decompress_message
from social_implicit_ros.recordings.truncated import is_bag_file, readable, truncation_note

#: Coordinate frame where a recording names none: the predictor's default.
DEFAULT_FRAME = "odom"


class RecordingError(ValueError):
    """A recording cannot be used; the message names it, the reason and the remedy."""


class _FileReader(AnyReader):
    """Decompresses messages within bounds, whether a metadata.yaml states it or not."""

    def messages(
        self,
        connections: Collection[Connection] = (),
        start: int | None = None,
        stop: int | None = None,
    ) -> Generator[tuple[Connection, int, bytes], None, None]:
        for connection, recorded_ns, data in super().messages(connections, start, stop):
            yield connection, recorded_ns, decompress_message(data)


@contextmanager
def opened_bag(path: Path) -> Iterator[AnyReader]:
    """Opens a rosbag2 recording for reading; a truncated MCAP file is read up to its end.

    Args:
        path: a rosbag2 folder, or a single `.mcap` or `.db3` file, compressed or not.

    Raises:
        RecordingError: whenever something fails while it is open, as damage in a file shows
            only where it is read.
    """
    if not path.is_file() and not path.is_dir():
        raise RecordingError(
            f"{path} is {'a pipe or a device' if path.exists() else 'missing'}: give a regular "
            "file or a rosbag2 folder"
        )
    if path.is_dir() and not (path / "metadata.yaml").is_file():
        raise RecordingError(
            f"{path} has no metadata.yaml: it is no rosbag2 folder, or its recorder was killed; "
            f"create the file with `ros2 bag reindex {path}`, or give the .mcap or .db3 file itself"
        )
    # Definitions for bags that hold none (sqlite3, before Iron).
    default = get_typestore(Stores.ROS2_HUMBLE)
    try:
        with (
            readable(path) as complete,
            _FileReader([complete], default_typestore=default) as reader,
        ):
            yield reader
    except RecordingError as error:
        note = truncation_note(path)
        if note is None:
            raise
        raise RecordingError(f"{error} ({note})") from error
    except UnpackedTooLargeError as error:
        raise RecordingError(f"{path}: {error}") from error
    except ImportError as error:
        raise RecordingError(f"{path} cannot be read: {error}") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RecordingError(
                f"{path} cannot be unpacked: {gettempdir()} is full; make room, or set TMPDIR to "
                "another folder"
            ) from error
        # Damaged bytes make parsers, decompressors and databases raise whatever they meet.
        raise RecordingError(
            f"{path} is damaged, truncated or no rosbag2 recording "
            f"({str(error) or type(error).__name__}); {_remedy(path)}"
        ) from error


def _remedy(path: Path) -> str:
    files = [path] if path.is_file() else sorted(path.iterdir())
    database = next((file for file in files if is_bag_file(file) and ".db3" in file.name), None)
    if database is None:
        return "record it again, or try `ros2 bag reindex`"
    return (
        f"recover what can be read with `sqlite3 {database.name} .recover | sqlite3 new.db3` and "
        "write its metadata.yaml with `ros2 bag reindex`"
    )
