"""`~/predictions`: mean and covariance of every agent and step, as a point cloud."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import PointCloud2

from social_implicit_ros.prediction.cloud_fields import CLOUD_FIELDS, radius_field
from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.ros.messages import points_to_msg
from social_implicit_ros.ros.outputs.base import Output
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.uncertainty.ellipses import radii_at


class PredictionCloud(Output):
    """A point per agent and step.

    =============================  ========  ===================================================
    `x` `y` `z`                    float32   mean position, m; z is the latest observed one
    `t`                            float32   s from the header's stamp
    `agent_id`                     uint32    see `tracks.agent_ids`
    `sigma_xx` `sigma_xy` `sigma_yy`  float32  covariance of the position, m^2
    `n_observed`                   uint32    observed steps that the prediction is based on
    `radius_50` `radius_95`, ...   float32   scale of the 1-sigma ellipse that gives the region of
                                             each of the parameter `confidence_levels`
    =============================  ========  ===================================================

    Positions are float32, as viewers and costmaps expect: 1e5 m from the origin of the fixed frame
    their resolution is 8 mm.
    """

    topic = "~/predictions"
    message_class = PointCloud2

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self._levels = tuple(config.confidence_levels)
        self._radii = tuple(map(radius_field, self._levels))
        kinds = {"agent_id": "<u4", "n_observed": "<u4"}
        self._point = np.dtype(
            [(name, kinds.get(name, "<f4")) for name in CLOUD_FIELDS + self._radii]
        )

    def render(self, forecast: Forecast) -> PointCloud2:
        """The cloud, ordered by agent, then by step."""
        prediction = forecast.prediction
        points = np.empty(prediction.mean.shape[:2], self._point)
        points["x"], points["y"] = prediction.mean[..., 0], prediction.mean[..., 1]
        points["z"] = forecast.heights_m[:, None]
        points["t"] = forecast.times_s
        points["agent_id"] = forecast.numbers[:, None]
        points["sigma_xx"] = prediction.covariance[..., 0, 0]
        points["sigma_xy"] = prediction.covariance[..., 0, 1]
        points["sigma_yy"] = prediction.covariance[..., 1, 1]
        points["n_observed"] = forecast.n_observed[:, None]
        if self._levels:
            radii = radii_at(prediction, self._levels)
            for level, name in enumerate(self._radii):
                points[name] = radii[..., level]
        return points_to_msg(points.ravel(), forecast.stamp_ns, forecast.frame_id)

    def clear(self, stamp_ns: int) -> PointCloud2:
        """A cloud without points, with the same fields."""
        return points_to_msg(np.empty(0, self._point), stamp_ns, self._frame_id)
