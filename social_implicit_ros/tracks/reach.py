"""How far somebody may have come: what is farther off is somebody else, or a tracker's mistake."""

from __future__ import annotations

from social_implicit_ros.types import BoolArray, FloatArray, IntArray

#: A jump within this distance is noise of the tracker, however short the time, metres.
_JUMP_TOLERANCE_M = 0.5
_NS_PER_S = 1_000_000_000


def is_in_reach(
    before_m: FloatArray, after_m: FloatArray, elapsed_ns: IntArray | int, max_speed_m_s: float
) -> BoolArray:
    """Which positions a person may have come to in a time.

    Args:
        before_m: (A, 2) positions in metres.
        after_m: (A, 2) later positions in metres.
        elapsed_ns: (A,) or one time between them, integer nanoseconds.
        max_speed_m_s: the fastest that anybody moves.

    Returns:
        (A,) False also where a position is not finite.
    """
    x, y = (after_m - before_m).T
    reach_m = max_speed_m_s / _NS_PER_S * elapsed_ns + _JUMP_TOLERANCE_M
    in_reach: BoolArray = x * x + y * y <= reach_m * reach_m
    return in_reach
