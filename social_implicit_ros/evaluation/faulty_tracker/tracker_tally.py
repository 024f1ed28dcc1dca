"""Sums about predictions from a tracker with faults, against an independent ground truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from social_implicit_ros.evaluation.errors import Measures
from social_implicit_ros.evaluation.scored_tick import ScoredTick
from social_implicit_ros.evaluation.tally import (
    AGE_NAMES,
    GROUP_EDGES,
    RATIO_EDGES,
    Tally,
    histogram_quantile,
    mean_of_sums,
    rows_of,
    totals_of,
)
from social_implicit_ros.types import FloatArray, IntArray
from social_implicit_ros.uncertainty.ellipses import radius_at


class TrackerScorer:
    """Adds to a tally what only an independent ground truth shows, one tick after another."""

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
        """What changed for each person since they were last predicted, and since the last tick."""
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
    """(A,) the person of each agent, of a tick that has a reference."""
    assert tick.context.people is not None
    return tick.context.people


def tracker_metrics(tally: Tally) -> dict[str, Any]:
    """The metrics of one model by name; NaN without data.

    Metres, seconds, and shares; `person_ticks` counts the people of all ticks.
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


def _errors(sums: dict[str, float], fde_histogram: FloatArray) -> dict[str, Any]:
    return {
        "futures": int(sums["futures"]),
        "mean_ade": mean_of_sums(sums, "ade", "futures"),
        "mean_fde": mean_of_sums(sums, "fde", "futures"),
        "median_fde": histogram_quantile(fde_histogram, RATIO_EDGES, 0.5),
        "coverage_50": mean_of_sums(sums, "inside_50", "steps"),
        "coverage_95": mean_of_sums(sums, "inside_95", "steps"),
    }


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
