"""Errors of predictions against the ground truth, for many ticks at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from social_implicit_ros.evaluation.scored_tick import ScoredTick
from social_implicit_ros.metrics.displacement import MISS_THRESHOLD_M, distances
from social_implicit_ros.metrics.reliability import confidence_levels
from social_implicit_ros.types import BoolArray, FloatArray, IntArray
from social_implicit_ros.uncertainty.ellipses import joined_scales

#: Confidences of the ellipses whose coverage is reported.
CONFIDENCES = (0.5, 0.95)
#: What is added up of complete trajectories: their number, errors in metres, how many are missed,
#: their steps, and the steps inside the ellipses of `CONFIDENCES`.
COLUMNS = (
    *("futures", "ade", "fde", "best_ade", "best_fde", "missed"),
    *("steps", "inside_50", "inside_95"),
)


@dataclass(frozen=True, eq=False)
class Measures:
    """Errors of N predicted trajectories, each of one agent at one tick, at T steps.

    A trajectory is complete when its ground truth is known at every step.

    Attributes:
        ticks: the ticks in the order of the rows.
        first_rows: (ticks,) first row of each tick.
        known: (N, T) whether the ground truth is known; elsewhere the errors are NaN.
        complete: (N,) whether the trajectory is complete.
        error_m: (N, T) distance of the mean position from the ground truth.
        best_m: (N, T) distance of the nearest of the K samples, per step.
        best_ade_m: (N,) ADE of the best sample.
        missed: (N,) whether no sample ends within `MISS_THRESHOLD_M` of the ground truth.
        levels: (N, T) confidence of the smallest ellipse that covers the ground truth.
        radius_m: (N, T) radius of the circle with the area of the one-sigma ellipse.
        position_m: (N, 2) last observed position.
        context: (N,) values by which the trajectories are grouped: `speed` in m/s, `crowd`, the
            people near, `history`, the observed steps, and, with a reference, `age` in seconds.
    """

    ticks: Sequence[ScoredTick]
    first_rows: IntArray
    known: BoolArray
    complete: BoolArray
    error_m: FloatArray
    best_m: FloatArray
    best_ade_m: FloatArray
    missed: BoolArray
    levels: FloatArray
    radius_m: FloatArray
    position_m: FloatArray
    context: Mapping[str, NDArray[Any]]

    @property
    def fde_m(self) -> FloatArray:
        """(N,) FDE of the mean trajectory."""
        return self.error_m[:, -1]

    @cached_property
    def columns(self) -> FloatArray:
        """(N, C) values of `COLUMNS` of each trajectory, to add up; zero where not complete."""
        values = np.column_stack(
            [
                self.complete,
                self.error_m.mean(axis=1),
                self.fde_m,
                self.best_ade_m,
                self.best_m[:, -1],
                self.missed,
                np.full(len(self.levels), self.levels.shape[1]),
                *((self.levels <= confidence).sum(axis=1) for confidence in CONFIDENCES),
            ]
        )
        return np.where(self.complete[:, None], values, 0.0)


def measure(ticks: Sequence[ScoredTick]) -> Measures:
    """Compares successive ticks of one model, at least one, with the ground truth."""
    counts = np.array([len(tick.forecast.ids) for tick in ticks])
    ground_truth = np.concatenate([tick.context.ground_truth for tick in ticks])
    predictions = [tick.forecast.prediction for tick in ticks]
    mean = np.concatenate([prediction.mean for prediction in predictions])
    covariance = np.concatenate([prediction.covariance for prediction in predictions])
    known = ~np.isnan(ground_truth[..., 0])
    complete = known.all(axis=1)
    # One tick at a time: the samples of many ticks do not fit into the processor's cache.
    nearest = [
        _nearest(prediction.samples, tick.context.ground_truth)
        for prediction, tick in zip(predictions, ticks, strict=True)
    ]
    best, best_ade = (np.concatenate(parts) for parts in zip(*nearest, strict=True))
    contexts = [tick.context for tick in ticks]
    context: dict[str, list[NDArray[Any]]] = {
        "speed": [of_tick.speed_m_s for of_tick in contexts],
        "crowd": [of_tick.n_near for of_tick in contexts],
        "history": [tick.forecast.n_observed for tick in ticks],
        "age": [of_tick.age_s for of_tick in contexts if of_tick.age_s is not None],
    }
    determinant = covariance[..., 0, 0] * covariance[..., 1, 1] - covariance[..., 0, 1] ** 2
    return Measures(
        ticks=ticks,
        first_rows=np.cumsum(counts) - counts,
        known=known,
        complete=complete,
        error_m=distances(mean, ground_truth),
        best_m=best,
        best_ade_m=best_ade,
        missed=complete & ~(best[:, -1] <= MISS_THRESHOLD_M),
        levels=confidence_levels(mean, covariance, ground_truth, joined_scales(predictions)),
        radius_m=np.sqrt(np.sqrt(np.maximum(determinant, 0.0))),
        position_m=np.concatenate([of_tick.observed_m for of_tick in contexts]),
        context={name: np.concatenate(values) for name, values in context.items() if values},
    )


def _nearest(samples: FloatArray, ground_truth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Distance of the nearest sample per step (A, T), and ADE of the best sample (A,)."""
    if samples.strides[0] == 0:
        samples = samples[:1]  # one trajectory, repeated: a deterministic model
    distance = distances(samples, ground_truth)
    n_steps = ground_truth.shape[1]
    # A matrix product is several times faster than a mean over a short last axis.
    mean_distance = distance @ np.full(n_steps, 1.0 / n_steps)
    return distance.min(axis=0), mean_distance.min(axis=0)
