"""Bayesian smoothing: estimates positions and velocities of noisy and short tracks.

Two observations within 0.1 s determine a position, but hardly a velocity. The estimate weights all
observations by the noise of the tracker, and several motion hypotheses by their evidence. Exact
observations are followed exactly. A reported velocity is one more observation.

The path is linear between the steps of the model's window. Its prior is Gaussian: a random walk of
the velocity for people who walk, a random walk of the position for people who stand. The posterior
of each hypothesis is a linear least-squares fit; the estimate is their mixture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from social_implicit_ros.tracks.estimation.site_motion import STANDING, SiteMotion
from social_implicit_ros.tracks.stamps import NEVER_NS, NS_PER_S
from social_implicit_ros.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class Hypothesis:
    """A hypothesis about the motion of a person.

    Attributes:
        weight: prior probability.
        velocity_std_m_s: standard deviation of each component of the velocity.
        acceleration: spectral density of the acceleration, m^2/s^3; None for people who stand.
        noise_factor: ratio of the noise variance to that of the tracker.
    """

    weight: float
    velocity_std_m_s: float
    acceleration: float | None
    noise_factor: float = 1.0


#: Standing, walking straight, changing velocity; and a track whose stamps or positions are far
#: worse than those of other tracks.
_SPEED_STD_M_S = 0.95
HYPOTHESES = (
    Hypothesis(STANDING, 0.03, None),
    Hypothesis(0.30, _SPEED_STD_M_S, 0.03),
    Hypothesis(0.24, _SPEED_STD_M_S, 0.4),
    Hypothesis(0.01, _SPEED_STD_M_S, 0.1, noise_factor=100.0),
)
#: Indices of the standing hypothesis, and of the walking ones with normal noise.
_STANDS, _WALKS = 0, slice(1, 3)
#: Spectral density of the acceleration that bends the path between two steps, m^2/s^3.
_ACCELERATION = 0.1
_NOISE_FACTORS = np.array([hypothesis.noise_factor for hypothesis in HYPOTHESES])
_INVERSE_FACTORS, _LOG_NOISE_FACTORS = 1.0 / _NOISE_FACTORS, np.log(_NOISE_FACTORS)


@dataclass(frozen=True, eq=False)
class Velocities:
    """Velocities of A agents.

    Attributes:
        velocities_m_s: (A, 2) finite values, metres per second.
        noise_m2_s2: (A,) variance of each component; infinite for unknown velocities.
    """

    velocities_m_s: FloatArray
    noise_m2_s2: FloatArray


def smooth(
    ages_ns: IntArray,
    positions_m: FloatArray,
    is_known: BoolArray,
    noise_m2: FloatArray,
    velocities: Velocities | None = None,
    site: SiteMotion | None = None,
    *,
    step_s: float,
    n_steps: int,
) -> tuple[FloatArray, FloatArray]:
    """Estimates the paths of A agents from up to N observations each.

    Args:
        ages_ns: (A, N) times from each observation to the end of the window, integer nanoseconds.
        positions_m: (A, 2, N) x and y in metres, finite.
        is_known: (A, N) False in columns without an observation. Each agent has at least one.
        noise_m2: (A,) noise variance of each coordinate.
        velocities: velocities that the tracker reports with the newest observations.
        site: prior of velocities at this site.
        step_s: seconds between two steps.
        n_steps: number of steps (H).

    Returns:
        (A, H, 2) positions at the steps, metres, and (A, 4, 4) covariances of x, y and their
        velocities in m/s at the last step.
    """
    prior, log_priors = _priors(step_s, n_steps)
    n_agents = len(ages_ns)
    origin_m = positions_m[np.arange(n_agents), :, is_known.argmax(axis=1)]
    offsets_m = positions_m - origin_m[..., None]
    # Weights take most of the time; agents with equal observation times and noise share them.
    keys = _hash_rows((ages_ns + 1) * is_known, noise_m2)
    if velocities is not None:
        keys = keys ^ velocities.noise_m2_s2.view(np.int64)
    one, of_agents = _unique_rows(keys)
    weights, basis = _weights(ages_ns[one], is_known[one], noise_m2[one], step_s, n_steps)
    if velocities is not None:
        newest_ns = np.where(is_known[one], ages_ns[one], NEVER_NS).min(axis=1)
        weight, slope = _velocity_weights(newest_ns, velocities.noise_m2_s2[one], step_s, n_steps)
        weights = np.concatenate([weights, weight], axis=1)
        basis = np.concatenate([basis, slope], axis=1)
        moves_m = (velocities.velocities_m_s * step_s)[..., None]
        offsets_m = np.concatenate([offsets_m, moves_m], axis=2)
    weighted = basis * weights[..., None]  # (U, N, H)
    information = (np.swapaxes(basis, 1, 2) @ weighted)[:, None] * _INVERSE_FACTORS[:, None, None]
    covariances = np.asarray(np.linalg.inv(information + prior), dtype=np.float64)  # (U, K, H, H)
    log_evidence = np.linalg.slogdet(covariances)[1] + log_priors
    log_evidence = log_evidence - (weights > 0.0).sum(axis=1)[:, None] * _LOG_NOISE_FACTORS
    final = np.array([[0.0, 1.0], [-1.0 / step_s, 1.0 / step_s]])  # position and velocity
    state_covariances = final @ covariances[..., -2:, -2:] @ final.T
    state_covariances = state_covariances.reshape(len(covariances), -1, 4)

    observed = np.swapaxes(offsets_m @ weighted[of_agents], 1, 2)  # (A, H, 2)
    # For all hypotheses at once: (A, K * H, 2).
    gains = covariances * _INVERSE_FACTORS[:, None, None]
    paths_m = gains.reshape(len(gains), -1, n_steps)[of_agents] @ observed
    paths_m = paths_m.reshape(n_agents, -1, 2 * n_steps)  # (A, K, 2 H)
    explained = (paths_m @ observed.reshape(n_agents, -1, 1))[..., 0] * _INVERSE_FACTORS
    squared_m2 = offsets_m * offsets_m
    square = (weights[of_agents] * (squared_m2[:, 0] + squared_m2[:, 1])).sum(axis=1)[:, None]
    log_evidence = log_evidence[of_agents] + 0.5 * (explained - square * _INVERSE_FACTORS)
    gained = None
    if site:
        gained = _inform(site, log_evidence, paths_m, covariances, of_agents, step_s)
    path_m, covariance, evidence = _mixed(log_evidence, paths_m, step_s)
    isotropic = (evidence[:, None] @ state_covariances[of_agents]).reshape(-1, 2, 2)
    covariance[:, ::2, ::2] += isotropic
    covariance[:, 1::2, 1::2] += isotropic
    if gained is not None:
        covariance += (evidence[:, _WALKS, None, None] * gained).sum(axis=1)
    return path_m.reshape(n_agents, n_steps, 2) + origin_m[:, None], covariance


def _mixed(
    log_evidence: FloatArray, paths_m: FloatArray, step_s: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(A, 1, 2 H) mean path, (A, 4, 4) spread of the hypotheses' last states, (A, K) weights."""
    evidence = np.exp(log_evidence - log_evidence.max(axis=1, keepdims=True))
    evidence /= evidence.sum(axis=1, keepdims=True)
    path_m = evidence[:, None] @ paths_m
    ends_m = paths_m[..., -4:] - path_m[..., -4:]  # of the last two steps
    states = np.concatenate([ends_m[..., 2:], (ends_m[..., 2:] - ends_m[..., :2]) / step_s], axis=2)
    return path_m, np.swapaxes(states * evidence[..., None], 1, 2) @ states, evidence


def _inform(
    site: SiteMotion,
    log_evidence: FloatArray,
    paths_m: FloatArray,
    covariances: FloatArray,
    of_agents: IntArray | slice,
    step_s: float,
) -> FloatArray:
    """Applies the site's prior of velocities to the walking hypotheses.

    Args:
        site: the prior.
        log_evidence: (A, K), changed in place.
        paths_m: (A, K, 2 H), changed in place.
        covariances: (U, K, H, H) covariances of the paths, see `_unique_rows`.
        of_agents: (A,) rows of these.
        step_s: seconds between two steps.

    Returns:
        (A, W, 4, 4) changes of the state covariances of the walking hypotheses.
    """
    follows = (covariances[:, _WALKS, :, -1] - covariances[:, _WALKS, :, -2]) / step_s
    variances = (follows[..., -1] - follows[..., -2]) / step_s  # (U, W)
    # Regression of the path on its last velocity.
    follows /= variances[..., None]
    walks_m = paths_m[:, _WALKS].reshape(len(paths_m), -1, covariances.shape[-1], 2)
    means_m_s = (walks_m[:, :, -1] - walks_m[:, :, -2]) / step_s
    variances = variances[of_agents]
    evidence, informed_m_s, informed = site.posterior(means_m_s, variances, _SPEED_STD_M_S**2)
    log_evidence[:, _STANDS] += np.log(site.standing / STANDING)
    log_evidence[:, _STANDS + 1 :] += np.log((1.0 - site.standing) / (1.0 - STANDING))
    log_evidence[:, _WALKS] += np.log(evidence)
    follows = follows[of_agents]
    walks_m = walks_m + follows[..., None] * (informed_m_s - means_m_s)[:, :, None]
    paths_m[:, _WALKS] = walks_m.reshape(*means_m_s.shape[:2], -1)
    ends = np.ones((*follows.shape[:2], 2))
    ends[..., 0] = follows[..., -1]
    informed[..., 0, 0] -= variances
    informed[..., 1, 1] -= variances
    changes = (ends[..., :, None] * ends[..., None, :])[..., :, None, :, None]
    changes = changes * informed[:, :, None, :, None]
    return changes.reshape(*means_m_s.shape[:2], 4, 4)


@lru_cache(maxsize=8)
def _priors(step_s: float, n_steps: int) -> tuple[FloatArray, FloatArray]:
    """(K, H, H) inverse prior covariances, and (K,) logarithms of their weights and determinants.

    The prior of the absolute position is flat; the determinants leave that direction out.
    """
    velocity = np.diff(np.eye(n_steps), axis=0) / step_s
    change = np.diff(velocity, axis=0)
    matrices = []
    for hypothesis in HYPOTHESES:
        if hypothesis.acceleration is None:
            matrix = velocity.T @ velocity / hypothesis.velocity_std_m_s**2
        else:
            matrix = change.T @ change / (hypothesis.acceleration * step_s)
            matrix += np.outer(velocity[-1], velocity[-1]) / hypothesis.velocity_std_m_s**2
        matrices.append(matrix)
    prior = np.stack(matrices)
    log_determinants = np.log(np.linalg.eigvalsh(prior)[:, 1:]).sum(axis=1)
    return prior, log_determinants + np.log([hypothesis.weight for hypothesis in HYPOTHESES])


def _weights(
    ages_ns: IntArray, is_known: BoolArray, noise_m2: FloatArray, step_s: float, n_steps: int
) -> tuple[FloatArray, FloatArray]:
    """(U, N) inverse variances of observations; (U, N, H) interpolation weights of the steps."""
    at = (n_steps - 1) - ages_ns / (step_s * NS_PER_S)
    share = at - np.floor(at)
    # Variance of a path about the line between two steps.
    bend = share * (1.0 - share)
    bend *= bend
    basis = np.maximum(0.0, 1.0 - np.abs(at[..., None] - np.arange(n_steps)))
    is_before = is_known & (at < 0.0)
    if is_before.any():  # only in tracks with few recent observations
        before = at[is_before]
        bend[is_before] = np.abs(before) ** 3
        basis[is_before, 0], basis[is_before, 1] = 1.0 - before, before
    weights = is_known / (noise_m2[:, None] + _ACCELERATION * step_s**3 / 3.0 * bend)
    return weights, basis


def _velocity_weights(
    ages_ns: IntArray, noise_m2_s2: FloatArray, step_s: float, n_steps: int
) -> tuple[FloatArray, FloatArray]:
    """(U, 1) inverse variances of displacements in a step, and (U, 1, H) their weights of steps."""
    segment = n_steps - 2 - np.minimum(ages_ns // round(step_s * NS_PER_S), n_steps - 2)
    after = np.arange(n_steps) - segment[:, None, None]
    slope = (after == 1).astype(np.float64) - (after == 0)
    return 1.0 / (noise_m2_s2[:, None] * step_s**2), slope


def _hash_rows(ages_ns: IntArray, noise_m2: FloatArray) -> IntArray:
    mixers = _mixers(ages_ns.shape[1])
    keys: IntArray = ages_ns @ mixers[:-1] + noise_m2.view(np.int64) * mixers[-1]
    return keys


def _unique_rows(keys: IntArray) -> tuple[IntArray, IntArray | slice]:
    """(U,) one row of each distinct key, and (A,) the index of each row's key.

    The index is a slice if all keys are equal.
    """
    if (keys == keys[0]).all():
        return np.zeros(1, dtype=np.int64), slice(None)
    _, one, of_agents = np.unique(keys, return_index=True, return_inverse=True)
    return one, of_agents


@lru_cache(maxsize=16)
def _mixers(n_columns: int) -> IntArray:
    """(N + 1,) odd random numbers for multiplicative hashing."""
    return np.random.default_rng(0).integers(-(2**62), 2**62, n_columns + 1) * 2 + 1


def within_speed(positions_m: FloatArray, step_s: float, max_speed_m_s: float) -> FloatArray:
    """Limits the speed of paths: faster ones are scaled down about their last position.

    Args:
        positions_m: (A, H, 2) positions in metres, NaN where unknown.
        step_s: seconds between two steps.
        max_speed_m_s: maximum plausible speed, m/s.
    """
    steps_m = positions_m[:, 1:] - positions_m[:, :-1]
    # NaN compares as false.
    if not (np.abs(steps_m) * 2**0.5 > max_speed_m_s * step_s).any():
        return positions_m
    fastest_m = np.sqrt(np.nanmax(np.square(steps_m).sum(axis=2), axis=1))
    is_fast = fastest_m > max_speed_m_s * step_s
    factor = np.where(is_fast, max_speed_m_s * step_s / np.maximum(fastest_m, 1e-9), 1.0)
    last_m = positions_m[:, -1:]
    return last_m + factor[:, None, None] * (positions_m - last_m)
