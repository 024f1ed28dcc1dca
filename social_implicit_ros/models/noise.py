"""The noise input of model files: one vector per sample."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=32)
def standard_normal(n_samples: int, dimension: int, seed: int, sequence: str) -> NDArray:
    """Standard normal draws, cached: equal arguments give equal draws, so ellipses do not flicker.

    Args:
        n_samples: number of vectors (K).
        dimension: length of a vector (D).
        seed: seed of the generator.
        sequence: `independent`, or `sobol` for scrambled quasi-random points, whose covariance
            has less variance at the same K (scipy.stats.qmc.Sobol).

    Returns:
        (K, D) float32, read-only.

    Raises:
        ValueError: unknown sequence, `n_samples` or `dimension` below 1, or a negative seed.
    """
    if n_samples < 1 or dimension < 1:
        raise ValueError(
            f"noise of {n_samples} samples and {dimension} dimensions, expected at least 1 of each"
        )
    if sequence == "independent":
        draws = np.random.default_rng(seed).standard_normal((n_samples, dimension))
    elif sequence == "sobol":
        # Imported here: this import takes longer than all others of the node.
        from scipy.stats import norm, qmc

        # Sobol points are balanced in blocks of a power of two; the first K of a block are used.
        n_bits = max(n_samples - 1, 1).bit_length()
        uniform = qmc.Sobol(d=dimension, scramble=True, seed=seed).random_base2(n_bits)
        draws = norm.ppf(np.clip(uniform[:n_samples], 1e-7, 1.0 - 1e-7))
    else:
        raise ValueError(f"noise sequence is {sequence!r}, expected 'independent' or 'sobol'")
    draws = draws.astype(np.float32)
    draws.flags.writeable = False
    return draws


@lru_cache(maxsize=32)
def standardised_normal(n_samples: int, dimension: int, seed: int) -> NDArray:
    """Normal draws whose mean is exactly zero and, given enough of them, their covariance one.

    Args:
        n_samples: number of vectors (K).
        dimension: length of a vector (D).
        seed: seed of the generator.

    Returns:
        (K, D) float64, read-only.
    """
    draws = standard_normal(n_samples, dimension, seed, "independent").astype(np.float64)
    draws = draws - draws.mean(axis=0)
    if n_samples > dimension:
        root = np.linalg.cholesky(draws.T @ draws / n_samples)
        draws = np.linalg.solve(root, draws.T).T
    draws.flags.writeable = False
    return draws
