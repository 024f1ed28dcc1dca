#!/usr/bin/env python3
"""Makes the crowd recording of the package with the pedestrian simulator JuPedSim.

    pip install jupedsim
    python scripts/simulate_crowd.py social_implicit_ros/recordings/crowd

A plaza of 24 m x 14 m has a round fountain and a wall with one door. People walk through the door
in both directions, others cross their paths; some walk in pairs, some stop for a while. A simulated
tracker reports them at 10 Hz, with correlated position noise, short dropouts and sometimes a new id
for the same person.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jupedsim as jps
import numpy as np
import shapely

from social_implicit_ros.recordings.bag import DEFAULT_FRAME
from social_implicit_ros.recordings.bag_writer import write_tracks
from social_implicit_ros.recordings.floor_plan import FloorPlan
from social_implicit_ros.types import Tracks

WIDTH_M, HEIGHT_M = 24.0, 14.0
DOOR_X_M, DOOR_LOW_M, DOOR_HIGH_M = 17.0, 5.0, 9.4
FOUNTAIN = shapely.Point(8.5, 8.6).buffer(0.8, quad_segs=8)
WALLS = shapely.union_all(
    [
        shapely.LineString([(DOOR_X_M, -3.0), (DOOR_X_M, DOOR_LOW_M)]).buffer(0.2),
        shapely.LineString([(DOOR_X_M, DOOR_HIGH_M), (DOOR_X_M, HEIGHT_M + 3.0)]).buffer(0.2),
    ]
)
#: Distance outside the area that the tracker sees at which people enter and leave, metres.
MARGIN_M = 2.0
PLAZA = (
    shapely.box(-MARGIN_M, -MARGIN_M, WIDTH_M + MARGIN_M, HEIGHT_M + MARGIN_M) - WALLS - FOUNTAIN
)

MAP_RESOLUTION_M = 0.05

TIME_STEP_S = 0.05
TRACKER_PERIOD_S = 0.1
#: Time in which the plaza fills with people before the recording starts.
WARM_UP_S = 25.0

SPEED_MEAN_M_S, SPEED_SIGMA_M_S = 1.25, 0.2
SPEED_LOW_M_S, SPEED_HIGH_M_S = 0.7, 1.6
STOP_SHARE, PAIR_SHARE = 0.15, 0.2
#: Time that a person needs to stop and to start.
STOP_RAMP_S = 0.8

NOISE_SIGMA_M, NOISE_TIME_S = 0.02, 1.0
DROPOUTS_PER_PERSON_S = 0.015
DROPOUT_S = (0.3, 0.9)
NEW_ID_SHARE = 0.15

#: 2026-01-01 00:00:00 UTC. It must be fixed, and not zero, which means "no time" in ROS.
START_NS = 1_767_225_600 * 1_000_000_000


@dataclass(frozen=True)
class Flow:
    """People who enter at `source` and leave through one of `exits`.

    Attributes:
        rate_hz: arrivals per second.
        source: (x0, y0, x1, y1) in metres, the area in which people appear.
        via: stages on the way.
        exits: stages; each person walks to one of them.
    """

    rate_hz: float
    source: tuple[float, float, float, float]
    via: tuple[int, ...]
    exits: tuple[int, ...]


class Crowd:
    """The simulated people."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        model = jps.AnticipationVelocityModel(rng_seed=seed)
        self._simulation = jps.Simulation(model=model, geometry=PLAZA, dt=TIME_STEP_S)
        self._flows = self._make_flows()
        #: Person -> (start of the stop in s, its duration in s, desired speed in m/s).
        self._stops: dict[int, tuple[float, float, float]] = {}

    def positions_m(self, duration_s: float) -> Iterator[dict[int, tuple[float, float]]]:
        """Yields all positions once in each tracker period, after the warm-up."""
        steps_per_period = round(TRACKER_PERIOD_S / TIME_STEP_S)
        first = round(WARM_UP_S / TIME_STEP_S)
        for step in range(first + round(duration_s / TIME_STEP_S)):
            now_s = step * TIME_STEP_S
            for flow in self._flows:
                if self._rng.random() < flow.rate_hz * TIME_STEP_S:
                    self._enter(flow, now_s)
            self._set_speeds(now_s)
            self._simulation.iterate()
            if step >= first and (step - first) % steps_per_period == 0:
                yield {agent.id: agent.position for agent in self._simulation.agents()}

    def _make_flows(self) -> list[Flow]:
        def exits(*centres_m: tuple[float, float]) -> tuple[int, ...]:
            squares = (
                shapely.Point(centre).buffer(0.8, cap_style="square") for centre in centres_m
            )
            return tuple(self._simulation.add_exit_stage(square) for square in squares)

        middle = 0.5 * (DOOR_LOW_M + DOOR_HIGH_M)
        # People keep right in the door.
        eastward = self._simulation.add_waypoint_stage((DOOR_X_M, middle - 0.9), 1.1)
        westward = self._simulation.add_waypoint_stage((DOOR_X_M, middle + 0.9), 1.1)
        beyond_m = 0.5 * MARGIN_M
        top_m, right_m = HEIGHT_M + beyond_m, WIDTH_M + beyond_m
        east = exits(*((right_m, y_m) for y_m in (3.0, 5.5, 8.0, 10.5)))
        west = exits(*((-beyond_m, y_m) for y_m in (2.5, 5.0, 7.5, 10.0, 12.0)))
        north = exits(*((x_m, top_m) for x_m in (3.5, 6.5, 9.5, 12.5)))
        south = exits(*((x_m, -beyond_m) for x_m in (3.5, 6.5, 9.5, 12.5)))
        return [
            Flow(0.085, (-1.6, 3.0, -0.6, 11.0), (eastward,), east),
            Flow(0.075, (WIDTH_M + 0.6, 3.0, WIDTH_M + 1.6, 11.0), (westward,), west),
            Flow(0.045, (3.0, -1.6, 13.0, -0.6), (), north),
            Flow(0.045, (3.0, HEIGHT_M + 0.6, 13.0, HEIGHT_M + 1.6), (), south),
        ]

    def _enter(self, flow: Flow, now_s: float) -> None:
        x0, y0, x1, y1 = flow.source
        place = np.array([self._rng.uniform(x0, x1), self._rng.uniform(y0, y1)])
        speed_m_s = self._rng.normal(SPEED_MEAN_M_S, SPEED_SIGMA_M_S)
        speed_m_s = float(np.clip(speed_m_s, SPEED_LOW_M_S, SPEED_HIGH_M_S))
        stages = [*flow.via, int(self._rng.choice(flow.exits))]
        journey = jps.JourneyDescription(stages)
        for stage, following in itertools.pairwise(stages):
            journey.set_transition_for_stage(
                stage, jps.Transition.create_fixed_transition(following)
            )
        journey_id = self._simulation.add_journey(journey)
        in_pair = self._rng.random() < PAIR_SHARE
        # Pairs walk side by side.
        sideways = np.array([0.0, 0.75]) if x1 - x0 < y1 - y0 else np.array([0.75, 0.0])
        for person in range(2 if in_pair else 1):
            position = place + person * sideways
            if list(self._simulation.agents_in_range(tuple(position), 0.6)):
                continue
            agent = self._simulation.add_agent(
                jps.AnticipationVelocityModelAgentParameters(
                    position=tuple(position),
                    desired_speed=speed_m_s,
                    radius=0.2,
                    time_gap=0.5,
                    range_neighbor_repulsion=0.1,
                    wall_buffer_distance=0.15,
                    journey_id=journey_id,
                    stage_id=stages[0],
                )
            )
            if not in_pair and self._rng.random() < STOP_SHARE:
                begin_s = now_s + self._rng.uniform(4.0, 9.0)
                self._stops[agent] = (begin_s, self._rng.uniform(4.0, 8.0), speed_m_s)

    def _set_speeds(self, now_s: float) -> None:
        for agent in self._simulation.agents():
            begin_s, duration_s, speed_m_s = self._stops.get(agent.id, (np.inf, 0.0, 0.0))
            if now_s < begin_s:
                continue
            since_begin_s, since_end_s = now_s - begin_s, now_s - begin_s - duration_s
            share = (
                since_end_s / STOP_RAMP_S if since_end_s > 0 else 1 - since_begin_s / STOP_RAMP_S
            )
            # The model requires a positive speed.
            agent.model.desired_speed = max(speed_m_s * min(share, 1.0), 1e-3)


class Tracker:
    """A tracker of the crowd, with noise, dropouts and new ids."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._noise_m: dict[int, np.ndarray] = {}
        self._missed_until_ns: dict[int, int] = {}
        self._ids: dict[int, int] = {}
        self._next_id = 1

    def observe(self, stamp_ns: int, positions_m: dict[int, tuple[float, float]]) -> Tracks:
        """The tracks at one stamp."""
        ids, places = [], []
        for person, position in positions_m.items():
            noise_m = self._next_noise(person)
            if not self._sees(position) or self._is_missed(person, stamp_ns):
                continue
            if person not in self._ids:
                self._ids[person] = self._next_id
                self._next_id += 1
            ids.append(str(self._ids[person]))
            # Rounded to millimetres, which is finer than the precision of a tracker.
            places.append(np.round(position + noise_m, 3))
        return Tracks(stamp_ns, tuple(ids), np.array(places, dtype=np.float64).reshape(-1, 2))

    @staticmethod
    def _sees(position: tuple[float, float]) -> bool:
        return 0.0 <= position[0] <= WIDTH_M and 0.0 <= position[1] <= HEIGHT_M

    def _next_noise(self, person: int) -> np.ndarray:
        """Correlated noise (an AR(1) process), as of filtered tracks."""
        keep = np.exp(-TRACKER_PERIOD_S / NOISE_TIME_S)
        fresh = self._rng.normal(0.0, NOISE_SIGMA_M, 2)
        previous = self._noise_m.get(person)
        noise_m = fresh if previous is None else keep * previous + np.sqrt(1.0 - keep**2) * fresh
        self._noise_m[person] = noise_m
        return noise_m

    def _is_missed(self, person: int, stamp_ns: int) -> bool:
        if stamp_ns < self._missed_until_ns.get(person, 0):
            return True
        if person in self._ids and self._rng.random() < DROPOUTS_PER_PERSON_S * TRACKER_PERIOD_S:
            self._missed_until_ns[person] = stamp_ns + round(self._rng.uniform(*DROPOUT_S) * 1e9)
            if self._rng.random() < NEW_ID_SHARE:
                del self._ids[person]
            return True
        return False


def observe_crowd(seed: int, duration_s: float) -> Iterator[Tracks]:
    """The whole recording, message by message."""
    tracker = Tracker(seed)
    for index, positions_m in enumerate(Crowd(seed).positions_m(duration_s)):
        stamp_ns = START_NS + round(index * TRACKER_PERIOD_S * 1e9)
        yield tracker.observe(stamp_ns, positions_m)


def floor_plan() -> FloorPlan:
    """The map of the area that the tracker sees."""
    columns = np.arange(round(WIDTH_M / MAP_RESOLUTION_M))
    rows = np.arange(round(HEIGHT_M / MAP_RESOLUTION_M))
    x_m, y_m = np.meshgrid((columns + 0.5) * MAP_RESOLUTION_M, (rows + 0.5) * MAP_RESOLUTION_M)
    return FloorPlan(~shapely.contains_xy(PLAZA, x_m, y_m), MAP_RESOLUTION_M, (0.0, 0.0))


def main() -> None:
    """Writes the recording."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to create")
    parser.add_argument("--seed", type=int, default=56)
    parser.add_argument("--duration", type=float, default=75.0, help="seconds")
    arguments = parser.parse_args()
    n_messages = write_tracks(
        arguments.out,
        observe_crowd(arguments.seed, arguments.duration),
        topic="/tracks",
        message_type="point_cloud",
        frame_id=DEFAULT_FRAME,
        floor_plan=floor_plan(),
    )
    print(f"{arguments.out}: {n_messages} messages, {arguments.duration:g} s")


if __name__ == "__main__":
    main()
