"""Calibration of the ellipses and samples of a model, fitted on recordings."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from social_implicit_ros.types import FloatArray, require_shape
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES
from social_implicit_ros.untrusted_files import short_text

#: Offset of the logarithm of speeds, m/s: below it, speeds hardly make a difference.
_SPEED_OFFSET_M_S = 0.05
#: Offset of the logarithm of the jerk RMS, metres: likewise.
_JERK_OFFSET_M = 0.005
#: Maximum of a factor on a standard deviation; the minimum is its inverse.
_MAX_FACTOR = 1e6
_MAX_GRID_POINTS = 100
#: Maximum of a grid point, m/s or metres.
_MAX_GRID_VALUE = 1000.0


@dataclass(frozen=True, eq=False)
class ObservedMotion:
    """The features on which a calibration depends.

    Attributes:
        speed_m_s: (A,) net speed over the known part of a history. Tracker noise hardly affects it.
        jerk_rms_m: (A,) root mean square of the third differences of the known positions: about
            six times the standard deviation of the tracker noise, almost zero for somebody who
            walks straight or turns steadily. 0 if fewer than four positions are known.
    """

    speed_m_s: FloatArray
    jerk_rms_m: FloatArray


@dataclass(frozen=True, eq=False)
class Calibration:
    """Factors on the standard deviations of a model, fitted on recordings outside its training.

    They depend on the step, the speed of the agent and the jerk RMS of its history. Between the
    grid points they are interpolated, so that an ellipse does not jump when somebody walks a little
    faster. The ellipse factors give the Gaussian ellipse of one confidence nominal coverage. Radius
    scales correct those of the other confidences, as errors are not Gaussian: people mostly walk as
    predicted, and sometimes do something else. The sample factors give the samples the mean
    Mahalanobis distance of a calibrated Gaussian.

    Attributes:
        speeds_m_s: (Z,) grid points of the speed, ascending.
        roughnesses_m: (R,) grid points of the jerk RMS, ascending, in metres.
        ellipse: (Z, R, T) factors on the standard deviation of the covariance.
        samples: (Z, R, T) factors on the samples' distance from the mean.
        levels: (Z, R, T, L) radius scales: further factors on the ellipse of each confidence in
            `CONFIDENCES`.
    """

    speeds_m_s: FloatArray
    roughnesses_m: FloatArray
    ellipse: FloatArray
    samples: FloatArray
    levels: FloatArray

    def __post_init__(self) -> None:
        for name, axis in (("speeds_m_s", "Z"), ("roughnesses_m", "R")):
            grid = getattr(self, name)
            require_shape("Calibration", name, grid, (axis,))
            is_in_range = np.all((grid >= 0) & (grid <= _MAX_GRID_VALUE))
            is_ascending = np.all(np.diff(grid) > 0)
            if not (1 <= len(grid) <= _MAX_GRID_POINTS and is_in_range and is_ascending):
                raise ValueError(
                    f"Calibration.{name} is {short_text(grid.tolist())}, expected 1 to "
                    f"{_MAX_GRID_POINTS} ascending values from 0 to {_MAX_GRID_VALUE:g}"
                )
        n_points = (len(self.speeds_m_s), len(self.roughnesses_m))
        require_shape("Calibration", "ellipse", self.ellipse, (*n_points, "T"))
        require_shape("Calibration", "samples", self.samples, self.ellipse.shape)
        expected = (*self.ellipse.shape, len(CONFIDENCES))
        require_shape("Calibration", "levels", self.levels, expected)
        for name in ("ellipse", "samples", "levels"):
            factors = getattr(self, name)
            is_in_range = np.all((factors >= 1.0 / _MAX_FACTOR) & (factors <= _MAX_FACTOR))
            if factors.size == 0 or not is_in_range:
                raise ValueError(
                    f"Calibration.{name} has a factor out of {1.0 / _MAX_FACTOR:g} to "
                    f"{_MAX_FACTOR:g}"
                )

    @property
    def n_steps(self) -> int:
        """Predicted steps (T)."""
        return int(self.ellipse.shape[2])

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Reads the calibration of a model card.

        Raises:
            ValueError: a field is missing, unknown, of another type or out of range.
        """
        names = [field.name for field in fields(cls)]
        try:
            confidences = tuple(values["confidences"])
            arrays = [np.asarray(values[name], dtype=np.float64) for name in names]
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(
                f"calibration has {short_text(sorted(values))}, expected confidences, "
                f"{', '.join(names)} with numbers in rows of equal lengths ({error!r})"
            ) from error
        if confidences != CONFIDENCES:
            raise ValueError(
                f"calibration has levels at {short_text(confidences)}, this version reads "
                f"{CONFIDENCES}"
            )
        return cls(*arrays)

    def to_dict(self) -> dict[str, Any]:
        """The calibration of a model card, rounded to four decimals."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            "confidences": list(CONFIDENCES),
            **{name: values.round(4).tolist() for name, values in arrays.items()},
        }

    def calibrated(
        self, covariance: FloatArray, motion: ObservedMotion
    ) -> tuple[FloatArray, FloatArray]:
        """The calibrated ellipses.

        Args:
            covariance: (A, T, 2, 2) covariance of the model, in square metres.
            motion: motion of the same agents.

        Returns:
            (A, T, 2, 2) covariance in square metres, and (A, T, L) radius scales.
        """
        factors = self._interpolate(self._log_ellipses, motion)
        return covariance * (factors[..., :1] * factors[..., :1])[..., None], factors[..., 1:]

    def spread(self, samples: FloatArray, mean: FloatArray, motion: ObservedMotion) -> FloatArray:
        """The calibrated samples.

        Args:
            samples: (K, A, T, 2) samples of the model, in metres.
            mean: (A, T, 2) mean in metres.
            motion: motion of the same agents.

        Returns:
            (K, A, T, 2) in metres, scaled about the mean.
        """
        return mean + (samples - mean) * self._interpolate(self._log_samples, motion)[..., None]

    @cached_property
    def _log_ellipses(self) -> FloatArray:
        """(Z, R, T, 1 + L) logarithms of the factors of ellipses and levels."""
        return np.log(np.concatenate([self.ellipse[..., None], self.levels], axis=-1))

    @cached_property
    def _log_samples(self) -> FloatArray:
        return np.log(self.samples)

    def _interpolate(self, logarithms: FloatArray, motion: ObservedMotion) -> FloatArray:
        """(A, ...) factors, interpolated between (Z, R, ...) logarithms at the grid points."""
        weights = motion_weights(motion, self.speeds_m_s, self.roughnesses_m)
        n_points = len(self.speeds_m_s) * len(self.roughnesses_m)
        # As two matrices: for few agents faster than a tensor product.
        interpolated = weights.reshape(-1, n_points) @ logarithms.reshape(n_points, -1)
        return np.exp(interpolated).reshape(-1, *logarithms.shape[2:])


def motion_weights(
    motion: ObservedMotion, speeds_m_s: FloatArray, roughnesses_m: FloatArray
) -> FloatArray:
    """(A, Z, R) interpolation weights of the grid points; at most four per agent are above 0."""
    speed = speed_weights(motion.speed_m_s, speeds_m_s)
    jerk = _grid_weights(motion.jerk_rms_m, roughnesses_m, _JERK_OFFSET_M)
    return speed[:, :, None] * jerk[:, None]


def speed_weights(speed_m_s: FloatArray, speeds_m_s: ArrayLike) -> FloatArray:
    """Interpolation weights of the grid points of the speed.

    Args:
        speed_m_s: (A,) observed speeds.
        speeds_m_s: (Z,) grid points, ascending.

    Returns:
        (A, Z) weights from 0 to 1 with sum 1, continuous and piecewise linear in the logarithm of
        the speed; at most two are above 0.
    """
    return _grid_weights(speed_m_s, np.asarray(speeds_m_s), _SPEED_OFFSET_M_S)


def _grid_weights(values: FloatArray, grid: FloatArray, offset: float) -> FloatArray:
    """As `speed_weights`, with `offset` added before the logarithm."""
    points = np.arange(len(grid))
    index = np.interp(np.log(values + offset), np.log(grid + offset), points)
    weights: FloatArray = np.maximum(0.0, 1.0 - np.abs(index[:, None] - points))
    return weights


def observed_motion(
    observed: NDArray[np.floating[Any]], mask: NDArray[np.floating[Any]], step_s: float
) -> ObservedMotion:
    """Speed and jerk of a history.

    Args:
        observed: (A, H, 2) positions in metres, oldest first, finite.
        mask: (A, H) 1 where a step was observed, 0 in leading steps that were not.
        step_s: time between two steps, seconds.
    """
    first = mask.argmax(axis=1)
    # Third differences as slices: for few agents faster than np.diff.
    jerk = (
        observed[:, 3:] - observed[:, :-3] + 3.0 * (observed[:, 1:-2] - observed[:, 2:-1])
    ).astype(np.float64)
    jerk *= jerk
    energy = ((jerk[..., 0] + jerk[..., 1]) * mask[:, : jerk.shape[1]]).sum(axis=1)
    return ObservedMotion(
        speed_m_s=observed_speed_m_s(observed, first, step_s),
        jerk_rms_m=np.sqrt(energy / np.maximum(jerk.shape[1] - first, 1)),
    )


def observed_speed_m_s(
    observed: NDArray[np.floating[Any]], first: NDArray[np.integer[Any]], step_s: float
) -> FloatArray:
    """(A,) net speeds over the known part of a history, m/s.

    Args:
        observed: (A, H, 2) positions in metres, oldest first.
        first: (A,) first known step; the last step must be known, too.
        step_s: time between two steps, seconds.
    """
    moved = (observed[:, -1] - observed[np.arange(len(observed)), first]).astype(np.float64)
    speed: FloatArray = np.hypot(moved[:, 0], moved[:, 1])
    return speed / ((observed.shape[1] - 1 - first) * step_s)
