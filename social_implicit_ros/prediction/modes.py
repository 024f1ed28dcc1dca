"""A few paths that stand for all samples, each with the share of samples it stands for."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.types import BoolArray, FloatArray, IntArray, Prediction

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
    squares = np.einsum("akd,akd->ak", samples, samples)
    centres = np.zeros_like(mean)
    to_nearest = squares
    for _ in range(n_paths - 1):
        farthest = _taken(samples, to_nearest.argmax(axis=1)[:, None])
        centres = np.concatenate([centres, farthest], axis=1)
        to_farthest = squares + _beyond_squares(samples, farthest)[:, 0]
        to_nearest = np.minimum(to_nearest, to_farthest)
    for _ in range(_ROUNDS):
        belongs = _assigned(samples, centres)[:, 1:]
        counts = np.maximum(belongs.sum(axis=2, keepdims=True), 1)
        middles = belongs.astype(np.float64) @ samples / counts
        to_middle = squares[:, None] + _beyond_squares(samples, middles)
        medoids = _first_least(np.where(belongs, to_middle, np.inf), axis=2)
        centres[:, 1:] = _taken(samples, medoids)
    shares = _assigned(samples, centres).mean(axis=2)
    chosen = np.concatenate([mean, _taken(paths, medoids)], axis=1)
    return chosen.reshape(n_agents, n_paths, n_steps, 2), shares


def _taken(samples: FloatArray, places: IntArray) -> FloatArray:
    """(A, K, D) samples and (A, P) which of them -> (A, P, D)."""
    taken: FloatArray = np.take_along_axis(samples, places[..., None], axis=1)
    return taken


def _beyond_squares(samples: FloatArray, centres: FloatArray) -> FloatArray:
    """(A, K, D), (A, P, D) -> (A, P, K) squared distances less the squares of the samples."""
    squares = np.einsum("apd,apd->ap", centres, centres)
    beyond: FloatArray = squares[..., None] - 2.0 * (centres @ samples.swapaxes(1, 2))
    return beyond


def _first_least(values: FloatArray, axis: int) -> IntArray:
    """Which is the least, the first of equals: rounding shall not choose, tick by tick anew."""
    least = values.min(axis=axis, keepdims=True)
    return np.asarray((values <= least + _EQUAL_M2).argmax(axis=axis))


def _assigned(samples: FloatArray, centres: FloatArray) -> BoolArray:
    """(A, P, K) whether a centre is the sample's nearest."""
    nearest = _first_least(_beyond_squares(samples, centres), axis=1)
    assigned: BoolArray = nearest[:, None] == np.arange(centres.shape[1])[:, None]
    return assigned
