"""The robot: limits, dynamics, and the candidate motions of a planner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from social_implicit_ros.types import BoolArray, FloatArray

#: Array of single or double precision.
Floats = NDArray[np.floating[Any]]
#: Time between two steps of a plan, seconds.
DT_S = 0.2
#: Number of planned steps: 4.8 s.
N_STEPS = 24
#: The goal is reached within this distance, metres.
GOAL_M = 0.5
#: Number of steps at the goal after which people are ignored.
_STOP_STEPS = 1
#: A candidate has one of these shares of the speed and one of these directions relative to the
#: goal, for one of these durations. Then it drives to the goal.
_SPEED_SHARES = (0.5, 1.0)
_HEADINGS_RAD: FloatArray = np.radians(
    [0, 15, -15, 30, -30, 50, -50, 75, -75, 110, -110, 150, -150]
)
_HOLD_S = (0.8, 1.6, 3.2)


@dataclass(frozen=True)
class Robot:
    """Size and limits.

    Attributes:
        radius_m: radius of the circular footprint, metres.
        speed_m_s: preferred and maximum speed, m/s.
        acceleration_m_s2: maximum acceleration and deceleration, m/s^2.
        turn_rad_s: maximum turning rate of a unicycle, rad/s.
        is_holonomic: whether it moves in any direction without turning.
    """

    radius_m: float = 0.3
    speed_m_s: float = 1.2
    acceleration_m_s2: float = 1.5
    turn_rad_s: float = 1.5
    is_holonomic: bool = False

    def __post_init__(self) -> None:
        for name in ("radius_m", "speed_m_s", "acceleration_m_s2", "turn_rad_s"):
            if not 0.0 < getattr(self, name) <= 100.0:
                value = getattr(self, name)
                raise ValueError(f"the robot's {name} is {value}, expected above 0, at most 100")

    def moved(self, state: Floats, speed_m_s: Floats, heading_rad: Floats) -> Floats:
        """The state after one step.

        Args:
            state: (4, ...) x and y in metres, heading in radians, speed in m/s.
            speed_m_s: (...,) requested speed, m/s.
            heading_rad: (...,) requested direction, radians.
        """
        x, y, heading, speed = state
        change_m_s = self.acceleration_m_s2 * DT_S
        if self.is_holonomic:
            vx, vy = speed * np.cos(heading), speed * np.sin(heading)
            dx, dy = speed_m_s * np.cos(heading_rad) - vx, speed_m_s * np.sin(heading_rad) - vy
            share = np.minimum(change_m_s / np.maximum(np.hypot(dx, dy), 1e-9), 1.0)
            vx, vy = vx + share * dx, vy + share * dy
            speed, heading = np.hypot(vx, vy), np.arctan2(vy, vx)
        else:
            turn = heading_rad - heading
            turn -= 2.0 * np.pi * np.rint(turn / (2.0 * np.pi))
            most = self.turn_rad_s * DT_S
            heading = heading + np.minimum(np.maximum(turn, -most), most)
            # For large turns it slows down.
            change = np.where(np.abs(turn) > np.pi / 3.0, 0.3 * speed_m_s, speed_m_s) - speed
            speed = speed + np.minimum(np.maximum(change, -change_m_s), change_m_s)
            vx, vy = speed * np.cos(heading), speed * np.sin(heading)
        return np.array([x + vx * DT_S, y + vy * DT_S, heading, speed])


@dataclass(frozen=True, eq=False)
class Rollouts:
    """Candidate motions of E robots.

    Attributes:
        states: (T, 4, E, K) as in `Robot.moved`, with positions relative to the present one. Single
            precision halves the computing time.
        is_driving: (T, E, K) whether the goal is not reached yet; people are ignored afterwards.
        cost_m: (E, K) mean distance to the goal plus a small cost of changing the motion, metres.
    """

    states: Floats
    is_driving: BoolArray
    cost_m: Floats

    @classmethod
    def of(cls, robot: Robot, state: FloatArray, goal_m: FloatArray) -> Rollouts:
        """Simulates the candidates.

        Args:
            robot: size and limits of all robots.
            state: (4, E) present states, as in `Robot.moved`.
            goal_m: (E, 2) goals, metres.
        """
        speeds, headings, hold_s = _candidates()
        goal_x, goal_y = (goal_m.T - state[:2]).astype(np.float32)[:, :, None]
        current = np.repeat(state[:, :, None], len(speeds), axis=2).astype(np.float32)
        current[:2] = 0.0
        states = np.empty((N_STEPS, *current.shape), dtype=np.float32)
        is_driving = np.ones((N_STEPS, *current.shape[1:]), dtype=bool)
        away = np.zeros(current.shape[1:], dtype=np.float32)
        x, y = goal_x - current[0], goal_y - current[1]
        directions = np.arctan2(y, x) + headings
        arrived = np.zeros(away.shape, dtype=bool)
        for step in range(N_STEPS):
            holds = step * DT_S < hold_s - 1e-9
            direction = np.where(holds, directions, np.arctan2(y, x))
            speed = (
                np.where(holds, speeds, np.float32(1.0)) * np.float32(robot.speed_m_s) * ~arrived
            )
            states[step] = current = robot.moved(current, speed, direction)
            x, y = goal_x - current[0], goal_y - current[1]
            distance = np.sqrt(x * x + y * y)
            arrived = arrived | (distance < GOAL_M)
            is_driving[step + 1 + _STOP_STEPS :] &= ~arrived
            away += distance * ~arrived
        change = np.abs(speeds - state[3, :, None] / robot.speed_m_s) + 0.5 * np.abs(headings)
        return cls(states, is_driving, away / N_STEPS + 0.02 * change)


def braking(robot: Robot, state: Floats) -> Floats:
    """(T, 4, E) states of robots that brake; `state` is their (4, E) present state."""
    states = []
    for _ in range(N_STEPS):
        state = robot.moved(state, np.zeros_like(state[3]), state[2])
        states.append(state)
    return np.array(states)


def _candidates() -> tuple[Floats, Floats, Floats]:
    """(K,) shares of the speed, directions relative to the goal (radians), durations (seconds)."""
    rows = [(0.0, 0.0, hold) for hold in _HOLD_S]
    for speed in _SPEED_SHARES:
        rows += [(speed, heading, hold) for heading in _HEADINGS_RAD for hold in _HOLD_S]
    speeds, headings, holds = np.array(rows, dtype=np.float32).T
    return speeds, headings, holds
