"""Modes: a few trajectories, each with the probability of the samples nearest to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from social_implicit_ros.prediction.modes import representative_paths
from social_implicit_ros.types import Prediction
from social_implicit_ros.uncertainty.ellipses import sample_moments


def prediction_of(samples: np.ndarray) -> Prediction:
    return Prediction(samples, *sample_moments(samples), 0.4)


def around(endpoints: list[tuple[float, float]], counts: list[int], seed: int = 0) -> Prediction:
    """Samples of one agent that walk to places near the endpoints, so many to each."""
    generator = np.random.default_rng(seed)
    ends = np.repeat(np.array(endpoints), counts, axis=0)
    ends = generator.permutation(ends + generator.normal(size=ends.shape) * 0.05)
    shares = np.linspace(1 / 12, 1.0, 12)
    return prediction_of(ends[:, None, None] * shares[:, None])


@pytest.mark.parametrize("n_paths", [1, 2, 5, 9])
def test_shares_add_up_to_one_and_the_mean_comes_first(n_paths: int) -> None:
    samples = np.random.default_rng(1).normal(size=(20, 7, 12, 2)).cumsum(axis=2)
    prediction = prediction_of(samples)
    paths, shares = representative_paths(prediction, n_paths)
    assert paths.shape == (7, n_paths, 12, 2)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_array_equal(paths[:, 0], prediction.mean)


def test_the_others_are_samples() -> None:
    prediction = prediction_of(np.random.default_rng(1).normal(size=(20, 3, 12, 2)))
    paths, _ = representative_paths(prediction, 5)
    for agent in range(3):
        for path in paths[agent, 1:]:
            assert (prediction.samples[:, agent] == path).all(axis=(1, 2)).any()


def test_left_and_right_are_found_with_their_probabilities() -> None:
    prediction = around([(4.0, 3.0), (4.0, -3.0)], [14, 6])
    paths, shares = representative_paths(prediction, 3)
    ends = paths[0, :, -1]
    left, right = sorted((1, 2), key=lambda place: -ends[place, 1])
    np.testing.assert_allclose(ends[left], [4.0, 3.0], atol=0.2)
    np.testing.assert_allclose(ends[right], [4.0, -3.0], atol=0.2)
    # The mean is between the two, where no sample is.
    np.testing.assert_allclose(shares[0], np.array([0, 14, 6])[[0, left, right]] / 20)


def test_a_mode_is_the_medoid_of_its_samples() -> None:
    prediction = around([(4.0, 3.0), (4.0, -3.0)], [30, 30])
    paths, _ = representative_paths(prediction, 3)
    for place in (1, 2):
        end = paths[0, place, -1]
        own = prediction.samples[:, 0, -1]
        own = own[np.sign(own[:, 1]) == np.sign(end[1])]
        from_middle = np.linalg.norm(own - own.mean(axis=0), axis=1)
        assert np.linalg.norm(end - own.mean(axis=0)) <= np.sort(from_middle)[2]


def test_if_all_samples_agree_the_mean_has_all_probability() -> None:
    samples = np.tile(np.arange(24.0).reshape(12, 2), (20, 2, 1, 1))
    _, shares = representative_paths(prediction_of(samples), 4)
    np.testing.assert_allclose(shares, [[1.0, 0.0, 0.0, 0.0]] * 2)


def test_the_order_of_the_samples_does_not_matter() -> None:
    prediction = around([(4.0, 3.0), (4.0, -3.0), (0.0, 0.0)], [9, 8, 3])
    shuffled = np.random.default_rng(5).permutation(prediction.samples)
    paths, shares = representative_paths(prediction, 4)
    others, other_shares = representative_paths(prediction_of(shuffled), 4)
    np.testing.assert_allclose(others, paths)
    np.testing.assert_allclose(other_shares, shares, atol=1e-12)


def test_fewer_samples_than_modes_and_no_agents_are_accepted() -> None:
    few = prediction_of(np.random.default_rng(1).normal(size=(2, 3, 12, 2)))
    paths, shares = representative_paths(few, 6)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    nobody = prediction_of(np.empty((20, 0, 12, 2)))
    paths, shares = representative_paths(nobody, 4)
    assert (paths.shape, shares.shape) == ((0, 4, 12, 2), (0, 4))


def test_rounding_does_not_choose_between_equal_candidates() -> None:
    plain = around([(4.0, 3.0), (4.0, -3.0)], [2, 2])
    paths, shares = representative_paths(plain, 3)
    generator = np.random.default_rng(0)
    for _ in range(20):
        jitter_m = generator.normal(size=plain.samples.shape) * 1e-13
        moved, moved_shares = representative_paths(prediction_of(plain.samples + jitter_m), 3)
        np.testing.assert_allclose(moved, paths, atol=1e-9)
        np.testing.assert_array_equal(moved_shares, shares)


def test_shares_are_sums_of_probabilities() -> None:
    prediction = around([(4.0, 3.0), (4.0, -3.0)], [10, 10])
    upper = (prediction.samples[:, 0, -1, 1] > 0.0)[:, None]
    weights = np.where(upper, 0.07, 0.03)
    _, shares = representative_paths(replace(prediction, probabilities=weights), 3)
    assert sorted(shares[0]) == pytest.approx([0.0, 0.3, 0.7])


def test_each_sample_belongs_to_the_nearest_path() -> None:
    prediction = around([(0.5, 0.0), (2.0, 0.5), (6.0, 0.0), (5.0, -1.0)], [9, 5, 4, 2])
    paths, shares = representative_paths(prediction, 4)
    samples = prediction.samples[:, 0].reshape(-1, 1, 24)
    distances_m = np.linalg.norm(samples - paths[0].reshape(1, 4, 24), axis=2)
    counts = np.bincount(distances_m.argmin(axis=1), minlength=4)
    np.testing.assert_allclose(shares[0], counts / len(samples))
    assert (counts[1:] > 0).all()
