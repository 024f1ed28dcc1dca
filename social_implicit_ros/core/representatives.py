"""A few paths that stand for all samples, each with the share of samples it stands for."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.core.types import FloatArray, IntArray, Prediction

#: Rounds of assigning samples and choosing again; the choice hardly changes after the third.
_ROUNDS = 3
#: Sums of squared distances that differ by less are equal, metres squared.
_EQUAL_M2 = 1e-9


def representative_paths(prediction: Prediction, n_paths: int) -> tuple[FloatArray, FloatArray]:
    """The mean path, and samples that lie in the middle of the others around them.

    k-medoids over whole paths with one centre, the mean, that stays (Kaufman and Rousseeuw 1987),
    begun with the samples farthest from the centres so far (Gonzalez 1985): no draws, so the same
    samples always give the same paths.

    Args:
        prediction: with K samples of A agents.
        n_paths: how many paths (P), the mean included; 1 or more.

    Returns:
        (A, P, T, 2) paths in metres, the mean first, and (A, P) the share of the samples that are
        nearest to each, of sum 1; zero for a path that nobody needs.
    """
    n_samples, n_agents, n_steps, _ = prediction.samples.shape
    paths = prediction.samples.swapaxes(0, 1).reshape(n_agents, n_samples, 2 * n_steps)
    mean = prediction.mean.reshape(n_agents, 1, 2 * n_steps)
    # Seen from the mean, numbers are small, and so are errors of their squares.
    samples = paths - mean
    centres = np.zeros_like(mean)
    to_nearest = _squared_distances(samples, centres)
    for _ in range(n_paths - 1):
        farthest = _taken(samples, to_nearest.argmax(axis=1))
        centres = np.concatenate([centres, farthest], axis=1)
        to_nearest = np.minimum(to_nearest, _squared_distances(samples, farthest))
    for _ in range(_ROUNDS):
        belongs = _assigned(samples, centres)[..., 1:]
        counts = np.maximum(belongs.sum(axis=1), 1.0)
        middles = belongs.swapaxes(1, 2) @ samples / counts[..., None]
        to_middle = np.where(belongs > 0, _squared_distances(samples, middles), np.inf)
        medoids = _first_least(to_middle, axis=1)
        centres[:, 1:] = _taken(samples, medoids)
    shares = _assigned(samples, centres).mean(axis=1)
    chosen = np.concatenate([mean, _taken(paths, medoids)], axis=1)
    return chosen.reshape(n_agents, n_paths, n_steps, 2), shares


def _taken(samples: FloatArray, places: IntArray) -> FloatArray:
    """(A, K, D) samples and (A, P) which of them -> (A, P, D)."""
    taken: FloatArray = np.take_along_axis(samples, places[..., None], axis=1)
    return taken


def _squared_distances(samples: FloatArray, centres: FloatArray) -> FloatArray:
    """(A, K, D) and (A, P, D) -> (A, K, P)."""
    to_samples = np.einsum("akd,akd->ak", samples, samples)
    to_centres = np.einsum("apd,apd->ap", centres, centres)
    products = samples @ centres.swapaxes(1, 2)
    distances: FloatArray = to_samples[..., None] + to_centres[:, None] - 2.0 * products
    return distances


def _first_least(values: FloatArray, axis: int) -> IntArray:
    """Which is the least, the first of equals: rounding shall not choose, tick by tick anew."""
    least = values.min(axis=axis, keepdims=True)
    return np.asarray((values <= least + _EQUAL_M2).argmax(axis=axis))


def _assigned(samples: FloatArray, centres: FloatArray) -> FloatArray:
    """(A, K, P) 1 where a centre is the sample's nearest; else 0."""
    nearest = _first_least(_squared_distances(samples, centres), axis=2)
    return (nearest[..., None] == np.arange(centres.shape[1])).astype(np.float64)
