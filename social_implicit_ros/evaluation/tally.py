"""Sums from which every figure of an evaluation is made.

All that is kept are counts and sums, so a tally takes the same memory whatever it saw, and the
tally of two recordings is the sum of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from social_implicit_ros.evaluation.errors import Measures
from social_implicit_ros.metrics.reliability import CONFIDENCE_GRID
from social_implicit_ros.types import FloatArray, IntArray

#: Confidences of the ellipses whose share of hits is reported at each step.
CONFIDENCES = (0.5, 0.95)

#: Net speed over the observed past: names, and where each but the first begins, m/s.
SPEED_NAMES = ("standing", "strolling", "walking", "hurrying", "running")
SPEED_EDGES_M_S = (0.2, 0.8, 1.6, 2.5)
#: People near: names, and where each but the first begins.
CROWD_NAMES = ("alone", "1-2 near", "3-5 near", "6-9 near", "10 or more near")
CROWD_EDGES = (1, 3, 6, 10)
#: Observed steps: all from here on count as one.
LONGEST_HISTORY = 8

_GROUP_COLUMNS = ("futures", "ade", "fde", "best_ade", "best_fde", "steps", "inside_95")
_SCALARS = ("ticks", "predicted", "futures", "ade", "fde", "best_ade", "best_fde", "missed")
_HORIZON = ("known", "error", "best", "inside_50", "inside_95", "radius")
_MOMENTS = (
    "moments",
    "positions",
    "amd",
    "amd_undefined",
    "kde",
    "kde_degenerate",
    "energy",
    "amv",
    "collision_rate",
)
#: Latencies are counted in bins of equal ratio from 1e-5 s to 10 s.
_LATENCY_EDGES_S = np.logspace(-5, 1, 241)
_GRID = np.array(CONFIDENCE_GRID)


@dataclass(frozen=True, eq=False)
class Tally:
    """Sums over the futures that one model predicted.

    Attributes:
        times_s: (T,) seconds from a tick to each step.
        sums: by name; see the names at the head of this module.
    """

    times_s: tuple[float, ...]
    sums: dict[str, FloatArray]

    @classmethod
    def empty(cls, times_s: Sequence[float]) -> Tally:
        """Nothing seen yet."""
        n_steps = len(times_s)
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys((*_SCALARS, *_MOMENTS), ())
        shapes |= {f"horizon_{name}": (n_steps,) for name in _HORIZON}
        shapes |= {
            "levels": (len(_GRID) + 1,),
            "latency": (len(_LATENCY_EDGES_S) + 1,),
            "speed": (len(SPEED_NAMES), len(_GROUP_COLUMNS)),
            "crowd": (len(CROWD_NAMES), len(_GROUP_COLUMNS)),
            "history": (LONGEST_HISTORY + 1, len(_GROUP_COLUMNS)),
        }
        return cls(tuple(times_s), {name: np.zeros(shape) for name, shape in shapes.items()})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Tally:
        """Reads what `to_dict` made."""
        tally = cls.empty(values["times_s"])
        for name in tally.sums:
            tally.sums[name] += np.array(values["sums"][name])
        return tally

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it, without loss."""
        return {
            "times_s": list(self.times_s),
            "sums": {name: values.tolist() for name, values in self.sums.items()},
        }

    def add(self, other: Tally) -> None:
        """Takes another tally's sums.

        Raises:
            ValueError: a tally of other steps.
        """
        if other.times_s != self.times_s:
            raise ValueError(f"a tally of steps {other.times_s} s, expected {self.times_s}")
        for name, values in other.sums.items():
            self.sums[name] += values

    def add_measures(self, measures: Measures) -> None:
        """Counts the futures of some ticks."""
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
        inside = {c: measures.levels <= c for c in CONFIDENCES}  # unknown is not inside
        sums["horizon_inside_50"] += inside[0.5].sum(axis=0)
        sums["horizon_inside_95"] += inside[0.95].sum(axis=0)
        if not complete.any():
            return

        levels = measures.levels[complete]
        # Sorting the levels and finding the grid in them is faster than finding each in the grid.
        not_above = np.searchsorted(np.sort(levels, axis=None), _GRID, side="right")
        sums["levels"] += np.diff(not_above, prepend=0, append=levels.size)
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


def figures_of(tally: Tally) -> dict[str, float]:
    """The figures of one model by name: metres, square metres for amv, nats for kde, else shares.

    Figures that nothing was seen of are NaN.
    """
    sums = {name: float(tally.sums[name]) for name in (*_SCALARS, *_MOMENTS)}

    def mean(name: str, over: str) -> float:
        return sums[name] / sums[over] if sums[over] else math.nan

    frequency = reliability_of(tally)
    gap = np.abs(frequency - _GRID)
    steps = tally.sums["speed"][:, _GROUP_COLUMNS.index("steps")].sum()
    inside = tally.sums["speed"][:, _GROUP_COLUMNS.index("inside_95")].sum()
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
        "r_avg": float(1.0 - gap.mean()),
        "r_min": float(1.0 - gap.max()),
        "latency_ms_median": 1e3 * _latency_quantile_s(tally, 0.5),
        "latency_ms_p99": 1e3 * _latency_quantile_s(tally, 0.99),
    }


def counts_of(tally: Tally) -> dict[str, int]:
    """How much the figures stand on."""
    names = ("futures", "moments", "positions", "amd_undefined", "kde_degenerate")
    return {
        "ticks": int(tally.sums["ticks"]),
        "predictions": int(tally.sums["predicted"]),
        **{name: int(tally.sums[name]) for name in names},
    }


def horizon_of(tally: Tally) -> dict[str, list[float]]:
    """What grows with the horizon: one value for each step, NaN where the truth is never known."""
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
    """(99,) share of true positions inside the ellipse of confidence 0.01 to 0.99."""
    levels = tally.sums["levels"]
    if not levels.any():
        return np.full(len(_GRID), np.nan)
    return np.asarray(np.cumsum(levels)[:-1] / levels.sum())


def groups_of(tally: Tally, step_s: float) -> dict[str, list[dict[str, Any]]]:
    """Errors by speed, by crowd and by length of history; groups that nobody was in are left out.

    Args:
        tally: of one model.
        step_s: seconds between two observed steps.
    """
    # Two steps span one period.
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
    return {
        "name": name,
        "futures": int(futures),
        "mean_ade": values["ade"] / futures,
        "mean_fde": values["fde"] / futures,
        "best_ade": values["best_ade"] / futures,
        "best_fde": values["best_fde"] / futures,
        "coverage_95": values["inside_95"] / values["steps"],
    }


def sums_by_group(rows: FloatArray, group: IntArray, n_groups: int) -> FloatArray:
    """Adds up the rows of each group; as `np.add.at`, which takes several times longer.

    Args:
        rows: (N, C) quantities.
        group: (N,) the group of each row, from 0.
        n_groups: how many there are.

    Returns:
        (n_groups, C) sums, 0 for a group without rows.
    """
    columns = [np.bincount(group, column, n_groups) for column in rows.T]
    return np.stack(columns, axis=1)


def _latency_quantile_s(tally: Tally, share: float) -> float:
    """Seconds below which so many ticks stayed, as finely as the bins are."""
    counts = tally.sums["latency"]
    if counts.sum() == 0:
        return math.nan
    at = int(np.searchsorted(np.cumsum(counts), share * counts.sum()))
    return float(_LATENCY_EDGES_S[min(at, len(_LATENCY_EDGES_S) - 1)])
