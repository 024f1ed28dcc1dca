"""Stamps and point clouds, whoever made the message object.

The functions read attributes only, so they take what rclpy delivers as well as what `rosbags`
reads from a file, and need neither. `tracker_decoder` makes tracks of whole messages.
"""

from __future__ import annotations

from typing import Any

import numpy as np

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
