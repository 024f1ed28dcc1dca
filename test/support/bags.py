"""Recordings for tests: tracks and transforms, in sqlite3 or MCAP, split or compressed."""

from __future__ import annotations

import copy
import math
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from support.typestore import STORE

from social_implicit_ros.recordings.bag_writer import zero_message
from social_implicit_ros.types import Tracks

S = 1_000_000_000
START_NS = 1_700_000_000 * S
PEOPLE = "people_msgs/msg/People"
TF_MESSAGE = "tf2_msgs/msg/TFMessage"


@dataclass
class Recorded:
    """A message to write."""

    topic: str
    message_type: str
    message: Any
    recorded_ns: int
    qos: Sequence[Any] = field(default_factory=tuple)


def write_bag(
    path: Path,
    messages: Iterable[Recorded],
    *,
    storage: str = "mcap",
    compression: str = "none",
    definitions: bool = True,
) -> Path:
    """Writes a rosbag2 folder.

    Args:
        path: of the folder.
        messages: in any order.
        storage: `mcap` or `sqlite3`.
        compression: `none`, `file`, `message` or (MCAP only) `storage`.
        definitions: False makes a sqlite3 recording without definitions, as ROS before Iron did.
    """
    writer = Writer(path, version=8, storage_plugin=StoragePlugin[storage.upper()])
    if compression != "none":
        writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for entry in sorted(messages, key=lambda entry: entry.recorded_ns):
            key = (entry.topic, entry.message_type)
            if key not in connections:
                connections[key] = writer.add_connection(
                    entry.topic, entry.message_type, typestore=STORE
                )
            data = STORE.serialize_cdr(entry.message, entry.message_type)
            writer.write(connections[key], entry.recorded_ns, data)
    if not definitions:
        (file,) = path.glob("*.db3")
        with sqlite3.connect(file) as database:
            database.execute("DELETE FROM message_definitions")
    return path


def join_bags(path: Path, parts: Sequence[Path]) -> Path:
    """Joins recordings into one of several files, like `ros2 bag record --max-bag-duration`."""
    path.mkdir()
    metadata = [yaml.safe_load((part / "metadata.yaml").read_text()) for part in parts]
    joined = copy.deepcopy(metadata[0])
    information = joined["rosbag2_bagfile_information"]
    information["relative_file_paths"], information["files"] = [], []
    counts: dict[str, int] = {}
    for index, (part, entry) in enumerate(zip(parts, metadata, strict=True)):
        for name in entry["rosbag2_bagfile_information"]["relative_file_paths"]:
            new_name = f"part_{index}{''.join(Path(name).suffixes)}"
            shutil.copy(part / name, path / new_name)
            information["relative_file_paths"].append(new_name)
        for topic in entry["rosbag2_bagfile_information"]["topics_with_message_count"]:
            name = topic["topic_metadata"]["name"]
            counts[name] = counts.get(name, 0) + topic["message_count"]
    for topic in information["topics_with_message_count"]:
        topic["message_count"] = counts[topic["topic_metadata"]["name"]]
    information["message_count"] = sum(counts.values())
    information["duration"]["nanoseconds"] = sum(
        entry["rosbag2_bagfile_information"]["duration"]["nanoseconds"] for entry in metadata
    )
    (path / "metadata.yaml").write_text(yaml.safe_dump(joined))
    return path


def people_messages(
    recording: Iterable[Tracks],
    *,
    topic: str = "/people",
    frame_id: str = "map",
    latency_s: float = 0.0,
    clock_offset_s: float = 0.0,
) -> list[Recorded]:
    """Converts tracks to people_msgs/People.

    Args:
        recording: messages of a tracker.
        topic: name.
        frame_id: of the positions.
        latency_s: from the stamp to the time of recording.
        clock_offset_s: of the recorder's clock relative to the stamps.
    """
    zero = zero_message(STORE, PEOPLE)
    person = zero_message(STORE, "people_msgs/msg/Person")
    return [
        Recorded(
            topic,
            PEOPLE,
            replace(
                zero,
                header=header(tracks.stamp_ns, frame_id),
                people=[
                    replace(
                        person,
                        name=agent,
                        position=replace(person.position, x=float(x), y=float(y), z=float(z)),
                        reliability=1.0,
                    )
                    for agent, (x, y), z in zip(
                        tracks.ids, tracks.positions_m, tracks.heights_m, strict=True
                    )
                ],
            ),
            tracks.stamp_ns + round((latency_s + clock_offset_s) * S),
        )
        for tracks in recording
    ]


def transform_message(
    parent: str,
    child: str,
    stamp_ns: int,
    *,
    xyz: tuple[float, float, float] = (0.0, 0.0, 0.0),
    yaw: float = 0.0,
) -> Any:
    """A tf2_msgs/TFMessage with one transform."""
    zero = zero_message(STORE, "geometry_msgs/msg/TransformStamped")
    transform = replace(
        zero.transform,
        translation=replace(zero.transform.translation, x=xyz[0], y=xyz[1], z=xyz[2]),
        rotation=replace(zero.transform.rotation, z=math.sin(yaw / 2), w=math.cos(yaw / 2)),
    )
    stamped = replace(
        zero, header=header(stamp_ns, parent), child_frame_id=child, transform=transform
    )
    return replace(zero_message(STORE, TF_MESSAGE), transforms=[stamped])


def header(stamp_ns: int, frame_id: str) -> Any:
    """A std_msgs/Header."""
    zero = zero_message(STORE, "std_msgs/msg/Header")
    sec, nanosec = divmod(stamp_ns, S)
    return replace(zero, stamp=replace(zero.stamp, sec=sec, nanosec=nanosec), frame_id=frame_id)


def walkers(
    *,
    duration_s: float = 8.0,
    rate_hz: float = 10.0,
    n_agents: int = 3,
    start_ns: int = START_NS,
    speed_m_s: float = 1.0,
) -> list[Tracks]:
    """People who walk straight, each in a different direction."""
    angles = np.arange(n_agents) * 2.0 * math.pi / max(n_agents, 1)
    velocities = speed_m_s * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    places = 4.0 * np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    ids = tuple(f"p{agent}" for agent in range(n_agents))
    times_s = np.arange(round(duration_s * rate_hz) + 1) / rate_hz
    return [
        Tracks(start_ns + round(time_s * S), ids, places + velocities * time_s)
        for time_s in times_s.tolist()
    ]


def camera_bag(path: Path, *, late_s: float = 0.0, until_s: float = 4.0) -> Path:
    """4 s of `walkers` in the frame of a camera on a robot that drives and turns.

    The transforms of the robot are recorded `late_s` after their stamps, and end at `until_s`.
    """
    messages = people_messages(walkers(duration_s=4.0), frame_id="camera")
    for index in range(round(until_s * 10) + 2):
        stamp_ns = START_NS + round((index - 1) * 0.1 * S)
        robot = transform_message(
            "odom", "base", stamp_ns, xyz=(0.1 * index, 0.0, 0.0), yaw=0.02 * index
        )
        messages.append(Recorded("/tf", TF_MESSAGE, robot, stamp_ns + round(late_s * S)))
    camera = transform_message("base", "camera", START_NS, xyz=(0.5, 0.0, 1.0))
    messages.append(Recorded("/tf_static", TF_MESSAGE, camera, START_NS + 3 * S))
    return write_bag(path, messages)
