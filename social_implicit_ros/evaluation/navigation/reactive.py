"""A crowd that reacts to the robot: people of a recording who avoid predicted collisions.

They follow their recorded paths, and avoid each other and the robot by the power law of the time to
collision: Karamouzas, Skinner and Guy, "Universal power law governing pedestrian interactions",
Physical Review Letters 2014. JuPedSim is not used: its agents cannot be moved from outside, as the
robot must be, it refuses agents in contact, and it needs numpy 2, Qt and VTK.
"""

from __future__ import annotations

import numpy as np

from social_implicit_ros.evaluation.navigation.crowd import SUBSTEPS, BeliefBuilder, Crowd
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
    """The world of E episodes, see `drive.World`."""

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
        self._shows_plan = shows_plan
        self.episodes, self._setting = episodes, setting
        self.contact_m, self.period_s = sum(radii_m), crowd.period_s
        self._crowd, self._radii_m = crowd, radii_m
        model, self._kind = crowd.predictors[predictor]
        self._trackers = [crowd.new_predictor(model) for _ in episodes.ticks]
        self._starts_ns = crowd.first_ns + episodes.ticks * crowd.period_ns
        n_before = round(_OBSERVED_S * NS_PER_S / crowd.period_ns)
        draws = np.random.default_rng(seed).random(len(crowd.known_ns))
        self._recorded_m, who = self._paths(n_before, episodes.n_ticks)
        self._known_ns, self._sees_robot = crowd.known_ns[who], (draws < attentive)[who]
        self._now = n_before * SUBSTEPS  # index of the start in the recorded positions
        starts_m = episodes.start_m
        for step in range(-n_before, 0):
            at_m = self._recorded_m[:, :, (step + n_before) * SUBSTEPS]
            for row in range(len(starts_m)):
                self._observe(row, step, at_m[row], starts_m[row])
        self.positions_m = self._recorded_m[:, :, self._now].copy()
        self.velocities_m_s = np.full_like(self.positions_m, np.nan)

    def perceive(
        self, active: IntArray, step: int, robots_m: FloatArray
    ) -> tuple[Obstacles, IntArray]:
        """Obstacles from new predictions, and their (E, M) rows for each active episode."""
        builder = BeliefBuilder(has_modes=self._kind == "modes")
        for number, (row, robot_m) in enumerate(zip(active.tolist(), robots_m, strict=True)):
            self._observe(row, step, self.positions_m[row], robot_m)
            builder.add(number, self._trackers[row].tick(self._stamp_ns(row, step)))
        belief = builder.belief(self._kind, len(active))
        rows = nearest_rows(belief, np.arange(len(active)), robots_m)
        return obstacles_of(belief, self._setting, self.contact_m), rows

    def advance(self, active: IntArray, step: int, planned_m: FloatArray) -> FloatArray:
        """Moves the people, see `drive.World`; returns (E,) least distance of centres, metres."""
        if self._shows_plan:
            for row, of_robot in zip(active.tolist(), planned_m, strict=True):
                self._show(row, step, of_robot)
        robots_m = robot_path(planned_m, self.period_s)
        now = self._now + step * SUBSTEPS
        seconds = self.period_s / SUBSTEPS
        before_m = planned_m[:, 0]
        # People who are absent during the whole step are left out of the pairs.
        recorded = self._recorded_m[active, :, now : now + SUBSTEPS + 1]
        is_there = np.isfinite(recorded[..., 0]).any(axis=2)
        kept = np.argsort(~is_there, axis=1)[:, : max(int(is_there.sum(axis=1).max(initial=0)), 1)]
        recorded = np.take_along_axis(recorded, kept[:, :, None, None], axis=1)
        rows = active[:, None], kept
        at_m, velocity = self.positions_m[rows], self.velocities_m_s[rows]
        distances_m = []
        for substep in range(1, SUBSTEPS + 1):
            robot_m = robots_m[:, substep - 1]
            desired = (recorded[:, :, substep] - recorded[:, :, substep - 1]) / seconds
            at_m, velocity = self._stepped(
                at_m,
                np.where(np.isnan(velocity), desired, velocity),
                desired,
                recorded[:, :, substep - 1],
                (before_m, (robot_m - before_m) / seconds),
                self._sees_robot[rows],
                seconds,
            )
            is_entering = np.isnan(at_m[..., :1]) & np.isfinite(recorded[:, :, substep, :1])
            at_m = np.where(is_entering, recorded[:, :, substep], at_m)
            stamps_ns = self._starts_ns[active] + round(
                (step + substep / SUBSTEPS) * self._crowd.period_ns
            )
            is_new = self._known_ns[rows] > stamps_ns[:, None]
            distances_m.append(least_m(np.where(is_new[..., None], np.nan, at_m), robot_m))
            before_m = robot_m
        self.positions_m[active], self.velocities_m_s[active] = np.nan, np.nan
        self.positions_m[rows], self.velocities_m_s[rows] = at_m, velocity
        return np.asarray(np.min(distances_m, axis=0))

    def _stepped(
        self,
        at_m: FloatArray,
        velocity: FloatArray,
        desired: FloatArray,
        recorded_m: FloatArray,
        robot: tuple[FloatArray, FloatArray],
        sees_robot: BoolArray,
        seconds: float,
    ) -> tuple[FloatArray, FloatArray]:
        """(E, P, 2) positions and velocities after `seconds`; NaN for absent people."""
        speed = np.linalg.norm(desired, axis=2, keepdims=True)
        desired = _limited(desired + (recorded_m - at_m) / _RETURN_S, speed + _HURRY_M_S)
        others = [
            np.concatenate([of_people, of_robot[:, None]], axis=1)
            for of_people, of_robot in zip((at_m, velocity), robot, strict=True)
        ]
        robot_m, person_m = self._radii_m
        reach_m = np.full((*at_m.shape[:2], at_m.shape[1] + 1), 2.0 * person_m + _PASSING_M)
        reach_m[..., -1] = np.where(sees_robot, person_m + robot_m + _PASSING_M, 0.0)
        push = avoidance(at_m, velocity, others[0], others[1], reach_m)
        velocity = velocity + seconds * ((desired - velocity) / _RELAXATION_S + push)
        return at_m + seconds * velocity, velocity

    def _observe(self, row: int, step: int, people_m: FloatArray, robot_m: FloatArray) -> None:
        """Sends a tracker's message to the predictor of an episode."""
        stamp_ns = self._stamp_ns(row, step)
        known = np.flatnonzero(np.isfinite(people_m[:, 0]))
        tracks = Tracks(stamp_ns, tuple(map(str, known.tolist())), people_m[known])
        predictor, frame_id = self._trackers[row], self._crowd.frame_id
        if tracks.ids:
            predictor.add_tracks(tracks, frame_id, stamp_ns)
        if predictor.config.robot != "none":
            predictor.add_robot(Tracks(stamp_ns, (ROBOT_ID,), robot_m[None]), frame_id, stamp_ns)

    def _show(self, row: int, step: int, planned_m: FloatArray) -> None:
        """The robot's plan, to the predictor of an episode."""
        stamp_ns = self._stamp_ns(row, step)
        stamps_ns = stamp_ns + np.arange(len(planned_m)) * round(DT_S * NS_PER_S)
        plan = RobotPlan(stamp_ns, stamp_ns, self._crowd.frame_id, planned_m, stamps_ns)
        self._trackers[row].robot_plan = plan

    def _stamp_ns(self, row: int, step: int) -> int:
        return int(self._starts_ns[row] + step * self._crowd.period_ns)

    def _paths(self, n_before: int, n_ticks: int) -> tuple[FloatArray, IntArray]:
        """(E, P, S, 2) recorded positions, metres, NaN for nobody; (E, P) person of each."""
        steps = np.arange(-n_before * SUBSTEPS, n_ticks * SUBSTEPS + 1)
        people = self._crowd.people
        times_ns = self._starts_ns[:, None] + steps * (self._crowd.period_ns // SUBSTEPS)
        present = []
        for first_ns, last_ns in times_ns[:, [0, -1]]:
            first, last = np.searchsorted(people.stamps_ns, [first_ns, last_ns])
            present.append(np.unique(people.people[max(first - 1, 0) : last + 1]))
        who = np.full((len(present), max(map(len, present))), -1)
        for row, of_episode in enumerate(present):
            who[row, : len(of_episode)] = of_episode
        paths = map(people.positions_at, who, times_ns)
        return np.array(list(paths)), who


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
