"""Integer nanoseconds <-> `builtin_interfaces/Time`."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Duration, Time
from numpy.typing import ArrayLike
from std_msgs.msg import Header

from social_implicit_ros.types import IntArray

_NS_PER_S = 1_000_000_000


def stamp_to_msg(stamp_ns: int) -> Time:
    """A stamp as a message."""
    return Time(sec=stamp_ns // _NS_PER_S, nanosec=stamp_ns % _NS_PER_S)


def stamp_numbers(stamps_ns: ArrayLike) -> IntArray:
    """Stamps as `Time` holds them: (...,) nanoseconds -> (..., 2) seconds, nanoseconds."""
    return np.stack(np.divmod(np.asarray(stamps_ns, dtype=np.int64), _NS_PER_S), axis=-1)


def header_to_msg(stamp_ns: int, frame_id: str) -> Header:
    """A stamp and the frame that it is about, as a message."""
    return Header(stamp=stamp_to_msg(stamp_ns), frame_id=frame_id)


def duration_to_msg(duration_s: float) -> Duration:
    """A duration in seconds as a message."""
    duration_ns = round(duration_s * _NS_PER_S)
    return Duration(sec=duration_ns // _NS_PER_S, nanosec=duration_ns % _NS_PER_S)
