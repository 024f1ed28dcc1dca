"""Metrics of models on recordings of robots and halls, which no leave-one-out split has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np

from social_implicit_ros.evaluation.benchmark.split_metrics import ROWS, Metrics, Row
from social_implicit_ros.evaluation.kalman import tuned_error_m
from social_implicit_ros.metrics.displacement import distances
from social_implicit_ros.metrics.table import Metric, measured, reduced
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.recordings.text_formats.eth_ucy import STEP_S, Scene
from social_implicit_ros.recordings.text_formats.robot_recordings import RATE_HZ, robot_windows
from social_implicit_ros.recordings.text_formats.text import Recording
from social_implicit_ros.types import FloatArray

#: What a robot that plans again and again relies on most, seconds ahead.
REPLANNING_S = 1.2
_SOON = round(REPLANNING_S / STEP_S) - 1
#: Mean error of the mean path at that time over that of a tuned Kalman filter, at 10 Hz.
OVER_KALMAN = "error_1.2s_over_kalman"

#: Metrics in the order of tables.
ROBOT_ROWS: dict[str, Row] = {
    **{
        name: ROWS[name]
        for name in (
            *("ade", "fde", "mean_ade", "mean_fde", "collision_rate"),
            *("coverage_95", "r_avg", "r_min", "coverage_50_standing", "area_95_walking"),
            *("fde_over_cv_stopped", "fde_over_cv_started", "head_on_rate", "head_on_rate_people"),
        )
    },
    OVER_KALMAN: Row(Metric(lambda p, _, truth: distances(p.mean, truth)[:, _SOON]), "", "low"),
}

#: Windows of one folder: scenes, and the observed positions of their agents at 10 Hz.
Windows = Sequence[tuple[Scene, FloatArray]]


def windows_of(recordings: Mapping[str, Sequence[Recording]]) -> dict[str, Windows]:
    """The windows of every folder of recordings."""
    return {
        kind: list(chain.from_iterable(map(robot_windows, of_kind)))
        for kind, of_kind in recordings.items()
    }


def is_fast(recordings: Sequence[Recording]) -> bool:
    """Whether a folder's recordings have frames at 10 Hz."""
    intervals_ms = [np.median(np.diff(np.unique(recording.frames))) for recording in recordings]
    times_ms = np.concatenate([recording.frames for recording in recordings])
    return bool(np.median(intervals_ms) == 1000 / RATE_HZ and not (times_ms % 100).any())


def robot_metrics(
    model: TrajectoryModel, windows: Windows, *, n_samples: int, seed: int, over_kalman: bool
) -> Metrics:
    """Metrics of a model on the windows of one folder, by the names of `ROBOT_ROWS`."""
    metrics = {
        name: row.metric for name, row in ROBOT_ROWS.items() if over_kalman or name != OVER_KALMAN
    }
    scenes = [
        measured(
            metrics.values(),
            model.predict(scene.observed, n_samples=n_samples, seed=seed),
            scene.observed,
            scene.future,
        )
        for scene, _ in windows
    ]
    found = reduced(metrics, scenes)
    if over_kalman:
        ground_truth = np.concatenate([scene.future[:, _SOON] for scene, _ in windows])
        fast = [fast for _, fast in windows]
        found[OVER_KALMAN] /= tuned_error_m(fast, ground_truth, 1.0 / RATE_HZ, REPLANNING_S)
    return found
