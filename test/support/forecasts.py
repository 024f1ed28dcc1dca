"""Forecasts for tests."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.tracks.messages.agent_ids import AgentNumbers
from social_implicit_ros.types import FloatArray, Prediction
from social_implicit_ros.uncertainty.ellipses import sample_moments

S = 1_000_000_000


def random_forecast(
    ids: tuple[str, ...], *, n_samples: int = 6, n_steps: int = 12, n_past: int = 8, seed: int = 0
) -> Forecast:
    """People who walk at random; every second one was first observed 3 steps ago."""
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


def walking_forecast(
    positions_m: FloatArray,
    velocities_m_s: FloatArray,
    *,
    sigmas_m: tuple[float, float] = (0.2, 0.1),
    yaw_rad: float = 0.5,
    ids: tuple[str, ...] | None = None,
    robot_m: FloatArray | None = None,
    step_s: float = 0.4,
    n_steps: int = 12,
) -> Forecast:
    """People who walk straight, with the same ellipses, which grow with time.

    Args:
        positions_m: (A, 2) positions at the stamp.
        velocities_m_s: (A, 2) velocities.
        sigmas_m: semi-axes of the ellipse after one second.
        yaw_rad: yaw of its first axis.
        ids: by default "1", "2" and so on.
        robot_m: (2,) position of the robot.
        step_s: time between two steps of the prediction.
        n_steps: number of steps of the prediction.
    """
    n_agents = len(positions_m)
    ids = tuple(str(number) for number in range(1, n_agents + 1)) if ids is None else ids
    times_s = step_s * np.arange(1, n_steps + 1)
    mean = positions_m[:, None] + velocities_m_s[:, None] * times_s[:, None]
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    rotation = np.array([[cos, -sin], [sin, cos]])
    covariance = rotation @ np.diag(np.square(sigmas_m)) @ rotation.T * times_s[:, None, None] ** 2
    past_s = step_s * np.arange(-7, 1)
    return Forecast(
        stamp_ns=12 * S + 345,
        frame_id="odom",
        ids=ids,
        numbers=AgentNumbers().assign(ids),
        heights_m=np.linspace(0.0, 1.0, n_agents),
        past_m=positions_m[:, None] + velocities_m_s[:, None] * past_s[:, None],
        n_observed=np.full(n_agents, 8),
        prediction=Prediction(
            np.stack([mean, mean]), mean, np.tile(covariance, (n_agents, 1, 1, 1)), step_s
        ),
        skipped={},
        robot_m=robot_m,
    )
