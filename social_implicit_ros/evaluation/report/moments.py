"""Which moments of published predictions are drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from social_implicit_ros.evaluation.published import ScoredPrediction
from social_implicit_ros.types import FloatArray

ANIMATION_FRAMES, ANIMATION_PERIOD_S = 50, 0.2


def most_complete(scored: Sequence[ScoredPrediction]) -> int:
    """Index of the prediction with the most people whose past and ground truth are complete."""
    whole_past = max(int(entry.prediction.n_observed.max()) for entry in scored)

    def n_complete(entry: ScoredPrediction) -> int:
        whole_future = np.isfinite(entry.ground_truth_m).all(axis=(1, 2))
        return int((whole_future & (entry.prediction.n_observed == whole_past)).sum())

    return max(range(len(scored)), key=lambda index: n_complete(scored[index]))


def excerpt(scored: Sequence[ScoredPrediction], around: int) -> list[ScoredPrediction]:
    """At most `ANIMATION_FRAMES` predictions, `ANIMATION_PERIOD_S` apart, around one of them."""
    stamps_ns = [entry.prediction.stamp_ns for entry in scored]
    kept: list[int] = []
    for index, stamp_ns in enumerate(stamps_ns):
        # Ticks have jitter.
        if not kept or stamp_ns - stamps_ns[kept[-1]] >= 0.75 * ANIMATION_PERIOD_S * 1e9:
            kept.append(index)
    middle = int(np.searchsorted(kept, around))
    first = max(min(middle - ANIMATION_FRAMES // 2, len(kept) - ANIMATION_FRAMES), 0)
    return [scored[index] for index in kept[first : first + ANIMATION_FRAMES]]


def longest_seen(scored: Sequence[ScoredPrediction]) -> int:
    """The agent that has a complete past and ground truth most often, and moves."""
    seen: dict[int, list[FloatArray]] = {}
    for entry in scored:
        whole = np.isfinite(entry.ground_truth_m).all(axis=(1, 2))
        whole &= np.isfinite(entry.past_m).all(axis=(1, 2))
        for row in np.flatnonzero(whole).tolist():
            agent = int(entry.prediction.agents[row])
            seen.setdefault(agent, []).append(entry.present_m[row])
    if not seen:
        return int(scored[0].prediction.agents[0])
    return max(seen, key=lambda agent: (len(seen[agent]), np.ptp(seen[agent], axis=0).max()))
