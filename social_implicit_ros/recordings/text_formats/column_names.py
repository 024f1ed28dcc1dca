"""Finds the columns of a header: frame or time, id, x, y, and the class; units in names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

#: Names of columns, without unit, in lower case and without separators: `Track ID` is `trackid`.
#: Times are converted by the unit of the name.
_FRAME = (
    *("frame", "frameid", "framenumber", "frameidx", "frameindex", "framenum", "framenr"),
    *("frameno", "fr", "f", "timestep"),
)
_TIME = ("time", "t", "timestamp", "seconds", "sec", "secs", "stamp")
_ID = (
    *("id", "pedid", "pedestrianid", "pedestrian", "personid", "person", "humanid", "agentid"),
    *("agent", "trackid", "track", "trackerid", "objid", "objectid", "playerid", "player"),
    *("uuid", "p"),
)
_X, _Y = (
    tuple(
        name.replace("_", axis)
        for name in ("_", "pos_", "p_", "_pos", "position_", "_center", "_est")
    )
    for axis in "xy"
)
#: Groups of columns that belong together: (time or frame), (id), (x, y). Times are preferred to
#: frames: they have a unit, while the frame rate may be unknown.
_NAMES = (((*_TIME, *_FRAME),), (_ID,), (_X, _Y))
#: Endings, in place of `sec` or `secs`, of the column with the nanoseconds of a ROS stamp.
_NANOSECONDS = ("nanosec", "nanosecs", "nsec", "nsecs")
#: Columns of classes, and the classes that are people.
_CLASS = (
    *("class", "classname", "agenttype", "agentclass", "objecttype", "objectclass"),
    *("type", "label", "category"),
)
_PEOPLE = ("ped", "peds", "*pedestrian*", "*person*", "people", "human", "walker")
#: Columns that number the recordings in a file.
_RECORDING = (
    *("recording", "recordingid", "sequence", "sequenceid", "seq", "scene", "sceneid"),
    *("scenario", "scenarioid", "case", "caseid", "video", "videoid", "clip", "session", "run"),
    *("episode", "trial", "play", "match"),
)
#: Unit at the end of a column name -> units per second; unit -> metres.
UNITS = {
    **{"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0, "sec": 1.0, "seconds": 1.0},
    **{"milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9},
}
METRES = {"m": 1.0, "metres": 1.0, "meters": 1.0, "cm": 0.01, "mm": 0.001, "ft": 0.3048}
#: Column names with a unit, such as `t_ms`, `x [m]`, `time(s)` and `header/stamp/sec`.
_NAME_AND_UNIT = re.compile(
    rf"(.*\w)(?:[_ /]+|\s*[(\[]\s*)({'|'.join((*UNITS, *METRES))})\s*[)\]]?"
)
#: Maximum length of the names of all columns in an error message, characters.
_MAX_NAMES = 400


class ColumnsError(ValueError):
    """A file does not contain trajectories; the message says what is expected."""


def base_and_unit(name: str) -> tuple[str, str]:
    """Name and unit of a column."""
    found = _NAME_AND_UNIT.fullmatch(name)
    return (found[1], found[2]) if found else (name, "")


def is_time(name: str) -> bool:
    """Whether a column, by its name, contains times and not frames."""
    base, unit = base_and_unit(name)
    return _plain(_last_part(base)) in _TIME or unit in UNITS


def nanoseconds_of(header: Sequence[str], place: int) -> int | None:
    """Index of the column of nanoseconds that belongs to a column of seconds, if any."""
    whole = re.fullmatch(r"(.*?)secs?", header[place])
    if whole is None:
        return None
    names = {whole[1] + end for end in _NANOSECONDS}
    return next((number for number, name in enumerate(header) if name in names), None)


def class_column(header: Sequence[str]) -> int | None:
    """Index of the column of classes, if any."""
    return _first(header, _CLASS)


def recording_column(header: Sequence[str]) -> int | None:
    """Index of the column that numbers the recordings in a file, if any."""
    return _first(header, _RECORDING)


def are_people(name: str) -> bool:
    """Whether a class is that of people."""
    return any(fnmatchcase(name.strip().lower(), pattern) for pattern in _PEOPLE)


def places(header: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Indices of the columns of frame or time, id, x and y: the first four if none has a name.

    Raises:
        ColumnsError: there are no such columns, or several.
    """
    if wanted:
        return _wanted_places(header, wanted)
    if not any(header):
        return [0, 1, 2, 3]
    readings = _readings(header)
    found = [_found(readings, kinds) for kinds in _NAMES]
    if [] in found:
        kinds = zip(("TIME", "ID", "X", "Y"), ((*_TIME, *_FRAME), _ID, _X, _Y), strict=True)
        known = [(kind, _found(readings, (names,))) for kind, names in kinds]
        hint = ",".join(header[place[0]] if place else kind for kind, place in known)
        listing = ", ".join(header)
        if len(listing) > _MAX_NAMES:
            listing = f"{listing[:_MAX_NAMES]}..."
        raise ColumnsError(
            f"has the columns {listing!r}: name those of frame or time, id, x and y, such as "
            f"--columns {hint!r}"
        )
    return [place for group in found for place in group]


def names_all(header: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether a header names the columns of frame or time, id, x and y, or all that are wanted."""
    if wanted:
        return set(wanted) <= set(header)
    readings = _readings(header)
    return all(_found(readings, kinds) for kinds in _NAMES)


def _wanted_places(header: Sequence[str], wanted: Sequence[str]) -> list[int]:
    found = []
    for name in wanted:
        if name and name in header:
            found.append(header.index(name))
        elif name.isdecimal() and 1 <= int(name[:9]) <= len(header):
            found.append(int(name) - 1)
        else:
            have = ", ".join(header)[:_MAX_NAMES] if any(header) else f"1 to {len(header)}"
            raise ColumnsError(f"has no column {name!r}; its columns: {have!r}")
    return found


def _readings(header: Sequence[str]) -> list[list[str]]:
    """Several ways to read the names of all columns, preferred ones first."""
    split = [base_and_unit(name) for name in header]
    bases = [base for base, _ in split]
    readings = (
        # Columns in metres are preferred to other units, and plain names to nested ones.
        [base if METRES.get(unit, 1.0) == 1.0 else f"{base} {unit}" for base, unit in split],
        bases,
        # Positions are preferred to velocities and orientations, whose names end in x and y, too.
        [re.sub(r".*\bposition[./]", "", name) for name in bases],
        [_last_part(name) for name in bases],
    )
    return [[_plain(name) for name in names] for names in readings]


def _found(readings: Iterable[Sequence[str]], kinds: Sequence[Sequence[str]]) -> list[int]:
    """Indices of one column of each kind, by the first reading that has all; else none.

    Args:
        readings: several ways to read the names of all columns.
        kinds: possible names of each kind, preferred names first.
    """
    for columns in readings:
        found = [next((name for name in names if name in columns), "") for names in kinds]
        if all(found):
            twice = next((name for name in found if columns.count(name) > 1), None)
            if twice is None:
                return [columns.index(name) for name in found]
            raise ColumnsError(
                f"has several columns {twice!r}: choose four by number with --columns"
            )
    return []


def _first(header: Sequence[str], names: Sequence[str]) -> int | None:
    columns = [_plain(name) for name in header]
    return next((columns.index(name) for name in names if name in columns), None)


def _last_part(name: str) -> str:
    """The last part of a nested name: `x` of `pose.position.x`."""
    return re.split(r"[./]", name)[-1]


def _plain(name: str) -> str:
    """A name without separators within its parts: `trackid` of `track_id` and `Track ID`."""
    return re.sub(r"[\W_]+", lambda found: found[0] if found[0] in "./" else "", name.lower())
