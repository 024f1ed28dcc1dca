"""`per_tick.parquet`: one row per tick and model, for further analysis."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from social_implicit_ros.evaluation.errors import Measures
from social_implicit_ros.evaluation.tally import sums_by_group
from social_implicit_ros.types import FloatArray

#: Column -> type. Means are over the complete trajectories of a tick, NaN without one; shares
#: inside ellipses are over all steps with known ground truth.
SCHEMA = pa.schema(
    [
        ("bag", pa.dictionary(pa.int32(), pa.string())),
        ("model", pa.dictionary(pa.int32(), pa.string())),
        ("stamp_ns", pa.int64()),
        ("predicted", pa.int32()),
        ("futures", pa.int32()),
        ("known_steps", pa.int32()),
        ("mean_ade_m", pa.float32()),
        ("mean_fde_m", pa.float32()),
        ("best_ade_m", pa.float32()),
        ("best_fde_m", pa.float32()),
        ("missed", pa.int32()),
        ("inside_50", pa.float32()),
        ("inside_95", pa.float32()),
        ("window_ms", pa.float32()),
        ("model_ms", pa.float32()),
    ]
)
_ROWS_AT_ONCE = 20_000


class PerTickWriter:
    """Writes one file, some thousand rows at a time; for `contextlib.closing`."""

    def __init__(self, path: Path, bag: str) -> None:
        """Opens the file to write; `bag` is the name of the recording."""
        # Names of files may hold any bytes, those of parquet UTF-8 only.
        self._bag = bag.encode(errors="backslashreplace").decode()
        self._writer = parquet.ParquetWriter(path, SCHEMA, compression="zstd")
        self._pieces: list[tuple[str, dict[str, FloatArray]]] = []
        self._n_rows = 0

    def close(self) -> None:
        """Writes what is left and closes the file."""
        self._flush()
        self._writer.close()

    def add(self, model: str, measures: Measures) -> None:
        """Adds a row for each tick."""
        self._pieces.append((model, _columns(measures)))
        self._n_rows += len(measures.ticks)
        if self._n_rows >= _ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if not self._pieces:
            return
        columns: dict[str, Any] = {
            name: np.concatenate([values[name] for _, values in self._pieces])
            for name in self._pieces[0][1]
        }
        lengths = [len(values["stamp_ns"]) for _, values in self._pieces]
        columns["bag"] = np.full(self._n_rows, self._bag)
        columns["model"] = np.repeat([model for model, _ in self._pieces], lengths)
        arrays = [
            pa.array(columns[entry.name]).dictionary_encode()
            if pa.types.is_dictionary(entry.type)
            else pa.array(columns[entry.name]).cast(entry.type)
            for entry in SCHEMA
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))
        self._pieces, self._n_rows = [], 0


def join_files(parts: Iterable[Path], into: Path) -> None:
    """Concatenates files of this schema, one row group in memory at a time."""
    with parquet.ParquetWriter(into, SCHEMA, compression="zstd") as writer:
        for part in parts:
            file = parquet.ParquetFile(part)
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group).cast(SCHEMA))


def _columns(measures: Measures) -> dict[str, FloatArray]:
    """All columns except the names of recording and model."""
    n_ticks = len(measures.ticks)
    counts = np.diff([*measures.first_rows.tolist(), len(measures.complete)])
    tick_of_row = np.repeat(np.arange(n_ticks), counts)
    complete, known = measures.complete, measures.known.sum(axis=1)
    # One column per quantity, summed per tick; unknown values count as zero.
    of_rows = np.column_stack(
        [
            complete,
            known,
            measures.missed,
            np.where(complete, measures.ade_m, 0.0),
            np.where(complete, measures.fde_m, 0.0),
            np.where(complete, measures.best_ade_m, 0.0),
            np.where(complete, measures.best_fde_m, 0.0),
            (measures.levels <= 0.5).sum(axis=1),
            (measures.levels <= 0.95).sum(axis=1),
        ]
    )
    sums = sums_by_group(of_rows, tick_of_row, n_ticks)
    futures, known_steps, missed, *distances, inside_50, inside_95 = sums.T
    names = ("mean_ade_m", "mean_fde_m", "best_ade_m", "best_fde_m")
    return {
        "stamp_ns": np.array([tick.forecast.stamp_ns for tick in measures.ticks]),
        "predicted": counts,
        "futures": futures,
        "known_steps": known_steps,
        **{name: _ratio(sum_m, futures) for name, sum_m in zip(names, distances, strict=True)},
        "missed": missed,
        "inside_50": _ratio(inside_50, known_steps),
        "inside_95": _ratio(inside_95, known_steps),
        "window_ms": np.array([1e3 * tick.window_s for tick in measures.ticks]),
        "model_ms": np.array([1e3 * tick.model_s for tick in measures.ticks]),
    }


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
