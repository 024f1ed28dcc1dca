from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from social_implicit_ros.metrics.displacement import errors_m
from social_implicit_ros.metrics.proper_scores import energy_score, gaussian_nll


def test_gaussian_nll_is_scipys() -> None:
    rng = np.random.default_rng(0)
    mean, truth = rng.normal(size=(2, 5, 2))
    root = rng.normal(size=(5, 2, 2))
    covariance = root @ root.swapaxes(1, 2) + 0.1 * np.eye(2)
    expected = [
        -multivariate_normal(m, c).logpdf(y)
        for m, c, y in zip(mean, covariance, truth, strict=True)
    ]
    np.testing.assert_allclose(gaussian_nll(mean, covariance, truth), expected)


def test_a_singular_covariance_has_no_likelihood() -> None:
    zero = np.zeros((1, 2))
    assert gaussian_nll(zero, np.zeros((1, 2, 2)), zero).tolist() == [np.inf]
    assert np.isnan(gaussian_nll(zero, np.eye(2)[None], np.full((1, 2), np.nan)))


def test_nll_is_least_for_the_true_width() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(0, 0.7, (20_000, 2))
    widths = [0.5, 0.7, 1.0]
    nll = [
        gaussian_nll(
            np.zeros_like(truth), np.broadcast_to(np.eye(2) * w**2, (20_000, 2, 2)), truth
        ).mean()
        for w in widths
    ]
    assert np.argmin(nll) == 1


def test_energy_score_of_agreeing_samples_is_the_displacement() -> None:
    rng = np.random.default_rng(0)
    path, truth = rng.normal(size=(2, 3, 12, 2))
    for n_samples in (1, 2, 20):
        samples = np.broadcast_to(path, (n_samples, 3, 12, 2))
        expected = errors_m(samples[:1], truth)[0]
        np.testing.assert_allclose(energy_score(samples, truth), expected)


def test_energy_score_of_all_pairs_by_hand() -> None:
    samples = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 4.0]])[:, None, None]
    truth = np.zeros((1, 1, 2))
    error = (0 + 5 + 4) / 3
    spread = (5 + 4 + 3) / 3
    score = energy_score(samples, truth, n_pairings=2)
    np.testing.assert_allclose(score, error - spread / 2)


def test_random_pairs_are_near_all_pairs() -> None:
    rng = np.random.default_rng(4)
    samples, truth = rng.normal(size=(400, 4, 3, 2)), rng.normal(size=(4, 3, 2))
    some = energy_score(samples, truth)
    every = energy_score(samples, truth, n_pairings=399)
    np.testing.assert_allclose(some, every, atol=0.03)


def test_all_pairs_of_few_samples_are_compared() -> None:
    """A fixed choice of pairs would be the same modes of a model in every scene."""
    rng = np.random.default_rng(4)
    samples, truth = rng.standard_t(2, size=(20, 4, 3, 2)), rng.normal(size=(4, 3, 2))
    every = energy_score(samples, truth, n_pairings=19)
    np.testing.assert_array_equal(energy_score(samples, truth), every)


@pytest.mark.parametrize("wrong", [0.5, 2.0])
def test_the_true_distribution_scores_best(wrong: float) -> None:
    rng = np.random.default_rng(5)
    truth = rng.normal(size=(2000, 1, 2))
    samples = rng.normal(size=(100, 2000, 1, 2))
    honest = energy_score(samples, truth).mean()
    assert honest < energy_score(samples * wrong, truth).mean()
    assert honest < energy_score(samples + np.array([0.5, 0.0]), truth).mean()


def test_energy_score_does_not_hide_nan() -> None:
    samples, truth = np.zeros((4, 2, 3, 2)), np.zeros((2, 3, 2))
    samples[1, 0, 2] = np.nan
    assert np.isnan(energy_score(samples, truth)).tolist() == [
        [False, False, True],
        [False, False, False],
    ]
