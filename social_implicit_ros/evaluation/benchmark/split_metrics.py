"""Metrics of the leave-one-out benchmark on the ETH/UCY recordings.

Averages follow the source of each metric. Over all agents of a split: ade, fde, mean_ade,
mean_fde, miss_rate, energy, nll, coverage_95, r_avg, r_min. Over all scenes of a split: amd, amv,
kde; and jade, jfde and collision_rate, in which scenes of a single agent count, too (Weng et al.,
"Joint Metrics Matter", ICCV 2023). Over agents or pairs in a situation: see `situations`.

Input: ade, fde, jade, jfde, miss_rate and collision_rate use K samples (20 by default); amd, amv,
kde and energy use 1000 samples; mean_ade, mean_fde, nll, coverage_95, r_avg and r_min use the
prediction's mean and covariance at 1000 samples, as a robot does, calibration included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from social_implicit_ros.evaluation.benchmark.situations import (
    SITUATION_STYLES,
    situation_measures,
    situation_metrics,
)
from social_implicit_ros.metrics.amd import mahalanobis_distances, mean_covariance_eigenvalue
from social_implicit_ros.metrics.collision import collision_rate
from social_implicit_ros.metrics.displacement import best_of_n, joint_best_of_n, mean_path, missed
from social_implicit_ros.metrics.kde import kde_nll
from social_implicit_ros.metrics.proper_scores import energy_score, gaussian_nll
from social_implicit_ros.metrics.reliability import (
    coverage,
    ground_truth_levels,
    pooled_reliability_scores,
    reliability_scores,
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

#: Every metric in the order of tables and files -> unit, and value for a perfect prediction.
STYLES: dict[str, tuple[str, str]] = {
    "ade": ("m", "low"),
    "fde": ("m", "low"),
    "mean_ade": ("m", "low"),
    "mean_fde": ("m", "low"),
    "jade": ("m", "low"),
    "jfde": ("m", "low"),
    "miss_rate": ("%", "low"),
    "collision_rate": ("%", "low"),
    "amd": ("", "1.253"),
    "amv": ("m^2", "low"),
    "kde": ("nats", "low"),
    "energy": ("m", "low"),
    "nll": ("nats", "low"),
    "coverage_95": ("%", "95"),
    "r_avg": ("%", "100"),
    "r_min": ("%", "100"),
    "r_avg_pooled": ("%", "100"),
    "r_min_pooled": ("%", "100"),
    **SITUATION_STYLES,
    "amd_undefined": ("count", "0"),
    "kde_degenerate": ("count", "0"),
}
#: Numbers of positions without AMD or KDE as published; the means use a substitute.
COUNTS = ("amd_undefined", "kde_degenerate")

#: Samples for the metrics of the whole distribution, as in the reference's evaluation.
DISTRIBUTION_SAMPLES = 1000
#: Agents evaluated together.
_BATCH_AGENTS = 48


class BenchmarkError(ValueError):
    """The benchmark cannot run as requested; the message gives the reason and the remedy."""


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
    workers: int = 1,
    advance: Callable[[int], None] = lambda n_scenes: None,
) -> Metrics:
    """Metrics of a model on one split.

    Args:
        model: from `load_benchmark_model`.
        test_scenes: from `split_scenes`. Those of a single agent count in `jade`, `jfde` and
            `collision_rate` only.
        n_samples: K of the metrics of single samples.
        seed: of the run; every scene draws its own noise from it.
        all_metrics: every metric instead of `ade` and `fde` alone.
        workers: threads; the metrics do not depend on their number.
        advance: called with the number of scenes whenever some are done.

    Returns:
        Metrics by name, see the module; with `all_metrics` also `amd_undefined` and
        `kde_degenerate`, the numbers of positions for which AMD or KDE has no published value.

    Raises:
        BenchmarkError: a model of another horizon or step.
    """

    def measure(batch: Batch) -> _Measures:
        measures = _displacement_measures(model, batch, n_samples, seed, all_metrics)
        if all_metrics:
            measures.update(_distribution_measures(model, batch, seed))
        advance(len(batch))
        return measures

    crowds = [scene for scene in test_scenes if len(scene.ids) > 1]
    with ThreadPoolExecutor(workers) as pool:
        parts = list(pool.map(measure, scene_batches(crowds)))
    if all_metrics:
        alone = [scene for scene in test_scenes if len(scene.ids) == 1]
        parts.append(_joint_measures(model, list(enumerate(alone)), n_samples, seed))
        advance(len(alone))
    values = {
        name: np.concatenate([part[name] for part in parts if name in part]) for name in parts[0]
    }
    metrics: Metrics = {}
    if all_metrics:
        levels = values["levels"]
        metrics["coverage_95"] = coverage(levels, 0.95)
        metrics["r_avg"], metrics["r_min"] = reliability_scores(levels)
        metrics["r_avg_pooled"], metrics["r_min_pooled"] = pooled_reliability_scores(levels)
        metrics.update(situation_metrics(values))
    for name in STYLES.keys() & values.keys():
        metrics[name] = float(np.sum(values[name]) if name in COUNTS else np.mean(values[name]))
    return {name: metrics[name] for name in STYLES if name in metrics}


#: Scenes with their index in the split.
Batch = list[tuple[int, Scene]]
#: Arrays of one entry per agent, or of one per scene; `levels` of one per agent and step.
_Measures = dict[str, FloatArray]


def scene_batches(test_scenes: Sequence[Scene]) -> Iterator[Batch]:
    """Groups scenes: small batches waste calls, large ones memory."""
    batch: Batch = []
    n_agents = 0
    for index, scene in enumerate(test_scenes):
        batch.append((index, scene))
        n_agents += len(scene.ids)
        if n_agents >= _BATCH_AGENTS:
            yield batch
            batch, n_agents = [], 0
    if batch:
        yield batch


def _displacement_measures(
    model: TrajectoryModel, batch: Batch, n_samples: int, seed: int, all_metrics: bool
) -> _Measures:
    """Metrics of single samples."""
    rows: list[_Measures] = []
    for index, scene in batch:
        samples = _samples(model, scene, n_samples, scene_seed(seed, index))
        ade, fde = best_of_n(samples, scene.future)
        rows.append({"ade": ade, "fde": fde})
        if all_metrics:
            rows[-1]["miss_rate"] = missed(samples, scene.future).astype(np.float64)
            rows[-1].update(_joint(samples, scene.future))
    return concatenated(rows)


def _joint_measures(model: TrajectoryModel, batch: Batch, n_samples: int, seed: int) -> _Measures:
    """Metrics of joint samples alone."""
    return concatenated(
        [
            _joint(_samples(model, scene, n_samples, scene_seed(seed, index)), scene.future)
            for index, scene in batch
        ]
    )


def _samples(model: TrajectoryModel, scene: Scene, n_samples: int, seed: int) -> FloatArray:
    return model.predict(scene.observed, n_samples=n_samples, seed=seed).samples


def _joint(samples: FloatArray, future: FloatArray) -> _Measures:
    joint_ade, joint_fde = joint_best_of_n(samples, future)
    measures = {"jade": joint_ade, "jfde": joint_fde, "collision_rate": collision_rate(samples)}
    return {name: np.array([value]) for name, value in measures.items()}


def concatenated(rows: Sequence[_Measures]) -> _Measures:
    """All rows below each other."""
    return {name: np.concatenate([row[name] for row in rows]) for name in (rows[0] if rows else ())}


def _distribution_measures(model: TrajectoryModel, batch: Batch, seed: int) -> _Measures:
    """Metrics of the whole predicted distribution."""
    predictions = [
        model.predict(scene.observed, n_samples=DISTRIBUTION_SAMPLES, seed=scene_seed(seed, index))
        for index, scene in batch
    ]
    truth = np.concatenate([scene.future for _, scene in batch])
    samples = np.concatenate([prediction.samples for prediction in predictions], axis=1)
    mean = np.concatenate([prediction.mean for prediction in predictions])
    covariance = np.concatenate([prediction.covariance for prediction in predictions])

    mean_ade, mean_fde = mean_path(mean, truth)
    mahalanobis = mahalanobis_distances(samples, truth)
    kde, degenerate = kde_nll(samples, truth)
    return {
        "mean_ade": mean_ade,
        "mean_fde": mean_fde,
        "amd": scene_means(mahalanobis.values, batch),
        "amv": np.array([mean_covariance_eigenvalue(one.samples) for one in predictions]),
        "kde": scene_means(kde, batch),
        "energy": energy_score(samples, truth).mean(axis=1),
        "nll": gaussian_nll(mean, covariance, truth).mean(axis=1),
        **concatenated(
            [
                {
                    "levels": ground_truth_levels(prediction, scene.future),
                    **situation_measures(prediction, scene),
                }
                for prediction, (_, scene) in zip(predictions, batch, strict=True)
            ]
        ),
        "amd_undefined": mahalanobis.undefined.sum(axis=1).astype(np.float64),
        "kde_degenerate": degenerate.sum(axis=1).astype(np.float64),
    }


def scene_means(values: FloatArray, batch: Batch) -> FloatArray:
    """The mean of every scene of a batch, from values (A, T) of the batch's agents in order."""
    ends = np.cumsum([len(scene.ids) for _, scene in batch])[:-1]
    return np.array([part.mean() for part in np.split(values, ends)])


def average_metrics(splits: Iterable[Mapping[str, float]]) -> Metrics:
    """The mean over splits of every metric that all of them have; counts are added up."""
    rows = list(splits)
    names = [name for name in rows[0] if all(name in row for row in rows)]
    return {
        name: float((np.sum if name in COUNTS else _known_mean)([row[name] for row in rows]))
        for name in names
    }


def _known_mean(values: Sequence[float]) -> float:
    """The mean of the values that are not NaN: not every split has every situation."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def scene_seed(seed: int, index: int) -> int:
    """Seed of one scene's samples: independent between scenes and runs."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def load_benchmark_model(name: str) -> TrajectoryModel:
    """Loads a model and checks that it predicts the benchmark's horizon at its rate.

    Raises:
        ModelFileError: no such model, or one that cannot be used.
        BenchmarkError: a model of another horizon or step.
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
        name: as asked for.
        files: split -> name as `models.registry.load_model` takes it.
        held_out: the splits whose recordings the model was not trained on.
    """

    name: str
    files: dict[str, str]
    held_out: frozenset[str]


def candidate(name: str) -> Candidate:
    """Finds the files of a name.

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
    """Live parameters as the model card counts them; 0 for a baseline."""
    return model.card.parameters if isinstance(model, OnnxModel) else 0
