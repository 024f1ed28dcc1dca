"""Sums from which all metrics are computed; those of two recordings are the sum of theirs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from social_implicit_ros.evaluation.errors import Measures
from social_implicit_ros.metrics.reliability import CONFIDENCE_GRID, scores_of_curves
from social_implicit_ros.types import FloatArray, IntArray

#: Confidences of the ellipses whose coverage is reported per step.
CONFIDENCES = (0.5, 0.95)

#: Groups by net speed over the observed past: names, and lower bounds of all but the first, m/s.
SPEED_NAMES = ("standing", "strolling", "walking", "hurrying", "running")
SPEED_EDGES_M_S = (0.2, 0.8, 1.6, 2.5)
#: Groups by people nearby: names, and lower bounds of all but the first.
CROWD_NAMES = ("alone", "1-2 near", "3-5 near", "6-9 near", "10 or more near")
CROWD_EDGES = (1, 3, 6, 10)
#: Groups by observed steps; the last includes all longer histories.
LONGEST_HISTORY = 8

_GROUP_COLUMNS = ("futures", "ade", "fde", "best_ade", "best_fde", "steps", "inside_95")
_SCALARS = ("ticks", "predicted", "futures", "ade", "fde", "best_ade", "best_fde", "missed")
_HORIZON = ("known", "error", "best", "inside_50", "inside_95", "radius")
_POSITIONS = ("amd", "amd_undefined", "kde", "kde_degenerate", "energy")
_MOMENTS = ("moments", "positions", *_POSITIONS, "amv", "collision_rate")
#: Latency histogram: logarithmic bins from 1e-5 s to 10 s.
_LATENCY_EDGES_S = np.logspace(-5, 1, 241)
_GRID = np.array(CONFIDENCE_GRID)


@dataclass(frozen=True, eq=False)
class Tally:
    """Sums over the predicted trajectories of one model, with (T,) steps at `times_s`."""

    times_s: tuple[float, ...]
    sums: dict[str, FloatArray]

    @classmethod
    def empty(cls, times_s: Sequence[float]) -> Tally:
        """A tally of nothing."""
        n_steps = len(times_s)
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys((*_SCALARS, *_MOMENTS), ())
        shapes |= {f"horizon_{name}": (n_steps,) for name in _HORIZON}
        shapes |= {
            "levels": (n_steps, len(_GRID) + 1),
            "latency": (len(_LATENCY_EDGES_S) + 1,),
            "speed": (len(SPEED_NAMES), len(_GROUP_COLUMNS)),
            "crowd": (len(CROWD_NAMES), len(_GROUP_COLUMNS)),
            "history": (LONGEST_HISTORY + 1, len(_GROUP_COLUMNS)),
        }
        return cls(tuple(times_s), {name: np.zeros(shape) for name, shape in shapes.items()})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Tally:
        """Reads the output of `to_dict`."""
        tally = cls.empty(values["times_s"])
        for name in tally.sums:
            tally.sums[name] += np.array(values["sums"][name])
        return tally

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable values, lossless."""
        return {
            "times_s": list(self.times_s),
            "sums": {name: values.tolist() for name, values in self.sums.items()},
        }

    def add(self, other: Tally) -> None:
        """Adds the sums of another tally; raises ValueError for different steps."""
        if other.times_s != self.times_s:
            raise ValueError(f"a tally of steps {other.times_s} s, expected {self.times_s}")
        for name, values in other.sums.items():
            self.sums[name] += values

    def add_measures(self, measures: Measures) -> None:
        """Adds the predicted trajectories of ticks."""
        sums, complete = self.sums, measures.complete
        sums["ticks"] += len(measures.ticks)
        sums["predicted"] += len(complete)
        latency_s = np.array([tick.window_s + tick.model_s for tick in measures.ticks])
        bins = np.searchsorted(_LATENCY_EDGES_S, latency_s)
        sums["latency"] += np.bincount(bins, minlength=len(sums["latency"]))

        known = measures.known
        sums["horizon_known"] += known.sum(axis=0)
        sums["horizon_error"] += measures.error_m.sum(axis=0, where=known)
        sums["horizon_best"] += measures.best_m.sum(axis=0, where=known)
        sums["horizon_radius"] += measures.radius_m.sum(axis=0, where=known)
        inside = {c: measures.levels <= c for c in CONFIDENCES}  # NaN is not inside
        sums["horizon_inside_50"] += inside[0.5].sum(axis=0)
        sums["horizon_inside_95"] += inside[0.95].sum(axis=0)
        if not complete.any():
            return

        levels = measures.levels[complete]
        # Searching the grid in sorted levels is faster than searching each level in the grid.
        for step, ordered in enumerate(np.sort(levels, axis=0).T):
            not_above = np.searchsorted(ordered, _GRID, side="right")
            sums["levels"][step] += np.diff(not_above, prepend=0, append=len(ordered))
        rows = np.column_stack(
            [
                np.ones(len(levels)),
                measures.ade_m[complete],
                measures.fde_m[complete],
                measures.best_ade_m[complete],
                measures.best_fde_m[complete],
                np.full(len(levels), float(levels.shape[1])),
                inside[0.95][complete].sum(axis=1),
            ]
        )
        totals = rows.sum(axis=0)
        for column, name in enumerate(_GROUP_COLUMNS[:5]):
            sums[name] += totals[column]
        sums["missed"] += measures.missed.sum()
        for name, group in (
            ("speed", np.searchsorted(SPEED_EDGES_M_S, measures.speed_m_s, side="right")),
            ("crowd", np.searchsorted(CROWD_EDGES, measures.n_near, side="right")),
            ("history", np.minimum(measures.n_observed, LONGEST_HISTORY)),
        ):
            sums[name] += sums_by_group(rows, group[complete], len(sums[name]))

    def add_distribution(self, measures: Mapping[str, float]) -> None:
        """Adds the sums of `measure_distribution`."""
        for name in _MOMENTS:
            self.sums[name] += measures[name]


def metrics_of(tally: Tally) -> dict[str, float]:
    """The metrics by name: metres, square metres for amv, nats for kde, else shares, or NaN."""
    sums = {name: float(tally.sums[name]) for name in (*_SCALARS, *_MOMENTS)}

    def mean(name: str, over: str) -> float:
        return sums[name] / sums[over] if sums[over] else math.nan

    r_avg, r_min = scores_of_curves(_frequencies(tally.sums["levels"]))
    steps = tally.sums["speed"][:, _GROUP_COLUMNS.index("steps")].sum()
    inside = tally.sums["speed"][:, _GROUP_COLUMNS.index("inside_95")].sum()
    latency_s = partial(histogram_quantile, tally.sums["latency"], _LATENCY_EDGES_S)
    return {
        "best_ade": mean("best_ade", "futures"),
        "best_fde": mean("best_fde", "futures"),
        "mean_ade": mean("ade", "futures"),
        "mean_fde": mean("fde", "futures"),
        "miss_rate": mean("missed", "futures"),
        "collision_rate": mean("collision_rate", "moments"),
        "amd": mean("amd", "positions"),
        "amv": mean("amv", "moments"),
        "kde": mean("kde", "positions"),
        "energy": mean("energy", "positions"),
        "coverage_95": float(inside / steps) if steps else math.nan,
        "r_avg": r_avg,
        "r_min": r_min,
        "latency_ms_median": 1e3 * latency_s(0.5),
        "latency_ms_p99": 1e3 * latency_s(0.99),
    }


def counts_of(tally: Tally) -> dict[str, int]:
    """Numbers of ticks, predictions and positions behind the metrics."""
    names = ("futures", "moments", "positions", "amd_undefined", "kde_degenerate")
    return {
        "ticks": int(tally.sums["ticks"]),
        "predictions": int(tally.sums["predicted"]),
        **{name: int(tally.sums[name]) for name in names},
    }


def horizon_of(tally: Tally) -> dict[str, list[float]]:
    """Metrics per predicted step; NaN without ground truth."""
    known = tally.sums["horizon_known"]

    def mean(name: str) -> list[float]:
        total = tally.sums[f"horizon_{name}"]
        return np.divide(total, known, out=np.full(len(known), np.nan), where=known > 0).tolist()

    return {
        "times_s": list(tally.times_s),
        "futures": known.tolist(),
        "error_m": mean("error"),
        "best_error_m": mean("best"),
        "inside_50": mean("inside_50"),
        "inside_95": mean("inside_95"),
        "radius_m": mean("radius"),
    }


def reliability_of(tally: Tally) -> FloatArray:
    """(99,) share of ground truth of all steps inside the ellipses of confidence 0.01 to 0.99."""
    return _frequencies(tally.sums["levels"].sum(axis=0))


def _frequencies(histogram: FloatArray) -> FloatArray:
    """(..., 100) counts -> (..., 99) shares inside; NaN without counts."""
    total = histogram.sum(axis=-1, keepdims=True)
    shares = np.full_like(histogram, np.nan)
    np.divide(np.cumsum(histogram, axis=-1), total, out=shares, where=total > 0)
    return shares[..., :-1]


def groups_of(tally: Tally, step_s: float) -> dict[str, list[dict[str, Any]]]:
    """Errors by speed, crowd and length of history in steps of `step_s`; no empty groups."""
    # Two observed steps span one step period.
    history = [f"{max(n - 1, 0) * step_s:.1f} s" for n in range(LONGEST_HISTORY + 1)]
    names = {"speed": SPEED_NAMES, "crowd": CROWD_NAMES, "history": history}
    return {
        group: [
            _group_row(str(name), row)
            for name, row in zip(names[group], tally.sums[group], strict=True)
            if row[0] > 0
        ]
        for group in names
    }


def _group_row(name: str, row: FloatArray) -> dict[str, Any]:
    values = dict(zip(_GROUP_COLUMNS, row.tolist(), strict=True))
    futures = values["futures"]
    errors = {"mean_ade": "ade", "mean_fde": "fde", "best_ade": "best_ade", "best_fde": "best_fde"}
    return {
        "name": name,
        "futures": int(futures),
        **{metric: values[column] / futures for metric, column in errors.items()},
        "coverage_95": values["inside_95"] / values["steps"],
    }


def sums_by_group(rows: FloatArray, group: IntArray, n_groups: int) -> FloatArray:
    """(n_groups, C) sums of (N, C) rows by their (N,) group; much faster than `np.add.at`."""
    columns = [np.bincount(group, column, n_groups) for column in rows.T]
    return np.stack(columns, axis=1)


def histogram_quantile(counts: FloatArray, edges: FloatArray, share: float) -> float:
    """A quantile from counts below, between and above logarithmic edges; NaN without counts.

    At the resolution of the bins; 0 below the first edge.
    """
    sums = np.cumsum(counts)
    if sums[-1] == 0:
        return math.nan
    at = int(np.searchsorted(sums, share * sums[-1]))
    if at == 0:
        return 0.0
    high = min(at, len(edges) - 1)
    within = (share * sums[-1] - sums[at - 1]) / counts[at]
    return float(edges[high - 1] * (edges[high] / edges[high - 1]) ** within)
