"""Tracks that never move, such as pillars, do not affect the calibration of people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.scoring.online_evaluation import (
    MOTIONLESS_M,
    MotionlessTracks,
    weights_of,
)
from social_implicit_ros.settings import PipelineConfig, PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.types import FloatArray, Prediction, Tracks
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration, ScoredPositions
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES
from social_implicit_ros.uncertainty.storage import AdaptedModel, load_learnt, save_learnt

S = 1_000_000_000
STEP_S = 0.4
MODEL = AdaptedModel("constant_velocity", "", 12)


class GrowingEllipses(ConstantVelocity):
    """Constant velocity with a standard deviation of 0.1 m per step, without interactions."""

    def predict(
        self,
        observed: FloatArray,
        *,
        n_samples: int = 20,
        seed: int = 0,
        planned_m: FloatArray | None = None,
    ) -> Prediction:
        prediction = super().predict(observed, n_samples=n_samples, seed=seed)
        variance = (0.1 * np.arange(1.0, self.n_predicted + 1.0)) ** 2
        covariance = np.broadcast_to(variance[:, None, None] * np.eye(2), (len(observed), 12, 2, 2))
        return replace(prediction, covariance=covariance)


class Hall:
    """People and pillars, seen every 0.4 s by a predictor that adapts its ellipses."""

    def __init__(self) -> None:
        self.adaptive = AdaptiveCalibration(12)
        self.predictor = Predictor(
            GrowingEllipses(),
            PredictorConfig(pipeline=PipelineConfig(n_samples=1), tick_rate_hz=0.0),
            TransformBuffer(),
            adaptive=self.adaptive,
        )

    def watch(
        self, from_s: float, paths_m: FloatArray, n_pillars: int = 0
    ) -> list[ScoredPositions]:
        """Adds (A, N, 2) paths beside pillars; returns the scores."""
        pillars = 30.0 + np.arange(2.0 * n_pillars).reshape(-1, 2)
        names = (
            *(f"person {person}" for person in range(len(paths_m))),
            *(f"pillar {pillar}" for pillar in range(n_pillars)),
        )
        found = []
        for n in range(paths_m.shape[1]):
            stamp_ns = round((from_s + n * STEP_S) * S)
            at_m = np.concatenate([paths_m[:, n], pillars])
            self.predictor.add_tracks(Tracks(stamp_ns, names, at_m), "odom", stamp_ns)
            self.predictor.tick(stamp_ns)
            scored = self.predictor.evaluate()
            found += [] if scored is None else [scored]
        return found


def walkers(n_people: int, duration_s: float) -> FloatArray:
    """(A, N, 2) walks with random turns; their errors are far larger than the model states."""
    rng = np.random.default_rng(4)
    n_steps = round(duration_s / STEP_S)
    heading = np.cumsum(rng.normal(0.0, 0.3, (n_people, n_steps)), axis=1)
    steps = 1.2 * STEP_S * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    return np.cumsum(steps, axis=1)


def standing(n_people: int, duration_s: float) -> FloatArray:
    """(A, N, 2) people who sway by 5 cm about their places."""
    rng = np.random.default_rng(5)
    places = -20.0 - 2.0 * np.arange(2.0 * n_people).reshape(-1, 1, 2)
    return places + rng.normal(0.0, 0.05, (n_people, round(duration_s / STEP_S), 2))


def coverage(found: list[ScoredPositions], since_s: float, slowest_m_s: float = 0.0) -> float:
    """Share of the people's positions inside the 95 % ellipse; a pillar has no error."""
    late = [scored for scored in found if scored.stamp_ns > since_s * S]
    counts = np.concatenate([(s.error_m > 1e-9) & (s.speed_m_s >= slowest_m_s) for s in late])
    inside = np.concatenate([s.levels <= 0.95 for s in late])
    return float((counts * inside).sum() / counts.sum())


@pytest.mark.slow
def test_walkers_are_covered_as_well_beside_ten_pillars_as_alone() -> None:
    paths_m = walkers(6, 80.0)
    alone, beside = Hall(), Hall()
    found_alone = alone.watch(1.0, paths_m)
    found_beside = beside.watch(1.0, paths_m, n_pillars=10)
    np.testing.assert_array_equal(beside.adaptive.radii[1], alone.adaptive.radii[1])
    covered = coverage(found_beside, 40.0, slowest_m_s=0.7)
    assert covered == coverage(found_alone, 40.0, slowest_m_s=0.7)
    assert covered == pytest.approx(0.95, abs=0.03)


@pytest.mark.slow
def test_scores_of_walkers_do_not_contain_pillars() -> None:
    hall = Hall()
    found = hall.watch(1.0, walkers(6, 40.0), n_pillars=10)
    scores = hall.predictor.evaluation.recent()
    assert scores.class_coverage[1] == pytest.approx(coverage(found, 0.0, 0.7), abs=0.01)
    # Each pillar counts once at each step.
    assert scores.n_scored[0].tolist() == pytest.approx([10.0] * 12, abs=2.0)


@pytest.mark.slow
def test_pillars_do_not_shrink_the_ellipses_of_people_who_stand() -> None:
    found = Hall().watch(1.0, standing(3, 120.0), n_pillars=10)
    assert coverage(found, 60.0) == pytest.approx(0.95, abs=0.04)


@pytest.mark.slow
def test_quiet_minutes_with_pillars_leave_the_ellipses_of_walkers(tmp_path: Path) -> None:
    quiet = Hall()
    quiet.watch(1.0, np.empty((0, 300, 2)), n_pillars=3)
    np.testing.assert_array_equal(quiet.adaptive.radii[1], AdaptiveCalibration(12).radii[1])
    save_learnt(tmp_path / "kept.json", quiet.adaptive.learnt, MODEL)
    begins = Hall()
    begins.adaptive.restore(load_learnt(tmp_path / "kept.json", MODEL))
    np.testing.assert_array_equal(begins.adaptive.radii[1], AdaptiveCalibration(12).radii[1])
    # Each pillar is scored once, which hardly changes the ellipses of people who stand.
    ratio = begins.adaptive.radii[0] / AdaptiveCalibration(12).radii[0]
    assert ratio[:, CONFIDENCES.index(0.95)].min() > 0.9


def test_a_track_that_moved_once_does_not_become_motionless_again() -> None:
    tracks = MotionlessTracks()
    here, there = np.zeros((1, 2)), np.array([[1.0, 0.0]])
    assert np.isnan(tracks.add(("a",), here)).all()
    np.testing.assert_array_equal(tracks.add(("a",), here), here)
    near = np.array([[0.5 * MOTIONLESS_M, 0.0]])
    np.testing.assert_array_equal(tracks.add(("a",), near), here)
    assert np.isnan(tracks.add(("a",), there)).all()
    assert np.isnan(tracks.add(("a",), here)).all()
    assert np.isnan(tracks.add(("a",), here)).all()


def test_a_track_that_left_begins_again() -> None:
    tracks = MotionlessTracks()
    here = np.zeros((1, 2))
    tracks.add(("a",), here)
    assert tracks.add((), np.empty((0, 2))).shape == (0, 2)
    assert np.isnan(tracks.add(("a",), here)).all()


def test_a_track_that_starts_to_walk_counts() -> None:
    still_m = np.array([[0.0, 0.0], [0.0, 0.0], [np.nan, np.nan]])
    found_m = np.array([[0.0, 0.0], [0.3, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(weights_of(found_m, still_m), [0.0, 1.0, 1.0])
