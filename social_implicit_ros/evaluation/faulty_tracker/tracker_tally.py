"""Sums about predictions from a tracker with faults, against an independent ground truth.

As `tally`: the sums of two recordings add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from social_implicit_ros.evaluation.errors import Measures
from social_implicit_ros.evaluation.scored_tick import ScoredTick
from social_implicit_ros.evaluation.tally import histogram_quantile, sums_by_group
from social_implicit_ros.types import FloatArray, IntArray
from social_implicit_ros.uncertainty.ellipses import radius_at

#: Groups by the age of a track: lower bounds of all but the first, seconds.
AGE_EDGES_S = (0.3, 0.6, 1.2, 2.4, 4.8)
AGE_NAMES = ("< 0.3 s", "0.3-0.6 s", "0.6-1.2 s", "1.2-2.4 s", "2.4-4.8 s", "> 4.8 s")
#: Histograms of metres and of ratios: logarithmic bins.
_EDGES = np.logspace(-4, 3, 281)
_BY_AGE = ("futures", "ade", "fde", "steps", "inside_50", "inside_95")
_SCALARS = ("person_ticks", "people", "predicted", "published", "id_changes")


def empty_sums() -> dict[str, FloatArray]:
    """Sums of nothing, by name; the names are listed above."""
    n_bins, n_ages = len(_EDGES) + 1, len(AGE_NAMES)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(_SCALARS, ())
    shapes |= {"end_change": (n_bins,), "radius_change": (n_bins,)}
    shapes |= {"age": (n_ages, len(_BY_AGE)), "age_fde": (n_ages, n_bins)}
    return {name: np.zeros(shape) for name, shape in shapes.items()}


class TrackerScorer:
    """Adds up one model's predictions of one recording, one tick after another."""

    def __init__(self) -> None:
        self.sums = empty_sums()
        self._id_of: dict[int, str] = {}  # latest published id of each person
        self._before: ScoredTick | None = None

    def add(self, measures: Measures) -> None:
        """Adds successive ticks."""
        people = np.concatenate([tick.context.people for tick in measures.ticks])
        age_s = np.concatenate([tick.context.age_s for tick in measures.ticks])
        sums, complete = self.sums, measures.complete
        sums["published"] += len(people)
        sums["predicted"] += (people >= 0).sum()
        for tick in measures.ticks:
            self._add_changes(tick)
        n_steps = measures.levels.shape[1]
        rows = np.column_stack(
            [
                np.ones(int(complete.sum())),
                measures.ade_m[complete],
                measures.fde_m[complete],
                np.full(int(complete.sum()), float(n_steps)),
                (measures.levels[complete] <= 0.5).sum(axis=1),
                (measures.levels[complete] <= 0.95).sum(axis=1),
            ]
        )
        group = np.searchsorted(AGE_EDGES_S, age_s[complete], side="right")
        sums["age"] += sums_by_group(rows, group, len(AGE_NAMES))
        np.add.at(sums["age_fde"], (group, np.searchsorted(_EDGES, rows[:, 2])), 1.0)

    def _add_changes(self, tick: ScoredTick) -> None:
        """What changed for each person since they were last predicted, and since the last tick."""
        for person, agent in zip(tick.context.people.tolist(), tick.forecast.ids, strict=True):
            if person >= 0:
                self.sums["id_changes"] += self._id_of.setdefault(person, agent) != agent
                self._id_of[person] = agent
        before, self._before = self._before, tick
        if before is None:
            return
        known = np.flatnonzero(tick.context.people >= 0)
        _, now, then = np.intersect1d(
            tick.context.people[known], before.context.people, return_indices=True
        )
        now = known[now]
        self._count("end_change", _end_change_m(before, tick, then, now))
        before_m, now_m = _radius_95_m(before, then), _radius_95_m(tick, now)
        is_wide = before_m > 0
        self._count("radius_change", np.abs(now_m / np.where(is_wide, before_m, 1.0) - 1)[is_wide])

    def _count(self, name: str, values: FloatArray) -> None:
        bins = np.searchsorted(_EDGES, values)
        self.sums[name] += np.bincount(bins, minlength=len(_EDGES) + 1)


def tracker_metrics(recordings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The metrics of one model over the sums of all recordings, by name; NaN without data.

    Metres, seconds, and shares; `person_ticks` counts the people of all ticks.
    """
    sums = {name: np.sum([of[name] for of in recordings], axis=0) for name in recordings[0]}
    person_ticks = float(sums["person_ticks"])
    return {
        "person_ticks": int(person_ticks),
        "people": int(sums["people"]),
        "predicted": _ratio(sums["predicted"], person_ticks),
        "surplus": _ratio(sums["published"] - sums["predicted"], person_ticks),
        "id_changes": _ratio(sums["id_changes"], float(sums["people"])),
        **_errors(sums["age"].sum(axis=0), sums["age_fde"].sum(axis=0)),
        "end_change_m": histogram_quantile(sums["end_change"], _EDGES, 0.5),
        "radius_change": histogram_quantile(sums["radius_change"], _EDGES, 0.5),
        "by_age": [
            {"name": name, **_errors(row, histogram)}
            for name, row, histogram in zip(AGE_NAMES, sums["age"], sums["age_fde"], strict=True)
        ],
    }


def _errors(row: FloatArray, fde_histogram: FloatArray) -> dict[str, Any]:
    sums = dict(zip(_BY_AGE, row.tolist(), strict=True))
    return {
        "futures": int(sums["futures"]),
        "mean_ade": _ratio(sums["ade"], sums["futures"]),
        "mean_fde": _ratio(sums["fde"], sums["futures"]),
        "median_fde": histogram_quantile(fde_histogram, _EDGES, 0.5),
        "coverage_50": _ratio(sums["inside_50"], sums["steps"]),
        "coverage_95": _ratio(sums["inside_95"], sums["steps"]),
    }


def _ratio(value: FloatArray | float, of: float) -> float:
    return float(value) / of if of else math.nan


def _end_change_m(
    before: ScoredTick, now: ScoredTick, then: IntArray, rows: IntArray
) -> FloatArray:
    """Distance between the end predicted before, and the prediction now for that same time."""
    forecast = now.forecast
    elapsed_s = (forecast.stamp_ns - before.forecast.stamp_ns) * 1e-9
    path_m = np.concatenate(
        [forecast.present_m[rows, None], forecast.prediction.mean[rows]], axis=1
    )
    end = path_m.shape[1] - 1 - elapsed_s / forecast.prediction.step_s
    if end < 0:
        return np.empty(0)
    low = min(int(end), path_m.shape[1] - 2)
    same_time_m = path_m[:, low] + (end - low) * (path_m[:, low + 1] - path_m[:, low])
    return np.asarray(np.hypot(*(same_time_m - before.forecast.prediction.mean[then, -1]).T))


def _radius_95_m(tick: ScoredTick, rows: IntArray) -> FloatArray:
    """(A,) radius of the circle with the area of the 95 % region at the horizon, metres."""
    prediction = tick.forecast.prediction.of_agents(rows)
    determinant = np.linalg.det(prediction.covariance[:, -1])
    return np.asarray(np.maximum(determinant, 0.0) ** 0.25 * radius_at(prediction, 0.95)[:, -1])
