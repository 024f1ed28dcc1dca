"""Pairs predictions with ground truth and computes their errors, for many ticks at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from social_implicit_ros.metrics.displacement import MISS_THRESHOLD_M, distances
from social_implicit_ros.metrics.reliability import confidence_levels
from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.pipeline import Tick
from social_implicit_ros.types import BoolArray, FloatArray, IntArray
from social_implicit_ros.uncertainty.ellipses import circle_radius_m, joined_scales

#: Other people within this distance count as near, metres.
NEAR_M = 3.0
#: Confidence levels of the ellipses whose coverage is reported.
CONFIDENCES = (0.5, 0.95)
#: Metrics whose sums over complete trajectories are divided by their number, `futures`, and those
#: whose sums are divided by the number of their steps: errors in metres, misses, and steps inside
#: the ellipses of `CONFIDENCES`.
OF_FUTURES = ("mean_ade", "mean_fde", "best_ade", "best_fde", "miss_rate")
OF_STEPS = ("coverage_50", "coverage_95")
#: Columns of these sums.
COLUMNS = ("futures", *OF_FUTURES, "steps", *OF_STEPS)


@dataclass(frozen=True, eq=False)
class ScoredTick:
    """Prediction of one model at one tick, and its ground truth.

    Attributes:
        rows: (A,) rows of the forecast's agents in the window of the tick.
        ground_truth: (A, T, 2) positions at the predicted steps, metres; NaN where unknown.
        people: (A,) person of the independent ground truth that each agent matches, negative for
            nobody; None without an independent ground truth.
        age_s: (A,) seconds since each track began; None without an independent ground truth.
    """

    tick: Tick
    forecast: Forecast
    rows: IntArray
    ground_truth: FloatArray
    people: IntArray | None = None
    age_s: FloatArray | None = None


#: Predictions at one tick, and the same with their ground truth, by model name.
Predictions = dict[str, tuple[Tick, Forecast]]
ScoredTicks = dict[str, ScoredTick]


def scored_ticks(
    predictions: Predictions, ground_truth: FloatArray, **known: NDArray[Any]
) -> ScoredTicks:
    """Pairs predictions of models that share window and steps with their ground truth.

    Args:
        predictions: at one tick, by model name.
        ground_truth: (A, T, 2) positions of the window's agents, metres.
        known: (A,) further values of `ScoredTick`, such as `people`, of the same agents.
    """
    scored: ScoredTicks = {}
    for name, (tick, forecast) in predictions.items():
        row_of = {agent: row for row, agent in enumerate(tick.window.ids)}
        rows = np.array([row_of[agent] for agent in forecast.ids], dtype=np.int64)
        of_agents = {key: values[rows] for key, values in known.items()}
        scored[name] = ScoredTick(tick, forecast, rows, ground_truth[rows], **of_agents)
    return scored


def _n_near(positions_m: FloatArray) -> IntArray:
    """(A,) number of others within `NEAR_M` of each agent."""
    from scipy.spatial import cKDTree

    near = cKDTree(positions_m).query_ball_point(positions_m, NEAR_M, return_length=True)
    return np.asarray(near - 1)


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
        levels: (N, T) confidence of the smallest ellipse that covers the ground truth.
        radius_m: (N, T) radius of the circle with the area of the one-sigma ellipse.
        position_m: (N, 2) last observed position.
        context: (N,) values by which the trajectories are grouped: `speed` (m/s), `crowd` (number
            of people nearby), `history` (number of observed steps) and, with an independent ground
            truth, `age` (seconds).
    """

    ticks: Sequence[ScoredTick]
    first_rows: IntArray
    known: BoolArray
    complete: BoolArray
    error_m: FloatArray
    best_m: FloatArray
    best_ade_m: FloatArray
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
        """(N, C) values of `COLUMNS` for each trajectory; zero for incomplete ones."""
        values = np.column_stack(
            [
                self.complete,
                self.error_m.mean(axis=1),
                self.fde_m,
                self.best_ade_m,
                self.best_m[:, -1],
                ~(self.best_m[:, -1] <= MISS_THRESHOLD_M),
                np.full(len(self.levels), self.levels.shape[1]),
                *((self.levels <= confidence).sum(axis=1) for confidence in CONFIDENCES),
            ]
        )
        return np.where(self.complete[:, None], values, 0.0)


def measure(ticks: Sequence[ScoredTick]) -> Measures:
    """Compares one or more successive ticks of one model with the ground truth."""
    counts = np.array([len(tick.forecast.ids) for tick in ticks])
    ground_truth = np.concatenate([tick.ground_truth for tick in ticks])
    predictions = [tick.forecast.prediction for tick in ticks]
    mean = np.concatenate([prediction.mean for prediction in predictions])
    covariance = np.concatenate([prediction.covariance for prediction in predictions])
    known = ~np.isnan(ground_truth[..., 0])
    complete = known.all(axis=1)
    # One tick at a time: the samples of many ticks do not fit into the processor's cache.
    nearest = [
        _nearest(prediction.samples, tick.ground_truth)
        for prediction, tick in zip(predictions, ticks, strict=True)
    ]
    best, best_ade = (np.concatenate(parts) for parts in zip(*nearest, strict=True))
    context: dict[str, list[NDArray[Any]]] = {
        "speed": [scored.tick.speed_m_s[scored.rows] for scored in ticks],
        "crowd": [_n_near(tick.forecast.present_m) for tick in ticks],
        "history": [tick.forecast.n_observed for tick in ticks],
        "age": [tick.age_s for tick in ticks if tick.age_s is not None],
    }
    return Measures(
        ticks=ticks,
        first_rows=np.cumsum(counts) - counts,
        known=known,
        complete=complete,
        error_m=distances(mean, ground_truth),
        best_m=best,
        best_ade_m=best_ade,
        levels=confidence_levels(mean, covariance, ground_truth, joined_scales(predictions)),
        radius_m=circle_radius_m(covariance),
        position_m=np.concatenate(
            [scored.tick.window.positions_m[scored.rows, -1] for scored in ticks]
        ),
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
