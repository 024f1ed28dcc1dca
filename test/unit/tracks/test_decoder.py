"""Messages of trackers become tracks, with any layout of their bytes.

The messages here are those of `rosbags`; rclpy's have the same attributes.
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosbags.typesys import Stores, get_typestore

from social_implicit_ros.recordings.bag_writer import zero_message
from social_implicit_ros.recordings.definitions import definitions_of
from social_implicit_ros.tracks.messages.decoder import DecodedMessage, TrackerDecoder
from social_implicit_ros.tracks.messages.point_cloud import POINT_FIELD_TYPES, point_cloud_array
from social_implicit_ros.tracks.messages.spec import find_tracker_spec
from social_implicit_ros.types import SkipReason, Tracks

STORE = get_typestore(Stores.ROS2_HUMBLE)
STAMP_NS = 1_700_000_000_123_456_789


def decoder_of(name: str) -> TrackerDecoder:
    spec = find_tracker_spec(name)
    return TrackerDecoder(spec, definitions_of(STORE, spec.message_type))


MARKERS, CLOUD = decoder_of("marker_array"), decoder_of("point_cloud")


def decoded(decoder: TrackerDecoder, message: Any) -> DecodedMessage:
    return decoder.decode(bytes(STORE.serialize_cdr(message, decoder.spec.message_type)))


def tracks_of(decoder: TrackerDecoder, message: Any) -> Tracks:
    tracks = decoded(decoder, message).tracks
    assert tracks is not None
    return tracks


def header(stamp_ns: int = STAMP_NS, frame_id: str = "map") -> Any:
    zero = zero_message(STORE, "std_msgs/msg/Header")
    sec, nanosec = divmod(stamp_ns, 10**9)
    return replace(zero, stamp=replace(zero.stamp, sec=sec, nanosec=nanosec), frame_id=frame_id)


def marker(namespace: str, number: int, x_m: float, y_m: float, **fields: Any) -> Any:
    zero = zero_message(STORE, "visualization_msgs/msg/Marker")
    position = replace(zero.pose.position, x=x_m, y=y_m, z=0.9)
    pose = replace(zero.pose, position=position)
    known = {"header": header(), "ns": namespace, "id": number, "pose": pose}
    return replace(zero, **{**known, **fields})


def marker_array(*markers: Any) -> Any:
    return STORE.types["visualization_msgs/msg/MarkerArray"](markers=list(markers))


def point_cloud(points: np.ndarray, *, height: int = 1, row_padding: int = 0) -> Any:
    """A cloud of (N,) structured points, N divisible by `height`."""
    datatype_of = {np.dtype(code): number for number, code in POINT_FIELD_TYPES.items()}
    fields = points.dtype.fields or {}
    zero_field = zero_message(STORE, "sensor_msgs/msg/PointField")
    rows = points.reshape(height, -1)
    width, step = rows.shape[1], points.dtype.itemsize
    return replace(
        zero_message(STORE, "sensor_msgs/msg/PointCloud2"),
        header=header(),
        height=height,
        width=width,
        fields=[
            replace(
                zero_field,
                name=name,
                offset=offset,
                datatype=datatype_of[kind.newbyteorder("=")],
                count=1,
            )
            for name, (kind, offset) in fields.items()
        ],
        is_bigendian=any(kind.byteorder == ">" for kind, _ in fields.values()),
        point_step=step,
        row_step=width * step + row_padding,
        data=np.frombuffer(
            b"".join(row.tobytes() + b"\xff" * row_padding for row in rows), np.uint8
        ),
    )


def people(dtype: Any, n: int = 4) -> np.ndarray:
    points = np.zeros(n, np.dtype(dtype))
    points["x"], points["y"], points["id"] = np.arange(n) + 1, -np.arange(n), np.arange(n) + 100
    return points


def test_markers_are_named_by_namespace_and_number() -> None:
    message = marker_array(marker("people", 7, 1.0, 2.0), marker("staff", 7, 3.0, 4.0))
    tracks = tracks_of(MARKERS, message)
    assert tracks.ids == ("people/7", "staff/7")
    assert tracks.stamp_ns == STAMP_NS
    np.testing.assert_array_equal(tracks.positions_m, [[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(tracks.heights_m, [0.9, 0.9])
    assert decoded(MARKERS, message).frame_id == "map"


def test_markers_that_delete_are_skipped() -> None:
    message = marker_array(marker("", 1, 9.0, 9.0, action=3), marker("p", 2, 1.0, 2.0))
    assert tracks_of(MARKERS, message).ids == ("p/2",)


@pytest.mark.parametrize("markers", [[], [marker("p", 1, 0.0, 0.0, action=2)]])
def test_a_marker_array_without_pedestrians_has_no_stamp(markers: list[Any]) -> None:
    found = decoded(MARKERS, marker_array(*markers))
    assert (found.tracks, found.frame_id) == (None, "")


def test_markers_of_different_frames_are_refused() -> None:
    other = marker("p", 2, 0.0, 0.0, header=header(frame_id="odom"))
    with pytest.raises(ValueError, match="the same frame"):
        decoded(MARKERS, marker_array(marker("p", 1, 0.0, 0.0), other))


def test_a_marker_with_an_older_stamp_is_skipped() -> None:
    older = marker("p", 2, 0.0, 0.0, header=header(STAMP_NS - 10**8))
    found = decoded(MARKERS, marker_array(marker("p", 1, 0.0, 0.0), older))
    assert found.tracks is not None and found.tracks.ids == ("p/1",)
    assert found.skipped == {SkipReason.OTHER_STAMP: 1}


@given(
    number=st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"]),
    place=st.sampled_from(["i2", "i4", "f4", "f8"]),
    order=st.sampled_from("<>"),
    padding=st.integers(0, 9),
    names=st.permutations(["x", "y", "id", "z", "intensity"]),
)
def test_any_layout_of_a_point_cloud_is_read(
    number: str, place: str, order: str, padding: int, names: list[str]
) -> None:
    kinds = {"id": order + number, "intensity": order + "u1"}
    dtype = [(name, kinds.get(name, order + place)) for name in names]
    points = people([*dtype, ("unnamed", f"V{padding}")])
    message = point_cloud(points[names])
    tracks = tracks_of(CLOUD, message)
    assert tracks.ids == ("100", "101", "102", "103")
    np.testing.assert_array_equal(tracks.positions_m, [[1, 0], [2, -1], [3, -2], [4, -3]])


def test_rows_of_an_organised_cloud_may_be_padded() -> None:
    points = people([("x", "<f4"), ("y", "<f4"), ("id", "<u4")])
    message = point_cloud(points, height=2, row_padding=5)
    assert tracks_of(CLOUD, message).ids == ("100", "101", "102", "103")


def test_data_may_be_bytes_or_an_array_of_bytes() -> None:
    points = people([("x", "<f4"), ("y", "<f4"), ("id", "<u4")])
    for data in (points.tobytes(), array("B", points.tobytes())):
        read = point_cloud_array(replace(point_cloud(points), data=data))
        assert read["id"].tolist() == [100, 101, 102, 103]


def test_floating_point_ids_become_integers_if_possible() -> None:
    points = people([("x", "<f4"), ("y", "<f4"), ("id", "<f4")])
    points["id"] = [7.0, 7.5, np.nan, 2**24]
    assert tracks_of(CLOUD, point_cloud(points)).ids == ("7", "7.5", "16777216")


def test_heights_are_zero_where_the_cloud_has_none() -> None:
    points = people([("x", "<f8"), ("y", "<f8"), ("id", "<u4")])
    np.testing.assert_array_equal(tracks_of(CLOUD, point_cloud(points)).heights_m, 0.0)


def test_a_cloud_without_points_has_a_stamp_and_no_tracks() -> None:
    points = people([("x", "<f4"), ("y", "<f4"), ("id", "<u4")], n=0)
    tracks = tracks_of(CLOUD, point_cloud(points))
    assert tracks.ids == () and tracks.stamp_ns == STAMP_NS


def test_a_lidar_cloud_is_refused_and_the_missing_field_named() -> None:
    points = np.zeros(3, [("x", "<f4"), ("y", "<f4"), ("intensity", "<f4")])
    with pytest.raises(ValueError, match="no field id"):
        tracks_of(CLOUD, point_cloud(points))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data": np.zeros(5, np.uint8)}, "needs 48 bytes of data, found 5"),
        ({"width": 2**31}, "needs"),
        ({"point_step": 8}, "does not fit into point_step 8"),
        ({"height": 2, "width": 2, "row_step": 3}, "row_step 3"),
    ],
)
def test_a_layout_larger_than_the_data_is_refused(change: dict[str, Any], reason: str) -> None:
    points = people([("x", "<f4"), ("y", "<f4"), ("id", "<u4")])
    with pytest.raises(ValueError, match=reason):
        point_cloud_array(replace(point_cloud(points), **change))


def test_an_unknown_datatype_is_refused() -> None:
    message = point_cloud(people([("x", "<f4"), ("y", "<f4"), ("id", "<u4")]))
    message.fields[1] = replace(message.fields[1], datatype=9)
    with pytest.raises(ValueError, match="'y' has datatype 9"):
        point_cloud_array(message)
