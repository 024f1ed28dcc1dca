"""`~/samples`: the sampled trajectories of every agent, as a point cloud."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import PointCloud2

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.ros.messages import point_cloud_to_msg
from social_implicit_ros.ros.outputs.base import Output


class SamplesCloud(Output):
    """A point per sample, agent and step: `x y z t agent_id n_observed`, `sample`, `probability`.

    `sample` (uint32) counts from 0; the trajectories of sample k are one joint future of the scene.
    `probability` (float32) is that of the agent's sample; those of an agent add up to 1. The other
    fields are those of `PredictionCloud`.
    """

    topic = "~/samples"
    message_class = PointCloud2
    reads_samples = True

    def render(self, forecast: Forecast) -> PointCloud2:
        """The cloud, ordered by sample, then by agent, then by step."""
        samples = forecast.prediction.samples
        n_samples, n_agents, n_steps, _ = samples.shape
        xy = samples.reshape(-1, 2).astype(np.float32)

        def per_agent(values: np.ndarray) -> np.ndarray:
            return np.tile(np.repeat(values, n_steps), n_samples)

        columns = {
            "x": xy[:, 0],
            "y": xy[:, 1],
            "z": per_agent(forecast.heights_m.astype(np.float32)),
            "t": np.tile(forecast.times_s.astype(np.float32), n_samples * n_agents),
            "agent_id": per_agent(forecast.numbers),
            "sample": np.repeat(np.arange(n_samples, dtype=np.uint32), n_agents * n_steps),
            "probability": np.repeat(
                forecast.prediction.probabilities.astype(np.float32).ravel(), n_steps
            ),
            "n_observed": per_agent(forecast.n_observed.astype(np.uint32)),
        }
        return point_cloud_to_msg(columns, forecast.stamp_ns, forecast.frame_id)

    def clear(self, stamp_ns: int) -> None:
        """Nothing: subscribers do not keep the last cloud."""
