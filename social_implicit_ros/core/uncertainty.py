"""From samples to mean, covariance and ellipse, and what makes them hold on recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from social_implicit_ros.core.types import FloatArray

#: Speeds below this are alike, m/s; between the knots of a calibration the logarithm counts.
_SLOW_M_S = 0.05


@dataclass(frozen=True)
class Calibration:
    """Factors on a model's standard deviations, found on recordings it was not trained on.

    They depend on the step and on the agent's speed, between whose knots they change smoothly, so
    that an ellipse does not jump when somebody walks a little faster. Ellipses and samples have
    factors of their own: those of the ellipses make each confidence level hold its share of true
    positions as nearly as an ellipse can; those of the samples give them the mean Mahalanobis
    distance of an honest Gaussian. The two differ where people mostly do the same and sometimes
    something else entirely.

    Attributes:
        speeds_m_s: (Z,) knots, ascending.
        ellipse: (Z, T) factors on the standard deviation of the covariance.
        samples: (Z, T) factors on the samples' distance from the mean.
    """

    speeds_m_s: tuple[float, ...]
    ellipse: tuple[tuple[float, ...], ...]
    samples: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        """Checks the values; raises ValueError naming the field."""
        speeds = np.asarray(self.speeds_m_s, dtype=np.float64)
        if speeds.ndim != 1 or len(speeds) == 0 or not np.all(np.isfinite(speeds)):
            raise ValueError(
                f"Calibration.speeds_m_s is {self.speeds_m_s!r}, expected one finite speed or more"
            )
        if np.any(speeds < 0) or np.any(np.diff(speeds) <= 0):
            raise ValueError(
                f"Calibration.speeds_m_s is {self.speeds_m_s!r}, expected ascending speeds from 0"
            )
        for name in ("ellipse", "samples"):
            rows = getattr(self, name)
            lengths = {len(row) for row in rows}
            if len(rows) != len(speeds) or len(lengths) != 1 or 0 in lengths:
                raise ValueError(
                    f"Calibration.{name} has rows of lengths {[len(row) for row in rows]}, "
                    f"expected {len(speeds)} rows, one per speed, of one factor per step"
                )
            factors = np.asarray(rows, dtype=np.float64)
            if not np.all(np.isfinite(factors)) or np.any(factors <= 0):
                raise ValueError(f"Calibration.{name} holds a factor that is not above zero")
        if len(self.ellipse[0]) != len(self.samples[0]):
            raise ValueError(
                f"Calibration.samples has {len(self.samples[0])} steps, ellipse has "
                f"{len(self.ellipse[0])}"
            )

    @property
    def n_steps(self) -> int:
        """Predicted steps (T)."""
        return len(self.ellipse[0])

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Reads what a model card holds.

        Raises:
            ValueError: a field is missing, unknown, of another type or out of range.
        """
        try:
            return cls(
                tuple(values["speeds_m_s"]),
                *(tuple(tuple(row) for row in values[name]) for name in ("ellipse", "samples")),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"calibration holds {sorted(values)}, expected speeds_m_s, ellipse and samples "
                f"with numbers in them ({error!r})"
            ) from error

    def ellipse_factors(self, speed_m_s: FloatArray) -> FloatArray:
        """(A, T) factors on the standard deviations of (A,) agents of these speeds, m/s."""
        return self._between(self.ellipse, speed_m_s)

    def sample_factors(self, speed_m_s: FloatArray) -> FloatArray:
        """(A, T) factors on the spread of the samples of (A,) agents of these speeds, m/s."""
        return self._between(self.samples, speed_m_s)

    def covariance(self, covariance: FloatArray, speed_m_s: FloatArray) -> FloatArray:
        """The calibrated covariance.

        Args:
            covariance: (A, T, 2, 2) square metres, as the model puts it out.
            speed_m_s: (A,) observed speeds.

        Returns:
            (A, T, 2, 2) square metres.
        """
        return covariance * (self.ellipse_factors(speed_m_s) ** 2)[..., None, None]

    def spread(self, samples: FloatArray, mean: FloatArray, speed_m_s: FloatArray) -> FloatArray:
        """The calibrated samples.

        Args:
            samples: (K, A, T, 2) metres, as the model draws them.
            mean: (A, T, 2) metres.
            speed_m_s: (A,) observed speeds.

        Returns:
            (K, A, T, 2) metres, nearer to the mean or farther from it.
        """
        return mean + (samples - mean) * self.sample_factors(speed_m_s)[..., None]

    def _between(self, factors: tuple[tuple[float, ...], ...], speed_m_s: FloatArray) -> FloatArray:
        weights = speed_weights(speed_m_s, self.speeds_m_s)
        return np.exp(weights @ np.log(np.asarray(factors, dtype=np.float64)))


def speed_weights(speed_m_s: FloatArray, knots_m_s: tuple[float, ...]) -> FloatArray:
    """How much each knot counts for each agent.

    Args:
        speed_m_s: (A,) observed speeds.
        knots_m_s: (Z,) ascending speeds.

    Returns:
        (A, Z) weights from 0 to 1 of sum 1, continuous and piecewise linear in the logarithm of
        the speed; at most two are above zero.
    """
    knots = np.log(np.asarray(knots_m_s, dtype=np.float64) + _SLOW_M_S)
    place = np.interp(np.log(speed_m_s + _SLOW_M_S), knots, np.arange(len(knots)))
    return np.maximum(0.0, 1.0 - np.abs(place[:, None] - np.arange(len(knots))))


def observed_speed_m_s(
    observed: NDArray[np.floating[Any]], mask: NDArray[np.floating[Any]], step_s: float
) -> FloatArray:
    """Net speed over the known part of a history: a tracker's noise hardly moves it.

    Args:
        observed: (A, H, 2) positions in metres, oldest first, finite.
        mask: (A, H) 1 where a step was observed, 0 in leading steps that were not.
        step_s: seconds between two steps.

    Returns:
        (A,) metres per second from the first known position to the last.
    """
    first = mask.argmax(axis=1)
    moved = (observed[:, -1] - observed[np.arange(len(observed)), first]).astype(np.float64)
    n_steps = observed.shape[1] - 1 - first
    speed_m_s: FloatArray = np.hypot(moved[:, 0], moved[:, 1]) / (n_steps * step_s)
    return speed_m_s


def sample_moments(samples: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance over the samples.

    Args:
        samples: (K, A, T, 2) positions in metres.

    Returns:
        (A, T, 2) mean in metres and (A, T, 2, 2) covariance in square metres, normalised by K.
    """
    mean = samples.mean(axis=0)
    deviation = samples - mean
    product = deviation[..., 0] * deviation[..., 1]
    covariance = np.empty((*mean.shape, 2))
    covariance[..., 0, 1] = covariance[..., 1, 0] = product.mean(axis=0)
    deviation *= deviation
    covariance[..., [0, 1], [0, 1]] = deviation.mean(axis=0)
    return mean, covariance


def confidence_to_sigmas(confidence: float) -> float:
    """The Mahalanobis radius that holds the share `confidence` of a 2-D Gaussian.

    Source: the chi-square distribution with two degrees of freedom, whose quantile is
    -2 ln(1 - confidence).

    Raises:
        ValueError: confidence outside (0, 1).
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}, expected a value in (0, 1)")
    return float(np.sqrt(-2.0 * np.log1p(-confidence)))


def ellipse_axes(covariance: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """One-sigma semi-axes and orientation of 2-D covariances.

    Args:
        covariance: (..., 2, 2) in square metres, symmetric.

    Returns:
        (...,) major semi-axis in metres, (...,) minor semi-axis in metres and (...,) yaw of the
        major axis in radians, in (-pi/2, pi/2].
    """
    xx, xy, yy = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    half_trace = 0.5 * (xx + yy)
    spread = np.hypot(0.5 * (xx - yy), xy)
    major = np.sqrt(np.maximum(half_trace + spread, 0.0))
    # Rounding may push a rank-one covariance a little below zero.
    minor = np.sqrt(np.maximum(half_trace - spread, 0.0))
    yaw = 0.5 * np.arctan2(2.0 * xy, xx - yy)
    return major, minor, yaw
