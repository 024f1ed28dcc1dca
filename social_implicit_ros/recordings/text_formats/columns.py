"""Readers of trajectory files that are not bags: text, CSV, TrajNet++, NumPy arrays.

Each returns the columns of the file unchecked; `text.load_recording` checks them.
"""

from __future__ import annotations

import csv
import json
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from social_implicit_ros.recordings.compressed import require_allowed
from social_implicit_ros.types import FloatArray, IntArray
from social_implicit_ros.untrusted_files import short_text

#: Names of columns, in lower case and without unit. Times are converted by the unit of the name.
_FRAME = ("frame", "frame_id", "frame_number", "frame_idx", "f")
_TIME = ("time", "t", "timestamp", "seconds", "sec", "secs", "stamp")
_ID = (
    *("id", "ped_id", "pedestrian_id", "pedestrian", "person_id", "person", "agent_id", "agent"),
    *("track_id", "trackid", "track", "obj_id", "object_id", "p"),
)
_X, _Y = ("x", "pos_x", "px", "x_pos"), ("y", "pos_y", "py", "y_pos")
#: Groups of columns that belong together: (time or frame), (id), (x, y). Times are preferred to
#: frames: they have a unit, while the frame rate may be unknown.
_NAMES = (((*_TIME, *_FRAME),), (_ID,), (_X, _Y))
#: Endings, in place of `sec` or `secs`, of the column with the nanoseconds of a ROS stamp.
_NANOSECONDS = ("nanosec", "nanosecs", "nsec", "nsecs")
#: Unit at the end of a column name -> units per second; unit -> metres.
_UNITS = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0, "sec": 1.0}
_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
#: Column names with a unit, such as `t_ms`, `x [m]`, `time(s)` and `header/stamp/sec`.
_NAME_AND_UNIT = re.compile(
    rf"(.*\w)(?:[_ /]+|\s*[(\[]\s*)({'|'.join((*_UNITS, *_METRES))})\s*[)\]]?"
)
#: Dates of the years 1900 to 2199, which fit into 64 bits of nanoseconds.
_DATE = re.compile(
    r"((?:19|2[01])\d\d-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(?:Z|\+00:?00)?"
)
#: Frames per second of an array, which has one frame per step of the benchmark.
_ARRAY_HZ = 2.5
#: Errors of lines that are not valid TrajNet++ JSON.
_JSON_ERRORS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
_TRAJNET = '{"track": {"f": frame, "p": id, "x": metres, "y": metres}}'
_PICKLE = (
    "can run code and is not read: if you trust it, convert it with numpy.save to an array of "
    "numbers: (people, steps, 2) positions in metres"
)
_WHOLE = re.compile(r"[+-]?[0-9]{1,15}(\.0*)?")
_POINTS = "replace decimal commas by points"
_EXPECTED = "expected lines of four numbers: frame id x_m y_m"


class ColumnsError(ValueError):
    """A file does not contain trajectories; the message says what is expected."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Observations in the order of the file.

    Attributes:
        times: (N,) frames or times.
        ids: (N,) ids, numbers or strings.
        positions_m: (N, 2) metres.
        per_second: frames, or units of time, per second; None if the file does not say it.
        is_time: whether `times` are times, which need not be integers.
        lines: (N,) line numbers, from 1 on; None if the file has no lines.
    """

    times: FloatArray
    ids: np.ndarray
    positions_m: FloatArray
    per_second: float | None = None
    is_time: bool = False
    lines: IntArray | None = None


def read_columns(path: Path, wanted: Sequence[str] = ()) -> Columns:
    """Reads a file; its content determines the format.

    `wanted` are the columns to read, by name or by number from 1 on; if empty, usual names.

    Raises:
        OSError: the file cannot be read.
        ColumnsError: the file does not contain trajectories.
    """
    if not path.is_file():
        raise ColumnsError("is not a regular file: give text, CSV, TrajNet++ or a NumPy array")
    data = path.read_bytes()
    if data.startswith(b"#ROSBAG"):
        raise ColumnsError(
            "is a ROS 1 bag: convert it with `rosbags-convert --src x.bag --dst folder`"
        )
    if path.name == "metadata.yaml":
        raise ColumnsError(f"belongs to a rosbag2 recording: give its folder, {path.parent}")
    if data.startswith((b"\x93NUMPY", b"PK\x03\x04")):
        _require_no_choice(wanted)
        return _from_array(data)
    if re.match(rb"\x80[\x02-\x05]", data) or path.suffix in (".pkl", ".pickle"):
        raise ColumnsError(f"is a pickle, which {_PICKLE}")
    if data.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf")):
        raise ColumnsError("is compressed: unpack it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ColumnsError(
            "is neither text nor a bag: give an ETH/UCY text file, CSV or TrajNet++ in UTF-8 "
            "(`iconv -t UTF-8` converts text), a NumPy array, an .mcap or .db3 file, or a rosbag2 "
            "folder"
        )
    if not text.lstrip().startswith(("{", "[")):
        return _from_text(text, wanted)
    _require_no_choice(wanted)
    return _from_json(text)


def _require_no_choice(wanted: Sequence[str]) -> None:
    if wanted:
        raise ColumnsError("has no columns to choose: leave --columns out")


def _from_text(text: str, wanted: Sequence[str]) -> Columns:
    """Numbers separated by white space, commas or semicolons, with or without a header."""
    table, header = _table(text)
    n_columns = len(table.first_cells if header is None else header)
    places = _places(header, n_columns, [name.strip().lower() for name in wanted])
    if not table.rows:
        raise ColumnsError(f"has a header only; {_EXPECTED}")
    if header is None and not wanted:
        table.require_four_columns()
    frame_or_time, id_, x, y = places
    name, unit = _base_and_unit(header[frame_or_time] if header is not None else "")
    is_time = _last_part(name) in _TIME or unit in _UNITS
    per_second = _UNITS.get(unit, 1.0) if is_time else None
    first_time = table.first_cells[frame_or_time : frame_or_time + 1]  # empty if it is missing
    if header is not None and any(map(_DATE.match, first_time)):
        dates, positions = table.column(frame_or_time, dtype=str)[:, 0], table.column(x, y)
        times, is_time, per_second = _from_dates(dates, table.rows), True, 1e9
    else:
        numbers = table.column(frame_or_time, x, y)
        times, positions = numbers[:, 0], numbers[:, 1:]
    nanoseconds = _nanoseconds(header, frame_or_time)
    if nanoseconds is not None:
        times = times + 1e-9 * table.column(nanoseconds)[:, 0]
    ids = _ids(table, id_, may_be_text=header is not None)
    if header is not None:
        units = (_base_and_unit(header[place])[1] for place in (x, y))
        positions = positions * [_METRES.get(unit, 1.0) for unit in units]
    return Columns(times, ids, positions, per_second, is_time, np.array([*table.rows]))


def _table(text: str) -> tuple[_Table, list[str] | None]:
    """The lines of a text, and the names of its columns in lower case; None without a header."""
    rows = {
        number: line
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith(("#", "sep="))
    }
    if not rows:
        raise ColumnsError(f"is empty; {_EXPECTED}")
    first_line = next(iter(rows.values()))
    # A comma may also be a decimal comma, or part of a quoted name.
    mark = max(",;\t", key=lambda mark: len(_cells(first_line, mark)))
    separator = mark if mark in first_line else None
    if separator == "\t" and len(first_line.split("\t")) != len(first_line.split()):
        separator = None
    first = _cells(first_line, separator)
    header = [cell.lower() for cell in first] if not any(map(_is_number, first)) else None
    if header is not None:
        del rows[next(iter(rows))]
    if separator is not None and '"' in text:
        # NumPy treats a quote after a space as part of the cell.
        rows = {n: re.sub(rf'{separator} +"', f'{separator}"', line) for n, line in rows.items()}
    return _Table(rows, separator), header


@dataclass(frozen=True)
class _Table:
    """Lines with cells in columns: line number -> line; a separator of None is white space."""

    rows: Mapping[int, str]
    separator: str | None

    def column(self, *places: int, dtype: type = np.float64) -> np.ndarray:
        """(N, places) cells; raises ColumnsError with the line of the first invalid cell."""
        try:
            cells: np.ndarray = np.loadtxt(
                [*self.rows.values()],
                dtype,
                delimiter=self.separator,
                usecols=places,
                ndmin=2,
                comments=None,
                quotechar='"',
            )
        except (ValueError, IndexError) as error:
            raise ColumnsError(f"{self._fault(places, error)}; {_EXPECTED}") from error
        if len(cells) != len(self.rows):
            odd = (number for number, line in self.rows.items() if line.count('"') % 2)
            number = next(odd, min(self.rows))
            raise ColumnsError(
                f"has a quote that is not closed in line {number}: close or remove it"
            )
        return cells

    @property
    def first_cells(self) -> list[str]:
        """The texts in the columns of the first line."""
        return _cells(next(iter(self.rows.values())), self.separator)

    def require_four_columns(self) -> None:
        """Raises ColumnsError for the first line with another number of columns."""
        for number, line in self.rows.items():
            if (n_columns := len(_cells(line, self.separator))) != 4:
                is_decimal = self.separator == "," and len(line.split()) == 4
                fix = _POINTS if is_decimal else "name other columns with --columns"
                raise ColumnsError(
                    f"has {n_columns} columns in line {number}, {short_text(line)}; {_EXPECTED}; "
                    f"{fix}"
                )

    def _fault(self, places: Sequence[int], error: Exception) -> str:
        """Describes the first line that lacks a number in one of the columns `places`."""
        for number, line in self.rows.items():
            cells = _cells(line, self.separator)
            for place in places:
                if place >= len(cells):
                    return f"has {len(cells)} columns in line {number}, {short_text(line)}"
                if not _is_number(cells[place]):
                    fix = f": {_POINTS}" if "," in cells[place] else ""
                    fix = fix if cells[place].isascii() else ": write it in ASCII characters"
                    cell = short_text(cells[place])
                    return f"has {cell} for a number in line {number}, column {place + 1}{fix}"
        return short_text(str(error))


def _ids(table: _Table, place: int, *, may_be_text: bool) -> np.ndarray:
    """(N,) ids: numbers, or strings if any of them is not a number."""
    try:
        return np.asarray(table.column(place)[:, 0])
    except ColumnsError:
        if not may_be_text:
            raise
    # `7` and `7.0` are the same id, as in a file with numbers only.
    names = np.char.strip(table.column(place, dtype=str)[:, 0]).tolist()
    return np.array([str(int(float(n))) if _WHOLE.fullmatch(n) else n for n in names])


def _nanoseconds(header: list[str] | None, place: int) -> int | None:
    """Index of the column of nanoseconds that belongs to a column of seconds, if any."""
    if header is None or not (whole := re.fullmatch(r"(.*?)secs?", header[place])):
        return None
    names = {whole[1] + end for end in _NANOSECONDS}
    return next((number for number, name in enumerate(header) if name in names), None)


def _from_dates(texts: np.ndarray, rows: Mapping[int, str]) -> FloatArray:
    """(N,) nanoseconds since 1970 of dates in UTC; `rows` are the lines, for errors."""
    plain = []
    for number, text in zip(rows, texts.tolist(), strict=True):
        date = _DATE.fullmatch(text.strip())
        if date is None:
            raise ColumnsError(
                f"has {short_text(text)} for a time in line {number}; expected dates in UTC such "
                "as 2026-01-31 12:00:00.5"
            )
        plain.append(f"{date[1]}T{date[2]}")
    try:
        return np.array(plain, dtype="datetime64[ns]").astype(np.int64).astype(np.float64)
    except ValueError as error:
        raise ColumnsError(f"has an invalid date: {error}") from error


def _cells(line: str, separator: str | None) -> list[str]:
    if separator is None or '"' not in line:  # csv takes three times as long
        return [cell.strip() for cell in line.replace('"', "").split(separator)]
    try:
        (cells,) = csv.reader([line], delimiter=separator, skipinitialspace=True)
    except csv.Error as error:
        raise ColumnsError(f"has a line that is not CSV: {error}; {_EXPECTED}") from error
    return [cell.strip() for cell in cells]


def _base_and_unit(name: str) -> tuple[str, str]:
    """Name and unit of a column."""
    found = _NAME_AND_UNIT.fullmatch(name)
    return (found[1], found[2]) if found else (name, "")


def _last_part(name: str) -> str:
    """The last part of a nested name: `x` of `pose.position.x`."""
    return re.split(r"[./]", name)[-1]


def _places(header: list[str] | None, n_columns: int, wanted: Sequence[str]) -> list[int]:
    """Indices of the columns of frame or time, id, x and y."""
    if wanted:
        if len(wanted) != 4:
            raise ColumnsError("--columns takes four columns: frame or time, id, x and y")
        places = []
        for name in wanted:
            if header is not None and name in header:
                places.append(header.index(name))
            elif name.isdecimal() and 1 <= int(name[:9]) <= n_columns:
                places.append(int(name) - 1)
            else:
                have = ", ".join(header) if header else f"1 to {n_columns}"
                raise ColumnsError(f"has no column {name!r}; its columns: {short_text(have)}")
        return places
    if header is None:
        return [0, 1, 2, 3]
    split = [_base_and_unit(name) for name in header]
    plain = [base for base, _ in split]
    readings = (
        # Columns in metres are preferred to other units, and plain names to nested ones.
        [f"{base}_{unit}" if unit in ("cm", "mm") else base for base, unit in split],
        plain,
        # Positions are preferred to velocities and orientations, whose names end in x and y, too.
        [re.sub(r".*\bposition[./]", "", name) for name in plain],
        [_last_part(name) for name in plain],
    )
    found = [place for kinds in _NAMES for place in _found(readings, kinds)]
    if -1 in found:
        raise ColumnsError(
            f"has the columns {short_text(', '.join(header))}: name those of frame or time, id, x "
            "and y with --columns"
        )
    return found


def _found(readings: Iterable[Sequence[str]], kinds: Sequence[Sequence[str]]) -> list[int]:
    """Indices of one column of each kind, by the first reading that has all; else [-1].

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
    return [-1]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell  # as NumPy reads them


def _from_json(text: str) -> Columns:
    """TrajNet++: a JSON object per line, `scene` or `track`; recorded predictions are skipped."""
    rows, rates = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict):
                raise TypeError("not an object")
            scene, track = entry.get("scene"), entry.get("track")
            if scene is not None and "fps" in scene:
                rates.append(float(scene["fps"]))
            if track is not None and track.get("prediction_number") is None:
                rows.append([float(track[key]) for key in ("f", "p", "x", "y")])
        except _JSON_ERRORS as error:
            raise ColumnsError(
                f"line {number} is not TrajNet++: {short_text(str(error))}; expected {_TRAJNET}"
            ) from error
    if not rows:
        raise ColumnsError(f"has no TrajNet++ tracks; expected lines of {_TRAJNET}")
    # Overlapping scenes repeat tracks.
    table = np.unique(np.array(rows), axis=0)
    steps = np.diff(np.unique(table[:, 0]))
    # `fps` is the rate of annotated frames, `f` counts frames of the video.
    per_second = float(np.median(rates) * np.median(steps)) if rates and len(steps) else None
    return Columns(table[:, 0], table[:, 1], table[:, 2:], per_second)


def _from_array(data: bytes) -> Columns:
    """`.npy`, or `.npz` with one array: (people, steps, 2), NaN if unknown, or (N, 4) rows."""
    try:
        if data.startswith(b"PK"):
            with zipfile.ZipFile(BytesIO(data)) as archive:
                require_allowed(len(data), sum(info.file_size for info in archive.infolist()))
                if not any(name.endswith(".npy") for name in archive.namelist()):
                    raise ColumnsError(
                        "is an archive without arrays: unpack it, or save a spreadsheet as CSV"
                    )
        if b"'descr': '|O'" in data[:128]:
            raise ColumnsError(f"holds Python objects, which {_PICKLE}")
        loaded = np.load(BytesIO(data), allow_pickle=False)  # noqa: TID251
        if not isinstance(loaded, np.ndarray):
            if len(loaded.files) != 1:
                raise ColumnsError(f"holds the arrays {short_text(loaded.files)}, expected one")
            loaded = loaded[loaded.files[0]]
        if not isinstance(loaded, np.ndarray) or loaded.dtype.kind not in "fiu":
            kind = getattr(loaded, "dtype", "no array")
            raise ColumnsError(f"holds {short_text(str(kind))}, expected an array of real numbers")
        array = np.asarray(loaded, dtype=np.float64)
    except ColumnsError:
        raise
    # Damaged headers make the readers raise errors of any kind, even MemoryError.
    except Exception as error:
        raise ColumnsError(f"cannot be read as an array: {short_text(str(error))}") from error
    if array.ndim == 2 and array.shape[1] == 4:
        return Columns(array[:, 0], array[:, 1], array[:, 2:])
    if array.ndim != 3 or array.shape[2] != 2:
        raise ColumnsError(
            f"holds an array of shape {array.shape}, expected (people, steps, 2) positions in "
            "metres, NaN where unknown, or rows of frame id x_m y_m"
        )
    agents, steps = np.nonzero(~np.isnan(array).any(axis=2))
    return Columns(steps.astype(float), agents.astype(float), array[agents, steps], _ARRAY_HZ)
