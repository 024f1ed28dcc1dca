"""Metrics of models on recordings of robots and halls, which no leave-one-out split has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from social_implicit_ros.evaluation.benchmark.situations import (
    situation_measures,
    situation_metrics,
)
from social_implicit_ros.evaluation.benchmark.split_metrics import STYLES, Metrics, concatenated
from social_implicit_ros.evaluation.kalman import tuned_error_m
from social_implicit_ros.metrics.table import metrics_of
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.recordings.text_formats.eth_ucy import STEP_S, Scene
from social_implicit_ros.recordings.text_formats.robot_recordings import RATE_HZ, robot_windows
from social_implicit_ros.recordings.text_formats.text import Recording
from social_implicit_ros.types import FloatArray, Prediction

#: What a robot that plans again and again relies on most, seconds ahead.
REPLANNING_S = 1.2
_SOON = round(REPLANNING_S / STEP_S) - 1
#: Mean error of the mean path at that time over that of a tuned Kalman filter, at 10 Hz.
OVER_KALMAN = "error_1.2s_over_kalman"

#: Metrics in the order of tables -> unit, and value for a perfect prediction.
ROBOT_STYLES: dict[str, tuple[str, str]] = {
    **{name: style for name, style in STYLES.items() if name not in ("amd", "amv", "kde")},
    OVER_KALMAN: ("", "low"),
}

#: Those of whole scenes -> their names in `METRICS`.
_NAMES = {
    "ade": "minADE",
    "fde": "minFDE",
    "mean_ade": "ADE_mean",
    "mean_fde": "FDE_mean",
    "collision_rate": "CR",
    "coverage_95": "coverage_95",
    "r_avg": "R_avg",
    "r_min": "R_min",
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
    """Metrics of a model on the windows of one folder, by the names of `ROBOT_STYLES`."""
    situations, soon_m = [], []

    def predicted() -> Iterator[tuple[Prediction, FloatArray]]:
        for scene, _ in windows:
            prediction = model.predict(scene.observed, n_samples=n_samples, seed=seed)
            situations.append(situation_measures(prediction, scene))
            soon_m.append(prediction.mean[:, _SOON])
            yield prediction, scene.future

    metrics = {**metrics_of(predicted(), _NAMES), **situation_metrics(concatenated(situations))}
    if over_kalman:
        ground_truth = np.concatenate([scene.future[:, _SOON] for scene, _ in windows])
        error_m = np.linalg.norm(np.concatenate(soon_m) - ground_truth, axis=-1).mean()
        kalman_m = tuned_error_m(
            [fast for _, fast in windows], ground_truth, 1.0 / RATE_HZ, REPLANNING_S
        )
        metrics[OVER_KALMAN] = float(error_m) / kalman_m
    return {name: metrics[name] for name in ROBOT_STYLES if name in metrics}
