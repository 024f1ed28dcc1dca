"""The closed loop: all episodes of a recording at once, among recorded or reacting people.

The straight line of an episode crosses a person's path; starts and goals are drawn from a seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from social_implicit_ros.evaluation.navigation.crowd import SUBSTEPS, Belief, Crowd
from social_implicit_ros.evaluation.navigation.planners import (
    MAX_PEOPLE,
    Obstacles,
    Setting,
    obstacles_of,
    plan,
)
from social_implicit_ros.evaluation.navigation.robot import DT_S, GOAL_M, Robot
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.types import BoolArray, FloatArray, IntArray

#: Speed below which a robot counts as frozen before it reaches its goal, m/s.
FROZEN_M_S = 0.05
#: Distance between surfaces below which a robot intrudes into personal space, metres.
PERSONAL_M = 0.45
#: Time limit of an episode, relative to the time of the straight line.
PATIENCE = 4.0
#: Longest straight line, metres; shorter where the people's area is small.
DISTANCE_M = 8.0
#: Smallest distance between surfaces, metres, during the first seconds of an episode.
_FREE_M, _FREE_S = 1.0, 1.2
#: Number of draws per episode before the search is given up.
_MAX_DRAWS = 1000


@dataclass(frozen=True, eq=False)
class Episodes:
    """E episodes of one part of a recording.

    Attributes:
        ticks: (E,) tick of each start.
        start_m, goal_m: (E, 2) positions, metres.
        n_ticks: longest duration, ticks.
    """

    ticks: IntArray
    start_m: FloatArray
    goal_m: FloatArray
    n_ticks: int

    @property
    def distance_m(self) -> FloatArray:
        """(E,) length of the straight line, metres."""
        return np.asarray(np.linalg.norm(self.goal_m - self.start_m, axis=1))


def draw_episodes(
    crowd: Crowd,
    robot: Robot,
    person_radius_m: float,
    n_episodes: int,
    seed: int,
    *,
    part: tuple[float, float] = (0.0, 1.0),
) -> Episodes:
    """Draws episodes within a part of a recording.

    The straight line from start to goal crosses a person's path at the time at which a robot on it
    would arrive there. Start and goal are in the area of the people, and nobody is near the start.

    Args:
        crowd: the recording.
        robot: size and speed of the robot.
        person_radius_m: radius of a person, metres.
        n_episodes: number of episodes E.
        seed: seed of starts and goals; the same seed gives the same episodes.
        part: begin and end of the part, as shares of the recording.

    Raises:
        RecordingError: the part is too short, or too few free starts are found.
    """
    generator = np.random.default_rng(seed)
    known_m = crowd.present_m[np.isfinite(crowd.present_m[..., 0])]
    low_m, high_m = np.quantile(known_m, [0.05, 0.95], axis=0)
    distance_m = min(DISTANCE_M, 0.6 * float(np.hypot(*(high_m - low_m))))
    straight_ticks = distance_m / robot.speed_m_s / crowd.period_s
    first, end = (round(share * crowd.n_ticks) for share in part)
    n_ticks = min(round(PATIENCE * straight_ticks), 3 * (end - first) // 4)
    needed_s = 8.0 / 3.0 * straight_ticks * crowd.period_s
    if n_ticks < 2.0 * straight_ticks:
        raise RecordingError(
            f"{crowd.name} is too short for episodes: half of it is "
            f"{(end - first) * crowd.period_s:.0f} s long, expected at least {needed_s:.0f} s for "
            f"a line of {distance_m:.1f} m"
        )
    contact_m = robot.radius_m + person_radius_m
    rows = []
    for _ in range(n_episodes * _MAX_DRAWS):
        tick = int(generator.integers(first, end - n_ticks))
        line = _crossing_line(crowd, generator, tick, round(0.5 * straight_ticks), distance_m)
        if line is None or (line < low_m).any() or (line > high_m).any():
            continue
        until = tick + round(_FREE_S / crowd.period_s)
        nearby_m = crowd.present_m[tick * SUBSTEPS : until * SUBSTEPS] - line[0]
        if not (np.hypot(*np.moveaxis(nearby_m, -1, 0)) < contact_m + _FREE_M).any():
            rows.append((tick, line))
        if len(rows) == n_episodes:
            lines = np.array([line for _, line in rows])
            ticks = np.array([tick for tick, _ in rows])
            return Episodes(ticks, lines[:, 0], lines[:, 1], n_ticks)
    raise RecordingError(
        f"{crowd.name}: only {len(rows)} of {n_episodes} episodes found: too few people walk, or "
        "no start is free; use fewer --episodes or another recording"
    )


def _crossing_line(
    crowd: Crowd, generator: np.random.Generator, tick: int, n_ticks: int, distance_m: float
) -> FloatArray | None:
    """(2, 2) start and goal of a line through a person `n_ticks` later; None without people."""
    at = (tick + n_ticks) * SUBSTEPS
    here_m = crowd.present_m[at]
    known = np.flatnonzero(np.isfinite(here_m[:, 0]))
    angle, number = generator.uniform(-np.pi, np.pi), generator.random()
    if not len(known):
        return None
    middle_m = here_m[known[int(number * len(known))]]
    half_m = 0.5 * distance_m * np.array([np.cos(angle), np.sin(angle)])
    return np.stack([middle_m - half_m, middle_m + half_m])


@dataclass(frozen=True, eq=False)
class Drives:
    """Motions of E robots.

    Attributes:
        states: (E, S + 1, 4) states at the start and after each tick, as in `Robot.moved`; constant
            after arrival.
        n_ticks: (E,) number of ticks until arrival, or until the end of the episode.
        is_arrived: (E,) whether the robot reached the goal.
        gap_m: (E, S) least distance between surfaces during each tick, metres; infinite without
            people.
    """

    states: FloatArray
    n_ticks: IntArray
    is_arrived: BoolArray
    gap_m: FloatArray


class World(Protocol):
    """The people of E episodes, and the obstacles that planners receive.

    Attributes:
        contact_m: sum of the radii of robot and person, metres.
        period_s: time between two ticks, seconds.
    """

    episodes: Episodes
    contact_m: float
    period_s: float

    def perceive(
        self, active: IntArray, step: int, robots_m: FloatArray
    ) -> tuple[Obstacles, IntArray]:
        """Obstacles at a tick, and their (A, M) rows for each of (A,) active episodes.

        `robots_m` are the (A, 2) positions of the robots, metres.
        """

    def advance(self, active: IntArray, step: int, planned_m: FloatArray) -> FloatArray:
        """Moves the people while active robots drive the first period of `planned_m`.

        `planned_m` is (A, 1 + T, 2) metres. Returns (A,) least distance of centres, metres.
        """


def drive(world: World, robot: Robot) -> Drives:
    """Drives the episodes among the people of a world.

    A collision is counted and does not end an episode, so that times can be compared.
    """
    episodes = world.episodes
    stride = round(world.period_s / DT_S)
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
        planned = plan(robot, now.T, goal_m, obstacles, rows)
        path = np.concatenate([now[:, None], np.moveaxis(planned, 2, 0)], axis=1)
        gaps_m[active, step] = world.advance(active, step, path[..., :2]) - world.contact_m
        path = path[:, : 1 + stride]
        states[active, step + 1 :] = path[:, -1, None]
        away_m = np.linalg.norm(path[:, -1, :2] - goal_m, axis=1)
        is_arrived[active] = away_m < GOAL_M
        n_ticks[active[away_m < GOAL_M]] = step + 1
    return Drives(states, n_ticks, is_arrived, gaps_m)


def nearest_rows(belief: Belief, ticks: IntArray, robots_m: FloatArray) -> IntArray:
    """(E, M) rows of the predictions of the people nearest to each robot; -1 for none."""
    rows = belief.rows[np.minimum(ticks, len(belief.rows) - 1)]
    if rows.shape[1] > MAX_PEOPLE:
        distance = np.linalg.norm(belief.present_m[rows] - robots_m[:, None], axis=2)
        distance[rows < 0] = np.inf
        nearest = np.argpartition(distance, MAX_PEOPLE - 1, axis=1)[:, :MAX_PEOPLE]
        rows = np.take_along_axis(rows, nearest, axis=1)
    return rows


class RecordedCrowd:
    """A `World` whose people move as in the recording."""

    def __init__(
        self, crowd: Crowd, belief: Belief, episodes: Episodes, setting: Setting, contact_m: float
    ) -> None:
        self.episodes = episodes
        self.contact_m, self.period_s = contact_m, crowd.period_s
        self._crowd, self._belief = crowd, belief
        self._obstacles = obstacles_of(belief, setting, contact_m)

    def perceive(
        self, active: IntArray, step: int, robots_m: FloatArray
    ) -> tuple[Obstacles, IntArray]:
        """The predictions of the recorded people."""
        ticks = self.episodes.ticks[active] + step
        return self._obstacles, nearest_rows(self._belief, ticks, robots_m)

    def advance(self, active: IntArray, step: int, planned_m: FloatArray) -> FloatArray:
        """(A,) least distance of centres from the recorded people."""
        ticks = self.episodes.ticks[active] + step
        when = ticks[:, None] * SUBSTEPS + np.arange(1, SUBSTEPS + 1)
        people_m = self._crowd.present_m[np.minimum(when, len(self._crowd.present_m) - 1)]
        return least_m(people_m, robot_path(planned_m, self.period_s)[:, 1:]).min(axis=1)


def robot_path(planned_m: FloatArray, period_s: float) -> FloatArray:
    """(E, 1 + SUBSTEPS, 2) positions in a period of robots with (E, 1 + T, 2) plans, metres."""
    stride = round(period_s / DT_S)
    path_m = planned_m[:, : 1 + stride]
    at = np.linspace(0.0, stride, SUBSTEPS + 1)
    low = np.minimum(at.astype(int), stride - 1)
    return path_m[:, low] + (at - low)[:, None] * (path_m[:, low + 1] - path_m[:, low])


def least_m(people_m: FloatArray, robot_m: FloatArray) -> FloatArray:
    """(...,) distance from robots (..., 2) to the nearest of (..., A, 2) people, NaN for none."""
    distance_m = np.linalg.norm(people_m - robot_m[..., None, :], axis=-1)
    return np.asarray(np.where(np.isnan(distance_m), np.inf, distance_m).min(axis=-1))


def episode_metrics(
    drives: Drives, episodes: Episodes, robot: Robot, period_s: float
) -> dict[str, FloatArray]:
    """(E,) metrics by name.

    `collision`, `success` (goal without collision) and `standing_hit` (collisions only while the
    robot stands) are 0 or 1. `intrusion` and `frozen` are shares of the time. `time` and `path` are
    relative to the straight line. `least_m` is the smallest distance between surfaces, metres.
    `jerk_m_s3` is the RMS of the jerk, m/s^3.
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
