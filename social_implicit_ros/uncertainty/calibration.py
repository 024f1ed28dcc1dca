"""Calibration of a model's ellipses and samples, found on recordings."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from social_implicit_ros.types import FloatArray, require_shape
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES

#: Speeds below this are alike, m/s; between the knots of a calibration the logarithm counts.
_SLOW_M_S = 0.05
#: So are histories smoother than this, metres.
_SMOOTH_M = 0.005


@dataclass(frozen=True, eq=False)
class ObservedMotion:
    """What a calibration looks at.

    Attributes:
        speed_m_s: (A,) net speed over the known part of a history, which a tracker's noise hardly
            moves.
        roughness_m: (A,) root mean square of the third differences of the known positions: about
            six times the standard deviation of a tracker's noise, next to nothing for somebody
            who walks straight or turns steadily. 0 where fewer than four positions are known.
    """

    speed_m_s: FloatArray
    roughness_m: FloatArray


@dataclass(frozen=True, eq=False)
class Calibration:
    """Factors on a model's standard deviations, found on recordings it was not trained on.

    They depend on the step, the agent's speed and how rough its history is, between whose knots
    they change smoothly, so that an ellipse does not jump when somebody walks a little faster. The
    factors of the ellipses make the Gaussian ellipse of one confidence true; those of the levels
    then set those of the other confidences right, for people mostly do the same and sometimes
    something else entirely. Those of the samples give them the mean Mahalanobis distance of an
    honest Gaussian.

    Attributes:
        speeds_m_s: (Z,) knots, ascending.
        roughnesses_m: (R,) knots, ascending.
        ellipse: (Z, R, T) factors on the standard deviation of the covariance.
        samples: (Z, R, T) factors on the samples' distance from the mean.
        levels: (Z, R, T, L) further factors on the ellipse of each confidence in `CONFIDENCES`.
    """

    speeds_m_s: FloatArray
    roughnesses_m: FloatArray
    ellipse: FloatArray
    samples: FloatArray
    levels: FloatArray

    def __post_init__(self) -> None:
        """Checks the values; raises ValueError naming the field."""
        for name in ("speeds_m_s", "roughnesses_m"):
            knots = getattr(self, name)
            require_shape("Calibration", name, knots, ("Z" if name == "speeds_m_s" else "R",))
            if len(knots) == 0 or not np.all(np.isfinite(knots)) or np.any(knots < 0):
                raise ValueError(f"Calibration.{name} is {knots}, expected finite knots from 0")
            if np.any(np.diff(knots) <= 0):
                raise ValueError(f"Calibration.{name} is {knots}, expected ascending knots")
        n_knots = (len(self.speeds_m_s), len(self.roughnesses_m))
        require_shape("Calibration", "ellipse", self.ellipse, (*n_knots, "T"))
        require_shape("Calibration", "samples", self.samples, self.ellipse.shape)
        expected = (*self.ellipse.shape, len(CONFIDENCES))
        require_shape("Calibration", "levels", self.levels, expected)
        for name in ("ellipse", "samples", "levels"):
            factors = getattr(self, name)
            if factors.size == 0 or not np.all(np.isfinite(factors)) or np.any(factors <= 0):
                raise ValueError(f"Calibration.{name} holds a factor that is not above zero")

    @property
    def n_steps(self) -> int:
        """Predicted steps (T)."""
        return int(self.ellipse.shape[2])

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Reads what a model card holds.

        Raises:
            ValueError: a field is missing, unknown, of another type or out of range.
        """
        names = [field.name for field in fields(cls)]
        try:
            confidences = tuple(values["confidences"])
            arrays = [np.asarray(values[name], dtype=np.float64) for name in names]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"calibration holds {sorted(values)}, expected confidences, {', '.join(names)} "
                f"with numbers in rows of equal lengths ({error!r})"
            ) from error
        if confidences != CONFIDENCES:
            raise ValueError(
                f"calibration has levels at {confidences}, this version reads {CONFIDENCES}"
            )
        return cls(*arrays)

    def to_dict(self) -> dict[str, Any]:
        """What a model card holds, rounded to what a calibration can know."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            "confidences": list(CONFIDENCES),
            **{name: values.round(4).tolist() for name, values in arrays.items()},
        }

    def ellipse_factors(self, motion: ObservedMotion) -> FloatArray:
        """(A, T) factors on the standard deviations of agents that move like this."""
        return self._ellipses(motion)[0]

    def level_factors(self, motion: ObservedMotion) -> FloatArray:
        """(A, T, L) factors on the ellipses of each confidence, beside `ellipse_factors`."""
        return self._ellipses(motion)[1]

    def sample_factors(self, motion: ObservedMotion) -> FloatArray:
        """(A, T) factors on the spread of the samples of agents that move like this."""
        return self._between(self._log_samples, motion)

    def calibrated(
        self, covariance: FloatArray, motion: ObservedMotion
    ) -> tuple[FloatArray, FloatArray]:
        """The calibrated ellipses.

        Args:
            covariance: (A, T, 2, 2) square metres, as the model puts it out.
            motion: observed, of the same agents.

        Returns:
            (A, T, 2, 2) covariance in square metres, and (A, T, L) level factors.
        """
        factors, level_factors = self._ellipses(motion)
        return covariance * (factors * factors)[..., None, None], level_factors

    def spread(self, samples: FloatArray, mean: FloatArray, motion: ObservedMotion) -> FloatArray:
        """The calibrated samples.

        Args:
            samples: (K, A, T, 2) metres, as the model draws them.
            mean: (A, T, 2) metres.
            motion: observed, of the same agents.

        Returns:
            (K, A, T, 2) metres, nearer to the mean or farther from it.
        """
        return mean + (samples - mean) * self.sample_factors(motion)[..., None]

    def _ellipses(self, motion: ObservedMotion) -> tuple[FloatArray, FloatArray]:
        """`ellipse_factors` and `level_factors`, read at once."""
        factors = self._between(self._log_ellipses, motion)
        return factors[..., 0], factors[..., 1:]

    @cached_property
    def _log_ellipses(self) -> FloatArray:
        """(Z, R, T, 1 + L) logarithms of the factors of ellipses and levels."""
        return np.log(np.concatenate([self.ellipse[..., None], self.levels], axis=-1))

    @cached_property
    def _log_samples(self) -> FloatArray:
        return np.log(self.samples)

    def _between(self, logarithms: FloatArray, motion: ObservedMotion) -> FloatArray:
        """(A, ...) factors between the knots, from (Z, R, ...) their logarithms there."""
        weights = motion_weights(motion, self.speeds_m_s, self.roughnesses_m)
        n_knots = len(self.speeds_m_s) * len(self.roughnesses_m)
        # As two matrices, which is faster than a tensor product of few agents.
        between = weights.reshape(-1, n_knots) @ logarithms.reshape(n_knots, -1)
        return np.exp(between).reshape(-1, *logarithms.shape[2:])


def motion_weights(
    motion: ObservedMotion, speeds_m_s: FloatArray, roughnesses_m: FloatArray
) -> FloatArray:
    """(A, Z, R) how much each knot counts for each agent; at most four are above zero."""
    speed = speed_weights(motion.speed_m_s, speeds_m_s)
    roughness = _knot_weights(motion.roughness_m, roughnesses_m, _SMOOTH_M)
    return speed[:, :, None] * roughness[:, None]


def speed_weights(speed_m_s: FloatArray, knots_m_s: ArrayLike) -> FloatArray:
    """How much each knot counts for each agent.

    Args:
        speed_m_s: (A,) observed speeds.
        knots_m_s: (Z,) ascending speeds.

    Returns:
        (A, Z) weights from 0 to 1 of sum 1, continuous and piecewise linear in the logarithm of
        the speed; at most two are above zero.
    """
    return _knot_weights(speed_m_s, np.asarray(knots_m_s), _SLOW_M_S)


def _knot_weights(values: FloatArray, knots: FloatArray, alike: float) -> FloatArray:
    """As `speed_weights`; values below `alike` are alike."""
    place = np.interp(np.log(values + alike), np.log(knots + alike), np.arange(len(knots)))
    return np.maximum(0.0, 1.0 - np.abs(place[:, None] - np.arange(len(knots))))


def observed_motion(
    observed: NDArray[np.floating[Any]], mask: NDArray[np.floating[Any]], step_s: float
) -> ObservedMotion:
    """What a calibration looks at in a history.

    Args:
        observed: (A, H, 2) positions in metres, oldest first, finite.
        mask: (A, H) 1 where a step was observed, 0 in leading steps that were not.
        step_s: seconds between two steps.
    """
    first = mask.argmax(axis=1)
    # Third differences as slices, which cost less than numpy's function for few agents.
    jerk = (
        observed[:, 3:] - observed[:, :-3] + 3.0 * (observed[:, 1:-2] - observed[:, 2:-1])
    ).astype(np.float64)
    jerk *= jerk
    energy = ((jerk[..., 0] + jerk[..., 1]) * mask[:, : jerk.shape[1]]).sum(axis=1)
    return ObservedMotion(
        speed_m_s=observed_speed_m_s(observed, first, step_s),
        roughness_m=np.sqrt(energy / np.maximum(jerk.shape[1] - first, 1)),
    )


def observed_speed_m_s(
    observed: NDArray[np.floating[Any]], first: NDArray[np.integer[Any]], step_s: float
) -> FloatArray:
    """(A,) net speeds over the known part of a history, m/s.

    Args:
        observed: (A, H, 2) positions in metres, oldest first.
        first: (A,) the first known step; the last must be known, too.
        step_s: seconds between two steps.
    """
    moved = (observed[:, -1] - observed[np.arange(len(observed)), first]).astype(np.float64)
    speed: FloatArray = np.hypot(moved[:, 0], moved[:, 1])
    return speed / ((observed.shape[1] - 1 - first) * step_s)
