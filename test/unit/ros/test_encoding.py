"""Agents keep their identity on the way through messages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from social_implicit_ros.ros.outputs.encoding import (
    confidence_of,
    marker_id,
    point_cloud_data,
    point_field_layout,
    radius_field,
)
from social_implicit_ros.tracks.agent_ids import agent_number


@pytest.mark.parametrize("number", [0, 7, 2**32 - 1])
def test_a_number_is_its_own_number(number: int) -> None:
    assert agent_number(str(number)) == number


@pytest.mark.parametrize(
    "other", ["007", "-7", "7.0", "people/7", "\u0667", str(2**32), "1" * 5000, ""]
)
def test_any_other_id_has_a_number_of_its_own(other: str) -> None:
    assert 0 <= agent_number(other) < 2**32
    assert agent_number(other) != 7


def test_hashed_numbers_are_the_same_everywhere() -> None:
    # CRC-32 of the UTF-8 bytes; recordings made elsewhere must match.
    assert agent_number("people/7") == 2244062441


@given(namespace=st.text(min_size=1), number=st.integers(0, 2**31 - 1))
def test_an_id_that_came_from_a_marker_goes_back_into_it(namespace: str, number: int) -> None:
    assert marker_id(f"{namespace}/{number}") == (namespace, number)


@given(agent_id=st.text())
def test_every_id_fits_into_a_marker(agent_id: str) -> None:
    namespace, number = marker_id(agent_id)
    assert namespace
    assert 0 <= number < 2**31


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


def test_a_type_that_point_clouds_lack_is_refused() -> None:
    with pytest.raises(ValueError, match="'id' of type int64"):
        point_field_layout(point_cloud_data({"id": np.zeros(2, np.int64)}).dtype)


@pytest.mark.parametrize(
    ("confidence", "field"), [(0.5, "radius_50"), (0.95, "radius_95"), (0.999, "radius_99.9")]
)
def test_a_radius_field_tells_its_confidence(confidence: float, field: str) -> None:
    assert radius_field(confidence) == field
    assert confidence_of(field) == confidence


@pytest.mark.parametrize(
    "field", ["x", "radius", "radius_", "radius_0", "radius_100", "radius_nan"]
)
def test_other_fields_are_for_no_confidence(field: str) -> None:
    assert confidence_of(field) is None
