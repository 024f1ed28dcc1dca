"""`per_tick.parquet`: a row for every tick and model, for whoever wants to look closer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from social_implicit_ros.core.types import FloatArray
from social_implicit_ros.evaluation.measures import Measures

#: Column -> type. Means are over the complete futures of a tick, NaN where there is none; shares
#: inside ellipses are over all steps whose truth is known.
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
    """Writes one file, some thousand rows at a time."""

    def __init__(self, path: Path, bag: str) -> None:
        """Opens the file.

        Args:
            path: of the file to write.
            bag: name of the recording.
        """
        self._bag = bag
        self._writer = parquet.ParquetWriter(path, SCHEMA, compression="zstd")
        self._batches: list[pa.RecordBatch] = []

    def __enter__(self) -> PerTickWriter:
        """For use in a with statement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Writes what is left and closes the file."""
        self._flush()
        self._writer.close()

    def add(self, model: str, measures: Measures) -> None:
        """Adds a row for each tick."""
        self._batches.append(_batch(self._bag, model, measures))
        if sum(batch.num_rows for batch in self._batches) >= _ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._batches:
            table = pa.Table.from_batches(self._batches).unify_dictionaries()
            self._writer.write_table(table)
            self._batches = []


def join_files(parts: Iterable[Path], into: Path) -> None:
    """Puts files of this schema behind one another; memory holds a row group at a time."""
    with parquet.ParquetWriter(into, SCHEMA, compression="zstd") as writer:
        for part in parts:
            file = parquet.ParquetFile(part)
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group).cast(SCHEMA))


def _batch(bag: str, model: str, measures: Measures) -> pa.RecordBatch:
    n_ticks = len(measures.ticks)
    counts = np.diff([*measures.first_rows.tolist(), len(measures.complete)])
    tick_of_row = np.repeat(np.arange(n_ticks), counts)

    def total(values: FloatArray) -> FloatArray:
        return np.bincount(tick_of_row, values, n_ticks).astype(np.float64)

    complete = measures.complete.astype(np.float64)
    futures = total(complete)
    known = total(measures.known.sum(axis=1).astype(np.float64))

    def mean(values: FloatArray) -> FloatArray:
        return _ratio(total(np.where(measures.complete, values, 0.0)), futures)

    def inside(confidence: float) -> FloatArray:
        return _ratio(total((measures.levels <= confidence).sum(axis=1).astype(float)), known)

    columns = {
        "bag": pa.DictionaryArray.from_arrays(np.zeros(n_ticks, np.int32), [bag]),
        "model": pa.DictionaryArray.from_arrays(np.zeros(n_ticks, np.int32), [model]),
        "stamp_ns": np.array([tick.forecast.stamp_ns for tick in measures.ticks]),
        "predicted": counts,
        "futures": futures,
        "known_steps": known,
        "mean_ade_m": mean(measures.ade_m),
        "mean_fde_m": mean(measures.fde_m),
        "best_ade_m": mean(measures.best_ade_m),
        "best_fde_m": mean(measures.best_fde_m),
        "missed": total(measures.missed.astype(np.float64)),
        "inside_50": inside(0.5),
        "inside_95": inside(0.95),
        "window_ms": [1e3 * tick.window_s for tick in measures.ticks],
        "model_ms": [1e3 * tick.model_s for tick in measures.ticks],
    }
    return pa.record_batch(
        [pa.array(columns[entry.name]).cast(entry.type) for entry in SCHEMA], schema=SCHEMA
    )


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
