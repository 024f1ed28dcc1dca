"""Integer nanoseconds of ROS stamps."""

from __future__ import annotations

from typing import Any

NS_PER_S = 1_000_000_000
#: A time after all others.
NEVER_NS = 2**62


def stamp_ns_of(stamp: Any) -> int:
    """Nanoseconds of a `builtin_interfaces/Time` of rclpy or of `rosbags`."""
    return int(stamp.sec) * NS_PER_S + int(stamp.nanosec)
