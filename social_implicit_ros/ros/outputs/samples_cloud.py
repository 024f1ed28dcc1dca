"""`~/samples`: the sampled trajectories of every agent, as a point cloud."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import PointCloud2

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.ros.messages import points_to_msg
from social_implicit_ros.ros.outputs.base import Output

_POINT = np.dtype(
    [(name, "<f4") for name in ("x", "y", "z", "t")]
    + [("agent_id", "<u4"), ("sample", "<u4"), ("probability", "<f4"), ("n_observed", "<u4")]
)


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
        n_samples = len(samples)
        points = np.empty(samples.shape[:3], _POINT)
        points["x"], points["y"] = samples[..., 0], samples[..., 1]
        points["z"] = forecast.heights_m[:, None]
        points["t"] = forecast.times_s
        points["agent_id"] = forecast.numbers[:, None]
        points["sample"] = np.arange(n_samples)[:, None, None]
        points["probability"] = forecast.prediction.probabilities[..., None]
        points["n_observed"] = forecast.n_observed[:, None]
        return points_to_msg(points.ravel(), forecast.stamp_ns, forecast.frame_id)

    def clear(self, stamp_ns: int) -> PointCloud2:
        """A cloud without points, with the same fields."""
        return points_to_msg(np.empty(0, _POINT), stamp_ns, self._frame_id)
