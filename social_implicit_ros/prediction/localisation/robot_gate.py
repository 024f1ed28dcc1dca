"""Holds back positions of the robot that cannot be right."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.tracks.reach import is_in_reach
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import Tracks

#: Time for which the robot must stay where it jumped to until that is believed, and for which it
#: may stand still while it reports a speed, nanoseconds.
_PATIENCE_NS = NS_PER_S
#: Speed that is no noise, and displacement that is no motion.
_MOVING_M_S, _STILL_M = 0.1, 1e-3


class RobotGate:
    """Follows the robot's positions; believes a jump when all positions of a second confirm it.

    Outliers in a row, two publishers on one topic, and a pose that is frozen while the robot drives
    would otherwise move the outputs away from the robot, or leave them behind.
    """

    def __init__(self) -> None:
        """Knows no position."""
        self.reset()

    def reset(self) -> None:
        """Forgets all positions."""
        self._last: Tracks | None = None
        self._jumped: Tracks | None = None  # the newest position after a jump
        self._jumped_ns = 0  # since when it is there
        self._stands: Tracks | None = None  # the first position where it stands with a speed
        #: The newest accepted position is where the robot jumped to: what was before is no past.
        self.has_jumped = False

    def problem_of(self, robot: Tracks, max_speed_m_s: float) -> str:
        """Why a position is held back; empty if it is not.

        Args:
            robot: in the histories' coordinates. A velocity may have any direction.
            max_speed_m_s: of the robot.
        """
        last, jumped, stamp_ns = self._last, self._jumped, robot.stamp_ns
        self.has_jumped = False
        # The history refuses what is not finite, and compares what is late.
        if not np.isfinite(robot.positions_m).all() or (last and stamp_ns <= last.stamp_ns):
            return ""
        if last is not None:
            if _follows(jumped, robot, max_speed_m_s) and _is_nearer(jumped, last, robot):
                self._jumped = robot
                if stamp_ns - self._jumped_ns < _PATIENCE_NS:
                    return _text_on_jump(last, robot)
                self.has_jumped = True
            elif not _follows(last, robot, max_speed_m_s):
                self._jumped, self._jumped_ns = robot, stamp_ns
                return _text_on_jump(last, robot)
        self._last, self._jumped = robot, None
        speed_m_s = 0.0
        if robot.velocities_m_s is not None:
            speed_m_s = float(np.linalg.norm(robot.velocities_m_s))
        # Not since the last message: at 1 kHz a robot hardly moves.
        stands = self._stands if speed_m_s > _MOVING_M_S else None
        if stands is None or _distance_m(stands, robot) > _STILL_M:
            stands = robot
        self._stands = stands
        if stamp_ns - stands.stamp_ns < _PATIENCE_NS:
            return ""
        return (
            f"the robot's position does not change at a speed of {speed_m_s:.1f} m/s: left out; "
            "check what publishes the pose"
        )


def _follows(before: Tracks | None, robot: Tracks, max_speed_m_s: float) -> bool:
    """Whether the robot can have moved there."""
    if before is None:
        return False
    elapsed_ns = abs(robot.stamp_ns - before.stamp_ns)
    positions = before.positions_m, robot.positions_m
    return bool(is_in_reach(*positions, elapsed_ns, max_speed_m_s, 0.0)[0])


def _is_nearer(one: Tracks | None, other: Tracks, robot: Tracks) -> bool:
    return one is not None and _distance_m(one, robot) < _distance_m(other, robot)


def _distance_m(before: Tracks, robot: Tracks) -> float:
    return float(np.linalg.norm(robot.positions_m - before.positions_m))


def _text_on_jump(before: Tracks, robot: Tracks) -> str:
    elapsed_s = (robot.stamp_ns - before.stamp_ns) / NS_PER_S
    return (
        f"the robot's position jumps by {_distance_m(before, robot):.1f} m within "
        f"{elapsed_s:.2f} s: left out until it stays there for {_PATIENCE_NS / NS_PER_S:g} s; "
        "check that one source publishes the pose, without jumps"
    )
