"""The closed loop: all episodes of a recording at once, among recorded or reacting people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from social_implicit_ros.evaluation.navigation.beliefs import Belief
from social_implicit_ros.evaluation.navigation.crowd import SUBSTEPS, Crowd
from social_implicit_ros.evaluation.navigation.episodes import Episodes
from social_implicit_ros.evaluation.navigation.planners import (
    MAX_PEOPLE,
    Obstacles,
    Setting,
    obstacles_of,
    plan,
)
from social_implicit_ros.evaluation.navigation.robot import DT_S, GOAL_M, Robot
from social_implicit_ros.types import BoolArray, FloatArray, IntArray

#: Slower than this, a robot away from its goal is frozen, m/s.
FROZEN_M_S = 0.05
#: Nearer than this, surface to surface, is an intrusion into personal space, metres.
PERSONAL_M = 0.45


@dataclass(frozen=True, eq=False)
class Drives:
    """What E robots did.

    Attributes:
        states: (E, S + 1, 4) from the start on, one a tick, each as of `Robot.moved`; constant
            from the goal on.
        n_ticks: (E,) ticks until the goal, or all.
        is_arrived: (E,) reached the goal.
        gap_m: (E, S) least distance between surfaces during each tick; infinite without people.
    """

    states: FloatArray
    n_ticks: IntArray
    is_arrived: BoolArray
    gap_m: FloatArray


class World(Protocol):
    """The people of E episodes."""

    def perceive(
        self, active: IntArray, step: int, robots_m: FloatArray
    ) -> tuple[Obstacles, IntArray]:
        """What planners get at a tick, and (A, M) its rows for each of (A,) active episodes.

        `robots_m` is (A, 2).
        """

    def advance(self, active: IntArray, step: int, path_m: FloatArray) -> FloatArray:
        """(A,) least distance of centres while active robots drive `path_m` (A, 1 + stride, 2)."""


def drive(
    crowd: Crowd,
    belief: Belief,
    episodes: Episodes,
    robot: Robot,
    setting: Setting,
    person_radius_m: float,
) -> Drives:
    """Drives the episodes; people do as they did in the recording."""
    contact_m = robot.radius_m + person_radius_m
    world = _Replay(crowd, belief, episodes, obstacles_of(belief, setting, contact_m))
    return driven(world, episodes, robot, setting, contact_m, crowd.period_s)


def driven(
    world: World,
    episodes: Episodes,
    robot: Robot,
    setting: Setting,
    contact_m: float,
    period_s: float,
) -> Drives:
    """Drives the episodes among the people of a world.

    A collision is counted and does not end an episode, so that times can be compared.
    """
    stride = round(period_s / DT_S)
    n_episodes = len(episodes.ticks)
    offset_m = episodes.goal_m - episodes.start_m
    state = np.zeros((n_episodes, 4))
    state[:, :2], state[:, 2] = episodes.start_m, np.arctan2(offset_m[:, 1], offset_m[:, 0])
    states = np.repeat(state[:, None], episodes.n_ticks + 1, axis=1)
    gaps_m = np.full((n_episodes, episodes.n_ticks), np.inf)
    n_ticks = np.full(n_episodes, episodes.n_ticks)
    is_arrived = np.zeros(n_episodes, dtype=bool)
    for step in range(episodes.n_ticks):
        active = np.flatnonzero(~is_arrived)
        if not len(active):
            break
        now, goal_m = states[active, step], episodes.goal_m[active]
        obstacles, rows = world.perceive(active, step, now[:, :2])
        planned = plan(robot, setting, now.T, goal_m, obstacles, rows)[:stride]
        path = np.concatenate([now[:, None], np.moveaxis(planned, 2, 0)], axis=1)
        gaps_m[active, step] = world.advance(active, step, path[..., :2]) - contact_m
        states[active, step + 1 :] = path[:, -1, None]
        away_m = np.linalg.norm(path[:, -1, :2] - goal_m, axis=1)
        is_arrived[active] = away_m < GOAL_M
        n_ticks[active[away_m < GOAL_M]] = step + 1
    return Drives(states, n_ticks, is_arrived, gaps_m)


def nearest_rows(belief: Belief, ticks: IntArray, robots_m: FloatArray) -> IntArray:
    """(E, M) predictions of the people nearest to each robot; -1 for none."""
    rows = belief.rows[np.minimum(ticks, len(belief.rows) - 1)]
    if rows.shape[1] > MAX_PEOPLE:
        distance = np.linalg.norm(belief.present_m[rows] - robots_m[:, None], axis=2)
        distance[rows < 0] = np.inf
        nearest = np.argpartition(distance, MAX_PEOPLE - 1, axis=1)[:, :MAX_PEOPLE]
        rows = np.take_along_axis(rows, nearest, axis=1)
    return rows


@dataclass(frozen=True, eq=False)
class _Replay:
    """A `World` whose people do as they did in the recording."""

    crowd: Crowd
    belief: Belief
    episodes: Episodes
    obstacles: Obstacles

    def perceive(
        self, active: IntArray, step: int, robots_m: FloatArray
    ) -> tuple[Obstacles, IntArray]:
        return self.obstacles, nearest_rows(
            self.belief, self.episodes.ticks[active] + step, robots_m
        )

    def advance(self, active: IntArray, step: int, path_m: FloatArray) -> FloatArray:
        ticks = self.episodes.ticks[active] + step
        when = ticks[:, None] * SUBSTEPS + np.arange(1, SUBSTEPS + 1)
        people_m = self.crowd.present_m[np.minimum(when, len(self.crowd.present_m) - 1)]
        return least_m(people_m, robot_path(path_m)).min(axis=1)


def robot_path(path_m: FloatArray) -> FloatArray:
    """(E, SUBSTEPS, 2) positions of robots that drive (E, 1 + stride, 2) `path_m`, metres."""
    at = np.linspace(0.0, path_m.shape[1] - 1.0, SUBSTEPS + 1)[1:]
    low = np.minimum(at.astype(int), path_m.shape[1] - 2)
    return path_m[:, low] + (at - low)[:, None] * (path_m[:, low + 1] - path_m[:, low])


def least_m(people_m: FloatArray, robot_m: FloatArray) -> FloatArray:
    """(...,) distance from robots (..., 2) to the nearest of (..., A, 2) people, NaN for none."""
    distance_m = np.linalg.norm(people_m - robot_m[..., None, :], axis=-1)
    return np.asarray(np.where(np.isnan(distance_m), np.inf, distance_m).min(axis=-1))


def episode_metrics(
    drives: Drives, episodes: Episodes, robot: Robot, period_s: float
) -> dict[str, FloatArray]:
    """(E,) metrics by name.

    `collision`, `success` (goal without collision) and `standing_hit` (collisions all of which
    happened to a robot that stands) are 0 or 1; `intrusion` and `frozen` shares of the time;
    `time` and `path` relative to the straight line; `least_m` in metres; `jerk_m_s3` an RMS.
    """
    n_steps = drives.gap_m.shape[1]
    is_driving = np.arange(n_steps) < drives.n_ticks[:, None]
    hit = (drives.gap_m < 0.0) & is_driving
    step_m = np.linalg.norm(np.diff(drives.states[..., :2], axis=1), axis=2)
    speed_m_s = step_m / period_s
    is_frozen = (speed_m_s < FROZEN_M_S) & is_driving
    collided = hit.any(axis=1)
    moving_hit = (hit & (speed_m_s >= FROZEN_M_S)).any(axis=1)
    straight_s = episodes.distance_m / robot.speed_m_s
    return {
        "collision": collided.astype(float),
        "standing_hit": (collided & ~moving_hit).astype(float),
        "success": (drives.is_arrived & ~collided).astype(float),
        "intrusion": ((drives.gap_m < PERSONAL_M) & is_driving).sum(axis=1) / drives.n_ticks,
        "time": drives.n_ticks * period_s / straight_s,
        "path": step_m.sum(axis=1) / (episodes.distance_m - GOAL_M),
        "frozen": is_frozen.sum(axis=1) / drives.n_ticks,
        "least_m": drives.gap_m.min(axis=1),
        "jerk_m_s3": _jerk(drives, period_s),
    }


def _jerk(drives: Drives, period_s: float) -> FloatArray:
    """(E,) RMS of the third difference of positions, m/s^3."""
    jerk = np.diff(drives.states[..., :2], n=3, axis=1) / period_s**3
    is_driving = np.arange(jerk.shape[1]) < drives.n_ticks[:, None] - 2
    squares = (jerk**2).sum(axis=2) * is_driving
    return np.asarray(np.sqrt(squares.sum(axis=1) / np.maximum(is_driving.sum(axis=1), 1)))
