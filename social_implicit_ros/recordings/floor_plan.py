"""Walls around the people, from a `nav_msgs/OccupancyGrid` in the recording."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from social_implicit_ros.recordings.bag import opened_bag
from social_implicit_ros.types import BoolArray, require_shape

OCCUPANCY_GRID = "nav_msgs/msg/OccupancyGrid"

#: Cells at least this likely to be occupied, in percent, are walls (map_server's default).
OCCUPIED_PERCENT = 65


@dataclass(frozen=True, eq=False)
class FloorPlan:
    """Occupied cells.

    Attributes:
        occupied: (rows, columns), row 0 at the lowest y, column 0 at the lowest x.
        resolution_m: edge of a cell, metres.
        origin_m: (x, y) of the outer corner of cell (0, 0), metres; the grid is not rotated.
    """

    occupied: BoolArray
    resolution_m: float
    origin_m: tuple[float, float]

    def __post_init__(self) -> None:
        """Checks the values; raises ValueError naming the field."""
        require_shape("FloorPlan", "occupied", self.occupied, ("rows", "columns"))
        if not self.resolution_m > 0:
            raise ValueError(f"FloorPlan.resolution_m is {self.resolution_m}, expected above 0")

    @property
    def extent_m(self) -> tuple[float, float, float, float]:
        """Left, right, lower and upper edge in metres."""
        rows, columns = self.occupied.shape
        x_m, y_m = self.origin_m
        return x_m, x_m + columns * self.resolution_m, y_m, y_m + rows * self.resolution_m


def floor_plan_of(path: Path) -> FloorPlan | None:
    """The floor plan in a rosbag2 folder; None if it has none, and for any other file.

    Raises:
        RecordingError: a damaged recording.
        ValueError: a grid whose data does not fit its size.
    """
    if not path.is_dir():
        return None
    with opened_bag(path) as reader:
        connections = [entry for entry in reader.connections if entry.msgtype == OCCUPANCY_GRID]
        first = next(reader.messages(connections), None) if connections else None
        return None if first is None else _decoded(reader.deserialize(first[2], OCCUPANCY_GRID))


def _decoded(message: Any) -> FloorPlan:
    info = message.info
    cells = np.asarray(message.data, dtype=np.int8)
    if cells.size != info.height * info.width:
        raise ValueError(
            f"OccupancyGrid of {info.height} x {info.width} cells has {cells.size} of them"
        )
    return FloorPlan(
        occupied=cells.reshape(info.height, info.width) >= OCCUPIED_PERCENT,
        resolution_m=float(info.resolution),
        origin_m=(float(info.origin.position.x), float(info.origin.position.y)),
    )
