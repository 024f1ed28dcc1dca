"""Finds the recordings that a command line names."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.compressed import SUFFIX
from social_implicit_ros.recordings.truncated import METADATA, is_bag_file


def find_bags(arguments: Iterable[str]) -> list[Path]:
    """The recordings of files, folders (at any depth) and patterns, each once, in order."""
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
            )
        for recording in recordings:
            found.setdefault(recording.resolve(), recording)
    return list(found.values())


def _recordings_below(path: Path, seen: set[Path]) -> list[Path]:
    """Recordings in folders that were not `seen`, as links may lead back."""
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
