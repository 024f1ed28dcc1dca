"""Text recordings of trackers on robots: observations at irregular times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from social_implicit_ros.prediction.scoring.online_evaluation import MAX_GAP_S
from social_implicit_ros.recordings.text_formats.eth_ucy import (
    N_OBSERVED,
    N_PREDICTED,
    STEP_S,
    Scene,
)
from social_implicit_ros.recordings.text_formats.text import Recording, load_recording
from social_implicit_ros.types import FloatArray, IntArray

#: Rate of the observed positions of a window: that of the fastest trackers.
RATE_HZ = 10


def robot_recordings(data: Path) -> dict[str, list[Recording]]:
    """The recordings in `data/robot`, by folder; columns are milliseconds, id, x and y."""
    folders = sorted(path for path in (data / "robot").glob("*") if path.is_dir())
    return {
        folder.name: [load_recording(path) for path in sorted(folder.glob("*.txt"))]
        for folder in folders
    }


def robot_windows(recording: Recording) -> Iterator[tuple[Scene, FloatArray]]:
    """Slides a window over a recording in milliseconds, by 0.4 s at a time.

    Yields:
        A scene with at least one agent that is present at every step of the window, and its
        (A, 29, 2) positions during the observed steps at `RATE_HZ`, NaN if unknown.
    """
    tick_ms = 1000 // RATE_HZ
    per_step = round(STEP_S * RATE_HZ)
    times_ms = np.arange(recording.frames[0], recording.frames[-1] + 1, tick_ms)
    ids = np.unique(recording.ids)
    grid = np.array([_track(recording, agent, times_ms) for agent in ids])
    last_observed = per_step * (N_OBSERVED - 1)
    length = per_step * (N_OBSERVED + N_PREDICTED - 1) + 1
    for first in range(0, len(times_ms) - length + 1, per_step):
        window = grid[:, first : first + length]
        steps = window[:, ::per_step]
        present = np.flatnonzero(~np.isnan(steps[..., 0]).any(axis=1))
        if len(present):
            scene = Scene(recording.name, int(times_ms[first]), ids[present], steps[present])
            yield scene, window[present, : last_observed + 1]


def _track(recording: Recording, agent: int, times_ms: IntArray) -> FloatArray:
    """(N, 2) interpolated positions of an agent; NaN in gaps, and before and after its track."""
    seen = recording.ids == agent
    at_ms, positions_m = recording.frames[seen], recording.positions_m[seen]
    after = np.minimum(np.searchsorted(at_ms, times_ms), len(at_ms) - 1)
    before = np.maximum(np.searchsorted(at_ms, times_ms, side="right") - 1, 0)
    known = (times_ms >= at_ms[0]) & (times_ms <= at_ms[-1])
    known &= at_ms[after] - at_ms[before] <= 1000.0 * MAX_GAP_S
    track = np.stack([np.interp(times_ms, at_ms, axis_m) for axis_m in positions_m.T], axis=-1)
    track[~known] = np.nan
    return track
