"""Distances in metres between predicted and true positions.

Of N sampled futures these keep the one nearest to the truth, so they say little about the others:
read them beside `mahalanobis`, `density` and `calibration`. A sample or truth that is not finite
gives NaN, never a smaller figure.
"""

from __future__ import annotations

import numpy as np

from social_implicit_ros.types import BoolArray, FloatArray, require_shape

#: A best end point further off than this is a miss (Argoverse, Chang et al., CVPR 2019).
MISS_THRESHOLD_M = 2.0


def displacements(samples: FloatArray, truth: FloatArray) -> FloatArray:
    """Euclidean distance of every sample from the truth.

    Args:
        samples: (K, A, T, 2) positions in metres.
        truth: (A, T, 2) positions in metres.

    Returns:
        (K, A, T) distances in metres.

    Raises:
        ValueError: shapes that do not belong together, or no sample.
    """
    require_samples(samples, truth)
    return distances(samples, truth)


def distances(first: FloatArray, second: FloatArray) -> FloatArray:
    """(...,) Euclidean distances in metres between positions (..., 2) in metres."""
    offset = first - second
    offset *= offset
    # Several times faster than np.hypot; metres neither overflow nor underflow when squared.
    squared = offset[..., 0] + offset[..., 1]
    return np.sqrt(squared, out=squared)


def best_of_n(samples: FloatArray, truth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """ADE and FDE of each agent's best sample, the best taken for each figure separately.

    Source: Gupta et al., "Social GAN", CVPR 2018; the separate minima as in the evaluation of
    Social-Implicit (Mohamed et al., ECCV 2022).

    Args:
        samples: (K, A, T, 2) positions in metres.
        truth: (A, T, 2) positions in metres.

    Returns:
        (A,) ADE and (A,) FDE in metres.
    """
    distance = displacements(samples, truth)
    return distance.mean(axis=2).min(axis=0), distance[:, :, -1].min(axis=0)


def joint_best_of_n(samples: FloatArray, truth: FloatArray) -> tuple[float, float]:
    """JADE and JFDE: sample k is one future of the whole scene, and one is chosen for all agents.

    Source: Weng et al., "Joint Metrics Matter", ICCV 2023, section 3; a benchmark's figure is the
    mean over its scenes.

    Args:
        samples: (K, A, T, 2) positions of one scene in metres, A at least 1.
        truth: (A, T, 2) positions in metres.

    Returns:
        JADE and JFDE of the scene in metres, never below the agents' mean best-of-N figures.
    """
    distance = displacements(samples, truth)
    joint_ade = distance.mean(axis=(1, 2)).min()
    joint_fde = distance[:, :, -1].mean(axis=1).min()
    return float(joint_ade), float(joint_fde)


def mean_path(mean: FloatArray, truth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """ADE and FDE of one path per agent, such as the expected one.

    Args:
        mean: (A, T, 2) positions in metres.
        truth: (A, T, 2) positions in metres.

    Returns:
        (A,) ADE and (A,) FDE in metres.
    """
    return best_of_n(mean[None], truth)


def missed(
    samples: FloatArray, truth: FloatArray, *, threshold_m: float = MISS_THRESHOLD_M
) -> BoolArray:
    """Whether no sample of an agent ends near the truth; the miss rate is the mean of it.

    Args:
        samples: (K, A, T, 2) positions in metres.
        truth: (A, T, 2) positions in metres.
        threshold_m: the distance of the best end point above which an agent is missed.

    Returns:
        (A,) True where missed; an end point that is not finite is a miss.
    """
    _, fde = best_of_n(samples, truth)
    return ~(fde <= threshold_m)


def require_samples(samples: FloatArray, truth: FloatArray) -> None:
    """Checks that samples and truth belong together.

    Raises:
        ValueError: `truth` is not (A, T, 2) with T at least 1, or `samples` is not (K, A, T, 2)
            with K at least 1.
    """
    require_shape("metric", "truth", truth, ("A", "T", 2))
    require_shape("metric", "samples", samples, ("K", *truth.shape))
    if len(samples) == 0 or truth.shape[1] == 0:
        raise ValueError(
            f"metric.samples has shape {samples.shape}, expected at least one sample and one step"
        )
