"""Columns of numbers -> `sensor_msgs/PointCloud2`."""

from __future__ import annotations

from array import array
from functools import lru_cache

import numpy as np
from sensor_msgs.msg import PointCloud2, PointField

from social_implicit_ros.ros.outputs.encoding import point_cloud_data, point_field_layout
from social_implicit_ros.ros.stamps import stamp_to_msg


def point_cloud_to_msg(columns: dict[str, np.ndarray], stamp_ns: int, frame_id: str) -> PointCloud2:
    """Builds a cloud with one point per row.

    Args:
        columns: field name -> (N,) values; their numpy types become the fields'.
        stamp_ns: of the header, integer nanoseconds.
        frame_id: of the header.
    """
    return points_to_msg(point_cloud_data(columns), stamp_ns, frame_id)


def points_to_msg(points: np.ndarray, stamp_ns: int, frame_id: str) -> PointCloud2:
    """Builds a cloud.

    Args:
        points: (N,) packed structured array, little endian; its fields become those of the cloud.
        stamp_ns: of the header, integer nanoseconds.
        frame_id: of the header.
    """
    message = PointCloud2()
    message.header.stamp = stamp_to_msg(stamp_ns)
    message.header.frame_id = frame_id
    message.height, message.width = 1, len(points)
    message.fields = _fields(points.dtype)
    message.is_bigendian = False
    message.point_step = points.dtype.itemsize
    message.row_step = points.nbytes
    # An array of bytes is taken as it is; anything else the setter checks element by element.
    message.data = array("B", points.tobytes())
    message.is_dense = True
    return message


@lru_cache(maxsize=16)
def _fields(dtype: np.dtype) -> list[PointField]:
    """The same objects for every cloud of a kind, as nobody changes them."""
    return [
        PointField(name=name, offset=offset, datatype=datatype, count=1)
        for name, offset, datatype in point_field_layout(dtype)
    ]
