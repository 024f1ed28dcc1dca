"""Reads serialised `tf2_msgs/TFMessage`s.

`CdrReader` takes 48 us for a message with one transform, this parser 1.4 us. A robot publishes
hundreds of them per second.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from social_implicit_ros.tracks.frames.transforms import Pose
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import plain_frame

TF_MESSAGE = "tf2_msgs/msg/TFMessage"
#: Second byte of the encapsulation header -> byte order.
_BYTE_ORDERS = {0: ">", 1: "<"}
_HEADER_BYTES = 4


@dataclass(frozen=True)
class StampedPose:
    """A `geometry_msgs/TransformStamped`: the pose of `child` in `parent` at a time.

    The pose is None if its values are not finite, or its quaternion is zero.
    """

    parent: str
    child: str
    stamp_ns: int
    pose: Pose | None


#: The same byte -> readers of a length, of a stamp and a length, and of the seven pose numbers.
_READERS = {
    byte: [struct.Struct(order + code).unpack_from for code in ("I", "iII", "7d")]
    for byte, order in _BYTE_ORDERS.items()
}


def transforms_of(data: bytes) -> list[StampedPose]:
    """The transforms of a message, with unit quaternions and without leading slashes.

    As in tf2, transforms are ignored if a frame is empty or both frames are equal.

    Raises:
        ValueError: the bytes are not such a message.
    """
    try:
        found = [_stamped_pose(*entry) for entry in _entries(bytes(data))]
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"{len(data)} bytes are not a {TF_MESSAGE}: {error}") from error
    return [entry for entry in found if entry is not None]


def _entries(data: bytes) -> Iterator[tuple[bytes, bytes, int, tuple[float, ...]]]:
    """Parent, child, stamp and seven numbers of each transform."""
    readers = _READERS.get(data[1]) if len(data) > 1 and data[0] == 0 else None
    if readers is None:
        raise ValueError(f"a message of {len(data)} bytes is not plain CDR: {data[:2]!r}")
    length_at, stamp_and_length_at, numbers_at = readers
    (n_entries,), at = length_at(data, _HEADER_BYTES), 2 * _HEADER_BYTES
    for _ in range(n_entries):
        at = (at + 3) & -4
        seconds, nanoseconds, length = stamp_and_length_at(data, at)
        at, end = at + 12, at + 12 + length
        parent = data[at:end]
        at = (end + 3) & -4
        (length,) = length_at(data, at)
        at, end = at + 4, at + 4 + length
        child = data[at:end]
        # Doubles are aligned to eight bytes, counted from the end of the header.
        at = ((end - _HEADER_BYTES + 7) & -8) + _HEADER_BYTES
        yield parent, child, seconds * NS_PER_S + nanoseconds, numbers_at(data, at)
        at += 56


def _stamped_pose(
    parent: bytes, child: bytes, stamp_ns: int, numbers: tuple[float, ...]
) -> StampedPose | None:
    x, y, z, qx, qy, qz, qw = numbers
    names = [plain_frame(name.rstrip(b"\0").decode()) for name in (parent, child)]
    if not all(names) or names[0] == names[1]:
        return None
    norm, pose = math.hypot(qx, qy, qz, qw), None
    if 1e-9 < norm < math.inf and math.isfinite(x + y + z):
        pose = ((x, y, z), (qx / norm, qy / norm, qz / norm, qw / norm))
    return StampedPose(names[0], names[1], stamp_ns, pose)
