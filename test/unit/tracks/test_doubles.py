"""A person whom one tracker lists twice, with noise, is predicted once; people are not merged."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.settings import HistoryLimits, PipelineConfig, PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities.doubles import Doubles
from social_implicit_ros.types import FloatArray, SkipReason, Tracks

S = 1_000_000_000
DATA = Path(
    os.environ.get("SOCIAL_IMPLICIT_DATA", Path(__file__).parents[3].parent / "shared" / "data")
)
WALK_M_S = np.array([1.2, 0.3])


class Scene:
    """A tracker with white noise, of people who walk in parallel."""

    def __init__(self, noise_m: float = 0.05, rate_hz: float = 10.0, **options: bool) -> None:
        pipeline = PipelineConfig(**options)  # type: ignore[arg-type]
        config = PredictorConfig(pipeline=pipeline, tick_rate_hz=0.0)
        self.predictor = Predictor(ConstantVelocity(), config, TransformBuffer())
        self.noise = np.random.default_rng(3)
        self.noise_m, self.rate_hz, self.n = noise_m, rate_hz, 100

    def walk(self, seconds: float, round_m: float = 0.0, **offsets_m: FloatArray) -> set[str]:
        """Adds messages of people at offsets from a walk; returns the predicted ids."""
        for _ in range(round(seconds * self.rate_hz)):
            time_s = self.n / self.rate_hz
            places_m = WALK_M_S * time_s + np.array(list(offsets_m.values()))
            places_m += self.noise.normal(0.0, self.noise_m, places_m.shape)
            if round_m:
                places_m = round_m * np.round(places_m / round_m)
            self.predictor.add_tracks(
                Tracks(round(time_s * S), tuple(offsets_m), places_m), "odom", round(time_s * S)
            )
            self.n += 1
        self.forecast = self.predictor.tick(round(time_s * S))
        return set(self.forecast.ids)


HERE, BESIDE, FAR = np.zeros(2), np.array([-0.1, 0.4]), np.array([3.0, 5.0])


@pytest.mark.parametrize("noise_m", [0.0, 0.03, 0.07])
@pytest.mark.parametrize("rate_hz", [2.5, 10.0])
def test_a_person_listed_twice_is_predicted_once(noise_m: float, rate_hz: float) -> None:
    scene = Scene(noise_m, rate_hz)
    assert scene.walk(1.0, a=HERE, b=HERE + 0.02, c=FAR) == {"a", "b", "c"}
    assert scene.walk(5.0, a=HERE, b=HERE + 0.02, c=FAR) == {"a", "c"}
    assert scene.forecast.skipped == {"b": SkipReason.MERGED}


def test_without_the_parameter_both_are_predicted() -> None:
    assert Scene(merge_doubles=False).walk(6.0, a=HERE, b=HERE) == {"a", "b"}


@pytest.mark.parametrize("noise_m", [0.0, 0.1])
@pytest.mark.parametrize("apart_m", [0.25, 0.4])
def test_couples_are_not_merged(noise_m: float, apart_m: float) -> None:
    scene = Scene(noise_m)
    assert scene.walk(12.0, a=HERE, b=apart_m * np.array([-0.24, 0.97])) == {"a", "b"}
    assert scene.predictor.counters()["merged"] == 0


def test_people_in_the_same_cell_of_a_grid_are_not_merged() -> None:
    scene = Scene(0.02)
    assert scene.walk(20.0, 0.5, a=HERE, b=BESIDE) == {"a", "b"}
    assert scene.predictor.counters()["merged"] == 0


def test_people_who_pass_each_other_are_not_merged() -> None:
    scene = Scene()
    for n in range(60):
        scene.walk(0.1, a=HERE, b=np.array([0.1 * (n - 30), 0.0]))
    assert scene.predictor.counters()["merged"] == 0


def test_if_one_track_ends_the_other_continues_under_the_same_id() -> None:
    scene = Scene()
    scene.walk(4.0, a=HERE, b=HERE)
    for _ in range(30):
        assert scene.walk(0.1, b=HERE) == {"a"}


def test_a_track_that_walks_away_is_split_off() -> None:
    scene = Scene()
    scene.walk(4.0, a=HERE, b=HERE)
    for n in range(30):
        scene.walk(0.1, a=HERE, b=np.array([0.0, 0.1 * n]))
    assert set(scene.forecast.ids) == {"a", "b"}


def test_a_person_listed_three_times_is_predicted_once() -> None:
    predicted = Scene().walk(6.0, a=HERE, b=HERE, c=HERE, d=BESIDE)
    assert len(predicted) == 2 and "d" in predicted


def test_after_several_doubles_half_the_time_is_enough() -> None:
    scene = Scene()
    twice = {f"{name}{n}": n * FAR for n in range(6) for name in "ab"}
    assert len(scene.walk(6.0, **twice)) == 6
    new = {"x": -FAR, "y": -FAR}
    assert scene.walk(1.3, **twice, **new) == {*(f"a{n}" for n in range(6)), "x"}


def doubles_of(path: Path, noise_m: float) -> int:
    """Number of pairs of tracks found in 100 s of a recording with added white noise."""
    ticks_s = 0.001 if path.parent.name == "lcas" else 0.04
    rows = np.loadtxt(path)
    stamps_ns = np.round(rows[:, 0] * ticks_s * S).astype(np.int64) + 100 * S
    rows[:, 2:4] += np.random.default_rng(0).normal(0.0, noise_m, (len(rows), 2))
    history, doubles = TrackHistory(HistoryLimits()), Doubles()
    found = set()
    for stamp_ns in np.unique(stamps_ns[stamps_ns < stamps_ns.min() + 100 * S]).tolist():
        of_message = rows[stamps_ns == stamp_ns]
        ids = tuple(f"{person:.0f}" for person in of_message[:, 1])
        tracks = Tracks(stamp_ns, ids, of_message[:, 2:4])
        history.insert(tracks)
        doubles.observe(tracks, history, 0.0)
        found.update(doubles.found)
    return len(found)


@pytest.mark.slow
@pytest.mark.benchmark_data
@pytest.mark.parametrize("noise_m", [0.0, 0.05])
@pytest.mark.parametrize(
    "name",
    ["robot/lcas/minerva.txt"]
    + [f"eth_ucy/all_data/{name}.txt" for name in ("crowds_zara02", "students001", "students003")],
)
def test_no_people_of_a_recording_are_merged(name: str, noise_m: float) -> None:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"no recording {path}: set SOCIAL_IMPLICIT_DATA to the folder of recordings")
    assert doubles_of(path, noise_m) == 0


@pytest.mark.parametrize("rate_hz", [5.0, 20.0])
def test_cameras_that_take_turns_list_somebody_once(rate_hz: float) -> None:
    """Each has ids of its own, and both publish on one topic."""
    scene = Scene(rate_hz=rate_hz)
    for _ in range(round(3.0 * rate_hz)):
        scene.walk(1.0 / rate_hz, a1=HERE, a2=FAR)
        predicted = scene.walk(1.0 / rate_hz, b1=HERE, b2=FAR)
    assert len(predicted) == 2


def test_couples_whom_a_tracker_sees_in_turns_are_not_merged() -> None:
    scene = Scene()
    for _ in range(60):
        scene.walk(0.1, a=HERE)
        predicted = scene.walk(0.1, b=BESIDE)
    assert predicted == {"a", "b"}
