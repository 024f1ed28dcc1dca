"""A crowd that reacts to the robot: people of a recording who avoid predicted collisions.

They follow their recorded paths, and avoid each other and the robot by the power law of the time to
collision: Karamouzas, Skinner and Guy, "Universal power law governing pedestrian interactions",
Physical Review Letters 2014. JuPedSim is not used: its agents cannot be moved from outside, as the
robot must be, it refuses agents in contact, and it needs numpy 2, Qt and VTK.
"""

from __future__ import annotations

import numpy as np

from social_implicit_ros.evaluation.faulty_tracker.people import People
from social_implicit_ros.evaluation.navigation.crowd import SUBSTEPS, Belief, BeliefBuilder, Crowd
from social_implicit_ros.evaluation.navigation.drive import (
    Episodes,
    least_m,
    nearest_rows,
    robot_path,
)
from social_implicit_ros.evaluation.navigation.planners import Obstacles, Setting, obstacles_of
from social_implicit_ros.evaluation.navigation.robot import DT_S
from social_implicit_ros.prediction.robot_plan import RobotPlan
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import ROBOT_ID, BoolArray, FloatArray, IntArray, Tracks

#: Parameters of the law, from its authors' code: strength (m^2/s^2), time to collision beyond which
#: people hardly react (s), relaxation time to the desired velocity (s), largest acceleration
#: (m/s^2).
_STRENGTH, _FORESIGHT_S, _RELAXATION_S, _MOST_M_S2 = 1.5, 3.0, 0.54, 5.0
#: Distance between surfaces at which people plan to pass, metres.
_PASSING_M = 0.1
#: Time constant with which people return to their recorded path, seconds, and the largest speed
#: above the recorded one, m/s.
_RETURN_S, _HURRY_M_S = 2.0, 0.5
#: Duration of the observations before the start, seconds: the input of a model.
_OBSERVED_S = 3.2


class ReactiveCrowd:
    """A `drive.World` of E episodes whose people react."""

    def __init__(
        self,
        crowd: Crowd,
        predictor: str,
        episodes: Episodes,
        setting: Setting,
        radii_m: tuple[float, float],
        *,
        attentive: float = 1.0,
        seed: int = 0,
        shows_plan: bool = False,
    ) -> None:
        """Places the people as they were recorded at the starts.

        Args:
            crowd: the recording.
            predictor: name of a predictor in `Crowd.predictors`.
            episodes: E episodes.
            setting: the planner and its parameters.
            radii_m: radii of the robot and of a person, metres.
            attentive: share of the people who avoid the robot; all avoid each other.
            seed: seed of the choice of attentive people.
            shows_plan: whether the predictor knows the robot's last plan, besides its position.
        """
        self.episodes, self._setting, self._shows_plan = episodes, setting, shows_plan
        self.contact_m, self.period_s = sum(radii_m), crowd.period_s
        n_before = round(_OBSERVED_S * NS_PER_S / crowd.period_ns)
        is_attentive = np.random.default_rng(seed).random(len(crowd.known_ns)) < attentive
        self.walkers = Walkers(crowd, episodes, n_before, radii_m, is_attentive)
        self._predictors = _Predictors(crowd, predictor, episodes)
        for step in range(-n_before, 0):
            for row, start_m in enumerate(episodes.start_m):
                self._predictors.observe(row, step, self.walkers.recorded_m(row, step), start_m)

    def perceive(
        self, active: IntArray, step: int, robots_m: FloatArray
    ) -> tuple[Obstacles, IntArray]:
        """Obstacles from new predictions, and their (A, M) rows for each active episode."""
        for row, robot_m in zip(active.tolist(), robots_m, strict=True):
            self._predictors.observe(row, step, self.walkers.positions_m[row], robot_m)
        belief = self._predictors.belief(active, step)
        rows = nearest_rows(belief, np.arange(len(active)), robots_m)
        return obstacles_of(belief, self._setting, self.contact_m), rows

    def advance(self, active: IntArray, step: int, planned_m: FloatArray) -> FloatArray:
        """Moves the people, see `drive.World`; returns (A,) least distance of centres, metres."""
        if self._shows_plan:
            for row, of_robot in zip(active.tolist(), planned_m, strict=True):
                self._predictors.show_plan(row, step, of_robot)
        return self.walkers.advance(active, step, robot_path(planned_m, self.period_s))


class _Predictors:
    """One predictor for each of E episodes; it observes people and robot without errors."""

    def __init__(self, crowd: Crowd, name: str, episodes: Episodes) -> None:
        """Creates the predictors; `name` is a name in `Crowd.predictors`."""
        model, self._kind = crowd.predictors[name]
        self._crowd, self._first_ticks = crowd, episodes.ticks.tolist()
        self._predictors = [crowd.new_predictor(model) for _ in self._first_ticks]

    def observe(self, row: int, step: int, people_m: FloatArray, robot_m: FloatArray) -> None:
        """Sends a tracker's message, of (P, 2) people, to the predictor of an episode."""
        stamp_ns = self._stamp_ns(row, step)
        known = np.flatnonzero(np.isfinite(people_m[:, 0]))
        tracks = Tracks(stamp_ns, tuple(map(str, known.tolist())), people_m[known])
        predictor, frame_id = self._predictors[row], self._crowd.frame_id
        if tracks.ids:
            predictor.add_tracks(tracks, frame_id, stamp_ns)
        if predictor.config.robot != "none":
            predictor.add_robot(Tracks(stamp_ns, (ROBOT_ID,), robot_m[None]), frame_id, stamp_ns)

    def show_plan(self, row: int, step: int, planned_m: FloatArray) -> None:
        """Sends the robot's plan, (1 + T, 2) metres, to the predictor of an episode."""
        stamp_ns = self._stamp_ns(row, step)
        stamps_ns = stamp_ns + np.arange(len(planned_m)) * round(DT_S * NS_PER_S)
        plan = RobotPlan(stamp_ns, stamp_ns, self._crowd.frame_id, planned_m, stamps_ns)
        self._predictors[row].robot_plan = plan

    def belief(self, rows: IntArray, step: int) -> Belief:
        """The predictions of (A,) episodes, of which each counts as one tick."""
        builder = BeliefBuilder(has_modes=self._kind == "modes")
        for number, row in enumerate(rows.tolist()):
            builder.add(number, self._predictors[row].tick(self._stamp_ns(row, step)))
        return builder.belief(self._kind, len(rows))

    def _stamp_ns(self, row: int, step: int) -> int:
        return self._crowd.first_ns + (self._first_ticks[row] + step) * self._crowd.period_ns


class Walkers:
    """People of E episodes, P in each, who follow recorded paths and avoid collisions.

    Attributes:
        positions_m: (E, P, 2) present positions, metres; NaN for absent people.
        velocities_m_s: (E, P, 2) present velocities, m/s.
    """

    def __init__(
        self,
        crowd: Crowd,
        episodes: Episodes,
        n_before: int,
        radii_m: tuple[float, float],
        is_attentive: BoolArray,
    ) -> None:
        """Places the people; `recorded_m` knows their positions `n_before` ticks earlier, too.

        `radii_m` are those of the robot and of a person. `is_attentive` is True for each person of
        the recording who avoids the robot.
        """
        self._radii_m, self._n_before = radii_m, n_before
        self._seconds = crowd.period_s / SUBSTEPS
        steps = np.arange(-n_before * SUBSTEPS, episodes.n_ticks * SUBSTEPS + 1)
        starts_ns = crowd.first_ns + episodes.ticks * crowd.period_ns
        self._times_ns = starts_ns[:, None] + steps * (crowd.period_ns // SUBSTEPS)
        who, self._recorded_m = recorded_paths(crowd.people, self._times_ns)
        self._known_ns, self._sees_robot = crowd.known_ns[who], is_attentive[who]
        self.positions_m = self._recorded_m[:, :, n_before * SUBSTEPS].copy()
        self.velocities_m_s = np.full_like(self.positions_m, np.nan)

    def recorded_m(self, row: int, step: int) -> FloatArray:
        """(P, 2) recorded positions of an episode, metres; NaN for absent people."""
        positions_m: FloatArray = self._recorded_m[row, :, (step + self._n_before) * SUBSTEPS]
        return positions_m

    def advance(self, active: IntArray, step: int, robots_m: FloatArray) -> FloatArray:
        """Moves the people of (A,) episodes for one period of the robots.

        `robots_m` is (A, 1 + SUBSTEPS, 2). Returns (A,) least distance of centres, metres.
        """
        first = (self._n_before + step) * SUBSTEPS
        # People who are absent during the whole period are left out of the pairs.
        recorded_m = self._recorded_m[active, :, first : first + SUBSTEPS + 1]
        is_there = np.isfinite(recorded_m[..., 0]).any(axis=2)
        kept = np.argsort(~is_there, axis=1)[:, : max(int(is_there.sum(axis=1).max(initial=0)), 1)]
        recorded_m = np.take_along_axis(recorded_m, kept[:, :, None, None], axis=1)
        rows = active[:, None], kept
        at_m, velocity = self.positions_m[rows], self.velocities_m_s[rows]
        distances_m = []
        for substep in range(SUBSTEPS):
            both = slice(substep, substep + 2)
            at_m, velocity = self._stepped(
                at_m, velocity, recorded_m[:, :, both], robots_m[:, both], self._sees_robot[rows]
            )
            is_new = self._known_ns[rows] > self._times_ns[active, first + substep + 1, None]
            counted_m = np.where(is_new[..., None], np.nan, at_m)
            distances_m.append(least_m(counted_m, robots_m[:, substep + 1]))
        self.positions_m[active], self.velocities_m_s[active] = np.nan, np.nan
        self.positions_m[rows], self.velocities_m_s[rows] = at_m, velocity
        return np.asarray(np.min(distances_m, axis=0))

    def _stepped(
        self,
        at_m: FloatArray,
        velocity: FloatArray,
        recorded_m: FloatArray,
        robots_m: FloatArray,
        sees_robot: BoolArray,
    ) -> tuple[FloatArray, FloatArray]:
        """(A, P, 2) positions and velocities after a substep; NaN for absent people.

        `recorded_m` (A, P, 2, 2) and `robots_m` (A, 2, 2) are positions before and after it.
        """
        recorded = (recorded_m[:, :, 1] - recorded_m[:, :, 0]) / self._seconds
        velocity = np.where(np.isnan(velocity), recorded, velocity)
        speed = np.linalg.norm(recorded, axis=2, keepdims=True)
        back = (recorded_m[:, :, 0] - at_m) / _RETURN_S
        desired = _limited(recorded + back, speed + _HURRY_M_S)
        of_robots = (robots_m[:, 1:] - robots_m[:, :1]) / self._seconds
        others_m = np.concatenate([at_m, robots_m[:, :1]], axis=1)
        their_velocity = np.concatenate([velocity, of_robots], axis=1)
        robot_m, person_m = self._radii_m
        reach_m = np.full((*at_m.shape[:2], at_m.shape[1] + 1), 2.0 * person_m + _PASSING_M)
        reach_m[..., -1] = np.where(sees_robot, person_m + robot_m + _PASSING_M, 0.0)
        push = avoidance(at_m, velocity, others_m, their_velocity, reach_m)
        velocity = velocity + self._seconds * ((desired - velocity) / _RELAXATION_S + push)
        at_m = at_m + self._seconds * velocity
        is_entering = np.isnan(at_m[..., :1]) & np.isfinite(recorded_m[:, :, 1, :1])
        return np.where(is_entering, recorded_m[:, :, 1], at_m), velocity


def recorded_paths(people: People, times_ns: IntArray) -> tuple[IntArray, FloatArray]:
    """People who are observed in each of E periods, and their paths.

    `times_ns` is (E, S). Returns (E, P) people, negative for nobody, and (E, P, S, 2) positions in
    metres, NaN where unknown.
    """
    present = []
    for first_ns, last_ns in times_ns[:, [0, -1]]:
        first, last = np.searchsorted(people.stamps_ns, [first_ns, last_ns])
        present.append(np.unique(people.people[max(first - 1, 0) : last + 1]))
    who = np.full((len(present), max(map(len, present))), -1)
    for row, of_episode in enumerate(present):
        who[row, : len(of_episode)] = of_episode
    return who, np.array(list(map(people.positions_at, who, times_ns)))


def avoidance(
    at_m: FloatArray,
    velocity: FloatArray,
    others_m: FloatArray,
    their_velocity: FloatArray,
    reach_m: FloatArray,
) -> FloatArray:
    """(E, P, 2) accelerations that avoid collisions, m/s^2; zero for absent people.

    Args:
        at_m: (E, P, 2) positions, metres; NaN for absent people.
        velocity: (E, P, 2) velocities, m/s.
        others_m: (E, Q, 2) positions of those who are avoided, metres; includes `at_m`.
        their_velocity: (E, Q, 2) velocities of those who are avoided, m/s.
        reach_m: (E, P, Q) distance of centres that counts as a collision, metres; 0 for those who
            are ignored.
    """
    away = others_m[:, None] - at_m[:, :, None]
    speed = velocity[:, :, None] - their_velocity[:, None]
    square = (away**2).sum(axis=3)
    a, b = (speed**2).sum(axis=3), (away * speed).sum(axis=3)
    c = square - np.minimum(reach_m**2, 0.98 * square)  # contact counts as just before it
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        root = np.sqrt(b * b - a * c)
        time_s = (b - root) / a
        is_colliding = (time_s > 0.0) & (a > 1e-3) & (root > 1e-9)
        size = np.exp(-time_s / _FORESIGHT_S) * (2.0 / time_s + 1.0 / _FORESIGHT_S)
        size *= _STRENGTH / (a * time_s**2)
        sideways = speed - (b[..., None] * speed - a[..., None] * away) / root[..., None]
        push = np.where(is_colliding[..., None], -size[..., None] * sideways, 0.0)
    return _limited(push.sum(axis=2), _MOST_M_S2)


def _limited(vectors: FloatArray, most: FloatArray | float) -> FloatArray:
    """Shortens (..., 2) vectors to a length of `most`."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors * np.minimum(1.0, most / np.maximum(length, 1e-9))
