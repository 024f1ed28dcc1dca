"""Integer nanoseconds <-> `builtin_interfaces/Time`."""

from __future__ import annotations

from builtin_interfaces.msg import Duration, Time
from std_msgs.msg import Header

_NS_PER_S = 1_000_000_000


def stamp_to_msg(stamp_ns: int) -> Time:
    """A stamp as a message."""
    return Time(sec=stamp_ns // _NS_PER_S, nanosec=stamp_ns % _NS_PER_S)


def header_to_msg(stamp_ns: int, frame_id: str) -> Header:
    """A stamp and the frame that it is about, as a message."""
    return Header(stamp=stamp_to_msg(stamp_ns), frame_id=frame_id)


def duration_to_msg(duration_s: float) -> Duration:
    """A duration in seconds as a message."""
    duration_ns = round(duration_s * _NS_PER_S)
    return Duration(sec=duration_ns // _NS_PER_S, nanosec=duration_ns % _NS_PER_S)
