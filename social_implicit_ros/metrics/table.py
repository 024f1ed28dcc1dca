"""Table of all metrics of scenes by name; `docs/metrics.md` defines them with source and unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from social_implicit_ros.metrics.amd import mahalanobis_distances, mean_covariance_eigenvalue
from social_implicit_ros.metrics.collision import collision_rate
from social_implicit_ros.metrics.displacement import best_of_n, joint_best_of_n, mean_path, missed
from social_implicit_ros.metrics.kde import kde_nll
from social_implicit_ros.metrics.proper_scores import energy_score, gaussian_nll
from social_implicit_ros.metrics.reliability import (
    coverage,
    ground_truth_levels,
    reliability_scores,
)
from social_implicit_ros.metrics.situations import mean_of
from social_implicit_ros.types import FloatArray, Prediction

#: Function of the prediction, (A, H, 2) observed positions and (A, T, 2) ground truth of a scene,
#: metres, that returns values: a row per agent, per pair of agents, or for the scene.
Measure = Callable[[Prediction, FloatArray, FloatArray], FloatArray]
#: Numbers of samples as in the evaluation of Social-Implicit, see `Metric.of_few`.
FEW_SAMPLES, DISTRIBUTION_SAMPLES = 20, 1000
#: The values of one scene.
Measured = Mapping[Measure, FloatArray]


@dataclass(frozen=True)
class Metric:
    """A metric of scenes; several metrics may share a measure, which is computed once.

    Attributes:
        measure: computes the values of a scene.
        unit: unit of the metric; `%` for shares, and `count` for a number of positions at which the
            published metric is undefined.
        ideal: value of a perfect prediction, in the words of tables.
        reduce: computes the metric from the values of all scenes.
        of_few: whether it evaluates single samples, of which papers draw `FEW_SAMPLES`; all others
            evaluate the distribution, from `DISTRIBUTION_SAMPLES`.
    """

    measure: Measure
    unit: str
    ideal: str
    reduce: Callable[[FloatArray], float] = mean_of
    of_few: bool = False


def mean_of_column(index: int) -> Callable[[FloatArray], float]:
    """A reduction: the mean of a column of the values."""
    return lambda values: mean_of(values[:, index])


def _best_of_n(prediction: Prediction, _: FloatArray, truth: FloatArray) -> FloatArray:
    """(A, 2) ADE and FDE of the best sample, metres."""
    return np.stack(best_of_n(prediction.samples, truth), axis=1)


def _joint(prediction: Prediction, _: FloatArray, truth: FloatArray) -> FloatArray:
    """(1, 2) ADE and FDE of the best joint sample, metres."""
    return np.array([joint_best_of_n(prediction.samples, truth)])


def _mean_path(prediction: Prediction, _: FloatArray, truth: FloatArray) -> FloatArray:
    """(A, 2) ADE and FDE of the mean trajectory, metres."""
    return np.stack(mean_path(prediction.mean, truth), axis=1)


def amd_of_scene(prediction: Prediction, _: FloatArray, truth: FloatArray) -> FloatArray:
    """(1, 2) mean distance, and number of positions whose published distance is undefined."""
    distances, undefined = mahalanobis_distances(prediction.samples, truth)
    return np.array([[distances.mean(), undefined.sum()]])


def kde_of_scene(prediction: Prediction, _: FloatArray, truth: FloatArray) -> FloatArray:
    """(1, 2) mean in nats, and number of positions without a density."""
    nll, degenerate = kde_nll(prediction.samples, truth)
    return np.array([[nll.mean(), degenerate.sum()]])


def levels_of_scene(prediction: Prediction, _: FloatArray, truth: FloatArray) -> FloatArray:
    """(A, T) confidence levels of the ground truth."""
    return ground_truth_levels(prediction, truth)


#: Metric -> how it is computed and displayed.
METRICS = {
    "minADE": Metric(_best_of_n, "m", "low", mean_of_column(0), of_few=True),
    "minFDE": Metric(_best_of_n, "m", "low", mean_of_column(1), of_few=True),
    "MR": Metric(
        lambda p, _, truth: missed(p.samples, truth).astype(np.float64), "%", "low", of_few=True
    ),
    "JADE": Metric(_joint, "m", "low", mean_of_column(0), of_few=True),
    "JFDE": Metric(_joint, "m", "low", mean_of_column(1), of_few=True),
    "CR": Metric(
        lambda p, _, truth: np.array([collision_rate(p.samples)]), "%", "low", of_few=True
    ),
    "ADE_mean": Metric(_mean_path, "m", "low", mean_of_column(0)),
    "FDE_mean": Metric(_mean_path, "m", "low", mean_of_column(1)),
    "AMD": Metric(amd_of_scene, "", "1.253", mean_of_column(0)),
    "AMV": Metric(
        lambda p, _, truth: np.array([mean_covariance_eigenvalue(p.samples)]), "m^2", "low"
    ),
    "KDE_NLL": Metric(kde_of_scene, "nats", "low", mean_of_column(0)),
    "ES": Metric(lambda p, _, truth: energy_score(p.samples, truth).mean(axis=1), "m", "low"),
    "NLL": Metric(
        lambda p, _, truth: gaussian_nll(p.mean, p.covariance, truth).mean(axis=1), "nats", "low"
    ),
    "coverage_95": Metric(levels_of_scene, "%", "95", lambda levels: coverage(levels, 0.95)),
    "R_avg": Metric(levels_of_scene, "%", "100", lambda levels: reliability_scores(levels)[0]),
    "R_min": Metric(levels_of_scene, "%", "100", lambda levels: reliability_scores(levels)[1]),
}


def measured(
    metrics: Iterable[Metric], prediction: Prediction, observed: FloatArray, truth: FloatArray
) -> dict[Measure, FloatArray]:
    """The values of a scene that the metrics need; arguments as in `Measure`."""
    measures = dict.fromkeys(metric.measure for metric in metrics)
    return {measure: measure(prediction, observed, truth) for measure in measures}


def reduced(metrics: Mapping[str, Metric], scenes: Sequence[Measured]) -> dict[str, float]:
    """The metrics of one or more scenes by name; scenes without a measure do not count in it."""
    values = {
        measure: np.concatenate([scene[measure] for scene in scenes if measure in scene])
        for measure in dict.fromkeys(metric.measure for metric in metrics.values())
    }
    return {name: metric.reduce(values[metric.measure]) for name, metric in metrics.items()}
