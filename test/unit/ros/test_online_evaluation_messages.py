"""Messages of the self-evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from social_implicit_ros.prediction.scoring.recent_scores import RecentScores
from social_implicit_ros.ros.online_evaluation_messages import (
    COLUMNS,
    MIN_POSITIONS,
    metrics_to_msg,
    radius_factors,
    scores_to_status,
)
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration


def scores_of(
    inside: float, n_positions: int = MIN_POSITIONS, standing: float | None = None
) -> RecentScores:
    """Walking people, and as many standing ones where `standing` is their coverage."""
    n_walking = np.array([n_positions // 2, n_positions - n_positions // 2, 0.0])
    n_scored = np.array([n_walking * (standing is not None), n_walking])
    return RecentScores(
        times_s=np.array([0.4, 0.8, 1.2]),
        n_scored=n_scored,
        sum_error_m=n_scored * [0.1, 0.3, 0.0],
        n_inside=n_scored * np.array([[standing or 0.0], [inside]]),
        confidence=0.95,
    )


def status_of(scores: RecentScores, calibration: str = "off") -> DiagnosticStatus:
    return scores_to_status(
        "/robot/predictor",
        scores,
        np.ones((2, 3)),
        tolerance=0.1,
        window_s=60.0,
        calibration=calibration,
    )


@pytest.mark.parametrize(
    ("inside", "n_positions", "level", "text"),
    [
        (0.95, 500, DiagnosticStatus.OK, "95 % ellipses cover 95.0 % of 500 positions in 60 s"),
        (0.86, 500, DiagnosticStatus.OK, "cover 86.0 %"),
        (
            0.84,
            500,
            DiagnosticStatus.WARN,
            "too small for walking people; adaptive_calibration would correct them",
        ),
        (0.0, MIN_POSITIONS - 1, DiagnosticStatus.OK, "too few to evaluate"),
    ],
)
def test_it_warns_when_coverage_leaves_the_band(
    inside: float, n_positions: int, level: bytes, text: str
) -> None:
    status = status_of(scores_of(inside, n_positions))
    assert status.level == level
    assert text in status.message
    assert status.name == "robot/predictor: self-evaluation"


def test_it_warns_of_ellipses_that_are_too_large() -> None:
    walking = np.array([[0.0], [500.0]])
    scores = RecentScores(np.array([0.4]), walking, 0.1 * walking, 0.9 * walking, confidence=0.5)
    status = status_of(scores, calibration="/file.json")
    assert status.level == DiagnosticStatus.WARN
    assert "too large for walking people; they are being adapted" in status.message


@pytest.mark.parametrize(
    ("walking", "standing", "wrong"),
    [
        (0.8, 1.0, "too small for walking people;"),
        (1.0, 0.8, "too small for standing people;"),
        (0.8, 0.8, "too small for standing people, too small for walking people;"),
    ],
)
def test_it_warns_of_each_class_even_if_the_total_is_nominal(
    walking: float, standing: float, wrong: str
) -> None:
    status = status_of(scores_of(walking, 1000, standing))
    assert status.level == DiagnosticStatus.WARN
    assert wrong in status.message
    assert f"({100 * standing:.1f} % of standing, {100 * walking:.1f} % of walking people)" in (
        status.message
    )
    values = {v.key: v.value for v in status.values}
    assert values["coverage_standing"] == f"{standing:.3f}"
    assert values["coverage_walking"] == f"{walking:.3f}"
    assert values["positions_walking"] == "1000"


def test_too_few_people_of_a_class_raise_no_warning() -> None:
    scores = scores_of(0.95, 1000, 0.0)
    scores.n_scored[0] /= 10.0
    assert status_of(scores).level == DiagnosticStatus.OK


def test_unknown_metrics_are_empty() -> None:
    values = {v.key: v.value for v in status_of(scores_of(0.9)).values}
    assert values["ade_m"] == values["fde_m"] == ""
    assert values["coverage"] == "0.900"


def test_the_table_names_its_columns_and_is_row_by_row() -> None:
    message = metrics_to_msg(scores_of(0.9), np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    rows, columns = message.layout.dim
    assert (rows.size, columns.size) == (3, len(COLUMNS))
    assert rows.stride == rows.size * columns.stride == len(message.data)
    table = np.array(message.data).reshape(3, -1)
    half = MIN_POSITIONS // 2
    np.testing.assert_allclose(table[1], [0.8, half, 0.3, 0.9, 2.0, 5.0, 0, half, np.nan, 0.9])
    assert np.isnan(table[2, 2:4]).all()


def test_factors_are_those_of_an_unknown_site_initially() -> None:
    np.testing.assert_array_equal(radius_factors(None, 3, 0.95), np.ones((2, 3)))
    factors = radius_factors(AdaptiveCalibration(3), 3, 0.93)
    np.testing.assert_allclose(factors, 1.15, atol=0.01)
