"""The noise of a tracker is learned from its tracks, and separated from motion."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.settings import HistoryLimits
from social_implicit_ros.tracks.estimation.noise import PositionNoise
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.types import ROBOT_ID, Tracks


def learned_std_m(noise_m: float, acceleration_m_s2: float, outliers: int = 0) -> float:
    generator = np.random.default_rng(0)
    noise = PositionNoise(0.03)
    times_ns = np.arange(4) * 100_000_000 + np.zeros((20, 1), dtype=np.int64)
    for _ in range(200):
        turns = generator.normal(0.0, acceleration_m_s2, (20, 4, 2)).cumsum(axis=1) * 0.01
        path_m = generator.uniform(-1.5, 1.5, (20, 1, 2)) * times_ns[..., None] * 1e-9
        seen_m = path_m + turns.cumsum(axis=1) + generator.normal(0.0, noise_m, (20, 4, 2))
        seen_m[:outliers, 3] += 30.0
        noise.add(times_ns, seen_m)
        outliers = 0
    return noise.variance_m2**0.5


@pytest.mark.parametrize("noise_m", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("acceleration_m_s2", [0.0, 0.5])
def test_noise_is_separated_from_motion(noise_m: float, acceleration_m_s2: float) -> None:
    assert learned_std_m(noise_m, acceleration_m_s2) == pytest.approx(noise_m, rel=0.15, abs=0.003)


def test_positions_without_noise_are_exact() -> None:
    assert learned_std_m(0.0, 0.0) < 0.002


def test_a_jump_hardly_changes_the_noise() -> None:
    assert learned_std_m(0.02, 0.0, outliers=3) == pytest.approx(0.02, rel=0.15)


def test_unevenly_spaced_observations_are_ignored() -> None:
    noise = PositionNoise(0.03)
    times_ns = np.array([[0, 100, 250, 300]]) * 1_000_000
    noise.add(times_ns, np.random.default_rng(0).normal(size=(1, 4, 2)))
    assert noise.variance_m2 == pytest.approx(0.03**2)


def test_exactly_constant_positions_are_ignored() -> None:
    noise = PositionNoise(0.03)
    times_ns = np.arange(4) * 100_000_000 + np.zeros((10, 1), dtype=np.int64)
    for _ in range(100):
        noise.add(times_ns, np.ones((10, 4, 2)))
    assert noise.variance_m2 == pytest.approx(0.03**2)


def watched(noises_m: list[float], stds_m: list[float] | None = None) -> TrackHistory:
    """A history of people who walk with some noise, and whose tracker states some deviations.

    The robot drives beside them; its odometry is exact.
    """
    history, generator = TrackHistory(HistoryLimits()), np.random.default_rng(0)
    n_people = len(noises_m)
    first_m = generator.uniform(-9.0, 9.0, (n_people, 2))
    velocities = generator.uniform(-1.0, 1.0, (n_people, 2))
    covariances_m2 = None if stds_m is None else np.square(stds_m)[:, None, None] * np.eye(3)
    for n in range(200):
        noise_m = generator.normal(0.0, 1.0, (n_people, 2)) * np.array(noises_m)[:, None]
        seen_m = first_m + velocities * n / 10 + noise_m
        ids = tuple(map(str, range(n_people)))
        stamp_ns = n * 100_000_000
        history.insert(Tracks(stamp_ns, ids, seen_m, covariances_m2=covariances_m2))
        history.insert(Tracks(stamp_ns, (ROBOT_ID,), np.array([[0.0, n / 10]])))
    return history


@pytest.mark.parametrize("noise_m", [0.02, 0.1])
def test_the_noise_of_a_tracker_is_learned_from_its_tracks_and_not_from_odometry(
    noise_m: float,
) -> None:
    history = watched([noise_m] * 8)
    assert history.noise_m("") == pytest.approx(noise_m, rel=0.2)
    assert history.noise_m(ROBOT_ID) < 0.005
    assert history.noise_m("another") == HistoryLimits().position_noise_m


def test_tracks_are_grouped_by_the_deviations_that_their_tracker_states() -> None:
    """The noise of each group is learned; the stated deviations are wrong by a factor of two."""
    history = watched([0.02] * 6 + [0.05] * 6 + [0.12] * 6, [0.04] * 6 + [0.1] * 6 + [0.24] * 6)
    covariances = history.window(199 * 100_000_000)[0].state_covariances
    assert covariances is not None
    stds_m = np.sqrt(covariances[:18, 0, 0]).reshape(3, 6)
    assert stds_m == pytest.approx(np.broadcast_to(stds_m[:, :1], (3, 6)), rel=0.1)
    assert (1.4 * stds_m[:-1] < stds_m[1:]).all()
