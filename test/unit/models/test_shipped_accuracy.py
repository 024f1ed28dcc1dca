"""The shipped leave-one-out models on their test recordings."""

from __future__ import annotations

import numpy as np
import pytest
from support.benchmark_data import DATA, needs_recordings

from social_implicit_ros.metrics.displacement import best_of_n
from social_implicit_ros.models.registry import load_model
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT, scenes
from social_implicit_ros.recordings.text_formats.text import load_recording

#: ADE and FDE of the released Social-Implicit checkpoints, averaged over the splits, metres.
REFERENCE_M = (0.332, 0.678)


def errors(split: str) -> np.ndarray:
    """Mean ADE and FDE over the agents of every fourth window, best of 20."""
    model = load_model(f"social_implicit_{split}")
    found = [
        scene
        for name in LEAVE_ONE_OUT[split]
        for scene in scenes(load_recording(DATA / "eth_ucy" / "all_data" / f"{name}.txt"))
    ][::4]
    per_agent = [
        best_of_n(model.predict(scene.observed, seed=seed).samples, scene.future)
        for seed, scene in enumerate(found)
    ]
    return np.array([np.concatenate(parts).mean() for parts in zip(*per_agent, strict=True)])


@pytest.mark.slow
@needs_recordings
@pytest.mark.benchmark_data
def test_social_implicit_is_no_worse_than_the_released_checkpoints() -> None:
    average = np.mean([errors(split) for split in LEAVE_ONE_OUT], axis=0)

    assert (average < REFERENCE_M).all()
    # Far better than any published model would mean that test data leaked into training.
    assert (average > 0.15).all()
