"""Messages of the self-evaluation: `~/metrics` and its status in `/diagnostics`."""

from __future__ import annotations

import math

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import Float64MultiArray, MultiArrayDimension, MultiArrayLayout

from social_implicit_ros.prediction.scoring.recent_scores import RecentScores
from social_implicit_ros.ros.reporting.diagnostics import status_of
from social_implicit_ros.types import FloatArray
from social_implicit_ros.uncertainty.adaptive import CLASS_NAMES, AdaptiveCalibration
from social_implicit_ros.uncertainty.ellipses import GAUSSIAN_RADII, confidence_to_sigmas

METRICS_TOPIC = "~/metrics"
#: Columns of `~/metrics`; a row is a predicted step.
COLUMNS = (
    "time_ahead_s",
    "positions",
    "mean_error_m",
    "coverage",
    "radius_factor_standing",
    "radius_factor_walking",
    "positions_standing",
    "positions_walking",
    "coverage_standing",
    "coverage_walking",
)
#: Minimum number of scored positions for a warning.
MIN_POSITIONS = 200


def radius_factors(
    adaptive: AdaptiveCalibration | None, n_steps: int, confidence: float
) -> FloatArray:
    """(Z, T) radii of the ellipses relative to the model's, for standing and walking people."""
    if adaptive is None:
        return np.ones((2, n_steps))
    sigmas = confidence_to_sigmas(confidence)
    flat = adaptive.radii.reshape(-1, adaptive.radii.shape[-1])
    radii = [np.interp(sigmas, GAUSSIAN_RADII, row) for row in flat]
    return np.array(radii).reshape(adaptive.radii.shape[:2]) / sigmas


def metrics_to_msg(scores: RecentScores, factors: FloatArray) -> Float64MultiArray:
    """A table with a row per predicted step and a column per metric, named in the layout.

    Args:
        scores: recent scores.
        factors: (2, T) from `radius_factors`.
    """
    of_all = [scores.times_s, scores.n_scored.sum(axis=0), scores.error_m, scores.inside]
    table = np.stack([*of_all, *factors, *scores.n_scored, *scores.class_inside], axis=1)
    n_steps, n_columns = table.shape
    layout = MultiArrayLayout(
        dim=[
            MultiArrayDimension(label="step", size=n_steps, stride=table.size),
            MultiArrayDimension(label=",".join(COLUMNS), size=n_columns, stride=n_columns),
        ]
    )
    return Float64MultiArray(layout=layout, data=table.ravel().tolist())


def scores_to_status(
    name: str,
    scores: RecentScores,
    factors: FloatArray,
    *,
    tolerance: float,
    window_s: float,
    calibration: str,
) -> DiagnosticStatus:
    """The self-evaluation status of `/diagnostics`.

    Args:
        name: name of the node.
        scores: recent scores.
        factors: (2, T) from `radius_factors`.
        tolerance: largest difference between coverage and confidence without a warning.
        window_s: time window of the scores, seconds.
        calibration: state of the adaptive calibration: `off`, the path of its file, or the
            problem with that file.
    """
    level, text = _level_and_text(scores, tolerance, window_s, calibration != "off")
    values = {
        "confidence": f"{scores.confidence:g}",
        "coverage": _text(scores.coverage, 3),
        "positions_judged": str(scores.n_positions),
        "ade_m": _text(scores.ade_m, 3),
        "fde_m": _text(scores.fde_m, 3),
        "window_s": f"{window_s:g}",
        "adaptive_calibration": calibration,
        "radius_factor_min": _text(float(factors.min()), 2),
        "radius_factor_max": _text(float(factors.max()), 2),
    }
    n_positions = scores.n_scored.sum(axis=1)
    for name_of_class, covered, n in zip(
        CLASS_NAMES, scores.class_coverage, n_positions, strict=True
    ):
        values[f"coverage_{name_of_class}"] = _text(float(covered), 3)
        values[f"positions_{name_of_class}"] = f"{n:.0f}"
    return status_of(name, "self-evaluation", level, text, values)


def _level_and_text(
    scores: RecentScores, tolerance: float, window_s: float, is_adaptive: bool
) -> tuple[bytes, str]:
    if scores.n_positions < MIN_POSITIONS:
        return DiagnosticStatus.OK, f"{scores.n_positions} positions scored, too few to evaluate"
    n_of_class = scores.n_scored.sum(axis=1)
    by_class = ", ".join(
        f"{100 * covered:.1f} % of {name}"
        for name, covered in zip(CLASS_NAMES, scores.class_coverage, strict=True)
        if np.isfinite(covered)
    )
    text = (
        f"{100 * scores.confidence:g} % ellipses cover {100 * scores.coverage:.1f} % of "
        f"{scores.n_positions} positions in {window_s:g} s ({by_class} people)"
    )
    hint = "they are being adapted" if is_adaptive else "adaptive_calibration would correct them"
    errors = np.where(n_of_class >= MIN_POSITIONS, scores.class_coverage - scores.confidence, 0.0)
    wrong = [
        f"{_too(error)} for {name} people"
        for name, error in zip(CLASS_NAMES, errors, strict=True)
        if abs(error) > tolerance
    ]
    error = scores.coverage - scores.confidence
    if not wrong and abs(error) > tolerance:  # too few positions in each class
        wrong = [_too(error)]
    if not wrong:
        return DiagnosticStatus.OK, text
    return DiagnosticStatus.WARN, f"{text}: {', '.join(wrong)}; {hint}"


def _too(error: float) -> str:
    return "too small" if error < 0.0 else "too large"


def _text(value: float, digits: int) -> str:
    """A number; empty if it is not finite."""
    return f"{value:.{digits}f}" if math.isfinite(value) else ""
