from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gaussian_kde

from social_implicit_ros.metrics.kde import kde_nll


def test_it_is_scipys_kernel_density() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(80, 3, 4, 2)) @ np.array([[1.0, 0.3], [0.0, 0.4]])
    truth = rng.normal(size=(3, 4, 2))
    nll, degenerate = kde_nll(samples, truth)
    expected = [
        [-gaussian_kde(samples[:, a, t].T).logpdf(truth[a, t])[0] for t in range(4)]
        for a in range(3)
    ]
    assert not degenerate.any()
    np.testing.assert_allclose(nll, np.minimum(expected, 20.0))


def test_the_log_density_is_clipped() -> None:
    rng = np.random.default_rng(0)
    samples, truth = rng.normal(size=(80, 1, 1, 2)), np.full((1, 1, 2), 50.0)
    nll, degenerate = kde_nll(samples, truth)
    assert nll.tolist() == [[20.0]]
    assert not degenerate.any()


def test_samples_without_a_density_count_as_misses_and_are_counted() -> None:
    samples, truth = np.zeros((30, 3, 1, 2)), np.zeros((3, 1, 2))
    samples[:, 1, 0] = np.linspace(0, 1, 30)[:, None] * [3.0, 1.0]
    samples[:, 2, 0] = np.random.default_rng(0).normal(size=(30, 2))
    nll, degenerate = kde_nll(samples, truth)
    assert degenerate.tolist() == [[True], [True], [False]]
    assert nll[:2].tolist() == [[20.0], [20.0]]
    assert nll[2, 0] < 5.0


def test_one_sample_has_no_density() -> None:
    _, degenerate = kde_nll(np.ones((1, 1, 1, 2)), np.ones((1, 1, 2)))
    assert degenerate.all()


def test_nan_is_not_hidden() -> None:
    samples = np.random.default_rng(0).normal(size=(30, 2, 2, 2))
    truth = np.zeros((2, 2, 2))
    samples[3, 0, 0] = np.nan
    truth[1, 1] = np.nan
    assert np.isnan(kde_nll(samples, truth)[0]).tolist() == [[True, False], [False, True]]


@given(st.integers(0, 1000), st.floats(-np.pi, np.pi), st.floats(0.1, 10.0))
def test_turning_changes_nothing_and_scaling_adds_its_logarithm(
    seed: int, angle: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    samples, truth = rng.normal(size=(50, 2, 3, 2)), rng.normal(size=(2, 3, 2))
    map_ = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    before, _ = kde_nll(samples, truth)
    after, _ = kde_nll(samples @ map_.T + 5.0, truth @ map_.T + 5.0)
    free = (before < 14.0) & (after < 19.0)  # where the clip has no effect
    np.testing.assert_allclose(after[free], before[free] + 2 * np.log(scale), atol=1e-6)


def test_the_true_distribution_is_more_likely_than_a_shifted_one() -> None:
    rng = np.random.default_rng(1)
    samples, truth = rng.normal(size=(200, 500, 1, 2)), rng.normal(size=(500, 1, 2))
    honest = kde_nll(samples, truth)[0].mean()
    # A unit Gaussian's entropy is ln(2 pi e).
    assert honest == pytest.approx(np.log(2 * np.pi * np.e), abs=0.25)
    assert honest < kde_nll(samples + 0.5, truth)[0].mean()
