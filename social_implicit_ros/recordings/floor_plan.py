"""Walls around the people: the map in a recording, or the file of a map server."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from social_implicit_ros.prediction.walls import FloorPlan, floor_plan_from_grid
from social_implicit_ros.recordings.bag import RecordingError, opened_bag
from social_implicit_ros.recordings.definitions import ensure_definition
from social_implicit_ros.untrusted_files import UnusableFileError, load_yaml, read_file, user_path

OCCUPANCY_GRID = "nav_msgs/msg/OccupancyGrid"
_MAX_FILE_BYTES, _MAX_IMAGE_BYTES = 64 * 1024, 256 * 1024**2
#: Probability from which on a map server takes a cell for occupied.
_OCCUPIED = 0.65


def floor_plan_of(path: Path) -> FloorPlan | None:
    """The map in a rosbag2 folder; None if it has none, and for any other file.

    The map is the first message of a topic that is named `map`: costmaps have the same type.
    """
    if not path.is_dir():
        return None
    with opened_bag(path) as reader:
        grids = [
            topic
            for topic in reader.topics
            if topic.msgtype == OCCUPANCY_GRID and topic.topic.split("/")[-1] == "map"
        ]
        first = next(reader.messages(grids), None)
        if first is None:
            return None
        ensure_definition(reader, OCCUPANCY_GRID)
        try:
            return floor_plan_from_grid(reader.deserialize(first[2], OCCUPANCY_GRID))
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise RecordingError(
                f"the map on topic {first[0].topic} cannot be used: {reason}; give another with "
                "--map, or predict without it (--no-map)"
            ) from error


def load_map(path: Path) -> FloorPlan:
    """Reads the YAML file of a map server, and its image; raises RecordingError for others.

    Source: the format of `nav2_map_server`, in the modes `trinary` and `scale`.
    """
    try:
        values = load_yaml(path, _MAX_FILE_BYTES)
        if not isinstance(values, dict):
            raise UnusableFileError(f"{path} is no map: expected image, resolution and origin")
        image_path = user_path(path).parent / str(values["image"])
        with Image.open(io.BytesIO(read_file(image_path, _MAX_IMAGE_BYTES))) as image:
            brightness = np.asarray(image.convert("L"), dtype=np.float64) / 255.0
        darkness = brightness if int(values.get("negate", 0)) else 1.0 - brightness
        x_m, y_m, yaw_rad = (float(value) for value in values["origin"])
        threshold = float(values.get("occupied_thresh", _OCCUPIED))
        if not 0.0 <= threshold <= 1.0:
            raise UnusableFileError(f"occupied_thresh is {threshold}, expected 0 to 1")
        return FloorPlan(
            # The first row of an image is at the top.
            occupied=darkness[::-1] > threshold,
            resolution_m=float(values["resolution"]),
            origin_m=(x_m, y_m),
            yaw_rad=yaw_rad if math.isfinite(yaw_rad) else 0.0,
        )
    except KeyError as error:
        raise RecordingError(f"map {path}: {error} is missing") from error
    except (
        *(OSError, ValueError, TypeError, OverflowError, UnidentifiedImageError),
        Image.DecompressionBombError,
    ) as error:
        raise RecordingError(f"map {path} cannot be used: {error}") from error
