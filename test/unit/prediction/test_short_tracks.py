"""Predictions of short and noisy tracks: error, coverage and steadiness by the age of a track."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.pipeline import PipelineConfig, PredictionPipeline, Tick
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, Tracks
from social_implicit_ros.uncertainty.ellipses import sample_moments

HORIZON_S = 4.8
#: Mahalanobis radius of the 95 % region, squared.
REGION_95 = 5.991
N_PEOPLE = 120
START_NS = 100 * NS_PER_S


def people(standing: int) -> FloatArray:
    """(A, 2) velocities: some stand, the others walk 0.5 to 1.8 m/s in all directions."""
    generator = np.random.default_rng(1)
    speed = generator.uniform(0.5, 1.8, N_PEOPLE)
    speed[:standing] = 0.0
    heading = generator.uniform(-np.pi, np.pi, N_PEOPLE)
    return speed[:, None] * np.stack([np.cos(heading), np.sin(heading)], axis=1)


#: Far apart, so that nobody affects anybody.
PLACES_M = 80.0 * np.stack(np.divmod(np.arange(N_PEOPLE), 11), axis=1)


@lru_cache(maxsize=16)
def ticks(
    rate_hz: float, noise_m: float, standing: int, n_ticks: int, others_m_s: float = 0.0
) -> tuple[Tick, ...]:
    """A tick at each observation of people who are all seen for the first time at once.

    Others were seen before, far away and all at one velocity, from whom the noise is known.
    """
    generator = np.random.default_rng(2)
    pipeline = PredictionPipeline(load_model("default"), PipelineConfig())
    velocities = people(standing)
    ids = tuple(f"p{n}" for n in range(N_PEOPLE))
    result = []
    n_before = round(10 * rate_hz)
    for n in range(n_before + n_ticks):
        stamp_ns = START_NS + round(n / rate_hz * NS_PER_S)
        seen_m = PLACES_M + velocities * n / rate_hz
        seen_m = seen_m + generator.normal(0.0, noise_m, seen_m.shape)
        if n < n_before:
            others = tuple(f"q{k}" for k in range(10))
            seen_m = seen_m[:10] - velocities[:10] * n / rate_hz - 2000.0
            seen_m[:, 0] += others_m_s * n / rate_hz
            pipeline.history.insert(Tracks(stamp_ns, others, seen_m))
            pipeline.tick(stamp_ns)
            continue
        pipeline.history.insert(Tracks(stamp_ns, ids, seen_m))
        if n > n_before:
            result.append(pipeline.tick(stamp_ns))
    return tuple(result)


def errors(tick: Tick, standing: int) -> tuple[FloatArray, FloatArray]:
    """(A,) end errors in metres, and (A,) whether the 95 % region covers the ground truth."""
    rows = [tick.window.ids.index(f"p{n}") for n in range(N_PEOPLE)]
    elapsed_s = (tick.stamp_ns - START_NS) / NS_PER_S + HORIZON_S
    truth_m = PLACES_M + people(standing) * elapsed_s
    off_m = truth_m - tick.prediction.mean[rows, -1]
    inverse = np.linalg.inv(tick.prediction.covariance[rows, -1])
    return np.hypot(*off_m.T), np.einsum("ai,aij,aj->a", off_m, inverse, off_m) <= REGION_95


@pytest.mark.slow
def test_a_standing_person_seen_twice_stays_near() -> None:
    error_m, _ = errors(ticks(10.0, 0.05, N_PEOPLE, 60)[0], N_PEOPLE)
    assert np.median(error_m) < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("rate_hz", [2.5, 5.0, 10.0, 30.0])
def test_regions_cover_at_any_age(rate_hz: float) -> None:
    standing = N_PEOPLE // 2
    for tick in ticks(rate_hz, 0.05, standing, 16):
        assert errors(tick, standing)[1].mean() >= 0.9


@pytest.mark.parametrize("rate_hz", [2.5, 5.0])
def test_regions_cover_people_who_move_differently_from_earlier_ones(rate_hz: float) -> None:
    for tick in ticks(rate_hz, 0.05, 0, 16, others_m_s=1.2):
        assert errors(tick, 0)[1].mean() >= 0.9


@pytest.mark.slow
def test_errors_decrease_with_age() -> None:
    standing = N_PEOPLE // 2
    medians_m = [np.median(errors(tick, standing)[0]) for tick in ticks(10.0, 0.05, standing, 60)]
    assert medians_m[0] < 2.2  # 4 m at constant velocity from the last two positions
    assert medians_m[1] < 1.2
    assert medians_m[6] < 0.6
    assert medians_m[28] < 0.35


def test_regions_of_new_tracks_are_limited_by_the_speed_of_people() -> None:
    covariance = ticks(10.0, 0.05, N_PEOPLE // 2, 16)[0].prediction.covariance[:, -1]
    radius_m = np.sqrt(REGION_95 * np.linalg.eigvalsh(covariance)[:, 1])
    assert radius_m.max() < 2.2 * HORIZON_S


def test_the_radius_of_standing_people_hardly_flickers() -> None:
    areas = [
        np.linalg.det(tick.prediction.covariance[:, -1]) for tick in ticks(10.0, 0.05, N_PEOPLE, 60)
    ]
    radius = np.array(areas[30:]) ** 0.25
    assert np.median(np.abs(np.diff(radius, axis=0)) / radius[:-1]) < 0.1


@pytest.mark.slow
def test_the_end_points_of_walkers_move_little() -> None:
    ends_m = np.array([tick.prediction.mean[:, -1] for tick in ticks(10.0, 0.05, 0, 60)[30:]])
    moved_m = np.diff(ends_m, axis=0) - 0.1 * people(0)
    assert np.median(np.linalg.norm(moved_m, axis=2)) < 0.4


def test_samples_mean_and_covariance_agree() -> None:
    for tick in (ticks(10.0, 0.05, N_PEOPLE // 2, 16)[age] for age in (0, 3, 14)):
        mean_m, covariance = sample_moments(tick.prediction.samples)
        spread_m = np.sqrt(np.trace(covariance[:, -1], axis1=1, axis2=2))
        expected_m = np.sqrt(np.trace(tick.prediction.covariance[:, -1], axis1=1, axis2=2))
        assert 0.6 < np.median(spread_m / expected_m) < 1.3
        assert (
            np.median(np.linalg.norm(mean_m - tick.prediction.mean, axis=2) / spread_m[:, None])
            < 0.3
        )


@pytest.mark.parametrize("gap_s", [0.001, 0.033])
def test_two_observations_at_nearly_the_same_time_give_no_high_speed(gap_s: float) -> None:
    generator = np.random.default_rng(3)
    pipeline = PredictionPipeline(load_model("default"), PipelineConfig())
    ids = tuple(f"p{n}" for n in range(N_PEOPLE))
    for n in range(2):
        seen_m = PLACES_M + generator.normal(0.0, 0.05, PLACES_M.shape)
        pipeline.history.insert(Tracks(START_NS + round(n * gap_s * NS_PER_S), ids, seen_m))
    prediction = pipeline.tick(START_NS + round(gap_s * NS_PER_S)).prediction
    error_m = np.linalg.norm(prediction.mean[:, -1] - PLACES_M, axis=1)
    assert np.median(error_m) < 1.0
    assert error_m.max() < 4.0


def test_a_burst_after_silence_gives_no_high_speed() -> None:
    pipeline = PredictionPipeline(load_model("default"), PipelineConfig())

    def see(time_s: float, at_m: float) -> None:
        stamp_ns = START_NS + round(time_s * NS_PER_S)
        pipeline.history.insert(Tracks(stamp_ns, ("a",), np.array([[at_m, 0.0]])))

    for n in range(20):
        see(0.1 * n, 0.13 * n)
    # Positions that were measured during 1.1 s of silence are stamped when they are sent.
    for n in range(10):
        see(3.0 + 0.002 * n, 2.5 + 0.13 * n)
    prediction = pipeline.tick(START_NS + round(3.018 * NS_PER_S)).prediction
    assert np.linalg.norm(prediction.mean[0, -1] - [3.1, 0.0]) < 10.0


@pytest.mark.parametrize("model", ["default", "social_implicit", "constant_velocity"])
def test_no_velocity_is_above_the_limit(model: str) -> None:
    pipeline = PredictionPipeline(
        load_model(model), PipelineConfig(max_speed_m_s=2.0, position_noise_m=0.0)
    )
    for n in range(4):
        at_m = np.array([[0.18 * n, 0.0], [0.0, 0.3 * n]])
        pipeline.history.insert(Tracks(START_NS + n * NS_PER_S // 10, ("a", "b"), at_m))
    tick = pipeline.tick(START_NS + 3 * NS_PER_S // 10)
    path_m = np.concatenate([tick.present_m[:, None], tick.prediction.mean], axis=1)
    speed_m_s = np.linalg.norm(np.diff(path_m, axis=1), axis=2) / tick.prediction.step_s
    assert speed_m_s.max() <= 2.0 + 1e-9
    past_m_s = np.linalg.norm(np.diff(tick.window.positions_m[:, -2:], axis=1), axis=2) / 0.4
    assert past_m_s.max() <= 2.0 + 1e-9


def test_a_track_that_is_noisier_than_others_is_smoothed_more() -> None:
    generator = np.random.default_rng(4)
    pipeline = PredictionPipeline(load_model("default"), PipelineConfig())
    ids = ("good", "bad", *(f"p{n}" for n in range(8)))
    for n in range(30):
        seen_m = 20.0 * np.arange(len(ids))[:, None] * [1.0, 0.0]
        seen_m = seen_m + generator.normal(0.0, 0.02, seen_m.shape)
        seen_m[1] += generator.normal(0.0, 0.3, 2)
        pipeline.history.insert(Tracks(START_NS + n * NS_PER_S // 10, ids, seen_m))
    tick = pipeline.tick(START_NS + 29 * NS_PER_S // 10)
    variance = tick.window.state_covariances[:, 2, 2]
    assert variance[1] > 10 * variance[0]
