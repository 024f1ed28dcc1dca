"""Maximum plausible displacement: a larger jump is another person or a tracker error."""

from __future__ import annotations

from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import BoolArray, FloatArray, IntArray

#: Distance that is plausible in any time: a detector fits another box, metres, and the noise of two
#: positions, in standard deviations of one.
_BOX_M, _NOISE_STDS = 0.1, 8.0


def is_in_reach(
    before_m: FloatArray,
    after_m: FloatArray,
    elapsed_ns: IntArray | int,
    max_speed_m_s: float,
    noise_m: float,
) -> BoolArray:
    """Whether displacements are plausible.

    Args:
        before_m: (A, 2) positions in metres.
        after_m: (A, 2) later positions in metres.
        elapsed_ns: (A,) times between them, or one for all, integer nanoseconds.
        max_speed_m_s: maximum plausible speed.
        noise_m: standard deviation of each coordinate of a position.

    Returns:
        (A,) booleans; False where a position is not finite.
    """
    x, y = (after_m - before_m).T
    reach_m = max_speed_m_s / NS_PER_S * elapsed_ns + _BOX_M + _NOISE_STDS * noise_m
    in_reach: BoolArray = x * x + y * y <= reach_m * reach_m
    return in_reach
