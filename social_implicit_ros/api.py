"""The package as a library.

```python
import social_implicit_ros.api as si

scenes = si.load_scenes("biwi_hotel.txt")  # or any (observed, future) pairs of yours
si.evaluate(si.load_model("default"), scenes, metrics=["minADE_20", "minFDE_20"])
```
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from social_implicit_ros import metrics
from social_implicit_ros.metrics.table import METRICS, Measured, Metric, measured, reduced
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.registry import load_model
from social_implicit_ros.recordings.text_formats.eth_ucy import (
    N_OBSERVED,
    N_PREDICTED,
    STEP_S,
    scenes,
)
from social_implicit_ros.recordings.text_formats.text import FRAMES_PER_SECOND, load_recording
from social_implicit_ros.types import FloatArray, Prediction
from social_implicit_ros.uncertainty.ellipses import sample_moments
from social_implicit_ros.untrusted_files import did_you_mean

try:
    __version__ = version("social_implicit_ros")
except PackageNotFoundError:  # a checkout on PYTHONPATH
    __version__ = "unknown"
__all__ = ["METRICS", "Prediction", "evaluate", "load_model", "load_scenes", "metrics"]

#: A user's model: (A, H, 2) observed positions -> (K, A, T, 2) samples, metres.
Sampler = Callable[[FloatArray], FloatArray]


#: Best-of-K metrics; K may be appended to their names, as in minADE_20.
_BEST_OF = ("minADE", "minFDE", "MR", "JADE", "JFDE", "CR")


def load_scenes(
    path: Path | str,
    *,
    n_observed: int = N_OBSERVED,
    n_predicted: int = N_PREDICTED,
    min_agents: int = 2,
) -> list[tuple[FloatArray, FloatArray]]:
    """The windows of a text recording, one after each annotated frame (protocol of Social GAN).

    Args:
        path: text of lines `frame id x_m y_m`; `docs/data.md` says where to get ETH/UCY.
        n_observed: annotated frames that a model sees.
        n_predicted: annotated frames after these.
        min_agents: least number of agents that are present in the whole window.

    Returns:
        (A, n_observed, 2) observed positions and (A, n_predicted, 2) ground truth of each window,
        in metres.

    Raises:
        FileNotFoundError: no such file.
        RecordingError: the file is damaged.
    """
    recording = load_recording(path)
    frames = np.unique(recording.frames)
    step_s = (
        float(np.median(np.diff(frames))) / recording.frames_per_second if len(frames) > 1 else 0
    )
    # The default rate is only an assumption about files without a rate, so it is not checked.
    if recording.frames_per_second != FRAMES_PER_SECOND and not 0.9 < step_s / STEP_S < 1.1:
        warnings.warn(
            f"{path}: its frames are {step_s:.3g} s apart, but shipped models have steps of "
            f"{STEP_S} s: keep every n-th frame, or use evaluate_bag, which interpolates",
            stacklevel=2,
        )
    windows = scenes(recording, n_steps=n_observed + n_predicted, min_agents=min_agents)
    return [
        (window.positions_m[:, :n_observed], window.positions_m[:, n_observed:])
        for window in windows
    ]


def evaluate(
    model: TrajectoryModel | Sampler | str,
    scenes: Iterable[tuple[FloatArray, FloatArray]],
    *,
    metrics: Sequence[str] | str = ("minADE_20", "minFDE_20"),
    n_samples: int = 20,
    seed: int = 0,
) -> dict[str, float]:
    """Evaluates a model on scenes of any horizon.

    The mean and covariance of a function are the moments of its samples. A model of this package
    predicts its own, which are calibrated.

    Args:
        model: a model, its name, or a function from (A, H, 2) observed positions in metres to
            (K, A, T, 2) samples in metres.
        scenes: (A, H, 2) observed positions and (A, T, 2) ground truth of each scene, in metres.
        metrics: names in `METRICS`; the suffix `_K` of a best-of metric uses the first K samples.
        n_samples: number of samples to draw from a model that is not a function.
        seed: random seed of these samples.

    Returns:
        Metric by name: the mean over agents, or over scenes if the metric is defined per scene.

    Raises:
        ValueError: an unknown metric, no scene, too few samples, positions that are not finite, or
            shapes that do not agree.
    """
    metrics = [metrics] if isinstance(metrics, str) else metrics
    predict = _predictor(model, max([n_samples, *(_split(name)[1] for name in metrics)]), seed)
    chosen = {name: _metric(name) for name in metrics}
    values: list[Measured] = []
    for index, scene in enumerate(scenes):
        if len(scene) != 2:
            raise ValueError(
                f"scene {index} has {len(scene)} entries, expected a pair of observed "
                "positions and ground truth"
            )
        # A copy, as a model may modify its input. Masked positions are unknown, so NaN.
        observed, future = (
            np.ma.filled(np.ma.array(positions_m, dtype=np.float64, copy=True), np.nan)
            for positions_m in scene
        )
        if not np.isfinite(future).all():
            raise ValueError(f"scene {index}: the ground truth is not finite; leave the agent out")
        if len(future) == 0:
            raise ValueError(f"scene {index} has no agent: leave it out")
        try:
            prediction = predict(observed)
        except ValueError as error:
            raise ValueError(f"scene {index}: {error}") from error
        if prediction.samples.shape[1:] != future.shape:
            raise ValueError(
                f"scene {index}: the model predicts samples of shape {prediction.samples.shape}, "
                f"expected (K, {', '.join(map(str, future.shape))}) as the ground truth"
            )
        if not np.isfinite(prediction.samples).all():
            raise ValueError(f"scene {index}: the model predicts positions that are not finite")
        values.append(measured(chosen.values(), prediction, observed, future))
    if not values:
        raise ValueError("no scene to evaluate: check the recording and min_agents")
    return reduced(chosen, values)


def _predictor(
    model: TrajectoryModel | Sampler | str, n_samples: int, seed: int
) -> Callable[[FloatArray], Prediction]:
    if isinstance(model, str):
        model = load_model(model)
    if hasattr(model, "predict"):
        return partial(model.predict, n_samples=n_samples, seed=seed)
    sampler = model

    def predict(observed: FloatArray) -> Prediction:
        samples = np.asarray(sampler(observed), dtype=np.float64)
        if samples.ndim != 4 or samples.shape[-1] != 2:
            raise ValueError(f"the model returns {samples.shape}, expected (K, A, T, 2) samples")
        return Prediction(samples, *sample_moments(samples), step_s=float("nan"))

    return predict


def _metric(name: str) -> Metric:
    """A metric of `METRICS`, restricted to the first K samples if the name ends in `_K`."""
    plain_name, n_best = _split(name)
    metric = METRICS.get(plain_name)
    if metric is None:
        raise ValueError(
            f"unknown metric {name!r}{did_you_mean(name, METRICS)}: expected one of "
            f"{', '.join(METRICS)}"
        )
    if n_best == 0:
        return metric

    def of_first(prediction: Prediction, observed: FloatArray, truth: FloatArray) -> FloatArray:
        if n_best > len(prediction.samples):
            raise ValueError(f"{name} needs {n_best} samples, got {len(prediction.samples)}")
        first = replace(prediction, samples=prediction.samples[:n_best], probabilities=np.empty(0))
        return metric.measure(first, observed, truth)

    return replace(metric, measure=of_first)


def _split(name: str) -> tuple[str, int]:
    """The name of a metric without K, and K; 0 for all samples."""
    matched = re.fullmatch(rf"({'|'.join(_BEST_OF)})_([1-9]\d{{0,3}})", name)
    return (matched[1], int(matched[2])) if matched else (name, 0)
