"""Adds the robot's positions to the history, without implausible ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from social_implicit_ros.prediction.localisation.frames import HistoryFrame
from social_implicit_ros.prediction.update import REFUSED_STAMPS, Refusal
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.frames.transforms import TransformUnavailableError
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.outliers import Reach
from social_implicit_ros.tracks.stamp_guard import StampGuard
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import ROBOT_ID, SkipReason, Tracks

#: Time after which a jump is accepted if the robot stays there, and after which a constant position
#: with a reported speed is refused, nanoseconds.
_PATIENCE_NS = NS_PER_S
#: A reported speed above the first value means motion, a displacement below the second none.
_MOVING_M_S, _STILL_M = 0.1, 1e-3


class RobotGate:
    """Checks the robot's positions; accepts a jump when all positions of a second confirm it.

    Otherwise several outliers in a row, two publishers on one topic, or a pose that freezes while
    the robot drives would place the outputs away from the robot.
    """

    def __init__(self, history: TrackHistory, config: PredictorConfig) -> None:
        self.config, self._history = config, history
        self.guard = StampGuard(config.pipeline.track_timeout_s)
        self.reset()

    def reset(self) -> None:
        """Forgets all positions."""
        self._last: Tracks | None = None  # the newest accepted position
        self._jumped: Tracks | None = None  # the newest position after a jump
        self._jumped_ns = 0  # time of the jump
        self._stands: Tracks | None = None  # first of equal positions with a reported speed
        #: The newest accepted position follows a jump, so that earlier ones are not its past.
        self.has_jumped = False

    def stamp_problem(self, robot: Tracks, now_ns: int, kind: str, what: str) -> Refusal | None:
        """Why the stamp of a position is refused; None if it is accepted."""
        reason = self.guard.check(robot.stamp_ns, now_ns)
        if reason is not None:
            return Refusal(f"{kind}.{reason.value}", f"{what} {REFUSED_STAMPS[reason]}")
        if self.guard.has_jumped_back and not self._history.unknown((ROBOT_ID,)):
            self._history.forget([ROBOT_ID])
            self.reset()
        return None

    def enter(self, robot: Tracks, skipped: Counter[SkipReason]) -> Refusal | None:
        """Adds a position in the histories' frame; returns why it is refused, or None."""
        problem = self.problem_of(robot, self.config.pipeline.max_speed_m_s)
        if problem:
            return Refusal("robot.position", problem)
        if self.has_jumped and not self._history.unknown((ROBOT_ID,)):
            self._history.forget([ROBOT_ID])
        # The velocity of odometry is in the robot's frame.
        rejected = self._history.insert(replace(robot, velocities_m_s=None))
        skipped.update(rejected.values())
        return None

    def locate(
        self, lookup: TransformBuffer, frame: HistoryFrame, now_ns: int, max_age_s: float
    ) -> Refusal | None:
        """Adds the newest pose of `robot_frame` to the history; returns why it is not known."""
        try:
            pose, stamp_ns = lookup.latest(frame.frame_id, self.config.robot_frame)
        except TransformUnavailableError as error:
            return Refusal("robot", f"the robot's pose is not known: {error}")
        age_s = (now_ns - stamp_ns) / NS_PER_S if stamp_ns else 0.0
        if age_s > max_age_s:
            check = "check the clock and rate of its publisher"
            return Refusal("robot", f"the robot's pose is {age_s:.1f} s old: {check}")
        at_m = pose.translation_m
        # A static transform has no stamp and is valid at any time.
        robot = Tracks(stamp_ns or now_ns, (ROBOT_ID,), at_m[None, :2], at_m[2:])
        refusal = self.stamp_problem(robot, now_ns, "robot", "the robot's pose is")
        return refusal or self.enter(frame.moved_back(robot), Counter())

    def problem_of(self, robot: Tracks, max_speed_m_s: float) -> str:
        """Why a position is refused; empty if it is accepted.

        Args:
            robot: position in the histories' frame. Only the norm of its velocity is used.
            max_speed_m_s: maximum speed of the robot.
        """
        last, jumped, stamp_ns = self._last, self._jumped, robot.stamp_ns
        self.has_jumped = False
        # The history refuses values that are not finite, and checks late positions.
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
        # Not compared with the last message, as a robot hardly moves between messages at 1 kHz.
        stands = self._stands if speed_m_s > _MOVING_M_S else None
        if stands is None or _distance_m(stands, robot) > _STILL_M:
            stands = robot
        self._stands = stands
        if stamp_ns - stands.stamp_ns < _PATIENCE_NS:
            return ""
        return (
            f"the robot's position does not change at a reported speed of {speed_m_s:.1f} m/s and "
            "is not used; check the publisher of the pose"
        )


def _follows(before: Tracks | None, robot: Tracks, max_speed_m_s: float) -> bool:
    """Whether the robot can have moved there from an earlier position."""
    if before is None:
        return False
    elapsed_ns = abs(robot.stamp_ns - before.stamp_ns)
    reach = Reach(max_speed_m_s)
    return bool(reach.covers(before.positions_m, robot.positions_m, elapsed_ns)[0])


def _is_nearer(one: Tracks | None, other: Tracks, robot: Tracks) -> bool:
    return one is not None and _distance_m(one, robot) < _distance_m(other, robot)


def _distance_m(before: Tracks, robot: Tracks) -> float:
    return float(np.linalg.norm(robot.positions_m - before.positions_m))


def _text_on_jump(before: Tracks, robot: Tracks) -> str:
    elapsed_s = (robot.stamp_ns - before.stamp_ns) / NS_PER_S
    return (
        f"the robot's position jumps by {_distance_m(before, robot):.1f} m within "
        f"{elapsed_s:.2f} s and is not used until it stays there for "
        f"{_PATIENCE_NS / NS_PER_S:g} s; check that only one source publishes the pose"
    )
