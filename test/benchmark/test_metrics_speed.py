"""Speed of the metrics: `make bench`. Rows of one group do the same work, and can be compared."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.stats import gaussian_kde

from social_implicit_ros.metrics.amd import mahalanobis_distances
from social_implicit_ros.metrics.gaussian_mixture import MAX_COMPONENTS, fit_mixtures
from social_implicit_ros.metrics.kde import kde_nll
from social_implicit_ros.types import FloatArray

pytest.importorskip("pytest_benchmark", reason="the rows are pytest-benchmark's")

N_CLOUDS, N_POINTS = 96, 1000
#: Number of clouds in `make test`, which measures nothing and only checks that the metrics run.
N_UNMEASURED = 2


def clouds(n_modes: int) -> FloatArray:
    """(96, 1000, 2) points in metres: predictions of one step with 1 way or with more."""
    rng = np.random.default_rng(0)
    root = rng.normal(0, 0.3, (N_CLOUDS, n_modes, 2, 2))
    centre = rng.normal(0, 1.0, (N_CLOUDS, n_modes, 2))
    mode = rng.integers(n_modes, size=(N_CLOUDS, N_POINTS))
    cloud = np.arange(N_CLOUDS)[:, None]
    noise = rng.normal(size=(N_CLOUDS, N_POINTS, 2))
    return centre[cloud, mode] + np.einsum("pnij,pnj->pni", root[cloud, mode], noise)


def fit_on_all_cores(points: FloatArray) -> int:
    """As `evaluate_dataset` does: one batch of clouds per thread."""
    batches = np.array_split(points, os.cpu_count() or 1)
    with ThreadPoolExecutor(len(batches)) as pool:
        return sum(len(fitted.weights) for fitted in pool.map(fit_mixtures, batches))


def fit_one_by_one(points: FloatArray) -> int:
    """As the reference does: scikit-learn, cloud by cloud, until BIC rises."""
    mixture = pytest.importorskip("sklearn.mixture", reason="scikit-learn is the yardstick")
    limits = pytest.importorskip("threadpoolctl").threadpool_limits
    with limits(1):  # more threads make such small clouds slower
        for cloud in points:
            best = np.inf
            for n in range(1, MAX_COMPONENTS + 1):
                bic = mixture.GaussianMixture(n, random_state=0).fit(cloud).bic(cloud)
                if bic >= best:
                    break
                best = bic
    return len(points)


@pytest.mark.parametrize("n_modes", [1, 3])
@pytest.mark.parametrize("fit", [fit_on_all_cores, fit_mixtures, fit_one_by_one])
def test_mixtures(benchmark, fit, n_modes: int) -> None:
    benchmark.group = f"mixtures of {N_CLOUDS} clouds of {N_POINTS} points, {n_modes} mode(s)"
    points = clouds(n_modes)[: N_UNMEASURED if benchmark.disabled else N_CLOUDS]
    benchmark.pedantic(fit, args=(points,), rounds=1 if fit is fit_one_by_one else 5)


def scene() -> tuple[FloatArray, FloatArray]:
    """1000 samples of 8 agents over 12 steps and their ground truth, metres."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(N_POINTS, 8, 12, 2)), rng.normal(size=(8, 12, 2))


def kde_one_by_one(samples: FloatArray, truth: FloatArray) -> float:
    """As the reference does: scipy, agent by agent, step by step."""
    total = 0.0
    for agent in range(samples.shape[1]):
        for step in range(samples.shape[2]):
            density = gaussian_kde(samples[:, agent, step].T)
            total -= max(density.logpdf(truth[agent, step])[0], -20.0)
    return total


@pytest.mark.parametrize("measure", [kde_nll, kde_one_by_one])
def test_kde(benchmark, measure) -> None:
    benchmark.group = "KDE of 96 positions from 1000 samples"
    benchmark.pedantic(measure, args=scene(), rounds=5)


def test_amd(benchmark) -> None:
    benchmark.group = "AMD of 96 positions from 1000 samples"
    benchmark.pedantic(mahalanobis_distances, args=scene(), rounds=5)
