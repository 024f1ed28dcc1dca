"""Parts: the results of one recording each, a Parquet file with a row per tick and model.

Its metadata contain the sums, the description of the recording and the highlights of the report.
They are written last, so that an incomplete part is not a valid Parquet file. `per_tick.parquet`
contains the rows of all parts, for further analysis.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from social_implicit_ros.evaluation.errors import CONFIDENCES, OF_FUTURES, Measures
from social_implicit_ros.evaluation.tally import sums_by_group
from social_implicit_ros.types import FloatArray

#: Column -> type. Means are over the complete trajectories of a tick, NaN without any; shares
#: inside ellipses are over all steps with known ground truth.
_ERRORS = tuple(f"{name}_m" for name in OF_FUTURES if name != "miss_rate")
SCHEMA = pa.schema(
    [
        *((name, pa.dictionary(pa.int32(), pa.string())) for name in ("bag", "model")),
        ("stamp_ns", pa.int64()),
        *((name, pa.int32()) for name in ("predicted", "futures", "known_steps")),
        *((name, pa.float32()) for name in _ERRORS),
        ("missed", pa.int32()),
        *((name, pa.float32()) for name in ("inside_50", "inside_95", "window_ms", "model_ms")),
    ]
)
_ROWS_AT_ONCE = 20_000


class PartWriter:
    """Writes one part, some thousand rows at a time; use it with `contextlib.closing`."""

    def __init__(self, path: Path, bag: str) -> None:
        """Opens the file to write; `bag` is the name of the recording."""
        # File names may contain any bytes, but Parquet texts and the paths of pyarrow only UTF-8.
        self._bag = bag.encode(errors="backslashreplace").decode()
        self._file = path.open("wb")
        self._writer = parquet.ParquetWriter(self._file, SCHEMA, compression="zstd")
        self._tables: list[pa.Table] = []  # rows to write

    def describe(self, **values: Any) -> None:
        """Adds JSON-serialisable values to the metadata, for `read_part`."""
        texts = {name: json.dumps(value) for name, value in values.items()}
        self._writer.add_key_value_metadata(texts)

    def close(self) -> None:
        """Writes the remaining rows and closes the file."""
        self._flush()
        self._writer.close()
        self._file.close()

    def add(self, model: str, measures: Measures) -> None:
        """Adds a row for each tick."""
        names = {"bag": self._bag, "model": model}
        columns = {name: np.full(len(measures.ticks), text) for name, text in names.items()}
        self._tables.append(pa.table(columns | _columns(measures)))
        if sum(map(len, self._tables)) >= _ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables).cast(SCHEMA))
            self._tables = []


def read_part(file: Path, *names: str) -> dict[str, Any]:
    """Values of `PartWriter.describe` by name.

    Raises:
        OSError: there is no such file.
        ValueError: the file is not a part.
    """
    with file.open("rb") as opened:  # pyarrow accepts only paths of UTF-8
        found = parquet.read_metadata(opened).metadata or {}
    try:
        return {name: json.loads(found[name.encode()]) for name in names}
    except KeyError as error:
        raise ValueError(f"{file} is not a part of an evaluation: it has no {error}") from error


def join_rows(parts: Iterable[Path], into: Path) -> None:
    """Concatenates the rows of parts, one row group in memory at a time."""
    with (
        into.open("wb") as whole,
        parquet.ParquetWriter(whole, SCHEMA, compression="zstd") as writer,
    ):
        for part in parts:
            with part.open("rb") as opened:
                file = parquet.ParquetFile(opened)
                for group in range(file.num_row_groups):
                    writer.write_table(file.read_row_group(group).cast(SCHEMA))


def _columns(measures: Measures) -> dict[str, np.ndarray]:
    """All columns except the names of recording and model, in the order of the schema."""
    n_ticks = len(measures.ticks)
    counts = np.diff(measures.first_rows, append=len(measures.complete))
    tick_of_row = np.repeat(np.arange(n_ticks), counts)
    by_step = [measures.known, *(measures.levels <= c for c in CONFIDENCES)]
    rows = np.column_stack([measures.columns[:, :6], *(flags.sum(axis=1) for flags in by_step)])
    sums = sums_by_group(rows, tick_of_row, n_ticks)
    futures, *errors_m, missed, known_steps, inside_50, inside_95 = sums.T
    return {
        "stamp_ns": np.array([tick.forecast.stamp_ns for tick in measures.ticks]),
        "predicted": counts,
        "futures": futures,
        "known_steps": known_steps,
        **{name: _ratio(sum_m, futures) for name, sum_m in zip(_ERRORS, errors_m, strict=True)},
        "missed": missed,
        "inside_50": _ratio(inside_50, known_steps),
        "inside_95": _ratio(inside_95, known_steps),
        **{
            f"{part}_ms": np.array([1e3 * scored.tick.timings_s[part] for scored in measures.ticks])
            for part in ("window", "model")
        },
    }


def _ratio(sums: FloatArray, counts: FloatArray) -> FloatArray:
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
