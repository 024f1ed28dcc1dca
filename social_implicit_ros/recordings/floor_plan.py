"""Walls around the people, from a `nav_msgs/OccupancyGrid` in the recording."""

from __future__ import annotations

from pathlib import Path

from social_implicit_ros.prediction.walls import FloorPlan, floor_plan_from_grid
from social_implicit_ros.recordings.bag import opened_bag
from social_implicit_ros.recordings.definitions import ensure_definition

OCCUPANCY_GRID = "nav_msgs/msg/OccupancyGrid"


def floor_plan_of(path: Path) -> FloorPlan | None:
    """The floor plan in a rosbag2 folder; None if it has none, and for any other file.

    Raises:
        RecordingError: a damaged recording.
        ValueError: a grid whose data does not fit its size.
    """
    if not path.is_dir():
        return None
    with opened_bag(path) as reader:
        grids = [topic for topic in reader.topics if topic.msgtype == OCCUPANCY_GRID]
        first = next(reader.messages(grids), None)
        if first is None:
            return None
        ensure_definition(reader, OCCUPANCY_GRID)
        return floor_plan_from_grid(reader.deserialize(first[2], OCCUPANCY_GRID))
