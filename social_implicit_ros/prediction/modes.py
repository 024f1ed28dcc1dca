"""Modes of a prediction: a few trajectories, each with the probability of the samples near it."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.types import BoolArray, FloatArray, IntArray, Prediction

#: Iterations of k-medoids; the medoids hardly change after the third.
_ROUNDS = 3
#: Squared distances that differ by less count as equal, square metres.
_EQUAL_M2 = 1e-9


def representative_paths(prediction: Prediction, n_modes: int) -> tuple[FloatArray, FloatArray]:
    """The mean trajectory and the medoids of the samples.

    k-medoids over whole trajectories (Kaufman and Rousseeuw 1987) with the mean as a fixed centre,
    initialised by farthest-first traversal (Gonzalez 1985). It is deterministic: the same samples
    always give the same modes.

    Args:
        prediction: with K samples of A agents.
        n_modes: number of modes (P), including the mean; 1 or more.

    Returns:
        (A, P, T, 2) trajectories in metres, the mean first, and (A, P) the probability of the
        samples nearest to each, of sum 1; zero for a mode without samples.
    """
    n_samples, n_agents, n_steps, _ = prediction.samples.shape
    paths = prediction.samples.swapaxes(0, 1).reshape(n_agents, n_samples, 2 * n_steps)
    mean = prediction.mean.reshape(n_agents, 1, 2 * n_steps)
    # Samples relative to the mean have small squares and small rounding errors.
    samples = paths - mean
    squares = np.einsum("akd,akd->ak", samples, samples)
    centres = np.zeros((n_agents, n_modes, 2 * n_steps))  # the first stays at the mean
    to_nearest = squares
    for mode in range(1, n_modes):
        farthest = centres[:, mode : mode + 1]
        farthest[:] = _taken(samples, to_nearest.argmax(axis=1)[:, None])
        to_farthest = squares + _relative_squares(samples, farthest)[:, 0]
        to_nearest = np.minimum(to_nearest, to_farthest)
    for _ in range(_ROUNDS):
        assigned = _assigned(samples, centres)[:, 1:]
        counts = np.maximum(assigned.sum(axis=2, keepdims=True), 1)
        middles = assigned.astype(np.float64) @ samples / counts
        to_middle = squares[:, None] + _relative_squares(samples, middles)
        medoids = _first_minimum(np.where(assigned, to_middle, np.inf), axis=2)
        centres[:, 1:] = _taken(samples, medoids)
    weights = prediction.probabilities.T[:, None]
    shares = (_assigned(samples, centres) * weights).sum(axis=2)
    chosen = np.concatenate([mean, _taken(paths, medoids)], axis=1)
    return chosen.reshape(n_agents, n_modes, n_steps, 2), shares


def _taken(samples: FloatArray, indices: IntArray) -> FloatArray:
    """(A, K, D) samples and (A, P) indices -> (A, P, D)."""
    taken: FloatArray = samples[np.arange(len(samples))[:, None], indices]
    return taken


def _relative_squares(samples: FloatArray, centres: FloatArray) -> FloatArray:
    """(A, K, D), (A, P, D) -> (A, P, K) squared distances minus the squares of the samples."""
    squares = np.einsum("apd,apd->ap", centres, centres)
    relative: FloatArray = (-2.0 * centres) @ samples.swapaxes(1, 2)
    relative += squares[..., None]
    return relative


def _first_minimum(values: FloatArray, axis: int) -> IntArray:
    """Index of the minimum; the first of nearly equal values, so that rounding cannot change it."""
    minimum = values.min(axis=axis, keepdims=True)
    return np.asarray((values <= minimum + _EQUAL_M2).argmax(axis=axis))


def _assigned(samples: FloatArray, centres: FloatArray) -> BoolArray:
    """(A, P, K) whether a centre is the one nearest to a sample."""
    nearest = _first_minimum(_relative_squares(samples, centres), axis=1)
    assigned: BoolArray = nearest[:, None] == np.arange(centres.shape[1])[:, None]
    return assigned
