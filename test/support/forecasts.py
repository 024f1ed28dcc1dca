"""Forecasts made by hand."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.core.agent_ids import AgentNumbers
from social_implicit_ros.core.forecast import Forecast
from social_implicit_ros.core.types import Prediction
from social_implicit_ros.core.uncertainty import sample_moments

S = 1_000_000_000


def random_forecast(
    ids: tuple[str, ...], *, n_samples: int = 6, n_steps: int = 12, n_past: int = 8, seed: int = 0
) -> Forecast:
    """People who wander; those with odd places in `ids` were first seen 3 steps ago."""
    generator = np.random.default_rng(seed)
    n_agents = len(ids)
    past_m = generator.normal(size=(n_agents, n_past, 2)).cumsum(axis=1) + 100.0
    past_m[1::2, : n_past - 3] = np.nan
    steps = generator.normal(size=(n_samples, n_agents, n_steps, 2))
    samples = past_m[:, -1, None] + steps.cumsum(axis=2)
    return Forecast(
        stamp_ns=12 * S + 345,
        frame_id="odom",
        ids=ids,
        numbers=AgentNumbers().assign(ids),
        heights_m=generator.uniform(0, 2, n_agents),
        past_m=past_m,
        n_observed=(~np.isnan(past_m[..., 0])).sum(axis=1),
        prediction=Prediction(samples, *sample_moments(samples), 0.4),
        skipped={},
    )
