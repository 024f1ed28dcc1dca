"""A long recording needs no more memory than a short one."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from support.bags import START_NS, S, people_messages, write_bag

from social_implicit_ros.evaluation.recording import evaluate_recording
from social_implicit_ros.evaluation.request import Request
from social_implicit_ros.prediction.replay_settings import load_settings
from social_implicit_ros.types import Tracks

QUARTER_S = 30
RATE_HZ, N_AGENTS, VISIT_S = 5, 30, 10.0


def passers_by(duration_s: int) -> list[Tracks]:
    """People who cross a hall once, each with a new id."""
    times_s = np.arange(duration_s * RATE_HZ) / RATE_HZ
    recording = []
    for time_s in times_s.tolist():
        shifted_s = time_s + np.arange(N_AGENTS) * VISIT_S / N_AGENTS
        visit, since_s = np.divmod(shifted_s, VISIT_S)
        ids = tuple(f"visitor-{n}-{int(v)}" for n, v in enumerate(visit))
        places = np.column_stack([1.2 * since_s - 6.0, np.arange(N_AGENTS) * 0.5])
        recording.append(Tracks(START_NS + round(time_s * S), ids, places))
    return recording


def size_bytes(tracks: Tracks) -> int:
    """Memory of a message while it is kept."""
    arrays = (tracks.positions_m, tracks.heights_m)
    return sum(map(sys.getsizeof, arrays)) + sum(map(sys.getsizeof, tracks.ids))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    recording = passers_by(4 * QUARTER_S)
    bag = write_bag(tmp_path / "bag", people_messages(recording))
    request = Request(("sampled_constant_velocity",), load_settings(), n_moments=1)
    held_bytes: list[int] = []

    tracemalloc.start()
    try:
        evaluate_recording(
            bag,
            request,
            tmp_path / "per_tick.parquet",
            advance=lambda *_: held_bytes.append(tracemalloc.get_traced_memory()[0]),
        )
    finally:
        tracemalloc.stop()

    # Chunks, ticks and scenes are collected and released at different times.
    _, second, _, fourth = np.median(np.split(np.array(held_bytes), 4), axis=1)
    of_two_quarters = sum(map(size_bytes, recording[len(recording) // 2 :]))
    assert fourth - second < of_two_quarters / 2, (second, fourth, of_two_quarters)
