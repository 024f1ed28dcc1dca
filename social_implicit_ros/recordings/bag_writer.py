"""Writes tracks and maps as messages and rosbag2 recordings (MCAP); ROS need not be installed."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rosbags import interfaces
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, WriterError
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from social_implicit_ros.prediction.walls import OCCUPANCY_GRID, FloorPlan
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.tracks.messages.agent_ids import (
    PERSON_HEIGHT_M,
    PERSON_WIDTH_M,
    agent_number,
    marker_id,
)
from social_implicit_ros.tracks.messages.point_cloud import point_cloud_data, point_field_layout
from social_implicit_ros.types import Tracks

#: Version of the rosbag2 metadata; every distribution since Humble reads it.
BAG_VERSION: Literal[8] = 8

#: Name on the command line -> ROS message type.
MESSAGE_TYPES = {
    "marker_array": "visualization_msgs/msg/MarkerArray",
    "point_cloud": "sensor_msgs/msg/PointCloud2",
}

#: Full names of topics, see design.ros2.org/articles/topic_and_service_names.html.
_TOPIC = re.compile(r"(/[A-Za-z_][A-Za-z0-9_]*)+")

_NO_LIMIT = interfaces.QosTime(0, 0)
#: As map servers publish: late subscribers get the last message.
_LATCHED = interfaces.Qos(
    history=interfaces.QosHistory.KEEP_LAST,
    depth=1,
    reliability=interfaces.QosReliability.RELIABLE,
    durability=interfaces.QosDurability.TRANSIENT_LOCAL,
    deadline=_NO_LIMIT,
    lifespan=_NO_LIMIT,
    liveliness=interfaces.QosLiveliness.AUTOMATIC,
    liveliness_lease_duration=_NO_LIMIT,
    avoid_ros_namespace_conventions=False,
)


def write_tracks(
    path: Path,
    recording: Iterable[Tracks],
    *,
    topic: str,
    message_type: str,
    frame_id: str,
    floor_plan: FloorPlan | None = None,
) -> int:
    """Writes a new rosbag2 folder with one compressed MCAP file; returns the number of messages.

    `recording` has the tracks of each message in the order of their stamps. The floor plan is
    written to `/map` at the time of the first tracks. Raises RecordingError if `path` exists, for
    an unknown message type, or if the topic is not a full name.
    """
    if message_type not in MESSAGE_TYPES:
        raise RecordingError(
            f"message type is {message_type!r}, expected one of {', '.join(MESSAGE_TYPES)}"
        )
    if not _TOPIC.fullmatch(topic):
        raise RecordingError(f"topic is {topic!r}, expected a full name, such as /tracks")
    try:
        writer = Writer(path, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        writer.open()
    except WriterError as error:
        raise RecordingError(
            f"{path} exists and is not overwritten: remove it or give another path"
        ) from error
    n_messages = 0
    try:
        with closing(writer):
            connection = writer.add_connection(
                topic, MESSAGE_TYPES[message_type], typestore=_store()
            )
            for tracks in recording:
                if n_messages == 0 and floor_plan is not None:
                    of_map = writer.add_connection(
                        "/map", OCCUPANCY_GRID, typestore=_store(), offered_qos_profiles=[_LATCHED]
                    )
                    data = serialised_map(floor_plan, tracks.stamp_ns, frame_id)
                    writer.write(of_map, tracks.stamp_ns, data)
                data = serialised_tracks(tracks, message_type, frame_id)
                writer.write(connection, tracks.stamp_ns, data)
                n_messages += 1
            if n_messages == 0:
                raise RecordingError("there is no message to write")
    except BaseException:  # including Ctrl-C: an incomplete recording has no metadata
        shutil.rmtree(path, ignore_errors=True)
        raise
    return n_messages


def serialised_tracks(tracks: Tracks, message_type: str, frame_id: str) -> bytes:
    """A message of one of `MESSAGE_TYPES`, serialised as CDR."""
    encode = _marker_array if message_type == "marker_array" else _point_cloud
    message = encode(_store(), tracks, frame_id)
    return bytes(_store().serialize_cdr(message, MESSAGE_TYPES[message_type]))


def serialised_map(plan: FloorPlan, stamp_ns: int, frame_id: str) -> bytes:
    """A `nav_msgs/OccupancyGrid`, serialised as CDR: 100 if occupied, else 0.

    `frame_id` is used if the plan has no frame.
    """
    store, (rows, columns) = _store(), plan.occupied.shape
    zero = zero_message(store, OCCUPANCY_GRID)
    origin = _pose(zero.info.origin, *plan.origin_m, yaw_rad=plan.yaw_rad)
    grid = replace(
        zero,
        header=_header(store, stamp_ns, plan.frame_id or frame_id),
        info=replace(
            zero.info, resolution=plan.resolution_m, height=rows, width=columns, origin=origin
        ),
        data=np.where(plan.occupied, 100, 0).astype(np.int8).reshape(-1),
    )
    return bytes(store.serialize_cdr(grid, OCCUPANCY_GRID))


@cache
def _store() -> Typestore:
    return get_typestore(Stores.ROS2_HUMBLE)


def _marker_array(store: Typestore, tracks: Tracks, frame_id: str) -> Any:
    """One cylinder per pedestrian; id `7` becomes ns `pedestrian`, id 7; `people/7` stays."""
    zero = zero_message(store, "visualization_msgs/msg/Marker")
    person = replace(
        zero,
        header=_header(store, tracks.stamp_ns, frame_id),
        type=zero.CYLINDER,
        action=zero.ADD,
        scale=replace(zero.scale, x=PERSON_WIDTH_M, y=PERSON_WIDTH_M, z=PERSON_HEIGHT_M),
        color=replace(zero.color, r=0.2, g=0.5, b=0.9, a=0.8),
    )
    xyz_m = np.column_stack([tracks.positions_m, tracks.heights_m]).tolist()
    markers = []
    for agent_id, (x, y, z) in zip(tracks.ids, xyz_m, strict=True):
        namespace, number = marker_id(agent_id)
        pose = _pose(zero.pose, x, y, z)
        markers.append(replace(person, ns=namespace, id=number, pose=pose))
    return replace(zero_message(store, MESSAGE_TYPES["marker_array"]), markers=markers)


def _point_cloud(store: Typestore, tracks: Tracks, frame_id: str) -> Any:
    """One point per pedestrian: x, y, z as float64, id as uint32."""
    points = point_cloud_data(
        {
            "x": tracks.positions_m[:, 0],
            "y": tracks.positions_m[:, 1],
            "z": tracks.heights_m,
            "id": np.array([agent_number(agent) for agent in tracks.ids], dtype=np.uint32),
        }
    )
    zero_field = zero_message(store, "sensor_msgs/msg/PointField")
    fields = [
        replace(zero_field, name=name, offset=offset, datatype=datatype, count=1)
        for name, offset, datatype in point_field_layout(points.dtype)
    ]
    return replace(
        zero_message(store, MESSAGE_TYPES["point_cloud"]),
        header=_header(store, tracks.stamp_ns, frame_id),
        height=1,
        width=len(points),
        fields=fields,
        point_step=points.dtype.itemsize,
        row_step=points.nbytes,
        data=points.view(np.uint8),
        is_dense=True,
    )


def zero_message(store: Typestore, ros_type: str) -> Any:
    """A message of a type in the store with every field zero or empty, as ROS constructs it."""
    _, fields = store.fielddefs[ros_type]
    return store.types[ros_type](**{name: _zero(store, field) for name, field in fields})


def _zero(store: Typestore, field: Any) -> Any:
    node, detail = field
    if node == interfaces.Nodetype.NAME:
        return zero_message(store, detail)
    if node == interfaces.Nodetype.BASE:
        return "" if detail[0] == "string" else np.dtype(detail[0]).type(0).item()
    (item_node, item), length = detail
    if item_node == interfaces.Nodetype.BASE and item[0] != "string":
        return np.zeros(length, dtype=item[0])
    return [_zero(store, (item_node, item)) for _ in range(length)]


def _pose(zero: Any, x_m: float, y_m: float, z_m: float = 0.0, *, yaw_rad: float = 0.0) -> Any:
    position = replace(zero.position, x=x_m, y=y_m, z=z_m)
    z, w = math.sin(0.5 * yaw_rad), math.cos(0.5 * yaw_rad)
    return replace(zero, position=position, orientation=replace(zero.orientation, z=z, w=w))


def _header(store: Typestore, stamp_ns: int, frame_id: str) -> Any:
    header = zero_message(store, "std_msgs/msg/Header")
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return replace(header, stamp=replace(header.stamp, sec=sec, nanosec=nanosec), frame_id=frame_id)
