"""How good the node's own predictions turned out, as messages."""

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
#: Fewer judged positions are too few to warn of.
MIN_POSITIONS = 200


def radius_factors(
    adaptive: AdaptiveCalibration | None, n_steps: int, confidence: float
) -> FloatArray:
    """(Z, T) radius of the ellipse, for standing and for walking people, over the model's own."""
    if adaptive is None:
        return np.ones((2, n_steps))
    sigmas = confidence_to_sigmas(confidence)
    flat = adaptive.radii.reshape(-1, adaptive.radii.shape[-1])
    radii = [np.interp(sigmas, GAUSSIAN_RADII, row) for row in flat]
    return np.array(radii).reshape(adaptive.radii.shape[:2]) / sigmas


def metrics_to_msg(scores: RecentScores, factors: FloatArray) -> Float64MultiArray:
    """A table: one row a predicted step, one column a figure, named in the layout's labels.

    Args:
        scores: what was judged lately.
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
    """The second status of `/diagnostics`.

    Args:
        name: of the node.
        scores: what was judged lately.
        factors: (2, T) from `radius_factors`.
        tolerance: how far the coverage may be from the confidence.
        window_s: how long a judgement counts, seconds.
        calibration: what of the adaptive calibration: `off`, the path of its file, or what is
            wrong with that.
    """
    level, text = _judge(scores, tolerance, window_s, calibration != "off")
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


def _judge(
    scores: RecentScores, tolerance: float, window_s: float, is_adaptive: bool
) -> tuple[bytes, str]:
    if scores.n_positions < MIN_POSITIONS:
        return DiagnosticStatus.OK, f"{scores.n_positions} positions judged, too few to tell"
    text = (
        f"ellipses of {100 * scores.confidence:g} % held {100 * scores.coverage:.1f} % of "
        f"{scores.n_positions} positions in {window_s:g} s"
    )
    if abs(scores.coverage - scores.confidence) <= tolerance:
        return DiagnosticStatus.OK, text
    wrong = "small" if scores.coverage < scores.confidence else "large"
    hint = "they are being adapted" if is_adaptive else "adaptive_calibration would mend them"
    return DiagnosticStatus.WARN, f"{text}: too {wrong}; {hint}"


def _text(value: float, digits: int) -> str:
    """A number; empty where there is none yet."""
    return f"{value:.{digits}f}" if math.isfinite(value) else ""
