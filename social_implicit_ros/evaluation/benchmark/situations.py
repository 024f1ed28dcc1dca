"""Metrics of the situations that matter to a robot; see `metrics.situations`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from social_implicit_ros.metrics.mahalanobis import squared_mahalanobis
from social_implicit_ros.metrics.reliability import ground_truth_levels
from social_implicit_ros.metrics.situations import (
    STANDING_M_S,
    WALKING_M_S,
    area_at_coverage,
    has_started,
    has_stopped,
    head_on_pairs,
    net_speed_m_s,
    passing_distances,
)
from social_implicit_ros.recordings.text_formats.eth_ucy import Scene
from social_implicit_ros.types import FloatArray, Prediction
from social_implicit_ros.uncertainty.ellipses import radius_at

#: Confidence of the region whose area is measured, and of the one of standing people.
AREA_CONFIDENCE, STANDING_CONFIDENCE = 0.95, 0.5
#: Mean paths that come closer collide, metres.
HEAD_ON_M = 0.3

#: Metrics of situations by name -> unit, and value for a perfect prediction.
SITUATION_STYLES: dict[str, tuple[str, str]] = {
    "coverage_50_standing": ("%", "50"),
    "area_95_walking": ("m^2", "low"),
    "fde_over_cv_stopped": ("", "low"),
    "fde_over_cv_started": ("", "low"),
    "head_on_rate": ("%", "low"),
    "head_on_rate_people": ("%", ""),
}


def situation_measures(prediction: Prediction, scene: Scene) -> dict[str, FloatArray]:
    """Arrays with one entry per agent or pair in a situation; `situation_metrics` averages them."""
    observed, future, step_s = scene.observed, scene.future, prediction.step_s
    speed_m_s = net_speed_m_s(observed, step_s)
    walking = speed_m_s >= WALKING_M_S
    last = Prediction(
        prediction.samples[:0, :, -1:],
        prediction.mean[:, -1:],
        prediction.covariance[:, -1:],
        step_s,
        None if prediction.radius_scales is None else prediction.radius_scales[:, -1:],
    )
    distance_2, log_determinant = squared_mahalanobis(
        last.mean[:, 0], last.covariance[:, 0], future[:, -1]
    )
    radius = radius_at(last, AREA_CONFIDENCE)[:, 0]
    area_m2 = np.pi * radius**2 * np.exp(0.5 * log_determinant)
    levels = ground_truth_levels(prediction, future)[speed_m_s < STANDING_M_S]
    pairs = head_on_pairs(observed, future.shape[1], step_s)
    straight = observed[:, -1] + future.shape[1] * (observed[:, -1] - observed[:, -2])
    error_m = np.linalg.norm(prediction.mean[:, -1] - future[:, -1], axis=1)
    straight_m = np.linalg.norm(straight - future[:, -1], axis=1)
    stopped, started = has_stopped(observed, step_s), has_started(observed, step_s)
    return {
        "standing_inside": (levels <= STANDING_CONFIDENCE).astype(np.float64).ravel(),
        "walking_distance": np.sqrt(distance_2[walking]),
        "walking_radius": radius[walking],
        "walking_area": area_m2[walking],
        "stopped": error_m[stopped],
        "stopped_straight": straight_m[stopped],
        "started": error_m[started],
        "started_straight": straight_m[started],
        "passing": passing_distances(prediction.mean, pairs),
        "passing_people": passing_distances(future, pairs),
    }


def situation_metrics(values: Mapping[str, FloatArray]) -> dict[str, float]:
    """The metrics of the arrays of `situation_measures`, which are among the values."""
    return {
        "coverage_50_standing": _mean(values["standing_inside"]),
        "area_95_walking": area_at_coverage(
            values["walking_distance"],
            values["walking_radius"],
            values["walking_area"],
            AREA_CONFIDENCE,
        ),
        "fde_over_cv_stopped": _mean(values["stopped"]) / _mean(values["stopped_straight"]),
        "fde_over_cv_started": _mean(values["started"]) / _mean(values["started_straight"]),
        "head_on_rate": _mean(values["passing"] < HEAD_ON_M),
        "head_on_rate_people": _mean(values["passing_people"] < HEAD_ON_M),
    }


def _mean(values: np.ndarray) -> float:
    """The mean; NaN without values."""
    return float(values.mean()) if values.size else float("nan")
