"""Fuzz target `meaning`: several trackers with random faults, of people whose paths are known.

Some tracks of the first tracker are correct. A person with a correct track of at least a second is
predicted near the true position, whatever the other tracks and trackers report, and no prediction
is faster than `max_speed_m_s`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from fuzz.draws import Draws

from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.pipeline import PipelineConfig
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.types import FloatArray, IntArray, Tracks

S = 1_000_000_000
START_NS = 1_700_000_000 * S
FRAME = "odom"
DURATION_S = 4.5
TICK_S = 0.1
#: A person whom the good tracker has seen for this long is predicted, seconds.
SEEN_S = 1.0
#: Maximum distance of a prediction from the true position, now and after a second, metres.
NOW_M, LATER_M = 0.8, 2.2
GOOD = "good/"


@dataclass(frozen=True)
class Message:
    """Tracks of one tracker, and when they arrive."""

    arrives_ns: int
    source: str
    tracks: Tracks


@dataclass(frozen=True)
class Faults:
    """Faults of a tracker: seconds, metres, shares of the entries or messages."""

    rate_hz: float
    noise_m: float
    late_s: float
    missing: float
    jumping: float  # share of the entries that are somewhere else
    false_tracks: int
    burst_s: float  # messages of this time arrive at once
    restamped: bool  # such messages are stamped at arrival
    swapped: bool  # ids of two people change places now and then
    shift_m: float  # constant
    clock_s: float = 0.0  # added to all stamps
    absurd: float = 0.0  # share of the entries that are no number, or far off the Earth


class World:
    """People who walk, turn and stop smoothly."""

    def __init__(self, draws: Draws, random: np.random.Generator) -> None:
        self.n_people = 1 + draws.byte() % 6
        side_m = (3.0, 12.0, 40.0)[draws.byte() % 3]
        self._start_m = random.uniform(-side_m, side_m, (self.n_people, 2))
        self._speed_m_s = random.uniform(0.0, 1.8, self.n_people)
        self._speed_m_s[random.random(self.n_people) < 0.3] = 0.0
        self._heading = random.uniform(-np.pi, np.pi, self.n_people)
        self._turn = random.uniform(-0.3, 0.3, self.n_people) * (draws.byte() % 2)

    def at(self, time_s: float) -> FloatArray:
        """(A, 2) positions, metres."""
        turn = np.where(self._turn == 0.0, 1e-9, self._turn)
        headings = self._heading + turn * time_s
        radius_m = (self._speed_m_s / turn)[:, None]
        begin = np.stack([np.sin(self._heading), -np.cos(self._heading)], axis=1)
        end = np.stack([np.sin(headings), -np.cos(headings)], axis=1)
        return np.asarray(self._start_m + radius_m * (end - begin))


def good_faults(draws: Draws) -> Faults:
    """Faults of the good tracker."""
    rate_hz = (10.0, 5.0, 30.0, 15.0)[draws.byte() % 4]
    noise_m = (0.0, 0.02, 0.05)[draws.byte() % 3]
    late_s = (0.0, 0.05, 0.1)[draws.byte() % 3]
    return Faults(rate_hz, noise_m, late_s, 0.0, 0.0, 0, 0.0, False, False, 0.0)


def bad_faults(draws: Draws) -> Faults:
    """Faults of any other tracker."""
    return Faults(
        rate_hz=(10.0, 2.0, 20.0, 30.0)[draws.byte() % 4],
        noise_m=(0.02, 0.1, 0.3, 1.0)[draws.byte() % 4],
        late_s=(0.0, 0.2, 0.6, 1.5)[draws.byte() % 4],
        missing=(0.0, 0.1, 0.5)[draws.byte() % 3],
        jumping=(0.0, 0.02, 0.2)[draws.byte() % 3],
        false_tracks=(0, 2, 10)[draws.byte() % 3],
        burst_s=(0.0, 0.0, 0.5, 1.1)[draws.byte() % 4],
        restamped=draws.byte() % 4 == 3,
        swapped=draws.byte() % 4 == 3,
        shift_m=(0.0, 0.3, 5.0)[draws.byte() % 3],
        clock_s=(0.0, 0.0, 0.0, 0.4, -0.4, 30.0, -30.0)[draws.byte() % 7],
        absurd=(0.0, 0.0, 0.05)[draws.byte() % 3],
    )


def entries_of(
    world: World, people: IntArray, faults: Faults, time_s: float, random: np.random.Generator
) -> tuple[list[int], FloatArray]:
    """Numbers of the people who are seen, and (A, 2) their reported positions."""
    seen_m = world.at(time_s)[people] + random.normal(0.0, faults.noise_m, (len(people), 2))
    seen_m[:, 0] += faults.shift_m
    jumps = random.random(len(people)) < faults.jumping
    seen_m[jumps] += random.uniform(-60.0, 60.0, (int(jumps.sum()), 2))
    absurd = random.random(len(people)) < faults.absurd
    seen_m[absurd] = random.choice([np.nan, np.inf, 1e308, 1e7], (int(absurd.sum()), 2))
    if faults.swapped and len(people) > 1 and time_s % 2.0 > 1.0:
        seen_m[[0, 1]] = seen_m[[1, 0]]
    kept = random.random(len(people)) >= faults.missing
    return people[kept].tolist(), seen_m[kept]


def messages_of(
    world: World,
    groups: Sequence[tuple[IntArray, Faults]],
    source: str,
    random: np.random.Generator,
) -> Iterator[Message]:
    """Messages of a tracker about groups of people with faults; the first group sets the times."""
    faults = groups[0][1]
    begins_s = float(random.uniform(0.0, 1.0 / faults.rate_hz))
    for time_s in np.arange(begins_s, DURATION_S, 1.0 / faults.rate_hz).tolist():
        ids, positions_m = [], []
        for people, of_group in groups:
            numbers, seen_m = entries_of(world, people, of_group, time_s, random)
            false_m = random.uniform(-20.0, 20.0, (of_group.false_tracks, 2))
            flicker = random.integers(0, 1000, of_group.false_tracks)
            ids += [f"{source}{n}" for n in numbers]
            ids += [f"{source}x{n}-{k}" for n, k in enumerate(flicker)]
            positions_m += [seen_m, false_m]
        arrives_s = time_s + faults.late_s * float(random.random())
        if faults.burst_s:
            arrives_s = (np.floor(time_s / faults.burst_s) + 1.0) * faults.burst_s
        stamp_s = arrives_s - 0.001 * (time_s % 0.5) if faults.restamped else time_s
        stamp_ns = START_NS + round((stamp_s + faults.clock_s) * S)
        tracks = Tracks(stamp_ns, tuple(ids), np.concatenate(positions_m))
        yield Message(START_NS + round(arrives_s * S), source, tracks)


def with_outliers(messages: Sequence[Message], random: np.random.Generator) -> Iterator[Message]:
    """The messages, with one position shifted in every tenth of them."""
    for n, message in enumerate(messages):
        tracks = message.tracks
        if n % 10 == 7 and len(tracks.ids):
            positions_m = tracks.positions_m.copy()
            positions_m[random.integers(len(tracks.ids))] += random.uniform(-30.0, 30.0, 2)
            tracks = replace(tracks, positions_m=positions_m)
        yield replace(message, tracks=tracks)


def one_by_one(message: Message, random: np.random.Generator) -> Iterator[Message]:
    """The message split into one message per person, in any order."""
    for n, row in enumerate(random.permutation(len(message.tracks.ids)).tolist()):
        tracks = message.tracks.of_agents(np.array([row]))
        yield Message(message.arrives_ns + n, message.source, tracks)


@cache
def _model(name: str) -> TrajectoryModel:
    return ConstantVelocity() if name == "constant_velocity" else load_model(name)


def run_meaning(data: bytes) -> None:
    """Sends a schedule to a predictor; checks what it would publish at each tick."""
    draws = Draws(data)
    random = np.random.default_rng(list(draws.take(8)))
    model = _model(("constant_velocity", "constant_velocity", "default")[draws.byte() % 3])
    pipeline = PipelineConfig(
        n_samples=4,
        max_speed_m_s=(10.0, 3.0, 5.0)[draws.byte() % 3],
        merge_distance_m=(0.0, 0.5, 1.0)[draws.byte() % 3],
    )
    config = PredictorConfig(pipeline=pipeline, tick_rate_hz=10.0, fixed_frame=FRAME)
    predictor = Predictor(model, config, TransformBuffer())
    world = World(draws, random)
    good = good_faults(draws)
    everybody = np.arange(world.n_people)
    n_bad = draws.byte() % world.n_people
    if n_bad and good.noise_m == 0.0:
        # Exact lines among noisy tracks are those that a tracker extrapolates, which are skipped.
        good = replace(good, noise_m=0.002)
    mixed = [(everybody[n_bad:], good), (everybody[:n_bad], bad_faults(draws))]
    messages = [*messages_of(world, mixed, GOOD, random)]
    for n in range(draws.byte() % 3):
        messages += messages_of(world, [(everybody, bad_faults(draws))], f"bad{n}/", random)
    if draws.byte() % 4 == 3:
        messages = [*with_outliers(messages, random)]
    if draws.byte() % 4 == 3:
        messages = [one for message in messages for one in one_by_one(message, random)]
    messages.sort(key=lambda message: message.arrives_ns)
    newest_s, at = -np.inf, 0  # newest stamp of the good tracker, number of messages sent
    for tick_s in np.arange(TICK_S, DURATION_S, TICK_S).tolist():
        now_ns = START_NS + round(tick_s * S)
        while at < len(messages) and messages[at].arrives_ns <= now_ns:
            message = messages[at]
            predictor.add_tracks(message.tracks, FRAME, message.arrives_ns, source=message.source)
            if message.source == GOOD:
                newest_s = max(newest_s, (message.tracks.stamp_ns - START_NS) / S)
            at += 1
        forecast = predictor.tick(now_ns)
        check_speeds(forecast, pipeline.max_speed_m_s)
        if newest_s >= SEEN_S + 1.0 / good.rate_hz:
            check_people(forecast, world, everybody[n_bad:], tick_s, pipeline.merge_distance_m)


def meaning_seeds() -> list[bytes]:
    """Schedules of all kinds."""
    return [np.random.default_rng(n).bytes(64) for n in range(12)]


def check_speeds(forecast: Forecast, max_speed_m_s: float) -> None:
    """No mean trajectory is faster than the limit."""
    path_m = np.concatenate([forecast.present_m[:, None], forecast.prediction.mean], axis=1)
    speeds_m_s = np.linalg.norm(np.diff(path_m, axis=1), axis=2) / forecast.prediction.step_s
    fastest_m_s = speeds_m_s.max(initial=0.0)
    assert fastest_m_s <= max_speed_m_s + 1e-6, f"{fastest_m_s:.2f} m/s"


def check_people(
    forecast: Forecast, world: World, people: IntArray, now_s: float, merge_distance_m: float
) -> None:
    """Asserts that people are predicted near their true positions, now and later.

    If tracks are merged, the predicted one may be up to twice the merge distance away.
    """
    now_m, later_than_m = NOW_M + 2.0 * merge_distance_m, LATER_M + 2.0 * merge_distance_m
    steps = np.concatenate([forecast.present_m[:, None], forecast.prediction.mean], axis=1)
    times_s = np.concatenate([[0.0], forecast.times_s])
    share = (1.0 - times_s[2]) / (times_s[3] - times_s[2])
    later_m = steps[:, 2] + share * (steps[:, 3] - steps[:, 2])
    truth_m, truth_later_m = world.at(now_s), world.at(now_s + 1.0)
    for person in people.tolist():
        off_m = np.linalg.norm(forecast.present_m - truth_m[person], axis=1)
        later_off_m = np.linalg.norm(later_m - truth_later_m[person], axis=1)
        near, nearest_m = off_m <= now_m, off_m.min(initial=np.inf)
        assert near.any(), f"{person} is missing at {now_s:.1f} s: nearest {nearest_m:.2f} m"
        assert later_off_m[near].min() <= later_than_m, (
            f"{person} is off by {later_off_m[near].min():.2f} m after 1 s, at {now_s:.1f} s"
        )
