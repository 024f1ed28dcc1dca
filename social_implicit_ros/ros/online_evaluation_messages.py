"""Messages of the self-evaluation: `~/metrics` and its status in `/diagnostics`."""

from __future__ import annotations

import math

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import Float64MultiArray, MultiArrayDimension, MultiArrayLayout

from social_implicit_ros.prediction.online_evaluation import RecentScores
from social_implicit_ros.ros.diagnostics import status_of
from social_implicit_ros.types import FloatArray
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration
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
)
#: Fewer scored positions are too few for a warning.
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
    table = np.stack(
        [scores.times_s, scores.n_scored, scores.error_m, scores.inside, *factors], axis=1
    )
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
        name: of the node.
        scores: recent scores.
        factors: (2, T) from `radius_factors`.
        tolerance: largest accepted difference between coverage and confidence.
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
    return status_of(name, "self-evaluation", level, text, values)


def _level_and_text(
    scores: RecentScores, tolerance: float, window_s: float, is_adaptive: bool
) -> tuple[bytes, str]:
    if scores.n_positions < MIN_POSITIONS:
        return DiagnosticStatus.OK, f"{scores.n_positions} positions scored, too few to evaluate"
    text = (
        f"{100 * scores.confidence:g} % ellipses cover {100 * scores.coverage:.1f} % of "
        f"{scores.n_positions} positions in {window_s:g} s"
    )
    if abs(scores.coverage - scores.confidence) <= tolerance:
        return DiagnosticStatus.OK, text
    wrong = "small" if scores.coverage < scores.confidence else "large"
    hint = "they are being adapted" if is_adaptive else "adaptive_calibration would correct them"
    return DiagnosticStatus.WARN, f"{text}: too {wrong}; {hint}"


def _text(value: float, digits: int) -> str:
    """A number; empty if it is not finite."""
    return f"{value:.{digits}f}" if math.isfinite(value) else ""
