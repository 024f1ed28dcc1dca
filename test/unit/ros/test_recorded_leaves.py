"""`scripts/compare_checkouts.py` compares every field of every recorded message."""

import numpy as np
import pytest
from geometry_msgs.msg import Point
from nav_msgs.msg import OccupancyGrid
from rclpy.serialization import serialize_message
from record_outputs import recorded_leaves, write_messages
from sensor_msgs.msg import PointCloud2, PointField
from visualization_msgs.msg import Marker, MarkerArray


@pytest.fixture
def recorded(tmp_path):
    def leaves(kind, *messages):
        path = tmp_path / "topic.npz"
        write_messages(path, kind, [serialize_message(message) for message in messages])
        return recorded_leaves(path)

    return leaves


def test_each_message_has_leaves_of_its_own(recorded):
    first, second = OccupancyGrid(), OccupancyGrid(data=[0, 50, -1])
    second.header.frame_id = "odom"
    second.info.resolution = 0.5

    leaves = recorded("nav_msgs/msg/OccupancyGrid", first, second)

    assert leaves["[0].header.frame_id"].tolist() == [""]
    assert leaves["[0].data.length"].tolist() == [0]
    assert leaves["[1].header.frame_id"].tolist() == ["odom"]
    assert leaves["[1].info.resolution"].tolist() == [0.5]
    assert leaves["[1].data"].tolist() == [0, 50, -1]


def test_a_field_of_all_parts_is_one_leaf(recorded):
    people = [
        Marker(id=1, points=[Point(x=1.0), Point(x=2.0)]),
        Marker(id=2, points=[Point(x=3.0)]),
    ]

    leaves = recorded("visualization_msgs/msg/MarkerArray", MarkerArray(markers=people))

    assert leaves["[0].markers.length"].tolist() == [2]
    assert leaves["[0].markers[].id"].tolist() == [1, 2]
    assert leaves["[0].markers[].points.length"].tolist() == [2, 1]
    assert leaves["[0].markers[].points[].x"].tolist() == [1.0, 2.0, 3.0]


def test_a_point_cloud_has_its_numbers_and_not_their_bytes(recorded):
    rows = np.array([(0.5, 7), (1.5, 8)], np.dtype([("x", "<f4"), ("agent_id", "<u4")]))
    cloud = PointCloud2(
        height=1,
        width=2,
        point_step=8,
        row_step=16,
        fields=[
            PointField(name="x", offset=0, datatype=PointField.FLOAT32, count=1),
            PointField(name="agent_id", offset=4, datatype=PointField.UINT32, count=1),
        ],
        data=rows.tobytes(),
    )

    leaves = recorded("sensor_msgs/msg/PointCloud2", cloud)

    assert leaves["[0].points.x"].tolist() == [0.5, 1.5]
    assert leaves["[0].points.agent_id"].tolist() == [7, 8]
    assert leaves["[0].fields[].name"].tolist() == ["x", "agent_id"]
    assert leaves["[0].width"].tolist() == [2]
    assert "[0].data" not in leaves
