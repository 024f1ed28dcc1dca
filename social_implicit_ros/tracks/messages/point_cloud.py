"""Reads and writes the points of a `sensor_msgs/PointCloud2` as a structured numpy array.

The reader takes message objects of rclpy or `rosbags`; the writer returns arrays. No message types
are imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from social_implicit_ros.tracks.messages.cdr import Fields

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
#: Attributes of a cloud, and of each of its fields, that `point_cloud_array` reads.
CLOUD_ATTRIBUTES = ("height", "width", "is_bigendian", "point_step", "row_step", "data")
FIELD_ATTRIBUTES = ("name", "offset", "datatype")


def cloud_of_fields(message: Fields, fields: Fields) -> Any:
    """The input of `point_cloud_array`, from the chosen fields of a serialised message."""
    columns = map(fields.values, FIELD_ATTRIBUTES)
    rows = [dict(zip(FIELD_ATTRIBUTES, row, strict=True)) for row in zip(*columns, strict=True)]
    values = {name: message.values(name)[0] for name in CLOUD_ATTRIBUTES}
    return SimpleNamespace(fields=[SimpleNamespace(**row) for row in rows], **values)


class Points:
    """The points of a PointCloud2, with the interface of `Fields`."""

    def __init__(self, tracker: str, message: Any) -> None:
        self._tracker, self._points = tracker, point_cloud_array(message)

    def __len__(self) -> int:
        """Number of points."""
        return len(self._points)

    def has(self, path: str) -> bool:
        """Whether the points have a field."""
        return path in (self._points.dtype.names or ())

    def values(self, path: str) -> list[Any]:
        """One value per point; raises ValueError if there is no such field."""
        if not self.has(path):
            names = ", ".join(self._points.dtype.names or ()) or "none"
            raise ValueError(
                f"PointCloud2 has no field {path} (it has {names}), which tracker "
                f"{self._tracker!r} needs"
            )
        return self._points[path].tolist()


def point_cloud_array(message: Any) -> np.ndarray:
    """The points of a `sensor_msgs/PointCloud2`.

    Of a field with several values per point, the first value is read.

    Args:
        message: the message; its data may be bytes, an array of bytes or (N,) uint8.

    Returns:
        (height * width,) structured array with the fields of the cloud, in the cloud's byte order.

    Raises:
        ValueError: a datatype is unknown, a field is outside its point, or the data is shorter than
            height, width and steps require.
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


def point_cloud_data(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Packs columns into the points of a little-endian `sensor_msgs/PointCloud2`.

    Args:
        columns: field name -> (N,) values; their numpy types become the types of the fields.

    Returns:
        (N,) packed structured array; its bytes are the data of the message.

    Raises:
        ValueError: there are no columns, or their lengths differ.
    """
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1:
        raise ValueError(f"point cloud columns have lengths {sorted(lengths)}, expected one length")
    dtype = np.dtype([(name, values.dtype.newbyteorder("<")) for name, values in columns.items()])
    points = np.empty(lengths.pop(), dtype)
    for name, values in columns.items():
        points[name] = values
    return points


def point_field_layout(dtype: np.dtype) -> list[tuple[str, int, int]]:
    """Name, offset and `PointField` datatype of each field of a structured numpy type.

    Raises:
        ValueError: PointCloud2 has no datatype for a field.
    """
    datatypes = {np.dtype(code): number for number, code in POINT_FIELD_TYPES.items()}
    layout = []
    for name, (kind, offset, *_) in (dtype.fields or {}).items():
        if kind.newbyteorder("=") not in datatypes:
            raise ValueError(f"PointCloud2 has no datatype for field {name!r} of type {kind}")
        layout.append((name, offset, datatypes[kind.newbyteorder("=")]))
    return layout
