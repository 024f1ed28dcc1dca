"""A person whom two trackers report is predicted once; two people are never merged."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.settings import PipelineConfig, PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.types import FloatArray, SkipReason, Tracks

S = 1_000_000_000
WALK_M_S = np.array([1.2, 0.0])
#: Calibration error between two sensors, metres.
OFFSET_M = np.array([0.1, 0.2])
ONE, TWO = "0/people/", "1/zed/"


class Scene:
    """Two trackers, at 10 Hz each, half a period apart."""

    def __init__(self, merge_distance_m: float = 0.5) -> None:
        pipeline = PipelineConfig(merge_distance_m=merge_distance_m)
        config = PredictorConfig(pipeline=pipeline, tick_rate_hz=0.0)
        self.predictor = Predictor(ConstantVelocity(), config, TransformBuffer())
        self.n = 10

    def add(self, source: str, time_s: float, **positions_m: FloatArray) -> None:
        ids = tuple(f"{source}{name}" for name in positions_m)
        tracks = Tracks(round(time_s * S), ids, np.array(list(positions_m.values())).reshape(-1, 2))
        self.predictor.add_tracks(tracks, "odom", 0, source=source)

    def walk(self, n_messages: int, one: dict[str, float], two: dict[str, float]) -> set[str]:
        """Adds messages of people who walk at some y; returns the ids predicted at the end."""
        for _ in range(n_messages):
            time_s = self.n / 10
            for source, people, at_s, offset_m in (
                (ONE, one, time_s, 0.0 * OFFSET_M),
                (TWO, two, time_s + 0.05, OFFSET_M),
            ):
                walked_m = WALK_M_S * at_s + offset_m
                positions_m = {
                    name: walked_m + np.array([0.0, y_m]) for name, y_m in people.items()
                }
                self.add(source, at_s, **positions_m)
            self.n += 1
        self.forecast = self.predictor.tick(round((time_s + 0.05) * S))
        assert len(set(self.forecast.ids)) == len(self.forecast.ids)
        return set(self.forecast.ids)


def test_without_the_parameter_both_tracks_are_predicted() -> None:
    assert Scene(0.0).walk(20, {"a": 0.0}, {"b": 0.0}) == {"0/people/a", "1/zed/b"}


def test_a_person_seen_by_two_trackers_is_predicted_once() -> None:
    scene = Scene()
    assert scene.walk(20, {"a": 0.0}, {"b": 0.0}) == {"0/people/a"}
    assert scene.forecast.skipped == {"1/zed/b": SkipReason.MERGED}
    assert scene.predictor.counters()["merged"] == 1


def test_the_published_id_is_that_of_the_older_track() -> None:
    scene = Scene()
    scene.walk(5, {}, {"b": 0.0})
    assert scene.walk(20, {"a": 0.0}, {"b": 0.0}) == {"1/zed/b"}


def test_if_one_tracker_loses_a_person_the_other_continues_under_the_same_id() -> None:
    scene = Scene()
    scene.walk(20, {"a": 0.0, "c": 9.0}, {"b": 0.0})
    for _ in range(20):  # also when it is forgotten
        assert scene.walk(1, {"c": 9.0}, {"b": 0.0}) == {"0/people/a", "0/people/c"}
    assert scene.predictor.history.unknown(("0/people/a",))
    # The tracker finds the person again, under another id.
    assert scene.walk(20, {"c": 9.0, "d": 0.0}, {"b": 0.0}) == {"0/people/a", "0/people/c"}


def test_two_close_people_whom_one_tracker_sees_both_are_not_merged() -> None:
    both = {"a": 0.0, "b": 0.4}
    assert len(Scene().walk(40, both, {"c": 0.2})) == 2
    assert len(Scene().walk(40, both, {"c": 0.0, "d": 0.4})) == 2
    assert len(Scene().walk(40, {"c": 0.2}, both)) == 2


def test_people_who_pass_each_other_are_not_merged() -> None:
    scene = Scene()
    for n in range(10, 60):
        along_m = WALK_M_S * (n / 10 - 3.5)
        scene.add(ONE, n / 10, a=along_m)
        scene.add(TWO, n / 10 + 0.05, b=-along_m)
    assert scene.predictor.counters()["merged"] == 0


def test_a_track_that_walks_away_is_split_off() -> None:
    scene = Scene()
    scene.walk(20, {"a": 0.0}, {"b": 0.0})
    for n in range(20):
        scene.walk(1, {"a": 0.0}, {"b": 0.1 * n})
    assert set(scene.forecast.ids) == {"0/people/a", "1/zed/b"}


def test_a_lagging_track_is_merged() -> None:
    scene = Scene()
    for n in range(10, 60):
        scene.add(ONE, n / 10, a=WALK_M_S * n / 10)
        late_s = n / 10 - 0.8
        scene.add(TWO, late_s, b=WALK_M_S * late_s + OFFSET_M)
    assert scene.predictor.tick(round(5.9 * S)).ids == ("0/people/a",)


def test_a_track_that_jumped_is_not_the_predicted_one() -> None:
    scene = Scene()
    scene.walk(5, {"a": 0.0}, {})
    assert scene.walk(20, {"a": 0.0}, {"b": 0.0}) == {"0/people/a"}
    for away_m in (30.0, -30.0, 0.0):
        # A single observation after the jump gives no velocity yet.
        assert scene.walk(1, {"a": away_m}, {"b": 0.0}) == {"0/people/a"}
        assert abs(scene.forecast.present_m[0, 1] - OFFSET_M[1]) < 0.3


def test_a_lagging_track_is_not_the_predicted_one() -> None:
    scene = Scene()
    scene.walk(5, {"a": 0.0}, {})
    scene.walk(20, {"a": 0.0}, {"b": 0.0})
    for n in range(15):
        time_s = 3.6 + n / 10
        scene.add(ONE, time_s - 0.8, a=WALK_M_S * (time_s - 0.8) + [0.0, 0.3])
        scene.add(TWO, time_s, b=WALK_M_S * time_s)
    forecast = scene.predictor.tick(round(time_s * S))
    assert forecast.ids == ("0/people/a",)
    np.testing.assert_allclose(forecast.present_m[0], WALK_M_S * time_s, atol=0.1)


def test_a_person_seen_by_four_trackers_is_predicted_once() -> None:
    """The nearest track of another tracker changes from message to message."""
    scene, draws = Scene(), np.random.default_rng(0)
    for n in range(40):
        for tracker in "abcd":
            noisy_m = {
                str(i): np.array([5.0 * i, 0.1 * n]) + draws.normal(0.0, 0.05, 2) for i in range(3)
            }
            scene.add(f"{tracker}/", 1.0 + n / 10, **noisy_m)
        ids = scene.predictor.tick(round((1.0 + n / 10) * S)).ids
        assert n < 11 or len(ids) == 3
    assert scene.predictor.counters()["merged"] == 9


def test_people_who_pass_each_other_again_and_again_are_not_merged() -> None:
    """Each time for less than a second."""
    scene = Scene()
    for _ in range(4):
        assert len(scene.walk(6, {"a": 0.0}, {"b": 0.0})) == 2
        assert len(scene.walk(6, {"a": 0.0}, {"b": 4.0})) == 2
