"""Recent statistics of a tracker, and lifetimes of its ids."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.health.people import IdLifetimes, Motion, overlapping_rows
from social_implicit_ros.prediction.health.snapshot import ConditionTimer
from social_implicit_ros.prediction.health.tracker_log import TrackerLog
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.settings import PipelineConfig, PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.messages.spec import find_tracker_spec
from social_implicit_ros.types import FloatArray, SkipReason, Tracks

S = 1_000_000_000


def predictor_of(merge_distance_m: float = 0.0) -> Predictor:
    pipeline = PipelineConfig(merge_distance_m=merge_distance_m)
    config = PredictorConfig(pipeline=pipeline, fixed_frame="odom")
    return Predictor(ConstantVelocity(), config, TransformBuffer())


class Watched(TrackerLog):
    """The log of a tracker with ten messages a second, and a report after each tenth of them."""

    def __init__(self) -> None:
        super().__init__("/tracks", find_tracker_spec("yolo"))
        self.predictor = predictor_of()

    def tell(self, n: int, ids: Iterable[str], positions_m: FloatArray, **others: Any) -> None:
        stamp_ns = 100 * S + n * S // 10
        tracks = Tracks(stamp_ns, tuple(ids), positions_m, **others)
        self.predictor.add_tracks(tracks, "odom", stamp_ns)
        self.predictor.tick(stamp_ns)
        if n % 10 == 9:
            self.take_counts(self.predictor, "")


@pytest.fixture
def log() -> Watched:
    """The log of a tracker that has sent nothing."""
    return Watched()


def median_of(id_of: object, n_messages: int = 50, timeout_s: float = 1.0) -> float:
    """Median lifetime of the ids of six people, ten messages a second."""
    lifetimes = IdLifetimes()
    for n in range(n_messages):
        ids = tuple(id_of(n, person) for person in range(6))  # type: ignore[operator]
        lifetimes.add(ids, (n + 1) * S // 10)
    return lifetimes.median_s(timeout_s)


@pytest.mark.parametrize("timeout_s", [1.0, 4.5])
def test_a_new_id_in_every_message_has_a_lifetime_of_zero(timeout_s: float) -> None:
    assert median_of(lambda n, person: f"{n}/{person}", timeout_s=timeout_s) == 0.0


def test_the_lifetime_of_an_id_ends_where_it_is_cut() -> None:
    assert median_of(lambda n, person: f"{n // 8}/{person}", 200) == pytest.approx(0.7)


def test_a_few_flickering_ids_do_not_outweigh_people_who_stay() -> None:
    assert median_of(lambda n, person: "x" if person else f"{n}") == 0.0
    assert median_of(lambda n, person: f"{person}" if person or n % 20 else f"new {n}") == math.inf
    assert median_of(lambda n, person: str(person)) == math.inf


def test_the_number_of_ids_in_memory_is_bounded() -> None:
    lifetimes, numbers = IdLifetimes(), itertools.count()
    for n in range(100):
        lifetimes.add(tuple(str(next(numbers)) for _ in range(2000)), n * S)
    assert len(lifetimes._alive) <= 22_000


def test_lifetimes_restart_when_stamps_jump_back() -> None:
    lifetimes = IdLifetimes()
    lifetimes.add(("a",), 1000 * S)
    for n in range(50):
        lifetimes.add((str(n),), n * S // 10)
    assert lifetimes.median_s(1.0) == 0.0


@pytest.mark.parametrize("kind", ["jumps", "walks", "flickers"])
def test_people_who_are_reported_but_never_predicted_are_counted(log: Watched, kind: str) -> None:
    """The id 1 is that of a person who walks."""
    n_waiting = []
    for n in range(60):
        x_m = 30.0 * (n % 3) if kind == "jumps" else 0.1 * n
        name = f"{n}" if kind == "flickers" else "7"
        log.tell(n, ("1", name), np.array([[0.1 * n, 0.0], [x_m, 9.0]]))
        n_waiting.append(log.n_waiting)
    assert n_waiting[9::10] == [0, 0, *([int(kind == "jumps")] * 4)]
    if kind == "jumps":
        assert log.examples == {SkipReason.TOO_FEW_OBSERVATIONS: "'7'"}


def test_a_merged_person_counts_as_predicted_for_both_trackers() -> None:
    predictor = predictor_of(merge_distance_m=0.5)
    logs = {source: TrackerLog(source, find_tracker_spec("yolo")) for source in ("a/", "b/")}
    for n in range(30):
        stamp_ns = 100 * S + n * S // 10
        for source in logs:
            tracks = Tracks(stamp_ns, (f"{source}1",), np.array([[0.1 * n, 0.0]]))
            predictor.add_tracks(tracks, "odom", stamp_ns, source=source)
        forecast = predictor.tick(stamp_ns)
    for source, log in logs.items():
        log.take_counts(predictor, source)
    assert len(forecast.ids) == 1
    assert [log.n_predicted for log in logs.values()] == [1, 1]


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0)], ids=["level", "optical"])
def test_positions_in_the_axes_of_another_frame_are_noticed(
    log: Watched, axes: tuple[int, ...]
) -> None:
    for n in range(50):
        # One walks along x, one along y, one up a ramp.
        seen_m = np.array([[0.1 * n, 0.0, 1.0], [3.0, 0.1 * n, 1.0], [0.1 * n, 5.0, 0.01 * n]])
        seen_m = seen_m[:, axes]
        log.tell(n, "abc", seen_m[:, :2], heights_m=seen_m[:, 2])
    expected_m_s = 2.0 / 3.0 if axes[-1] == 0 else 0.1 / 3.0
    assert log.climb_m_s == pytest.approx(expected_m_s)


def test_a_rate_of_climb_is_known_although_a_tracker_is_slower_than_the_reports() -> None:
    motion, climbs_m_s, seen = Motion(), [], {}
    for second in range(12):
        if second % 3 < 2:  # in two of three periods
            seen = {"a": np.array([second, second, 0.0, 0.6 * second])}
        climbs_m_s.append(motion.update(seen)[1])
    assert climbs_m_s[4:] == pytest.approx([0.6] * 8)


@pytest.mark.parametrize(
    ("unit_m", "are_exchanged", "is_fast"),
    [(1.0, False, False), (1000.0, False, True), (0.3048, False, False), (1.0, True, False)],
    ids=["metres", "millimetres", "too small", "ids exchanged"],
)
def test_people_who_are_faster_than_people_are_noticed(
    log: Watched, unit_m: float, are_exchanged: bool, is_fast: bool
) -> None:
    """Positions in millimetres cannot be tracked; exchanged ids jump, but not on and on."""
    walk_m_s = np.array([[1.0, 0.5], [-1.2, 0.0], [0.9, -0.3], [0.0, 1.1], [0.0, 0.0]])
    order = np.random.default_rng(0)
    for n in range(50):
        seen_m = unit_m * (20.0 * np.eye(5)[:, :2] + 0.1 * n * walk_m_s)
        log.tell(n, order.permutation(list("abcde")) if are_exchanged else "abcde", seen_m)
    assert (log.speed_m_s > 3.0) == is_fast
    if is_fast:
        assert log.speed_m_s == pytest.approx(1000 * np.hypot(1.0, 0.5), rel=0.1)


@pytest.mark.parametrize(
    ("name", "reported"),
    [("right", np.eye(2)), ("backwards", -np.eye(2)), ("turned", np.array([[0, 1], [-1, 0]]))],
)
def test_velocities_that_do_not_fit_the_positions_are_noticed(
    log: Watched, name: str, reported: FloatArray
) -> None:
    walk_m_s = np.array([[1.0, 0.5], [-1.2, 0.0], [0.0, 0.0]])
    velocities_m_s = np.column_stack([walk_m_s @ reported, np.zeros(3)])
    for n in range(40):
        seen_m = np.array([[0.0, 0.0], [9.0, 3.0], [5.0, 8.0]]) + 0.1 * n * walk_m_s
        log.tell(n, "abc", seen_m, velocities_m_s=velocities_m_s)
    assert log.has_wrong_velocities == (name != "right")


@pytest.mark.parametrize("other", ["", "b/"], ids=["one tracker", "two trackers"])
@pytest.mark.parametrize("apart_m", [0.03, 0.25, 0.5])
def test_people_who_are_reported_twice_are_noticed(apart_m: float, other: str) -> None:
    predictor, log = predictor_of(), TrackerLog("/tracks", find_tracker_spec("yolo"))
    places_m = np.array([[0.0, 0.0], [5.0, 0.0], [9.0, 9.0]])
    for n in range(31):
        stamp_ns = 100 * S + n * S // 10
        tracks = Tracks(stamp_ns, ("a/1", "a/2", "a/3"), places_m)
        again = Tracks(
            stamp_ns, (f"{other}4", f"{other}5"), places_m[:2] + np.array([0.0, apart_m])
        )
        if other:
            predictor.add_tracks(tracks, "odom", stamp_ns, source="a/")
            predictor.add_tracks(again, "odom", stamp_ns, source=other)
        else:
            both_m = np.concatenate([tracks.positions_m, again.positions_m])
            tracks = Tracks(stamp_ns, tracks.ids + again.ids, both_m)
            predictor.add_tracks(tracks, "odom", stamp_ns)
        predictor.tick(stamp_ns)
        if n % 10 == 0:
            log.take_counts(predictor, "a/" if other else "")
    # Within the noise of one tracker each is predicted once.
    is_merged = apart_m < 0.1 and not other
    assert log.n_doubles == (2 if is_merged else 0)
    assert log.overlapping_s == (2.0 if apart_m < 0.3 and not is_merged else 0.0)


GRID_M = np.stack(np.divmod(np.arange(16.0), 4.0), axis=1)


@pytest.mark.parametrize(
    ("places_m", "n_overlapping"),
    [
        (np.concatenate([5.0 * GRID_M[:4], 5.0 * GRID_M[:4] + 0.35]), 8),  # everybody twice
        (np.concatenate([5.0 * GRID_M[:2], 5.0 * GRID_M[:2] + 0.35]), 0),  # two couples
        (np.concatenate([5.0 * GRID_M, 5.0 * GRID_M[:4] + 0.35]), 0),  # some couples
        (0.5 * GRID_M, 0),  # a dense crowd
    ],
)
def test_people_reported_twice_are_told_from_couples_and_crowds(
    log: Watched, places_m: FloatArray, n_overlapping: int
) -> None:
    for n in (0, 10):
        log.tell(n, map(str, range(len(places_m))), places_m)
    assert len(overlapping_rows(log.predictor.last_tick)) == n_overlapping


@pytest.mark.slow
@pytest.mark.parametrize("is_index", [False, True])
def test_ids_that_are_indices_in_a_list_are_noticed(log: Watched, is_index: bool) -> None:
    """People stand apart. Every second the first one of the list leaves, and somebody enters.

    After 10 s time jumps back.
    """
    kept_s = []
    for n in range(200):
        people = range(n // 10, n // 10 + 6)
        ids = map(str, range(6) if is_index else people)
        places_m = np.array(
            [[8.0 * (person * 7 % 11), 8.0 * (person * 5 % 13)] for person in people]
        )
        log.tell(n if n < 100 else n - 500, ids, places_m)
        if n % 10 == 9:
            kept_s.append(log.reassigned_s)
    known_s = [each for each in kept_s if each < math.inf]
    assert all(0.0 < each < 3.0 for each in known_s)
    assert [kept_s[9] < math.inf, kept_s[19] < math.inf] == [is_index, is_index]


@pytest.mark.parametrize(("y_m", "seconds"), [(-1.0, 6.0), (2.0, 0.0)])
def test_people_inside_walls_are_noticed(log: Watched, y_m: float, seconds: float) -> None:
    """The map has a wall of 4 m; a map that does not fit has no effect on people inside it."""
    occupied = np.zeros((80, 80), dtype=bool)
    occupied[:40] = True
    floor_plan = FloorPlan(occupied, 0.1, (-4.0, -4.0), frame_id="odom")
    log.predictor.floor_plan = floor_plan.prepare()
    for n in range(70):
        log.tell(n, "abc", np.array([[0.0, y_m], [1.0, y_m], [2.0, 3.0]]))
    assert log.in_walls_s == seconds


def test_a_condition_that_lasts_over_a_jump_back_of_time_is_timed_from_the_jump_on() -> None:
    timer = ConditionTimer()
    held_s = [timer.update(True, now_s) for now_s in (100.0, 103.0, 50.0, 51.0)]
    assert held_s == [0.0, 3.0, 0.0, 1.0]
    assert timer.update(False, 52.0) == 0.0
    assert timer.update(True, 54.0, began=53.0) == 1.0
