"""Predictions against what came to pass, for many ticks at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from social_implicit_ros.evaluation.replay import ScoredTick
from social_implicit_ros.metrics.displacement import MISS_THRESHOLD_M, distances
from social_implicit_ros.metrics.reliability import confidence_levels
from social_implicit_ros.types import BoolArray, FloatArray, IntArray, Prediction


@dataclass(frozen=True, eq=False)
class Measures:
    """One row for each of N futures, one agent at one tick; T steps.

    A future is complete when the truth is known at every one of its steps.

    Attributes:
        ticks: the ticks in the order of the rows.
        first_rows: (ticks,) where each tick's rows begin.
        known: (N, T) where the truth is known; elsewhere what depends on it is NaN.
        complete: (N,) which futures are.
        error_m: (N, T) distance of the expected position from the truth.
        best_m: (N, T) distance of the nearest of the K samples, chosen at each step.
        best_ade_m: (N,) mean distance of the sample that is best on average.
        missed: (N,) whether no sample ends within `MISS_THRESHOLD_M` of the truth.
        levels: (N, T) confidence of the smallest ellipse that holds the truth.
        radius_m: (N, T) one-sigma radius of a circle as large as the ellipse.
        position_m: (N, 2) where the agent was seen last.
        speed_m_s, n_near, n_observed: (N,) context of the agent.
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
    speed_m_s: FloatArray
    n_near: IntArray
    n_observed: IntArray

    @property
    def ade_m(self) -> FloatArray:
        """(N,) mean distance of the expected path; NaN where not complete."""
        return self.error_m.mean(axis=1)

    @property
    def fde_m(self) -> FloatArray:
        """(N,) distance of the expected position at the last step."""
        return self.error_m[:, -1]

    @property
    def best_fde_m(self) -> FloatArray:
        """(N,) distance of the nearest sample at the last step."""
        return self.best_m[:, -1]


def measure(ticks: Sequence[ScoredTick]) -> Measures:
    """Compares successive ticks of one model, at least one, with the ground truth."""
    counts = np.array([len(tick.forecast.ids) for tick in ticks])
    truth = np.concatenate([tick.context.ground_truth for tick in ticks])
    predictions = [tick.forecast.prediction for tick in ticks]
    mean = np.concatenate([prediction.mean for prediction in predictions])
    covariance = np.concatenate([prediction.covariance for prediction in predictions])
    known = ~np.isnan(truth[..., 0])
    complete = known.all(axis=1)
    # Tick by tick, as the samples of many do not fit into a processor's cache.
    nearest = [
        _nearest(prediction.samples, tick.context.ground_truth)
        for prediction, tick in zip(predictions, ticks, strict=True)
    ]
    best, best_ade = (np.concatenate(parts) for parts in zip(*nearest, strict=True))
    determinant = covariance[..., 0, 0] * covariance[..., 1, 1] - covariance[..., 0, 1] ** 2
    return Measures(
        ticks=ticks,
        first_rows=np.cumsum(counts) - counts,
        known=known,
        complete=complete,
        error_m=distances(mean, truth),
        best_m=best,
        best_ade_m=best_ade,
        missed=complete & ~(best[:, -1] <= MISS_THRESHOLD_M),
        levels=confidence_levels(mean, covariance, truth, _level_factors(predictions)),
        radius_m=np.sqrt(np.sqrt(np.maximum(determinant, 0.0))),
        position_m=np.concatenate([tick.context.observed_m for tick in ticks]),
        speed_m_s=np.concatenate([tick.context.speed_m_s for tick in ticks]),
        n_near=np.concatenate([tick.context.n_near for tick in ticks]),
        n_observed=np.concatenate([tick.forecast.n_observed for tick in ticks]),
    )


def _level_factors(predictions: Sequence[Prediction]) -> FloatArray | None:
    """(N, T, L) of all; a model has them for every prediction or for none."""
    factors = [prediction.level_factors for prediction in predictions]
    known = [values for values in factors if values is not None]
    return np.concatenate(known) if len(known) == len(factors) else None


def _nearest(samples: FloatArray, truth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Distance of the nearest sample at each step (A, T), and mean distance of the best (A,)."""
    if samples.strides[0] == 0:
        samples = samples[:1]  # one path, repeated: a model without a spread
    distance = distances(samples, truth)
    n_steps = truth.shape[1]
    # A matrix product is several times faster than a mean over a short last axis.
    mean_distance = distance @ np.full(n_steps, 1.0 / n_steps)
    return distance.min(axis=0), mean_distance.min(axis=0)
