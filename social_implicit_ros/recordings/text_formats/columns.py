"""Readers of trajectory files that are not bags: text, CSV, TrajNet++, NumPy arrays.

Each returns the columns of the file unchecked; `text.load_recording` checks them.
"""

from __future__ import annotations

import csv
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np

from social_implicit_ros.recordings.compressed import GIT_LFS, require_allowed
from social_implicit_ros.recordings.text_formats.column_names import (
    METRES,
    UNITS,
    ColumnsError,
    are_people,
    base_and_unit,
    class_column,
    is_time,
    names_all,
    nanoseconds_of,
    places,
    recording_column,
)
from social_implicit_ros.types import FloatArray, IntArray
from social_implicit_ros.untrusted_files import short_text

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
#: First bytes of files that are not read -> what they are, and what to do.
_REFUSED = {
    b"#ROSBAG": "is a ROS 1 bag: convert it with `rosbags-convert --src x.bag --dst folder`",
    b"PAR1": "is Parquet: save it as CSV, with `to_csv` of pandas",
    GIT_LFS: "is a pointer to a file of Git LFS: run `git lfs pull`",
    **dict.fromkeys([bytes([0x80, n]) for n in (2, 3, 4, 5)], f"is a pickle, which {_PICKLE}"),
    **dict.fromkeys(
        [b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf"],
        "is compressed: unpack it",
    ),
}
#: Beginnings of lines that are comments, in lower case; Excel writes the separator as `sep=;`.
_COMMENTS = ("#", "%", "//", "sep=")
#: A comment with the frame rate, as trackers of crowd experiments write it.
_RATE = re.compile(r"(?:fps|frame[ _-]?rate)\W*(\d+(?:\.\d+)?)", re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?[0-9]{1,15}(\.0*)?")
_POINTS = "replace decimal commas by points"
_EXPECTED = "expected lines of four numbers: frame id x_m y_m"


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
        notes: remarks on how the file is read.
    """

    times: FloatArray
    ids: np.ndarray
    positions_m: FloatArray
    per_second: float | None = None
    is_time: bool = False
    lines: IntArray | None = None
    notes: tuple[str, ...] = ()


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
    for beginning, why in _REFUSED.items():
        if data.startswith(beginning):
            raise ColumnsError(why)
    if path.name == "metadata.yaml":
        raise ColumnsError(f"belongs to a rosbag2 recording: give its folder, {path.parent}")
    is_array = data.startswith((b"\x93NUMPY", b"PK\x03\x04"))
    try:
        text = "" if is_array else data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ColumnsError(
            "is neither text nor a bag: give an ETH/UCY text file, CSV or TrajNet++ in UTF-8 "
            "(`iconv -t UTF-8` converts text), a NumPy array, an .mcap or .db3 file, or a rosbag2 "
            "folder"
        )
    if not is_array and not text.lstrip().startswith(("{", "[")):
        return _from_text(text, wanted)
    if wanted:
        raise ColumnsError("has no columns to choose: leave --columns out")
    return _from_array(data) if is_array else _from_json(text)


def _from_text(text: str, wanted: Sequence[str]) -> Columns:
    """Numbers separated by white space, commas or semicolons, with or without a header."""
    chosen = [name.strip().lower() for name in wanted]
    table = _table(text, chosen)
    if not table.rows:
        raise ColumnsError(f"has a header only; {_EXPECTED}")
    if not table.has_names and not wanted:
        table.require_four_columns()
    frame_or_time, id_, x, y = places(table.names, chosen)
    unit, *units = (base_and_unit(table.names[place])[1] for place in (frame_or_time, x, y))
    is_in_time = is_time(table.names[frame_or_time])
    per_second = UNITS.get(unit, 1.0) if is_in_time else table.rate_hz
    first_time = table.first_cells[frame_or_time : frame_or_time + 1]  # empty if it is missing
    if table.has_names and any(map(_DATE.match, first_time)):
        dates, positions = table.column(frame_or_time, dtype=str)[:, 0], table.column(x, y)
        times, is_in_time, per_second = _from_dates(dates, table.rows), True, 1e9
    else:
        numbers = table.column(frame_or_time, x, y)
        times, positions = numbers[:, 0], numbers[:, 1:]
    nanoseconds = nanoseconds_of(table.names, frame_or_time)
    if nanoseconds is not None:
        times = times + 1e-9 * table.column(nanoseconds)[:, 0]
    positions = positions * [METRES.get(unit, 1.0) for unit in units]
    lines = np.array([*table.rows])
    columns = Columns(times, _ids(table, id_), positions, per_second, is_in_time, lines)
    _require_one_recording(columns, table)
    return _people_only(columns, table)


def _require_one_recording(columns: Columns, table: _Table) -> None:
    """Raises ColumnsError if ids of several recordings in a file occur at the same times."""
    place = recording_column(table.names)
    if place is None:
        return
    recordings = table.column(place, dtype=str)[:, 0]
    numbers, of_row = np.unique(recordings, return_inverse=True)
    if len(numbers) == 1:
        return
    ids = np.unique(columns.ids, return_inverse=True)[1]
    rows = np.lexsort((of_row, ids, columns.times))
    is_same = (np.diff(columns.times[rows]) == 0) & (np.diff(ids[rows]) == 0)
    if (is_same & (np.diff(of_row[rows]) != 0)).any():
        raise ColumnsError(
            f"has {len(numbers)} recordings by its column {table.names[place]!r}, with the same "
            "ids at the same times: write each to a file of its own"
        )


def _people_only(columns: Columns, table: _Table) -> Columns:
    """Without entries of other classes, if a column has classes and any of them is people."""
    place = class_column(table.names)
    if place is None:
        return columns
    names, name_of_row = np.unique(table.column(place, dtype=str)[:, 0], return_inverse=True)
    is_person = np.array([are_people(name) for name in names.tolist()])
    keep = is_person[name_of_row]
    if keep.all() or not keep.any():
        return columns
    others = short_text(", ".join(name.strip() for name in names[~is_person].tolist()))
    note = (
        f"{np.count_nonzero(~keep)} of {len(keep)} observations are left out: they are no people "
        f"by the column {table.names[place]!r}, but {others}"
    )
    kept = {name: getattr(columns, name)[keep] for name in ("times", "ids", "positions_m", "lines")}
    return replace(columns, notes=(*columns.notes, note), **kept)


def _table(text: str, wanted: Sequence[str]) -> _Table:
    """The lines of a text, and the names of its columns in lower case, from header or comment."""
    rows: dict[int, str] = {}
    comments: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().lower().startswith(_COMMENTS):
            if not rows:
                comments.append(line.strip().lstrip("#%/ "))
        elif line.strip():
            rows[number] = line
    if not rows:
        raise ColumnsError(f"is empty; {_EXPECTED}")
    first_line = next(iter(rows.values()))
    # A comma may also be a decimal comma, or part of a quoted name.
    mark = max(",;\t|", key=lambda mark: len(_cells(first_line, mark)))
    separator = mark if mark in first_line else None
    if separator == "\t" and len(first_line.split("\t")) != len(first_line.split()):
        separator = None
    first = _cells(first_line, separator)
    header = [cell.lower() for cell in first] if not any(map(_is_number, first)) else None
    if header is not None:
        del rows[next(iter(rows))]
    else:
        header = _header_in_comments(comments, separator, len(first), wanted)
    if separator is not None and '"' in text:
        # NumPy treats a quote after a space as part of the cell.
        rows = {n: re.sub(rf'[{separator}] +"', f'{separator}"', row) for n, row in rows.items()}
    rates = [float(found[1]) for found in map(_RATE.search, comments) if found]
    return _Table(rows, header or [""] * len(first), separator, rates[0] if rates else None)


def _header_in_comments(
    comments: Sequence[str], separator: str | None, n_columns: int, wanted: Sequence[str]
) -> list[str] | None:
    """The names in the last comment before the data, if they include those of all that is read."""
    for mark in (separator, None):
        names = [cell.lower() for cell in _cells(comments[-1], mark)] if comments else []
        if len(names) == n_columns and names_all(names, wanted):
            return names
    return None


@dataclass(frozen=True)
class _Table:
    """Lines with cells in columns.

    Attributes:
        rows: line number -> line.
        names: of the columns; empty texts if the file has none.
        separator: None is white space.
        rate_hz: frame rate in a comment, if any.
    """

    rows: Mapping[int, str]
    names: Sequence[str]
    separator: str | None
    rate_hz: float | None = None

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
    def has_names(self) -> bool:
        """Whether the file names its columns."""
        return any(self.names)

    @property
    def first_cells(self) -> list[str]:
        """The texts in the columns of the first line."""
        return _cells(next(iter(self.rows.values())), self.separator)

    def require_four_columns(self) -> None:
        """Raises ColumnsError for the first line with another number of columns."""
        for number, line in self.rows.items():
            if (n_columns := len(_cells(line, self.separator))) != 4:
                is_decimal = self.separator == "," and len(line.split()) == 4
                fix = "number those of frame, id, x and y, such as --columns 1,2,3,5"
                fix = fix if n_columns > 4 else "complete or remove that line"
                fix = _POINTS if is_decimal else fix
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


def _ids(table: _Table, place: int) -> np.ndarray:
    """(N,) ids: numbers, or in a file with names of columns strings if one is not a number."""
    try:
        return np.asarray(table.column(place)[:, 0])
    except ColumnsError:
        if not table.has_names:
            raise
    # `7` and `7.0` are the same id, as in a file with numbers only.
    names = np.char.strip(table.column(place, dtype=str)[:, 0]).tolist()
    return np.array([str(int(float(n))) if _WHOLE.fullmatch(n) else n for n in names])


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
