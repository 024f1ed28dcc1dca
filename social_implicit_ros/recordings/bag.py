"""Finds and opens rosbag2 recordings (MCAP, sqlite3); ROS need not be installed."""

from __future__ import annotations

import errno
import glob
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from rosbags.typesys import Stores, get_typestore

from social_implicit_ros.recordings.compressed import (
    GIT_LFS,
    SUFFIX,
    UnpackedTooLargeError,
    decompress_message,
)
from social_implicit_ros.recordings.storage import (
    Entry,
    McapFile,
    SqliteFile,
    Topic,
    has_bag_magic,
    open_file,
)
from social_implicit_ros.recordings.truncated import METADATA, is_bag_file, readable
from social_implicit_ros.untrusted_files import load_yaml

#: Frame of recordings that name none: the predictor's default.
DEFAULT_FRAME = "odom"
#: Maximum size of a metadata.yaml.
_MAX_METADATA_BYTES = 16 * 2**20


class RecordingError(ValueError):
    """A recording cannot be used; the message names it, the reason and the remedy."""


def find_bags(arguments: Iterable[str]) -> list[Path]:
    """Finds the recordings in files, folders (at any depth) and patterns, each once, in order."""
    found: dict[Path, Path] = {}
    for argument in arguments:
        paths = [Path(argument)]
        if not paths[0].exists():
            paths = sorted(map(Path, glob.glob(argument, recursive=True)))  # noqa: PTH207 (Path's takes no absolute pattern)
        if any(path.exists() and not (path.is_file() or path.is_dir()) for path in paths):
            raise RecordingError(
                f"{argument} is a pipe or a device: give a regular file or a folder"
            )
        seen: set[Path] = set()
        recordings = [found for path in paths for found in _recordings_below(path, seen)]
        if not recordings:
            raise RecordingError(
                f"{argument}: no recording there; give a rosbag2 folder, an .mcap or .db3 file, a "
                "folder that holds some, or a pattern in quotes"
                + (f"; text by name or as {argument.rstrip('/') + '/*.csv'!r}" if paths else "")
            )
        for recording in recordings:
            found.setdefault(recording.resolve(), recording)
    return list(found.values())


def _recordings_below(path: Path, seen: set[Path]) -> list[Path]:
    """Recordings below a folder; skips folders that were `seen`, as links may form loops."""
    if not path.is_dir() or (path / METADATA).is_file():
        return [path] if path.exists() else []
    if path.resolve() in seen:
        return []
    seen.add(path.resolve())
    found = []
    for entry in sorted(path.iterdir()):
        if entry.is_dir():
            found.extend(_recordings_below(entry, seen))
        elif is_bag_file(entry) and entry.is_file():
            found.append(entry)
    # A recorder that is killed during compression leaves both files.
    return [path for path in found if path.suffix != SUFFIX or path.with_suffix("") not in found]


class BagReader:
    """The topics, loaded definitions and messages of the files of a recording, in order."""

    def __init__(
        self,
        path: Path,
        files: Sequence[McapFile | SqliteFile],
        stated: dict[str, int],
        problem: str | None,
    ) -> None:
        """Joins the topics of all files.

        Args:
            path: path of the recording.
            files: its files, in order.
            stated: number of messages by topic according to the metadata, lost ones included.
            problem: note on truncated files; None if there are none.
        """
        self.path, self.problem = path, problem
        self.typestore = get_typestore(Stores.EMPTY)
        self.end_ns = max((file.end_ns for file in files), default=0)
        self._files = files
        same: dict[tuple[str, str], list[Topic]] = {}
        for topic in (topic for file in files for topic in file.topics):
            same.setdefault((topic.topic, topic.msgtype), []).append(topic)
        types_of = Counter(name for name, _ in same)
        #: Topic of a file -> the topic of the recording.
        self._joined: dict[Topic, Topic] = {}
        for (name, _), parts in same.items():
            defined = next((topic for topic in parts if topic.definition), parts[0])
            count = sum(topic.msgcount for topic in parts)
            if types_of[name] == 1:
                count = max(count, stated.get(name, 0))
            self._joined |= dict.fromkeys(parts, replace(defined, msgcount=count))
        self.topics = list(dict.fromkeys(self._joined.values()))

    def find(self, topic: str, message_type: str) -> Topic | None:
        """The topic with messages of a type; None if there is none."""
        found = (t for t in self.topics if (t.topic, t.msgtype) == (topic, message_type))
        return next(found, None)

    def messages(
        self, topics: Collection[Topic], start_ns: int | None = None, stop_ns: int | None = None
    ) -> Iterator[Entry]:
        """Messages with `start_ns <= record time < stop_ns`, uncompressed."""
        for file in self._files:
            wanted = {topic for topic in file.topics if self._joined[topic] in topics}
            for topic, recorded_ns, data in file.messages(wanted, start_ns, stop_ns):
                yield self._joined[topic], recorded_ns, decompress_message(data)

    def deserialize(self, data: bytes, message_type: str) -> Any:
        """Deserialises a message; its definition must be loaded."""
        return self.typestore.deserialize_cdr(data, message_type)


def is_bag(path: Path) -> bool:
    """Whether a path is a rosbag2 folder or file, by its name or its content."""
    return path.is_dir() or is_bag_file(path) or has_bag_magic(path)


@contextmanager
def opened_bag(path: Path) -> Iterator[BagReader]:
    """Opens a rosbag2 folder or file, even truncated; any error within is a RecordingError."""
    if not path.is_file() and not path.is_dir():
        raise RecordingError(
            f"{path} is {'a pipe or a device' if path.exists() else 'missing'}: give a regular "
            "file or a rosbag2 folder"
        )
    if path.is_dir() and not (path / METADATA).is_file():
        raise RecordingError(
            f"{path} has no metadata.yaml: it is not a rosbag2 folder, or its recorder runs or "
            f"was killed; stop it, or create the file with `ros2 bag reindex {path}`, or give the "
            ".mcap or .db3 file itself"
        )
    problem = None
    try:
        files, stated = ([path], {}) if path.is_file() else _metadata(path)
        with readable(files) as (complete, problem), ExitStack() as stack:
            opened = [stack.enter_context(closing(open_file(file))) for file in complete]
            yield BagReader(path, opened, stated, problem)
    except RecordingError as error:
        if problem is None:
            raise
        raise RecordingError(f"{error} ({problem})") from error
    except UnpackedTooLargeError as error:
        raise RecordingError(f"{path}: {error}") from error
    except Exception as error:
        if isinstance(error, PermissionError):
            raise RecordingError(
                f"{error.filename or path} cannot be read: change its permissions"
            ) from error
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RecordingError(
                f"{path} cannot be unpacked: {gettempdir()} is full; free space, or set TMPDIR to "
                "another folder"
            ) from error
        # Damaged bytes make parsers, decompressors and databases raise errors of any kind.
        raise RecordingError(
            f"{path} is damaged, truncated or not a rosbag2 recording "
            f"({str(error) or type(error).__name__}); {_remedy(path)}"
        ) from error


def _metadata(folder: Path) -> tuple[list[Path], dict[str, int]]:
    """Reads metadata.yaml: the files of a folder in order, and the message count by topic."""
    try:
        metadata = load_yaml(folder / METADATA, _MAX_METADATA_BYTES)
        information = metadata["rosbag2_bagfile_information"]
        files = [folder / Path(name).name for name in information["relative_file_paths"]]
        stated = {
            entry["topic_metadata"]["name"]: int(entry["message_count"])
            for entry in information["topics_with_message_count"]
        }
    except (LookupError, TypeError) as error:
        raise RecordingError(
            f"{folder / METADATA} is damaged or incomplete: write it again with `ros2 bag reindex "
            f"{folder}`, or give the .mcap or .db3 file itself"
        ) from error
    # The metadata of a killed recorder may name files that it did not write.
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise RecordingError(
            f"{folder} lacks {', '.join(missing[:5])}, which metadata.yaml names: copy it there, "
            f"or write metadata.yaml again with `ros2 bag reindex {folder}`"
        )
    return files, stated


def _remedy(path: Path) -> str:
    files = list(filter(is_bag_file, [path] if path.is_file() else sorted(path.iterdir())))
    # Opening a pipe would wait for its writer.
    pointer = next((file for file in files if file.is_file() and _is_lfs_pointer(file)), None)
    if pointer is not None:
        return f"{pointer.name} is a pointer to a file of Git LFS: run `git lfs pull`"
    if files and not any(file.stat().st_size for file in files):
        return "its recorder has not written anything yet: stop it first, or record it again"
    database = next((file for file in files if ".db3" in file.name), None)
    if database is None:
        return "record it again, or try `ros2 bag reindex`"
    unpack = f"unzstd {database.name}; " if database.suffix == SUFFIX else ""
    name = database.name.removesuffix(SUFFIX)
    return (
        f"recover what can be read with `{unpack}sqlite3 {name} .recover | sqlite3 new.db3` and "
        "write its metadata.yaml with `ros2 bag reindex`"
    )


def _is_lfs_pointer(file: Path) -> bool:
    with suppress(OSError), file.open("rb") as content:
        return content.read(len(GIT_LFS)) == GIT_LFS
    return False
