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
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from social_implicit_ros import metrics
from social_implicit_ros.metrics.table import (
    DISTRIBUTION_SAMPLES,
    FEW_SAMPLES,
    METRICS,
    Measured,
    Metric,
    measured,
    reduced,
)
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

#: The prediction of one scene from a number of samples; 0 for all samples of a function.
Draw = Callable[[int], Prediction]


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
    n_samples: int | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Evaluates a model on scenes of any horizon.

    The mean and covariance of a function are the moments of its samples. A model of this package
    predicts its own, which are calibrated.

    Args:
        model: a model, its name, or a function from (A, H, 2) observed positions in metres to
            (K, A, T, 2) samples in metres.
        scenes: (A, H, 2) observed positions and (A, T, 2) ground truth of each scene, in metres.
        metrics: names in `METRICS`. Names of metrics of single samples may end in `_K`, such as
            minADE_20: they use K samples, of a function the first K.
        n_samples: number of samples to draw from a model that is not a function, for metrics
            without `_K`; by default 20 for metrics of single samples and 1000 for all others.
        seed: random seed of these samples.

    Returns:
        Metric by name: the mean over agents, or over scenes if the metric is defined per scene. It
        does not depend on the other metrics.

    Raises:
        ValueError: an unknown metric, no scene, too few samples, positions that are not finite, or
            shapes that do not agree.
    """
    metrics = [metrics] if isinstance(metrics, str) else metrics
    is_function = not isinstance(model, str) and not hasattr(model, "predict")
    chosen: dict[int, dict[str, Metric]] = {}  # by number of samples
    for name in metrics:
        metric, number = _metric(name)
        if number == 0 and not is_function:
            number = n_samples or (FEW_SAMPLES if metric.of_few else DISTRIBUTION_SAMPLES)
        chosen.setdefault(number, {})[name] = metric
    predict = _predictor(model, seed)
    values: dict[int, list[Measured]] = {number: [] for number in chosen}
    index = None
    for index, scene in enumerate(scenes):
        try:
            observed, future = _checked(scene)
            draw = predict(observed)
            for number, of_number in chosen.items():
                prediction = draw(number)
                _require_samples(prediction, future, number, next(iter(of_number)))
                of_scene = measured(of_number.values(), prediction, observed, future)
                values[number].append(of_scene)
        except ValueError as error:
            raise ValueError(f"scene {index}: {error}") from error
    if index is None:
        raise ValueError("no scene to evaluate: check the recording and min_agents")
    found: dict[str, float] = {}
    for number, of_number in chosen.items():
        found |= reduced(of_number, values[number])
    return {name: found[name] for name in metrics}


def _checked(scene: tuple[FloatArray, FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Copies of observed positions and ground truth; NaN where they are masked."""
    if len(scene) != 2:
        raise ValueError(
            f"{len(scene)} entries, expected a pair of observed positions and ground truth"
        )
    # A copy, as a model may modify its input. Masked positions are unknown, so NaN.
    observed, future = (
        np.ma.filled(np.ma.array(positions_m, dtype=np.float64, copy=True), np.nan)
        for positions_m in scene
    )
    if not np.isfinite(future).all():
        raise ValueError("the ground truth is not finite; leave the agent out")
    if len(future) == 0:
        raise ValueError("no agent: leave it out")
    return observed, future


def _predictor(model: TrajectoryModel | Sampler | str, seed: int) -> Callable[[FloatArray], Draw]:
    if isinstance(model, str):
        model = load_model(model)
    if hasattr(model, "predict"):
        predict = model.predict
        return lambda observed: lambda n: predict(observed.copy(), n_samples=n, seed=seed)
    sampler = model

    def of_samples(observed: FloatArray) -> Draw:
        samples = np.asarray(sampler(observed), dtype=np.float64)
        if samples.ndim != 4 or samples.shape[-1] != 2:
            raise ValueError(f"the model returns {samples.shape}, expected (K, A, T, 2) samples")
        moments = sample_moments(samples)
        return lambda n: Prediction(samples[: n or None], *moments, step_s=float("nan"))

    return of_samples


def _require_samples(prediction: Prediction, future: FloatArray, number: int, name: str) -> None:
    """Raises ValueError if samples do not match the (A, T, 2) ground truth, are not finite, or are
    fewer than the number that a metric needs.
    """
    if prediction.samples.shape[1:] != future.shape:
        raise ValueError(
            f"the model predicts samples of shape {prediction.samples.shape}, expected "
            f"(K, {', '.join(map(str, future.shape))}) as the ground truth"
        )
    if not np.isfinite(prediction.samples).all():
        raise ValueError("the model predicts positions that are not finite")
    if number > (got := len(prediction.samples)):
        raise ValueError(f"{name} needs {number} samples, got {got}")


def _metric(name: str) -> tuple[Metric, int]:
    """The metric of a name, and the K at its end; 0 without K."""
    matched = re.fullmatch(r"(\w+)_([1-9]\d{0,3})", name)
    if matched and matched[1] in METRICS and METRICS[matched[1]].of_few:
        return METRICS[matched[1]], int(matched[2])
    if name not in METRICS:
        raise ValueError(
            f"unknown metric {name!r}{did_you_mean(name, METRICS)}: expected one of "
            f"{', '.join(METRICS)}"
        )
    return METRICS[name], 0
