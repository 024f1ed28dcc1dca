"""Loads walls from the map in a recording, or from the map file of a map server."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from social_implicit_ros.prediction.walls import (
    OCCUPANCY_GRID,
    OCCUPIED_PERCENT,
    FloorPlan,
    floor_plan_from_grid,
)
from social_implicit_ros.recordings.bag import RecordingError, is_bag, opened_bag
from social_implicit_ros.recordings.definitions import ensure_definition
from social_implicit_ros.recordings.storage import Entry
from social_implicit_ros.types import BoolArray, FloatArray
from social_implicit_ros.untrusted_files import (
    UnusableFileError,
    error_text,
    load_yaml,
    read_file,
    short_text,
    user_path,
)

_MAX_FILE_BYTES, _MAX_IMAGE_BYTES = 64 * 1024, 256 * 1024**2
#: Default thresholds of a map server: a cell is free below the first, occupied above the second.
_FREE, _OCCUPIED = 0.25, 0.65


def floor_plan_of(path: Path) -> FloorPlan | None:
    """The map in a bag; None if the bag has none, or the file is not a bag.

    The map is the last message of a topic named `map`: the last, as a SLAM map grows; by name, as
    costmaps have the same type.
    """
    if not is_bag(path):
        return None
    with opened_bag(path) as reader:
        grids = [
            topic
            for topic in reader.topics
            if topic.msgtype == OCCUPANCY_GRID and topic.topic.split("/")[-1] == "map"
        ]
        last = _last(reader.messages(grids))
        if last is None:
            return None
        ensure_definition(reader, OCCUPANCY_GRID)
        try:
            return floor_plan_from_grid(reader.deserialize(last[2], OCCUPANCY_GRID))
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise RecordingError(
                f"the map on topic {last[0].topic} cannot be used: {reason}; leave it out "
                "with --no-map"
            ) from error


def _last(messages: Iterator[Entry]) -> Entry | None:
    """The last message before the end or the first damage, which the track reader reports."""
    last = None
    try:
        for last in messages:  # noqa: B007
            pass
    except Exception:  # damaged bytes make parsers raise errors of any kind
        if last is None:
            raise
    return last


def load_map(path: Path) -> FloorPlan:
    """Reads the YAML file of a map server and its image; raises RecordingError if it cannot.

    Source: the format of `nav2_map_server`. Occupied cells are those of the grid that it publishes.
    """
    try:
        values = load_yaml(path, _MAX_FILE_BYTES)
        if not isinstance(values, dict) or not {"image", "resolution", "origin"} <= {*values}:
            raise UnusableFileError(f"{path} is not a map: expected image, resolution and origin")
        origin = values["origin"]
        if not isinstance(origin, list) or len(origin) != 3:
            raise UnusableFileError(f"origin is {short_text(origin)}, expected [x_m, y_m, yaw_rad]")
        x_m, y_m, yaw_rad = (_number("origin", value) for value in origin)
        mode = values.get("mode", "trinary")
        if mode not in ("trinary", "scale", "raw"):
            raise UnusableFileError(f"mode is {mode!r}, expected trinary, scale or raw")
        brightness = _brightness(user_path(path).parent / str(values["image"]), mode)
        return FloorPlan(
            # The first row of an image is at the top.
            occupied=_is_occupied(brightness, mode, values)[::-1],
            resolution_m=_number("resolution", values["resolution"]),
            origin_m=(x_m, y_m),
            yaw_rad=yaw_rad if math.isfinite(yaw_rad) else 0.0,
        )
    except (OSError, ValueError) as error:
        raise RecordingError(f"map {path} cannot be used: {error_text(error)}") from error


def _number(name: str, value: object) -> float:
    """A value of the file as a number; raises UnusableFileError."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise UnusableFileError(f"{name} has {short_text(value)}, expected a number") from error


def _brightness(path: Path, mode: str) -> FloatArray:
    """(rows, columns) 0 for black to 1 for white; NaN for pixels that are unknown.

    Map servers take the mean of the colours. In mode trinary it includes the opacity, and in mode
    scale pixels that are not opaque are unknown.
    """
    data = read_file(path, _MAX_IMAGE_BYTES)
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode.startswith("I"):  # 16 bits, which `convert` would clip to 8
                return np.asarray(image, dtype=np.float64) / 65535.0
            has_alpha = "A" in image.getbands() or "transparency" in image.info
            if image.mode == "L" and not has_alpha:
                return np.asarray(image, dtype=np.float64) / 255.0
            channels = np.asarray(image.convert("RGBA"))
            n_counted = 4 if has_alpha and mode == "trinary" else 3
            brightness = channels[..., :n_counted].mean(axis=-1) / 255.0
            if mode == "scale":
                brightness[channels[..., 3] < 255] = np.nan
            return np.asarray(brightness)
    except UnidentifiedImageError as error:
        raise UnusableFileError(f"{path} is not an image, or is damaged") from error
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise UnusableFileError(f"{path}: {error}") from error


def _is_occupied(brightness: FloatArray, mode: str, values: dict[str, Any]) -> BoolArray:
    """(rows, columns) whether a map server marks the cell of a pixel as occupied."""
    if mode == "raw":
        percent = np.rint(brightness * 255.0)
        return np.asarray((percent >= OCCUPIED_PERCENT) & (percent <= 100))
    darkness = brightness if _number("negate", values.get("negate", 0)) else 1.0 - brightness
    free, threshold = (
        _number(f"{name}_thresh", values.get(f"{name}_thresh", default))
        for name, default in (("free", _FREE), ("occupied", _OCCUPIED))
    )
    if not 0.0 <= threshold <= 1.0:
        raise UnusableFileError(f"occupied_thresh is {threshold}, expected 0 to 1")
    if mode == "scale":
        # Percentages are rounded.
        threshold = free + 0.01 * (OCCUPIED_PERCENT - 0.5) * (threshold - free)
    return np.asarray(darkness > threshold)
