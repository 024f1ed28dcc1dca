"""Velocities and covariances of trackers are used as far as they fit the positions."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest

from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.pipeline import PipelineConfig, PredictionPipeline, Tick
from social_implicit_ros.prediction.state_uncertainty import unestimated
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, Tracks

RATE_HZ, NOISE_M, HORIZON_S = 10.0, 0.05, 4.8
#: Mahalanobis radius of the 95 % region, squared.
REGION_95 = 5.991
N_PEOPLE, N_TICKS = 60, 8
PLACES_M = 80.0 * np.stack(np.divmod(np.arange(N_PEOPLE), 8), axis=1)
GENERATOR = np.random.default_rng(5)
#: Two of three walk.
SPEED_M_S = GENERATOR.uniform(0.5, 1.8, N_PEOPLE) * (np.arange(N_PEOPLE) % 3 > 0)
HEADING_RAD = GENERATOR.uniform(-np.pi, np.pi, N_PEOPLE)
VELOCITIES_M_S = SPEED_M_S[:, None] * np.stack([np.cos(HEADING_RAD), np.sin(HEADING_RAD)], axis=1)

#: Generator and seconds since the track began -> (A, 2) reported velocities.
Field = Callable[[np.random.Generator, float], FloatArray]
FIELDS: dict[str, Field | None] = {
    "none": None,
    "good": lambda generator, _: VELOCITIES_M_S + generator.normal(0.0, 0.1, (N_PEOPLE, 2)),
    "not filled in": lambda _, __: np.full((N_PEOPLE, 2), 1e-3),
    "random": lambda generator, _: generator.normal(0.0, 1.5, (N_PEOPLE, 2)),
    "other axes": lambda _, __: VELOCITIES_M_S[:, ::-1],
    "at first zero": lambda _, age_s: VELOCITIES_M_S * (age_s > 0.15) + 1e-4,
    "late": lambda _, age_s: VELOCITIES_M_S * (age_s > 0.95) + 1e-4,
    "slow filter": lambda _, age_s: VELOCITIES_M_S * (1.0 - np.exp(-age_s)) + 1e-4,
}


@lru_cache(maxsize=16)
def ticks(field: str, variance_m2: float | None = None) -> tuple[Tick, ...]:
    """A tick at each observation of new people, after the noise of the tracker is known."""
    generator = np.random.default_rng(6)
    velocities_of = FIELDS[field]
    pipeline = PredictionPipeline(load_model("default"), PipelineConfig())
    result = []
    for life, n_ticks in enumerate((30, 30, N_TICKS)):
        for n in range(n_ticks):
            stamp_ns = round((100.0 + 10.0 * life + n / RATE_HZ) * NS_PER_S)
            seen_m = PLACES_M + VELOCITIES_M_S * n / RATE_HZ
            seen_m = seen_m + generator.normal(0.0, NOISE_M, seen_m.shape)
            velocities = covariances = None
            if velocities_of is not None:
                planar_m_s = velocities_of(np.random.default_rng(n), n / RATE_HZ)
                velocities = np.column_stack([planar_m_s, np.zeros(N_PEOPLE)])
            if variance_m2 is not None:
                covariances = np.tile(variance_m2 * np.eye(3), (N_PEOPLE, 1, 1))
            ids = tuple(f"{life}.{person}" for person in range(N_PEOPLE))
            pipeline.history.insert(
                Tracks(
                    stamp_ns,
                    ids,
                    seen_m,
                    velocities_m_s=velocities,
                    covariances_m2=covariances,
                )
            )
            if life == 2 and n > 0:
                result.append(pipeline.tick(stamp_ns))
    return tuple(result)


def off_m(tick: Tick) -> tuple[FloatArray, float]:
    """(A,) end errors in metres, and the share of people in their 95 % regions."""
    rows = [tick.window.ids.index(f"2.{person}") for person in range(N_PEOPLE)]
    elapsed_s = tick.stamp_ns / NS_PER_S - 120.0 + HORIZON_S
    off = PLACES_M + VELOCITIES_M_S * elapsed_s - tick.prediction.mean[rows, -1]
    inverse = np.linalg.inv(tick.prediction.covariance[rows, -1])
    is_inside = np.einsum("ai,aij,aj->a", off, inverse, off) <= REGION_95
    return np.hypot(*off.T), float(is_inside.mean())


def test_with_a_velocity_two_observations_are_enough() -> None:
    error_m, covered = off_m(ticks("good")[0])
    assert np.median(error_m[SPEED_M_S > 0]) < 1.0
    assert np.median(error_m[SPEED_M_S == 0]) < 0.3
    assert covered >= 0.9


@pytest.mark.parametrize("field", [name for name in FIELDS if name not in ("none", "good")])
def test_an_uninformative_velocity_does_not_change_predictions(field: str) -> None:
    for without, tick in zip(ticks("none"), ticks(field), strict=True):
        assert np.mean(off_m(tick)[0]) < 1.3 * np.mean(off_m(without)[0])
        assert off_m(tick)[1] >= 0.9


@pytest.mark.parametrize("variance_m2", [400.0, 1e-9])
def test_equal_covariances_do_not_change_predictions(variance_m2: float) -> None:
    for without, tick in zip(ticks("none"), ticks("none", variance_m2), strict=True):
        np.testing.assert_allclose(tick.prediction.mean, without.prediction.mean, atol=0.1)


def test_tracks_with_larger_covariances_are_smoothed_more() -> None:
    generator = np.random.default_rng(7)
    std_m = np.where(np.arange(N_PEOPLE) % 2, 0.02, 0.2)
    covariances = (std_m**2)[:, None, None] * np.eye(3)
    pipeline = PredictionPipeline(load_model("default"), PipelineConfig())
    for n in range(40):
        # Every person gets a new track after 3 s.
        ids = tuple(f"{n // 30}.{person}" for person in range(N_PEOPLE))
        stamp_ns = round((100.0 + n / RATE_HZ) * NS_PER_S)
        seen_m = PLACES_M + VELOCITIES_M_S * n / RATE_HZ
        seen_m = seen_m + std_m[:, None] * generator.normal(size=seen_m.shape)
        pipeline.history.insert(Tracks(stamp_ns, ids, seen_m, covariances_m2=covariances))
    window = pipeline.tick(stamp_ns).window
    rows = [window.ids.index(f"1.{person}") for person in range(N_PEOPLE)]
    assert window.state_covariances is not None
    std_m_s = np.sqrt(window.state_covariances[rows, 2, 2])
    assert np.median(std_m_s[::2]) > 3.0 * np.median(std_m_s[1::2])


def test_a_covariance_adds_what_the_estimate_does_not_contain() -> None:
    tracker = np.array([[[0.4, 0.0], [0.0, 0.4]], [[0.01, 0.0], [0.0, 0.01]]])
    estimate = np.tile(0.1 * np.eye(4), (2, 1, 1))
    added = unestimated(tracker, estimate)
    np.testing.assert_allclose(added, np.array([0.3, 0.0])[:, None, None] * np.eye(2))
    np.testing.assert_array_equal(unestimated(tracker, None), tracker)
