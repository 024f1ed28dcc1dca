"""Every metric of scenes by its name; `docs/metrics.md` defines each with its source and unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
from social_implicit_ros.types import FloatArray, Prediction


def _mean(values: FloatArray) -> FloatArray:
    return np.array([values.mean()])


@dataclass(frozen=True)
class Metric:
    """A metric of scenes.

    Attributes:
        measure: prediction and (A, T, 2) ground truth of a scene -> values of its agents, or one
            value of the scene.
        reduce: the values of all scenes -> the metric.
    """

    measure: Callable[[Prediction, FloatArray], FloatArray]
    reduce: Callable[[FloatArray], float] = lambda values: float(values.mean())


#: Metric -> how it is computed.
METRICS = {
    "minADE": Metric(lambda p, truth: best_of_n(p.samples, truth)[0]),
    "minFDE": Metric(lambda p, truth: best_of_n(p.samples, truth)[1]),
    "MR": Metric(lambda p, truth: missed(p.samples, truth).astype(np.float64)),
    "JADE": Metric(lambda p, truth: np.array([joint_best_of_n(p.samples, truth)[0]])),
    "JFDE": Metric(lambda p, truth: np.array([joint_best_of_n(p.samples, truth)[1]])),
    "CR": Metric(lambda p, truth: np.array([collision_rate(p.samples)])),
    "ADE_mean": Metric(lambda p, truth: mean_path(p.mean, truth)[0]),
    "FDE_mean": Metric(lambda p, truth: mean_path(p.mean, truth)[1]),
    "AMD": Metric(lambda p, truth: _mean(mahalanobis_distances(p.samples, truth).values)),
    "AMV": Metric(lambda p, truth: np.array([mean_covariance_eigenvalue(p.samples)])),
    "KDE_NLL": Metric(lambda p, truth: _mean(kde_nll(p.samples, truth)[0])),
    "ES": Metric(lambda p, truth: energy_score(p.samples, truth).mean(axis=1)),
    "NLL": Metric(lambda p, truth: gaussian_nll(p.mean, p.covariance, truth).mean(axis=1)),
    "coverage_95": Metric(ground_truth_levels, lambda levels: coverage(levels, 0.95)),
    "R_avg": Metric(ground_truth_levels, lambda levels: reliability_scores(levels)[0]),
    "R_min": Metric(ground_truth_levels, lambda levels: reliability_scores(levels)[1]),
}


def metrics_of(
    scenes: Iterable[tuple[Prediction, FloatArray]], names: Mapping[str, str]
) -> dict[str, float]:
    """Metrics of one or more scenes.

    Args:
        scenes: prediction and (A, T, 2) ground truth of each, metres.
        names: name in the result -> name in `METRICS`.
    """
    chosen = [METRICS[name] for name in names.values()]
    # Several metrics share a measure, such as the levels of all regions.
    measures = dict.fromkeys(metric.measure for metric in chosen)
    rows = [{measure: measure(*scene) for measure in measures} for scene in scenes]
    return {
        name: metric.reduce(np.concatenate([row[metric.measure] for row in rows]))
        for name, metric in zip(names, chosen, strict=True)
    }
