"""`~/costmap`: occupancy probabilities for the static layer of Nav2; `occupancy` computes them."""

from __future__ import annotations

from array import array

import numpy as np
from geometry_msgs.msg import Point
from nav_msgs.msg import OccupancyGrid
from rclpy.qos import QoSProfile

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.ros import qos
from social_implicit_ros.ros.messages import header_to_msg, stamp_to_msg
from social_implicit_ros.ros.outputs.base import Output, at_own_confidence
from social_implicit_ros.ros.outputs.occupancy import Grid, occupancy, window_path
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.types import FloatArray


class Costmap(Output):
    """The probability in percent, 0 to 100, that a person occupies a cell within a time window.

    The grid is centred on the robot and stays in place while the robot's position is unknown. It
    moves only when the robot is more than `recentre_m` from its centre, as the static layer resets
    and logs at every move. It moves by whole cells, so that the content of cells does not shift.
    """

    topic = "~/costmap"
    message_class = OccupancyGrid

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self._radius_m = config.person_radius_m
        self._options = config.costmap
        self._grid = self._grid_around(np.zeros(2))

    def qos(self) -> QoSProfile:
        """QoS profile of the topic."""
        return qos.costmap()

    def render(self, forecast: Forecast) -> OccupancyGrid:
        """The grid at the stamp of the forecast."""
        self._follow(forecast)
        path_m, covariance_m2 = window_path(
            at_own_confidence(forecast.prediction, self._options.confidence),
            forecast.present_m,
            start_s=self._options.start_s,
            end_s=self._options.end_s,
        )
        probability = occupancy(path_m, covariance_m2, self._radius_m, self._grid)
        return self._message(np.rint(100.0 * probability).astype(np.int8), forecast.stamp_ns)

    def clear(self, stamp_ns: int) -> OccupancyGrid:
        """An empty grid, as the static layer keeps the last one."""
        n_cells = self._grid.n_cells
        return self._message(np.zeros((n_cells, n_cells), dtype=np.int8), stamp_ns)

    def _grid_around(self, centre_m: FloatArray) -> Grid:
        return Grid.around(centre_m, self._options.size_m, self._options.resolution_m)

    def _follow(self, forecast: Forecast) -> None:
        robot_m = forecast.robot_m
        if robot_m is None:
            return
        if np.abs(robot_m - self._grid.centre_m).max() > self._options.recentre_m:
            self._grid = self._grid_around(robot_m)

    def _message(self, percent: np.ndarray, stamp_ns: int) -> OccupancyGrid:
        message = OccupancyGrid(header=header_to_msg(stamp_ns, self._frame_id))
        message.info.map_load_time = stamp_to_msg(stamp_ns)
        message.info.resolution = self._grid.resolution_m
        message.info.width = message.info.height = self._grid.n_cells
        x, y = self._grid.origin_m
        message.info.origin.position = Point(x=x, y=y)
        # The setter takes an array of bytes as it is and checks anything else element by element.
        message.data = array("b", percent.tobytes())
        return message
