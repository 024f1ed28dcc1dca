"""Starts and goals whose straight line crosses a person's path, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from social_implicit_ros.evaluation.navigation.crowd import SUBSTEPS, Crowd
from social_implicit_ros.evaluation.navigation.robot import Robot
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.types import FloatArray, IntArray

#: An episode ends after this multiple of the straight line's time.
PATIENCE = 4.0
#: Longest straight line, metres; shorter where the people's area is small.
DISTANCE_M = 8.0
#: Nobody is nearer to the start than this beyond contact, metres, during the first seconds.
_FREE_M, _FREE_S = 1.0, 1.2
_MAX_DRAWS = 1000


@dataclass(frozen=True, eq=False)
class Episodes:
    """E episodes of one part of a recording.

    Attributes:
        ticks: (E,) tick of the start.
        start_m, goal_m: (E, 2) metres.
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

    The straight line meets the path of a person, at the time at which a robot on it gets there.
    Start and goal lie where people walk, and the start is free.

    Args:
        crowd: the recording.
        robot: its size and speed.
        person_radius_m: metres.
        n_episodes: E.
        seed: the same seed gives the same episodes.
        part: first and last share of the recording.

    Raises:
        RecordingError: the part is too short, or has no free start.
    """
    generator = np.random.default_rng(seed)
    known_m = crowd.present_m[np.isfinite(crowd.present_m[..., 0])]
    low_m, high_m = np.quantile(known_m, [0.05, 0.95], axis=0)
    distance_m = min(DISTANCE_M, 0.6 * float(np.hypot(*(high_m - low_m))))
    straight = distance_m / robot.speed_m_s / crowd.period_s
    first, end = (round(share * crowd.n_ticks) for share in part)
    n_ticks = min(round(PATIENCE * straight), 3 * (end - first) // 4)
    needed_s = 8.0 / 3.0 * straight * crowd.period_s
    if n_ticks < 2.0 * straight:
        raise RecordingError(
            f"{crowd.name} is too short for episodes: half of it is "
            f"{(end - first) * crowd.period_s:.0f} s long, expected at least {needed_s:.0f} s for "
            f"a line of {distance_m:.1f} m"
        )
    contact_m = robot.radius_m + person_radius_m
    rows = []
    for _ in range(n_episodes * _MAX_DRAWS):
        tick = int(generator.integers(first, end - n_ticks))
        line = _crossing_line(crowd, generator, tick, round(0.5 * straight), distance_m)
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
        f"{crowd.name}: only {len(rows)} of {n_episodes} episodes found: nobody walks there, or no "
        "start is free"
    )


def _crossing_line(
    crowd: Crowd, generator: np.random.Generator, tick: int, n_ticks: int, distance_m: float
) -> FloatArray | None:
    """(2, 2) start and goal of a line that crosses somebody `n_ticks` later; None if nobody is."""
    at = (tick + n_ticks) * SUBSTEPS
    here_m = crowd.present_m[at]
    known = np.flatnonzero(np.isfinite(here_m[:, 0]))
    angle, number = generator.uniform(-np.pi, np.pi), generator.random()
    if not len(known):
        return None
    middle_m = here_m[known[int(number * len(known))]]
    half_m = 0.5 * distance_m * np.array([np.cos(angle), np.sin(angle)])
    return np.stack([middle_m - half_m, middle_m + half_m])
