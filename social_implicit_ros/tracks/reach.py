"""Maximum plausible displacement: a larger jump is another person or a tracker error."""

from __future__ import annotations

from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import BoolArray, FloatArray, IntArray

#: Tracker noise: a jump within this distance is plausible in any time, metres.
_JUMP_TOLERANCE_M = 0.5


def is_in_reach(
    before_m: FloatArray, after_m: FloatArray, elapsed_ns: IntArray | int, max_speed_m_s: float
) -> BoolArray:
    """Whether displacements are plausible.

    Args:
        before_m: (A, 2) positions in metres.
        after_m: (A, 2) later positions in metres.
        elapsed_ns: (A,) times between them, or one for all, integer nanoseconds.
        max_speed_m_s: maximum plausible speed.

    Returns:
        (A,) booleans; False where a position is not finite.
    """
    x, y = (after_m - before_m).T
    reach_m = max_speed_m_s / NS_PER_S * elapsed_ns + _JUMP_TOLERANCE_M
    in_reach: BoolArray = x * x + y * y <= reach_m * reach_m
    return in_reach
