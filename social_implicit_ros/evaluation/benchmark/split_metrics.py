"""Metrics of the leave-one-out benchmark on the ETH/UCY recordings.

Averages follow the source of each metric. Over all agents of a split: ade, fde, mean_ade,
mean_fde, miss_rate, energy, nll, coverage_95, r_avg, r_min. Over all scenes of a split: amd, amv,
kde; and jade, jfde and collision_rate, in which scenes of a single agent count, too (Weng et al.,
"Joint Metrics Matter", ICCV 2023). Over agents or pairs in a situation: `metrics.situations`.

Input: ade, fde, jade, jfde, miss_rate and collision_rate use K samples (20 by default); amd, amv,
kde and energy use 1000 samples; mean_ade, mean_fde, nll, coverage_95, r_avg and r_min use the
prediction's mean and calibrated covariance at 1000 samples, as a robot does.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import TaskID

from social_implicit_ros.evaluation.terminal import progress_bar
from social_implicit_ros.metrics.reliability import coverage, pooled_reliability_scores
from social_implicit_ros.metrics.situations import (
    AREA_CONFIDENCE,
    HEAD_ON_M,
    STANDING_CONFIDENCE,
    area_at_coverage,
    final_errors,
    has_started,
    has_stopped,
    head_on_distances,
    mean_of,
    standing_levels,
    walking_regions,
)
from social_implicit_ros.metrics.table import (
    DISTRIBUTION_SAMPLES,
    METRICS,
    Measure,
    Metric,
    amd_of_scene,
    kde_of_scene,
    levels_of_scene,
    measured,
    reduced,
)
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.models.onnx_model import OnnxModel
from social_implicit_ros.models.registry import BASELINES, DEFAULT_MODEL, load_model, shipped_models
from social_implicit_ros.recordings.text_formats.eth_ucy import (
    LEAVE_ONE_OUT,
    N_PREDICTED,
    STEP_S,
    Scene,
)
from social_implicit_ros.types import FloatArray

#: Metrics of one split by name; metres, square metres for amv, nats for kde and nll, else shares.
Metrics = dict[str, float]
#: Result of a candidate on a split.
Result = TypeVar("Result")


def _ratio_of_means(values: FloatArray) -> float:
    return mean_of(values[:, 0]) / mean_of(values[:, 1])


def _count(values: FloatArray) -> float:
    return float(values[:, 1].sum())


#: Every metric of the benchmark in the order of tables and files.
ROWS: dict[str, Metric] = {
    "ade": METRICS["minADE"],
    "fde": METRICS["minFDE"],
    "mean_ade": METRICS["ADE_mean"],
    "mean_fde": METRICS["FDE_mean"],
    "jade": METRICS["JADE"],
    "jfde": METRICS["JFDE"],
    "miss_rate": METRICS["MR"],
    "collision_rate": METRICS["CR"],
    "amd": METRICS["AMD"],
    "amv": METRICS["AMV"],
    "kde": METRICS["KDE_NLL"],
    "energy": METRICS["ES"],
    "nll": METRICS["NLL"],
    "coverage_95": METRICS["coverage_95"],
    "r_avg": METRICS["R_avg"],
    "r_min": METRICS["R_min"],
    "r_avg_pooled": Metric(
        levels_of_scene, "%", "100", lambda levels: pooled_reliability_scores(levels)[0]
    ),
    "r_min_pooled": Metric(
        levels_of_scene, "%", "100", lambda levels: pooled_reliability_scores(levels)[1]
    ),
    "coverage_50_standing": Metric(
        standing_levels, "%", "50", partial(coverage, confidence=STANDING_CONFIDENCE)
    ),
    "area_95_walking": Metric(
        walking_regions, "m^2", "low", partial(area_at_coverage, confidence=AREA_CONFIDENCE)
    ),
    "fde_over_cv_stopped": Metric(
        partial(final_errors, of=has_stopped), "", "low", _ratio_of_means
    ),
    "fde_over_cv_started": Metric(
        partial(final_errors, of=has_started), "", "low", _ratio_of_means
    ),
    "head_on_rate": Metric(
        head_on_distances, "%", "low", lambda values: mean_of(values[:, 0] < HEAD_ON_M)
    ),
    "head_on_rate_people": Metric(
        head_on_distances, "%", "", lambda values: mean_of(values[:, 1] < HEAD_ON_M)
    ),
    "amd_undefined": Metric(amd_of_scene, "count", "0", _count),
    "kde_degenerate": Metric(kde_of_scene, "count", "0", _count),
}
#: Metrics that are printed without --all-metrics, and metrics that include single agents.
DISPLACEMENT, JOINT = ("ade", "fde"), ("jade", "jfde", "collision_rate")


class BenchmarkError(ValueError):
    """The benchmark cannot run as requested; the message gives the reason and the fix."""


def with_tracker_noise(test_scenes: Sequence[Scene], sigma_m: float, seed: int) -> list[Scene]:
    """The scenes with independent noise of `sigma_m` along each axis on every observed position."""
    if sigma_m == 0:
        return list(test_scenes)
    generator = np.random.default_rng(seed)
    seen = []
    for scene in test_scenes:
        noise_m = generator.normal(scale=sigma_m, size=scene.observed.shape)
        positions_m = np.concatenate([scene.observed + noise_m, scene.future], axis=1)
        seen.append(replace(scene, positions_m=positions_m))
    return seen


def evaluate_split(
    model: TrajectoryModel,
    test_scenes: Sequence[Scene],
    *,
    n_samples: int = 20,
    seed: int = 0,
    all_metrics: bool = False,
    each: Callable[..., Iterable[Any]] = map,
) -> Metrics:
    """Metrics of a model on one split.

    Args:
        model: a model of `load_benchmark_model`.
        test_scenes: scenes of `split_scenes`. Those of a single agent count only in `jade`, `jfde`
            and `collision_rate`.
        n_samples: number of samples K for metrics of single samples.
        seed: seed of the run, from which every scene derives its own.
        all_metrics: whether all metrics are computed, not only `ade` and `fde`.
        each: applies a function to every scene, like `map`; the metrics do not depend on the order.

    Returns:
        Metrics by name, see the module; with `all_metrics` also `amd_undefined` and
        `kde_degenerate`, the numbers of positions at which the published AMD or KDE is undefined.
    """
    chosen = ROWS if all_metrics else {name: ROWS[name] for name in DISPLACEMENT}
    few = n_samples, [metric for metric in chosen.values() if metric.of_few]
    many = DISTRIBUTION_SAMPLES, [metric for metric in chosen.values() if not metric.of_few]

    def measure(
        wanted: Sequence[tuple[int, list[Metric]]], index: int, scene: Scene
    ) -> dict[Measure, FloatArray]:
        values: dict[Measure, FloatArray] = {}
        for number, metrics in wanted:
            predicted = model.predict(
                scene.observed, n_samples=number, seed=scene_seed(seed, index)
            )
            values |= measured(metrics, predicted, scene.observed, scene.future)
        return values

    crowds = [scene for scene in test_scenes if len(scene.ids) > 1]
    of_crowd = partial(measure, [few, many] if all_metrics else [few])
    parts = list(each(of_crowd, range(len(crowds)), crowds))
    if all_metrics:
        alone = [scene for scene in test_scenes if len(scene.ids) == 1]
        joint = n_samples, [ROWS[name] for name in JOINT]
        parts += each(partial(measure, [joint]), range(len(alone)), alone)
    return reduced(chosen, parts)


def average_metrics(splits: Iterable[Mapping[str, float]]) -> Metrics:
    """The mean over splits of every metric that all of them have; counts are summed."""
    rows = list(splits)
    # NaN: a split does not contain every situation.
    values = {
        name: [row[name] for row in rows if not math.isnan(row[name])]
        for name in rows[0]
        if all(name in row for row in rows)
    }
    return {
        name: sum(known) if ROWS[name].unit == "count" else mean_of(np.array(known))
        for name, known in values.items()
    }


def scene_seed(seed: int, index: int) -> int:
    """Seed of one scene's samples: independent between scenes and runs."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def load_benchmark_model(name: str) -> TrajectoryModel:
    """Loads a model and checks that it predicts the benchmark's horizon at its rate.

    Raises:
        ModelFileError: the model does not exist or cannot be used.
        BenchmarkError: the model has another horizon or step.
    """
    model = load_model(name)
    if model.n_predicted != N_PREDICTED or abs(model.step_s - STEP_S) > 1e-9:
        raise BenchmarkError(
            f"model {model.name!r} predicts {model.n_predicted} steps of {model.step_s} s; "
            f"the benchmark needs {N_PREDICTED} steps of {STEP_S} s"
        )
    return model


@dataclass(frozen=True)
class Candidate:
    """One row of the table.

    Attributes:
        name: name as requested.
        files: split -> name for `models.registry.load_model`.
        held_out: the splits whose recordings the model was not trained on.
    """

    name: str
    files: dict[str, str]
    held_out: frozenset[str]


def candidate(name: str) -> Candidate:
    """Finds the model files of a name.

    Args:
        name: `default`; a baseline; a family NAME of which NAME_<split> is shipped for every
            split; any other shipped model; or a path of an `.onnx` file, in which `{split}`
            stands for the split's name. Only baselines, families and paths with `{split}` are
            held out on every split; a name that ends in _<split> is held out on that one.
    """
    splits = tuple(LEAVE_ONE_OUT)
    if name == "default":
        return replace(candidate(DEFAULT_MODEL), name=name)
    if name in BASELINES:
        return Candidate(name, dict.fromkeys(splits, name), frozenset(splits))
    if "{split}" in name:
        files = {split: name.replace("{split}", split) for split in splits}
        return Candidate(name, files, frozenset(splits))
    if name in families():
        return Candidate(name, {split: f"{name}_{split}" for split in splits}, frozenset(splits))
    stem = name.removesuffix(".onnx")
    own = frozenset(split for split in splits if stem.endswith(f"_{split}"))
    return Candidate(name, dict.fromkeys(splits, name), own)


def families() -> tuple[str, ...]:
    """Names with one shipped leave-one-out model per split."""
    shipped = set(shipped_models())
    first = next(iter(LEAVE_ONE_OUT))
    stems = sorted(n.removesuffix(f"_{first}") for n in shipped if n.endswith(f"_{first}"))
    return tuple(
        stem for stem in stems if all(f"{stem}_{split}" in shipped for split in LEAVE_ONE_OUT)
    )


def parameter_count(model: TrajectoryModel) -> int:
    """Number of live parameters in the model card; 0 for a baseline."""
    return model.card.parameters if isinstance(model, OnnxModel) else 0


def on_splits(
    candidates: Sequence[Candidate],
    test_scenes: Mapping[str, Sequence[Scene]],
    evaluate: Callable[..., Result],
    console: Console,
) -> Iterator[tuple[Candidate, dict[str, Result]]]:
    """Evaluates candidates on the test scenes of splits, on all cores, and shows the progress.

    Args:
        candidates: the models.
        test_scenes: test scenes of each split.
        evaluate: called for each candidate and split, with the arguments of `evaluate_split`.
        console: terminal for the progress.

    Yields:
        Each candidate, with its results by split.

    Raises:
        BenchmarkError, ModelFileError: see `load_benchmark_model`; raised before the evaluation.
    """
    loaded = [
        {split: load_benchmark_model(one.files[split]) for split in test_scenes}
        for one in candidates
    ]
    with progress_bar(console) as progress, ThreadPoolExecutor(os.cpu_count()) as pool:

        def each(task: TaskID, *arguments: Any) -> Iterator[Any]:
            for values in pool.map(*arguments):
                progress.advance(task)
                yield values

        for one, models in zip(candidates, loaded, strict=True):
            results = {}
            for split, model in models.items():
                scenes = test_scenes[split]
                task = progress.add_task(f"{one.name} on {split}", total=len(scenes))
                results[split] = evaluate(model, scenes, each=partial(each, task))
                progress.remove_task(task)
            yield one, results
