"""`~/predictions`: mean and covariance of every agent and step, as a point cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2

from social_implicit_ros.core.encoding import radius_field
from social_implicit_ros.core.forecast import Forecast
from social_implicit_ros.core.uncertainty import radius_at
from social_implicit_ros.ros import qos
from social_implicit_ros.ros.conversions.point_clouds import point_cloud_to_msg

if TYPE_CHECKING:
    from social_implicit_ros.ros.parameters import NodeConfig


class PredictionCloud:
    """A row per agent and step.

    =============================  ========  ===================================================
    `x` `y` `z`                    float32   expected position, m; z is the latest observed one
    `t`                            float32   s from the header's stamp
    `agent_id`                     uint32    see `core.agent_ids`
    `sigma_xx` `sigma_xy` `sigma_yy`  float32  covariance of the position, m^2
    `n_observed`                   uint32    observed steps behind the prediction
    `radius_50` `radius_95`, ...   float32   how many standard deviations the ellipse of each of the
                                             parameter `confidence_levels` reaches
    =============================  ========  ===================================================

    Positions are float32 because that is what viewers and costmaps read: 1e5 m from the origin
    of the fixed frame their resolution is 8 mm.
    """

    topic = "~/predictions"
    message_class = PointCloud2

    def __init__(self, config: NodeConfig) -> None:
        """Takes the confidences of the ellipses."""
        self._radius_fields = {radius_field(level): level for level in config.confidence_levels}

    def qos(self) -> QoSProfile:
        """Of the topic."""
        return qos.predictions()

    def render(self, forecast: Forecast) -> PointCloud2:
        """The cloud, ordered by agent, then by step."""
        prediction = forecast.prediction
        n_agents, n_steps, _ = prediction.mean.shape
        xy = prediction.mean.reshape(-1, 2).astype(np.float32)
        covariance = prediction.covariance.reshape(-1, 4).astype(np.float32)
        columns = {
            "x": xy[:, 0],
            "y": xy[:, 1],
            "z": np.repeat(forecast.heights_m, n_steps).astype(np.float32),
            "t": np.tile(forecast.times_s, n_agents).astype(np.float32),
            "agent_id": np.repeat(forecast.numbers, n_steps),
            "sigma_xx": covariance[:, 0],
            "sigma_xy": covariance[:, 1],
            "sigma_yy": covariance[:, 3],
            "n_observed": np.repeat(forecast.n_observed, n_steps).astype(np.uint32),
            **{
                name: radius_at(prediction, level).ravel().astype(np.float32)
                for name, level in self._radius_fields.items()
            },
        }
        return point_cloud_to_msg(columns, forecast.stamp_ns, forecast.frame_id)

    def clear(self, stamp_ns: int) -> None:
        """A cloud shows what is true at its stamp; nothing stays."""
