"""Records what a checkout's `predictor_node` publishes for a recording; see compare_checkouts.py.

The node predicts at every message, at the message's stamp, and gets the next one as soon as every
output has answered. What it publishes does not depend on the speed of the machine.
"""

from __future__ import annotations

import copy
import itertools
import math
import os
import struct
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.rosbag2 import Reader

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "test"))

from support.ros import LOSSLESS, NodeProcess, Peer, ros_arguments

from social_implicit_ros.ros.processes.domains import reserve_domain
from social_implicit_ros.ros.trackers import import_message
from social_implicit_ros.tracks.messages.point_cloud import point_cloud_array
from social_implicit_ros.tracks.stamps import stamp_ns_of

#: All values of the parameter `outputs`; each one publishes on one topic below the node's name.
OUTPUTS = (
    *("pointcloud", "samples", "markers", "mpc_planner", "costmap", "detections", "autoware"),
    *("people", "costmap_converter"),
)
#: A topic that is not compared: its content depends on the wall clock.
METRICS = "/predictor/metrics"
#: Every replay begins at this stamp. Text recordings begin at zero, which allows no earlier stamps.
BEGIN_NS = 1_700_000_000_000_000_000
#: Messages before discovery are lost, so earlier ones are sent until one is answered. They are so
#: much older than the recording that the node drops their tracks before it, and so close to one
#: another that none of them is evaluated.
BEFORE_NS, APART_NS = 1_000_000_000_000, 1_000
ASK_AGAIN_S = 0.5
#: The class of a message type.
class_of = partial(import_message, owner="record_outputs")


def record_outputs(
    command: Path, bag: Path, folder: Path, parameters: Mapping[str, Any], n_messages: int
) -> None:
    """Replays a bag to the node and keeps what every output publishes.

    Args:
        command: `predictor_node` of a checkout.
        bag: rosbag2 folder; its topic /tracks is a PointCloud2 or a MarkerArray.
        folder: created; gets an .npz of each topic, and the file of the adaptive calibration.
        parameters: parameters of the node.
        n_messages: maximum number of messages to replay.
    """
    recording = read_tracks(bag, n_messages)
    folder.mkdir()
    domain, log = reserve_domain(), folder / "node.log"
    arguments = ros_arguments(
        **parameters,
        outputs=f"[{','.join(OUTPUTS)}]",
        tick_rate_hz=0.0,
        # The costmap needs a source of the robot's position; without messages it stays in place.
        robot="odometry",
        tracker="marker_array" if hasattr(recording[0], "markers") else "point_cloud",
        fixed_frame=headers(recording[0])[0].frame_id,
        calibration_file=folder / "calibration.json",
    )
    with ExitStack() as stack:
        process = subprocess.Popen(
            [command, *arguments],
            stdout=stack.enter_context(log.open("w")),
            stderr=subprocess.STDOUT,
            env={**os.environ, "ROS_DOMAIN_ID": str(domain), "ROS_HOME": str(folder)},
        )
        node = NodeProcess(process, log)
        stack.callback(process.wait)
        stack.callback(process.kill)
        peer = Peer(domain)
        stack.callback(peer.close)
        topics = peer.predictor_topics(len(OUTPUTS) + 1, node)
        del topics[METRICS]
        received: dict[str, list[bytes]] = {topic: [] for topic in topics}
        for topic, kind in topics.items():
            peer.node.create_subscription(
                class_of(kind), topic, received[topic].append, LOSSLESS, raw=True
            )
        replay(recording, received, peer, node)
        if (status := node.stop()) != 0:
            raise RuntimeError(f"predictor_node ended with status {status}:\n{node.output}")
    for topic, messages in received.items():
        write_messages(folder / f"{topic.rpartition('/')[2]}.npz", topics[topic], messages)


def read_tracks(bag: Path, n_messages: int) -> list[Any]:
    """The first messages on /tracks that have a stamp: a MarkerArray without markers has none."""
    with Reader(bag) as reader:
        (connection,) = (c for c in reader.connections if c.topic == "/tracks")
        data = [bytes(raw) for *_, raw in reader.messages([connection])][:n_messages]
    message_class = class_of(connection.msgtype)
    messages = [deserialize_message(raw, message_class) for raw in data]
    return [message for message in messages if headers(message)]


def replay(
    recording: list[Any], received: Mapping[str, list[bytes]], peer: Peer, node: NodeProcess
) -> None:
    """Publishes message by message; afterwards each list has one answer for each message."""
    tracks = peer.publisher(type(recording[0]), "/predictor/tracks", node)
    # The longest message contains people.
    first = copy.deepcopy(max(recording, key=lambda message: len(serialize_message(message))))
    stamps_ns = itertools.count(BEGIN_NS - BEFORE_NS, APART_NS)
    asked_ns, asked_s = 0, -math.inf

    def newest_is_answered() -> bool:
        nonlocal asked_ns, asked_s
        if time.monotonic() > asked_s + ASK_AGAIN_S:
            asked_ns, asked_s = next(stamps_ns), time.monotonic()
            tracks.publish(shift(first, asked_ns - stamp_ns_of(headers(first)[0].stamp)))
        stamp = struct.pack("<iI", *divmod(asked_ns, 10**9))
        return all(messages and stamp in messages[-1] for messages in received.values())

    # Messages are lost until both sides have discovered each other. An answer without people may
    # have no stamp, and nobody is predicted at the first message.
    peer.wait_for(newest_is_answered, "an answer of every output", node)
    for messages in received.values():
        messages.clear()
    by_ns = BEGIN_NS - stamp_ns_of(headers(recording[0])[0].stamp)
    for index, message in enumerate(recording):
        tracks.publish(shift(message, by_ns))
        peer.wait_for(
            lambda index=index: all(len(messages) > index for messages in received.values()),
            f"an answer of every output to message {index}",
            node,
        )


def headers(message: Any) -> list[Any]:
    """The headers of a PointCloud2 or of the markers of a MarkerArray."""
    return [part.header for part in getattr(message, "markers", [message])]


def shift(message: Any, by_ns: int) -> Any:
    """Moves the stamps of a message, and returns it."""
    for header in headers(message):
        now_ns = stamp_ns_of(header.stamp) + by_ns
        header.stamp.sec, header.stamp.nanosec = divmod(now_ns, 10**9)
    return message


def write_messages(path: Path, kind: str, messages: Sequence[bytes]) -> None:
    """Writes serialised messages of a type, such as nav_msgs/msg/OccupancyGrid."""
    np.savez_compressed(
        path,
        kind=np.array(kind),
        ends=np.cumsum([len(message) for message in messages]),
        data=np.frombuffer(b"".join(messages), np.uint8),
    )


def recorded_leaves(path: Path) -> dict[str, np.ndarray]:
    """The values of each field of each message in a file of `write_messages`.

    Values of the same field in a list of parts, such as the markers of a MarkerArray, are one leaf.
    """
    with np.load(path, allow_pickle=False) as file:  # noqa: TID251
        message_class, data = class_of(str(file["kind"])), file["data"].tobytes()
        ends = file["ends"].tolist()
    leaves = {}
    for index, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
        found: dict[str, list[Any]] = defaultdict(list)
        _collect(deserialize_message(data[begin:end], message_class), f"[{index}]", found)
        leaves.update({name: np.array(values) for name, values in found.items()})
    return leaves


def _collect(value: Any, name: str, found: dict[str, list[Any]]) -> None:
    if hasattr(value, "get_fields_and_field_types"):
        is_cloud = hasattr(value, "point_step")
        if is_cloud:
            points = point_cloud_array(value)
            for key in points.dtype.names or ():
                found[f"{name}.points.{key}"].extend(points[key])
        for key in value.get_fields_and_field_types():
            if not (is_cloud and key == "data"):
                _collect(getattr(value, key), f"{name}.{key}", found)
    elif isinstance(value, (str, bool, int, float, bytes)):
        found[name].append(value)
    else:
        found[f"{name}.length"].append(len(value))
        if len(value) > 0 and hasattr(value[0], "get_fields_and_field_types"):
            for entry in value:
                _collect(entry, f"{name}[]", found)
        else:
            found[name].extend(value)
