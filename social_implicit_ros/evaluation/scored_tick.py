"""Predictions of one tick with their ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.pipeline import Tick
from social_implicit_ros.types import FloatArray, IntArray, ObservationWindow

#: Other people within this distance count as near, metres.
NEAR_M = 3.0
#: Agents compared with all others at once; bounds memory, which grows with their square.
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Context:
    """Ground truth and context of the agents of a forecast.

    Attributes:
        ground_truth: (A, T, 2) positions at the predicted steps, metres; NaN where unknown.
        observed_m: (A, 2) last observed positions, metres.
        speed_m_s: (A,) net speed over the observed past, m/s.
        n_near: (A,) number of other people within `NEAR_M`.
        people: (A,) the person who the agent is, negative for nobody; None without a reference.
        age_s: (A,) seconds since the track began; likewise.
    """

    ground_truth: FloatArray
    observed_m: FloatArray
    speed_m_s: FloatArray
    n_near: IntArray
    people: IntArray | None = None
    age_s: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class ScoredTick:
    """Prediction of one model at one tick, its ground truth, and the time it took, seconds."""

    window: ObservationWindow
    forecast: Forecast
    context: Context
    window_s: float
    model_s: float


#: Predictions at one tick, and the same with their ground truth, by model name.
Predictions = dict[str, tuple[Tick, Forecast]]
ScoredTicks = dict[str, ScoredTick]


def scored_ticks(
    predictions: Predictions, ground_truth: FloatArray, **known: NDArray[Any]
) -> ScoredTicks:
    """Predictions of models with the same window and steps, with (A, T, 2) ground truth, metres."""
    scored: ScoredTicks = {}
    contexts: dict[tuple[str, ...], Context] = {}  # usually the same agents for all models
    for name, (tick, forecast) in predictions.items():
        window, timings_s = tick.window, tick.timings_s
        if forecast.ids not in contexts:
            row_of = {agent: row for row, agent in enumerate(window.ids)}
            rows = np.array([row_of[agent] for agent in forecast.ids], dtype=np.int64)
            contexts[forecast.ids] = Context(
                ground_truth=ground_truth[rows],
                observed_m=window.positions_m[rows, -1],
                speed_m_s=tick.speed_m_s[rows],
                n_near=_n_near(forecast.present_m),
                **{name: values[rows] for name, values in known.items()},
            )
        context = contexts[forecast.ids]
        scored[name] = ScoredTick(
            window, forecast, context, timings_s["window"], timings_s["model"]
        )
    return scored


def _n_near(positions_m: FloatArray) -> IntArray:
    """(A,) number of others within `NEAR_M` of each agent."""
    x, y = positions_m.T
    counts = np.empty(len(x), dtype=np.int64)
    for first in range(0, len(x), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        near = (x[rows, None] - x) ** 2 + (y[rows, None] - y) ** 2 <= NEAR_M * NEAR_M
        counts[rows] = near.sum(axis=1) - 1
    return counts
