"""A few paths that stand for all samples, each with the share of samples it stands for."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.core.types import FloatArray, Prediction

#: Rounds of assigning samples and choosing again; the choice hardly changes after the third.
_ROUNDS = 3


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
    samples = prediction.samples.swapaxes(0, 1).reshape(n_agents, n_samples, 2 * n_steps)
    centres = prediction.mean.reshape(n_agents, 1, 2 * n_steps)
    for _ in range(n_paths - 1):
        farthest = _squared_distances(samples, centres).min(axis=2).argmax(axis=1)
        chosen = np.take_along_axis(samples, farthest[:, None, None], axis=1)
        centres = np.concatenate([centres, chosen], axis=1)
    for _ in range(_ROUNDS):
        belongs = _assigned(samples, centres)[..., 1:]
        counts = np.maximum(belongs.sum(axis=1), 1.0)
        middles = belongs.swapaxes(1, 2) @ samples / counts[..., None]
        to_middle = np.where(belongs > 0, _squared_distances(samples, middles), np.inf)
        medoids = to_middle.argmin(axis=1)
        centres[:, 1:] = np.take_along_axis(samples, medoids[..., None], axis=1)
    shares = _assigned(samples, centres).mean(axis=1)
    return centres.reshape(n_agents, n_paths, n_steps, 2), shares


def _squared_distances(samples: FloatArray, centres: FloatArray) -> FloatArray:
    """(A, K, D) and (A, P, D) -> (A, K, P)."""
    distances: FloatArray = ((samples[:, :, None] - centres[:, None]) ** 2).sum(axis=3)
    return distances


def _assigned(samples: FloatArray, centres: FloatArray) -> FloatArray:
    """(A, K, P) 1 where a centre is the sample's nearest, the first of equals; else 0."""
    nearest = _squared_distances(samples, centres).argmin(axis=2)
    return (nearest[..., None] == np.arange(centres.shape[1])).astype(np.float64)
