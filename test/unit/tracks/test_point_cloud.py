"""Columns are packed into the points of a PointCloud2."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.tracks.messages.point_cloud import point_cloud_data, point_field_layout


def test_columns_are_packed_side_by_side_in_little_endian() -> None:
    points = point_cloud_data(
        {"x": np.array([1.0, 2.0], dtype=">f8"), "id": np.array([3, 4], dtype=np.uint32)}
    )
    assert points.dtype.itemsize == 12
    assert points.tobytes()[8:12] == b"\x03\x00\x00\x00"
    assert point_field_layout(points.dtype) == [("x", 0, 8), ("id", 8, 6)]


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="lengths"):
        point_cloud_data({"x": np.zeros(2), "y": np.zeros(3)})


def test_a_type_without_a_datatype_is_refused() -> None:
    with pytest.raises(ValueError, match="'id' of type int64"):
        point_field_layout(point_cloud_data({"id": np.zeros(2, np.int64)}).dtype)
