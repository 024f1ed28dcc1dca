"""How long a costmap of a hundred people takes (`make bench`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.forecasts import walking_forecast

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.ros.outputs.costmap import Costmap
from social_implicit_ros.settings import NodeConfig

pytest.importorskip("pytest_benchmark", reason="needs pytest-benchmark (make bench)")


def crowd(n_agents: int) -> Forecast:
    """People all over the costmap who walk up to 1.8 m/s, with ellipses as recordings have them."""
    generator = np.random.default_rng(0)
    positions = generator.uniform(-10, 10, (n_agents, 2))
    speeds = generator.uniform(0, 1.8, n_agents)
    headings = generator.uniform(-np.pi, np.pi, n_agents)
    velocities = speeds[:, None] * np.column_stack([np.cos(headings), np.sin(headings)])
    return walking_forecast(
        positions, velocities, sigmas_m=(0.19, 0.1), yaw_rad=0.7, robot_m=np.zeros(2)
    )


@pytest.mark.parametrize("end_s", [2.0, 4.8])
@pytest.mark.parametrize("n_agents", [10, 100])
def test_costmap_of_200_by_200_cells(benchmark: Any, n_agents: int, end_s: float) -> None:
    output = Costmap(NodeConfig.from_values({"costmap.end_s": end_s}))
    message = benchmark(output.render, crowd(n_agents))
    assert (message.info.width, message.info.height) == (200, 200)
    assert max(message.data) == 100
