"""Distances in metres between predicted positions and ground truth.

Samples are (K, A, T, 2) positions and the ground truth is (A, T, 2) positions, both in metres. A
function raises ValueError for inconsistent shapes, and where there is no sample or no step.

Best-of-N metrics use the sample nearest to the ground truth and say little about the others: read
them together with `amd`, `kde` and `reliability`. A sample or ground truth that is NaN gives NaN,
never a smaller value; an infinite sample is infinitely far away.
"""

from __future__ import annotations

import numpy as np

from social_implicit_ros.types import BoolArray, FloatArray, require_shape

#: A larger distance of the best end point is a miss (Argoverse, Chang et al., CVPR 2019).
MISS_THRESHOLD_M = 2.0


def errors_m(samples: FloatArray, ground_truth: FloatArray) -> FloatArray:
    """(K, A, T) Euclidean distance of every sample from the ground truth, metres."""
    require_samples(samples, ground_truth)
    return distances(samples, ground_truth)


def distances(first: FloatArray, second: FloatArray) -> FloatArray:
    """(...,) Euclidean distances in metres between positions (..., 2) in metres."""
    offset = first - second
    offset *= offset
    # Several times faster than np.hypot; squares of metres neither overflow nor underflow.
    return np.sqrt(offset[..., 0] + offset[..., 1])


def best_of_n(samples: FloatArray, ground_truth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """ADE and FDE of the best sample of each agent, selected for each metric separately.

    Source: Gupta et al., "Social GAN", CVPR 2018; the separate minima as in the evaluation of
    Social-Implicit (Mohamed et al., ECCV 2022).

    Returns:
        (A,) ADE and (A,) FDE in metres.
    """
    distance = errors_m(samples, ground_truth)
    return distance.mean(axis=2).min(axis=0), distance[:, :, -1].min(axis=0)


def joint_best_of_n(samples: FloatArray, ground_truth: FloatArray) -> tuple[float, float]:
    """JADE and JFDE: sample k is a joint sample of the scene; the best one counts for all agents.

    Source: Weng et al., "Joint Metrics Matter", ICCV 2023, section 3; the value of a benchmark is
    the mean over its scenes.

    Returns:
        JADE and JFDE of the scene in metres, never below the mean best-of-N values of its agents.
    """
    distance = errors_m(samples, ground_truth)
    joint_ade = distance.mean(axis=(1, 2)).min()
    joint_fde = distance[:, :, -1].mean(axis=1).min()
    return float(joint_ade), float(joint_fde)


def mean_path(mean: FloatArray, ground_truth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(A,) ADE and (A,) FDE of one (A, T, 2) trajectory per agent, such as the mean; metres."""
    return best_of_n(mean[None], ground_truth)


def missed(
    samples: FloatArray, ground_truth: FloatArray, *, threshold_m: float = MISS_THRESHOLD_M
) -> BoolArray:
    """(A,) True if no sample ends within `threshold_m`, also if none is finite."""
    _, fde = best_of_n(samples, ground_truth)
    return ~(fde <= threshold_m)


def require_samples(samples: FloatArray, ground_truth: FloatArray) -> None:
    """Raises ValueError unless (K, A, T, 2) samples match (A, T, 2) ground truth, K, T > 0."""
    require_shape("metric", "ground_truth", ground_truth, ("A", "T", 2))
    require_shape("metric", "samples", samples, ("K", *ground_truth.shape))
    if len(samples) == 0 or ground_truth.shape[1] == 0:
        raise ValueError(
            f"metric.samples has shape {samples.shape}, expected at least one sample and one step"
        )
