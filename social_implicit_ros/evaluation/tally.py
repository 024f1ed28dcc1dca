"""Sums from which all metrics are computed; the tallies of several recordings can be added."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from social_implicit_ros.evaluation.errors import (
    COLUMNS,
    CONFIDENCES,
    OF_FUTURES,
    OF_STEPS,
    Measures,
    ScoredTick,
)
from social_implicit_ros.metrics.reliability import CONFIDENCE_GRID, scores_of_curves
from social_implicit_ros.prediction.resample import moments_at, without_samples
from social_implicit_ros.types import FloatArray, IntArray
from social_implicit_ros.uncertainty.ellipses import circle_radius_m, radius_at

#: Names of the groups by net speed over the observed past, by people nearby, and by the age of a
#: track; those by observed steps depend on the model.
SPEED_NAMES = ("standing", "strolling", "walking", "hurrying", "running")
CROWD_NAMES = ("alone", "1-2 near", "3-5 near", "6-9 near", "10 or more near")
AGE_NAMES = ("< 0.3 s", "0.3-0.6 s", "0.6-1.2 s", "1.2-2.4 s", "2.4-4.8 s", "> 4.8 s")
#: Lower bounds of all but the first group, in the units of `Measures.context`. The last group by
#: observed steps includes all longer histories.
GROUP_EDGES: dict[str, Sequence[float]] = {
    "speed": (0.2, 0.8, 1.6, 2.5),
    "crowd": (1, 3, 6, 10),
    "history": range(1, 9),
    "age": (0.3, 0.6, 1.2, 2.4, 4.8),
}

#: Metric -> the number by which its sum is divided.
_DIVISORS = {
    **dict.fromkeys(OF_FUTURES, "futures"),
    **dict.fromkeys(OF_STEPS, "steps"),
    **dict.fromkeys(("amd", "kde", "energy"), "positions"),
    **dict.fromkeys(("amv", "collision_rate"), "moments"),
}
#: Metrics of each group.
_OF_GROUPS = ("mean_ade", "mean_fde", "best_ade", "best_fde", "coverage_95")

_SCALARS = ("ticks", "predicted")
_HORIZON = ("known", "error", "best", "inside_50", "inside_95", "radius")
_POSITIONS = ("amd", "amd_undefined", "kde", "kde_degenerate", "energy")
_MOMENTS = ("moments", "positions", *_POSITIONS, "amv", "collision_rate")
#: Against an independent ground truth, see `TrackerScorer`.
_TRACKER = ("person_ticks", "people", "matched", "id_changes")
_TRACKER_HISTOGRAMS = ("end_change", "radius_change")
#: Latency histogram: logarithmic bins from 1e-5 s to 10 s.
_LATENCY_EDGES_S = np.logspace(-5, 1, 241)
#: Histograms of metres and of ratios: logarithmic bins.
RATIO_EDGES = np.logspace(-4, 3, 281)
_GRID = np.array(CONFIDENCE_GRID)


@dataclass(frozen=True, eq=False)
class Tally:
    """Sums over the predicted trajectories of one model, with (T,) steps at `times_s`."""

    times_s: tuple[float, ...]
    sums: dict[str, FloatArray]

    @classmethod
    def empty(cls, times_s: Sequence[float]) -> Tally:
        """A tally without any predictions."""
        n_steps, n_bins = len(times_s), len(RATIO_EDGES) + 1
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys((*_SCALARS, *_MOMENTS, *_TRACKER), ())
        shapes |= {f"horizon_{name}": (n_steps,) for name in _HORIZON}
        shapes |= {
            "levels": (n_steps, len(_GRID) + 1),
            "latency": (len(_LATENCY_EDGES_S) + 1,),
            **dict.fromkeys(_TRACKER_HISTOGRAMS, (n_bins,)),
            "age_fde": (len(AGE_NAMES), n_bins),
        }
        shapes |= {name: (len(edges) + 1, len(COLUMNS)) for name, edges in GROUP_EDGES.items()}
        return cls(tuple(times_s), {name: np.zeros(shape) for name, shape in shapes.items()})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Tally:
        """Reads the output of `to_dict`."""
        sums = {name: np.array(sums) for name, sums in values["sums"].items()}
        return cls(tuple(values["times_s"]), sums)

    @classmethod
    def total(cls, tallies: Sequence[Tally]) -> Tally:
        """Adds the tallies of one or more recordings, which have the same steps."""
        first = tallies[0]
        sums = {name: np.sum([of.sums[name] for of in tallies], axis=0) for name in first.sums}
        return cls(first.times_s, sums)

    def to_dict(self) -> dict[str, Any]:
        """JSON-serialisable values, lossless."""
        return {
            "times_s": list(self.times_s),
            "sums": {name: values.tolist() for name, values in self.sums.items()},
        }

    def add_measures(self, measures: Measures) -> None:
        """Adds the predicted trajectories of ticks."""
        sums, known, complete = self.sums, measures.known, measures.complete
        sums["ticks"] += len(measures.ticks)
        sums["predicted"] += len(complete)
        latency_s = np.array([sum(scored.tick.timings_s.values()) for scored in measures.ticks])
        self.count("latency", latency_s, _LATENCY_EDGES_S)

        sums["horizon_known"] += known.sum(axis=0)
        sums["horizon_error"] += measures.error_m.sum(axis=0, where=known)
        sums["horizon_best"] += measures.best_m.sum(axis=0, where=known)
        sums["horizon_radius"] += measures.radius_m.sum(axis=0, where=known)
        for name, confidence in zip(("inside_50", "inside_95"), CONFIDENCES, strict=True):
            sums[f"horizon_{name}"] += (measures.levels <= confidence).sum(axis=0)  # NaN is outside

        # Searching the grid in sorted levels is faster than searching each level in the grid.
        for step, ordered in enumerate(np.sort(measures.levels[complete], axis=0).T):
            not_above = np.searchsorted(ordered, _GRID, side="right")
            sums["levels"][step] += np.diff(not_above, prepend=0, append=len(ordered))
        for name, values in measures.context.items():
            group = np.searchsorted(GROUP_EDGES[name], values, side="right")
            sums[name] += sums_by_group(measures.columns, group, len(sums[name]))

    def add_distribution(self, measures: Mapping[str, float]) -> None:
        """Adds the sums of `measure_distribution`."""
        for name in _MOMENTS:
            self.sums[name] += measures[name]

    def count(self, name: str, values: FloatArray, edges: FloatArray = RATIO_EDGES) -> None:
        """Counts values in a histogram."""
        bins = np.searchsorted(edges, values)
        self.sums[name] += np.bincount(bins, minlength=len(edges) + 1)


def metrics_of(tally: Tally) -> dict[str, float]:
    """The metrics by name; NaN without data.

    Errors and energy are in metres, amv in square metres, kde in nats, latencies in milliseconds.
    amd has no unit; the others are shares.
    """
    sums = {name: float(tally.sums[name]) for name in _MOMENTS} | totals_of(tally)
    r_avg, r_min = scores_of_curves(_frequencies(tally.sums["levels"]))
    latency_s = partial(histogram_quantile, tally.sums["latency"], _LATENCY_EDGES_S)
    return {
        **means_of(sums, [name for name in _DIVISORS if name != "coverage_50"]),
        "r_avg": r_avg,
        "r_min": r_min,
        "latency_ms_median": 1e3 * latency_s(0.5),
        "latency_ms_p99": 1e3 * latency_s(0.99),
    }


def totals_of(tally: Tally) -> dict[str, float]:
    """The sums over all complete trajectories, by `COLUMNS`."""
    return dict(zip(COLUMNS, tally.sums["speed"].sum(axis=0).tolist(), strict=True))


def means_of(sums: Mapping[str, float], metrics: Iterable[str]) -> dict[str, float]:
    """Metrics of `_DIVISORS` from their sums; NaN without any."""
    return {name: mean_of_sums(sums, name, _DIVISORS[name]) for name in metrics}


def mean_of_sums(sums: Mapping[str, float], name: str, over: str) -> float:
    """The ratio of two sums; NaN if the second one is 0."""
    return sums[name] / sums[over] if sums[over] else math.nan


def counts_of(tally: Tally) -> dict[str, int]:
    """Numbers of ticks, predictions and positions behind the metrics."""
    names = ("moments", "positions", "amd_undefined", "kde_degenerate")
    return {
        "ticks": int(tally.sums["ticks"]),
        "predictions": int(tally.sums["predicted"]),
        "futures": int(totals_of(tally)["futures"]),
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
    """Errors by speed, crowd and length of history in steps of `step_s`, without empty groups."""
    # Two observed steps span one step period.
    history = [f"{max(n - 1, 0) * step_s:.1f} s" for n in range(len(GROUP_EDGES["history"]) + 1)]
    names = {"speed": SPEED_NAMES, "crowd": CROWD_NAMES, "history": history}
    return {
        group: [
            {
                "name": name,
                "futures": int(row["futures"]),
                **means_of(row, _OF_GROUPS),
            }
            for name, row in zip(names[group], rows_of(tally, group), strict=True)
            if row["futures"]
        ]
        for group in names
    }


def rows_of(tally: Tally, group: str) -> list[dict[str, float]]:
    """The sums by `COLUMNS` of each group of a grouping, such as `speed`."""
    return [dict(zip(COLUMNS, row, strict=True)) for row in tally.sums[group].tolist()]


def sums_by_group(rows: FloatArray, group: IntArray, n_groups: int) -> FloatArray:
    """(n_groups, C) sums of (N, C) rows by their (N,) group; much faster than `np.add.at`."""
    columns = [np.bincount(group, column, n_groups) for column in rows.T]
    return np.stack(columns, axis=1)


def histogram_quantile(counts: FloatArray, edges: FloatArray, share: float) -> float:
    """A quantile from the counts of a histogram with logarithmic edges; NaN without counts.

    Interpolates within a bin, in logarithms. Below the first edge the result is 0.

    Args:
        counts: (E + 1,) counts below the first edge, between edges, and above the last one.
        edges: (E,) ascending edges.
        share: share of the counts below the quantile.
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


class TrackerScorer:
    """Adds the metrics that need an independent ground truth to a tally, tick by tick."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._id_of: dict[int, str] = {}  # latest published id of each person
        self._before: ScoredTick | None = None

    def add(self, measures: Measures) -> None:
        """Adds successive ticks."""
        for tick in measures.ticks:
            self._add_changes(tick)
        group = np.searchsorted(GROUP_EDGES["age"], measures.context["age"], side="right")
        bins = np.searchsorted(RATIO_EDGES, measures.fde_m)
        rows = measures.complete
        np.add.at(self._tally.sums["age_fde"], (group[rows], bins[rows]), 1.0)

    def _add_changes(self, tick: ScoredTick) -> None:
        """Adds the id changes of people, and the changes of their predictions since last tick."""
        people = people_of(tick)
        sums = self._tally.sums
        sums["matched"] += (people >= 0).sum()
        for person, agent in zip(people.tolist(), tick.forecast.ids, strict=True):
            if person >= 0:
                sums["id_changes"] += self._id_of.setdefault(person, agent) != agent
                self._id_of[person] = agent
        before, self._before = self._before, tick
        if before is None:
            return
        known = np.flatnonzero(people >= 0)
        _, now, then = np.intersect1d(people[known], people_of(before), return_indices=True)
        now = known[now]
        self._tally.count("end_change", _end_change_m(before, tick, then, now))
        before_m, now_m = _radius_95_m(before, then), _radius_95_m(tick, now)
        is_wide = before_m > 0
        change = np.abs(now_m / np.where(is_wide, before_m, 1.0) - 1)[is_wide]
        self._tally.count("radius_change", change)


def people_of(tick: ScoredTick) -> IntArray:
    """(A,) person of each agent at a tick that has an independent ground truth."""
    assert tick.people is not None
    return tick.people


def tracker_metrics(tally: Tally) -> dict[str, Any]:
    """The metrics of one model against an independent ground truth, by name; NaN without data.

    Errors and `end_change_m` are in metres, `id_changes` is per person, and the others are shares.
    `person_ticks` is the number of people, summed over all ticks.
    """
    names = ("person_ticks", "people", "predicted", "matched", "id_changes")
    sums = {name: float(tally.sums[name]) for name in names}
    sums["surplus"] = sums["predicted"] - sums["matched"]
    histograms = tally.sums["age_fde"]
    return {
        "person_ticks": int(sums["person_ticks"]),
        "people": int(sums["people"]),
        "predicted": mean_of_sums(sums, "matched", "person_ticks"),
        "surplus": mean_of_sums(sums, "surplus", "person_ticks"),
        "id_changes": mean_of_sums(sums, "id_changes", "people"),
        **_errors(totals_of(tally), histograms.sum(axis=0)),
        "end_change_m": histogram_quantile(tally.sums["end_change"], RATIO_EDGES, 0.5),
        "radius_change": histogram_quantile(tally.sums["radius_change"], RATIO_EDGES, 0.5),
        "by_age": [
            {"name": name, **_errors(row, histogram)}
            for name, row, histogram in zip(
                AGE_NAMES, rows_of(tally, "age"), histograms, strict=True
            )
        ],
    }


def _errors(sums: Mapping[str, float], fde_histogram: FloatArray) -> dict[str, Any]:
    return {
        "futures": int(sums["futures"]),
        **means_of(sums, ("mean_ade", "mean_fde", *OF_STEPS)),
        "median_fde": histogram_quantile(fde_histogram, RATIO_EDGES, 0.5),
    }


def _end_change_m(
    before: ScoredTick, now: ScoredTick, then: IntArray, rows: IntArray
) -> FloatArray:
    """(A,) distance between the last predicted position before and now, for that time, metres.

    Empty if that time has passed.
    """
    forecast, prediction = now.forecast, without_samples(now.forecast.prediction).of_agents(rows)
    elapsed_s = (forecast.stamp_ns - before.forecast.stamp_ns) * 1e-9
    left_s = prediction.mean.shape[1] * prediction.step_s - elapsed_s
    if left_s < 0:
        return np.empty(0)
    same_time_m, _ = moments_at(prediction, forecast.present_m[rows], np.array([left_s]))
    return np.asarray(np.hypot(*(same_time_m[:, 0] - before.forecast.prediction.mean[then, -1]).T))


def _radius_95_m(tick: ScoredTick, rows: IntArray) -> FloatArray:
    """(A,) radius of the circle with the area of the 95 % region at the horizon, metres."""
    prediction = tick.forecast.prediction.of_agents(rows)
    return circle_radius_m(prediction.covariance[:, -1]) * radius_at(prediction, 0.95)[:, -1]
