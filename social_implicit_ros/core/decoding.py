"""Tracker messages -> `Tracks`, whoever made the message object.

The functions read attributes only, so they take what rclpy delivers as well as what `rosbags`
reads from a file, and need neither. They decode and do not judge: empty ids, duplicates and
positions that are not finite pass through and are rejected, by reason, where histories are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from social_implicit_ros.core.types import Tracks

#: visualization_msgs/Marker.ADD (and MODIFY): the marker is there; the others take markers away.
MARKER_ADD = 0

#: sensor_msgs/PointField.datatype -> numpy type, without byte order.
POINT_FIELD_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    8: "f8",
}


def stamp_ns_of(stamp: Any) -> int:
    """Nanoseconds of a `builtin_interfaces/Time`."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def frame_id_of(message: Any) -> str:
    """The coordinate frame of a tracker message; empty where a MarkerArray holds no marker."""
    if hasattr(message, "header"):
        return str(message.header.frame_id)
    return next((str(marker.header.frame_id) for marker in _present(message)), "")


def tracks_from_marker_array(message: Any) -> Tracks | None:
    """Decodes a `visualization_msgs/MarkerArray` with one marker per pedestrian.

    The id of a pedestrian is `ns/id`. Markers that delete are passed over: a track ends when it
    is no longer reported.

    Args:
        message: the message, `markers[]` with header, ns, id, action and pose.

    Returns:
        The tracks, or None where no marker is added: such a message says no time.

    Raises:
        ValueError: markers of different stamps or frames in one message.
    """
    markers = _present(message)
    if not markers:
        return None
    stamps_ns = {stamp_ns_of(marker.header.stamp) for marker in markers}
    frames = {str(marker.header.frame_id) for marker in markers}
    if len(stamps_ns) > 1 or len(frames) > 1:
        raise ValueError(
            f"MarkerArray holds markers of {len(stamps_ns)} stamps and {len(frames)} frames; "
            "give all markers of one message the same header"
        )
    positions = [marker.pose.position for marker in markers]
    xyz = np.array([(point.x, point.y, point.z) for point in positions], dtype=np.float64)
    return Tracks(
        stamp_ns=stamps_ns.pop(),
        ids=tuple(f"{marker.ns}/{marker.id}" for marker in markers),
        positions_m=xyz[:, :2],
        heights_m=xyz[:, 2],
    )


def tracks_from_point_cloud(message: Any) -> Tracks:
    """Decodes a `sensor_msgs/PointCloud2` with one point per pedestrian.

    Fields `x`, `y` and `id` must be there, `z` may be; each of any numeric type, in any order.

    Args:
        message: the message with header, height, width, fields, is_bigendian, point_step,
            row_step and data.

    Raises:
        ValueError: a missing field, an unknown datatype, or data shorter than the layout says.
    """
    points = point_cloud_array(message)
    names = points.dtype.names or ()
    missing = [name for name in ("x", "y", "id") if name not in names]
    if missing:
        raise ValueError(
            f"PointCloud2 has no field {', '.join(missing)} (it has {', '.join(names) or 'none'}); "
            "fields x, y and id are needed, one point per pedestrian"
        )
    heights_m = points["z"].astype(np.float64) if "z" in names else np.zeros(len(points))
    return Tracks(
        stamp_ns=stamp_ns_of(message.header.stamp),
        ids=tuple(_id_text(value) for value in points["id"].tolist()),
        positions_m=np.column_stack([points["x"], points["y"]]).astype(np.float64),
        heights_m=heights_m,
    )


def point_cloud_array(message: Any) -> np.ndarray:
    """A `sensor_msgs/PointCloud2` as a structured array.

    Of a field with several values per point the first is taken.

    Args:
        message: the message; its data may be bytes, an array of bytes or (N,) uint8.

    Returns:
        (height * width,) structured array with the cloud's fields, in the machine's byte order
        or the other one; rows are joined.

    Raises:
        ValueError: an unknown datatype, a field outside its point, or data shorter than the
            layout says.
    """
    order = ">" if message.is_bigendian else "<"
    point_step, row_step = int(message.point_step), int(message.row_step)
    height, width = int(message.height), int(message.width)
    formats, offsets = {}, {}
    for field in message.fields:
        if field.datatype not in POINT_FIELD_TYPES:
            raise ValueError(
                f"PointCloud2 field {field.name!r} has datatype {field.datatype}, expected one of "
                "1 (INT8) to 8 (FLOAT64)"
            )
        formats[field.name] = np.dtype(order + POINT_FIELD_TYPES[field.datatype])
        offsets[field.name] = int(field.offset)
        if offsets[field.name] + formats[field.name].itemsize > point_step:
            raise ValueError(
                f"PointCloud2 field {field.name!r} at offset {field.offset} does not fit into "
                f"point_step {point_step}"
            )
    dtype = np.dtype(
        {
            "names": list(formats),
            "formats": list(formats.values()),
            "offsets": list(offsets.values()),
            "itemsize": point_step,
        }
    )
    if height * width == 0:
        return np.empty(0, dtype)
    data = np.frombuffer(memoryview(message.data), dtype=np.uint8)
    needed = (height - 1) * row_step + width * point_step
    if len(data) < needed or (height > 1 and row_step < width * point_step):
        raise ValueError(
            f"PointCloud2 of {height} x {width} points, point_step {point_step} and row_step "
            f"{row_step} needs {needed} bytes of data, found {len(data)}"
        )
    points: np.ndarray = np.ndarray(
        (height, width), dtype, buffer=data, strides=(row_step or needed, point_step)
    )
    return points.reshape(-1)


#: ROS message type -> its decoder; a new tracker is added here.
DECODERS: dict[str, Callable[[Any], Tracks | None]] = {
    "visualization_msgs/msg/MarkerArray": tracks_from_marker_array,
    "sensor_msgs/msg/PointCloud2": tracks_from_point_cloud,
}


def _present(message: Any) -> list[Any]:
    return [marker for marker in message.markers if marker.action == MARKER_ADD]


def _id_text(value: float | int) -> str:
    """An id as text; `7.0` of a float field is track 7, NaN is no id."""
    if isinstance(value, float):
        if value != value:
            return ""
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)
