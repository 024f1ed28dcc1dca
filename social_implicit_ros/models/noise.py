"""The draws that tell one predicted future from another."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=32)
def standard_normal(n_samples: int, dimension: int, seed: int, sequence: str) -> NDArray:
    """Standard normal draws, the same for the same arguments (so that ellipses do not flicker).

    Args:
        n_samples: how many points (K).
        dimension: of each point (D).
        seed: of the generator.
        sequence: `independent`, or `sobol` for scrambled quasi-random points, whose covariance
            is steadier at the same K (scipy.stats.qmc.Sobol).

    Returns:
        (K, D) float32, read-only.

    Raises:
        ValueError: an unknown sequence, no sample, no dimension, or a negative seed.
    """
    if n_samples < 1 or dimension < 1:
        raise ValueError(
            f"noise of {n_samples} samples and {dimension} dimensions; expected at least 1 of each"
        )
    if sequence == "independent":
        draws = np.random.default_rng(seed).standard_normal((n_samples, dimension))
    elif sequence == "sobol":
        # Imported here, as it takes longer than all else that a node imports from scipy.
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
