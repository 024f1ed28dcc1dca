"""The noise of a tracker is learned from its tracks, and separated from motion."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.tracks.estimation.noise import PositionNoise


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
