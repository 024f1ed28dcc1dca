"""Adds the uncertainty of present positions and velocities to predictions."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from social_implicit_ros.models.noise import standardised_normal
from social_implicit_ros.types import FloatArray, Prediction

_ROUNDING = 1e-10 * np.eye(4)


def with_state_uncertainty(
    prediction: Prediction, state_covariances: FloatArray, seed: int
) -> Prediction:
    """Adds errors of the present positions and velocities, propagated at constant velocity.

    Args:
        prediction: made from these positions and velocities as if they were exact.
        state_covariances: (A, 4, 4) covariances of x and y in metres and of their velocities in
            metres per second.
        seed: seed of the draws that are added to the samples.
    """
    n_agents, n_steps, _ = prediction.mean.shape
    powers, onwards = _propagation(n_steps, prediction.step_s)
    parts = np.empty((n_agents, 3, 2, 2))
    parts[:, 0], parts[:, 2] = state_covariances[:, :2, :2], state_covariances[:, 2:, 2:]
    parts[:, 1] = state_covariances[:, :2, 2:] + state_covariances[:, 2:, :2]
    added = (powers @ parts.reshape(n_agents, 3, 4)).reshape(prediction.covariance.shape)
    covariance = prediction.covariance + added
    factors = prediction.radius_scales
    if factors is not None:
        # Added errors are Gaussian, with radius scales of 1: the squares are averaged by variance.
        before = prediction.covariance[..., 0, 0] + prediction.covariance[..., 1, 1]
        after = covariance[..., 0, 0] + covariance[..., 1, 1]
        share = (before / np.maximum(after, 1e-12))[..., None]
        factors = factors * factors
        factors -= 1.0
        factors *= share
        factors += 1.0
        np.sqrt(factors, out=factors)
    samples = prediction.samples
    if len(samples):
        samples = samples + _offsets(prediction, state_covariances, onwards, seed)
    return replace(prediction, samples=samples, covariance=covariance, radius_scales=factors)


def _offsets(
    prediction: Prediction, state_covariances: FloatArray, onwards: FloatArray, seed: int
) -> FloatArray:
    """(K, A, T, 2) draws of the errors at each step, metres; their mean is zero."""
    # Rounding can make an eigenvalue of an exactly known state negative.
    roots = np.linalg.cholesky(state_covariances + _ROUNDING)
    # Maps a standard normal draw to the offsets at all steps.
    gains = np.swapaxes(roots, 1, 2) @ onwards  # (A, 4, 2 T)
    draws = standardised_normal(len(prediction.samples), 4, seed)
    offsets_m = draws @ np.swapaxes(gains, 0, 1).reshape(4, -1)
    # Draws have zero mean with equal weights, but samples have probabilities.
    centre = prediction.probabilities.T @ draws  # (A, 4)
    offsets_m -= (centre[:, None] @ gains).ravel()
    return np.asarray(offsets_m.reshape(prediction.samples.shape))


def unestimated(covariances_m2: FloatArray, state_covariances: FloatArray | None) -> FloatArray:
    """(A, 2, 2) the part of a tracker's covariances that exceeds the estimate's, square metres.

    Args:
        covariances_m2: (A, 2, 2) covariances of positions that the tracker states.
        state_covariances: (A, 4, 4) covariances of the estimated states, which predictions already
            contain; None if states are not estimated.
    """
    if state_covariances is None:
        return covariances_m2
    stated = np.trace(covariances_m2, axis1=1, axis2=2)
    known = np.trace(state_covariances[:, :2, :2], axis1=1, axis2=2)
    share = np.maximum(stated - known, 0.0) / np.maximum(stated, 1e-12)
    return np.asarray(share[:, None, None] * covariances_m2)


@lru_cache(maxsize=8)
def _propagation(n_steps: int, step_s: float) -> tuple[FloatArray, FloatArray]:
    """(T, 3) powers 0 to 2 of the times; (4, 2 T) the map from a state to its displacements."""
    times_s = step_s * np.arange(1, n_steps + 1, dtype=np.float64)
    moves = np.kron(np.stack([np.ones(n_steps), times_s]), np.eye(2))
    onwards: FloatArray = np.asarray(moves, dtype=np.float64)
    powers: FloatArray = np.stack([np.ones(n_steps), times_s, times_s * times_s], axis=1)
    return powers, onwards


def within_speed(prediction: Prediction, last_m: FloatArray, max_speed_m_s: float) -> Prediction:
    """Scales mean trajectories that exceed a speed down to it, and their samples with them.

    Args:
        prediction: of A agents.
        last_m: (A, 2) positions one step before the first predicted one, metres.
        max_speed_m_s: maximum plausible speed.
    """
    limit_m = max_speed_m_s * prediction.step_s
    steps_m = prediction.mean.copy()
    steps_m[:, 1:] -= prediction.mean[:, :-1]
    steps_m[:, 0] -= last_m
    if np.abs(steps_m).max(initial=0.0) * 2**0.5 <= limit_m:
        return prediction
    fastest_m = np.sqrt(np.square(steps_m).sum(axis=2).max(axis=1))
    factor = np.minimum(1.0, limit_m / np.maximum(fastest_m, 1e-9))[:, None, None]
    start_m = last_m[:, None]
    return replace(
        prediction,
        samples=start_m + factor * (prediction.samples - start_m),
        mean=start_m + factor * (prediction.mean - start_m),
    )
