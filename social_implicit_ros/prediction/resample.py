"""Resampling, extrapolation and latency compensation of predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from social_implicit_ros.types import FloatArray, Prediction


@dataclass(frozen=True)
class Steps:
    """The steps at which predictions are published.

    Attributes:
        step_s: seconds between two steps; the first is `step_s` after the stamp.
        n_steps: number of steps.
    """

    step_s: float
    n_steps: int

    @property
    def times_s(self) -> FloatArray:
        """(T,) seconds from the stamp to each step."""
        return np.asarray(np.arange(1, self.n_steps + 1) * self.step_s)

    @classmethod
    def within(
        cls, model_step_s: float, model_n_steps: int, *, step_s: float = 0.0, horizon_s: float = 0.0
    ) -> Steps:
        """The requested steps, checked against the horizon of a model.

        Args:
            model_step_s: seconds between two steps of the model.
            model_n_steps: number of steps it predicts.
            step_s: seconds between two published steps; 0 for the model's.
            horizon_s: seconds to the last published step; 0 for the model's horizon.

        Raises:
            ValueError: a horizon beyond the model's, or shorter than one step.
        """
        model_horizon_s = model_step_s * model_n_steps
        step_s = step_s or model_step_s
        horizon_s = horizon_s or model_horizon_s
        if horizon_s > model_horizon_s + 1e-6:
            raise ValueError(
                f"a horizon of {horizon_s:g} s is beyond the model's {model_horizon_s:g} s "
                f"({model_n_steps} steps of {model_step_s:g} s): ask for at most that, or 0 for all"
            )
        n_steps = int(horizon_s / step_s + 1e-6)
        if n_steps < 1:
            raise ValueError(
                f"a time step of {step_s:g} s is longer than the horizon of {horizon_s:g} s: "
                "shorten the step or lengthen the horizon"
            )
        return cls(step_s, n_steps)


#: Power of time with which standard deviations grow beyond the last step: between a velocity
#: error that is constant (1) and one that is a random walk (1.5). On the ETH and UCY recordings
#: prediction errors grow with powers of 1.1 to 1.3. With 1.25 an ellipse at 6 s covers the same
#: share of ground truth as the ellipse at 4.8 s that it is extrapolated from.
_SIGMA_GROWTH = 1.25


def extend_prediction(prediction: Prediction, last_m: FloatArray, n_steps: int) -> Prediction:
    """Extrapolates a prediction beyond its last step.

    Mean and samples keep their last velocity; the covariance keeps its shape and grows with time
    to the power of 2.5.

    Args:
        prediction: of at least one step.
        last_m: (A, 2) positions in metres a step before the first.
        n_steps: requested steps; a prediction that has as many is returned unchanged.
    """
    n_known = prediction.mean.shape[1]
    if n_steps <= n_known:
        return prediction
    beyond = np.arange(1, n_steps - n_known + 1)

    def extrapolate(path_m: FloatArray) -> FloatArray:
        before = path_m[..., -2:-1, :] if n_known > 1 else last_m[:, None]
        step_m = path_m[..., -1:, :] - before
        return np.concatenate([path_m, path_m[..., -1:, :] + step_m * beyond[:, None]], axis=-2)

    grown = prediction.covariance[:, -1:] * _growth(beyond, n_known)[:, None, None]
    return Prediction(
        samples=extrapolate(prediction.samples),
        mean=extrapolate(prediction.mean),
        covariance=np.concatenate([prediction.covariance, grown], axis=1),
        step_s=prediction.step_s,
        radius_scales=_with_last_repeated(prediction.radius_scales, len(beyond)),
        probabilities=prediction.probabilities,
    )


def advance_prediction(
    prediction: Prediction, last_m: FloatArray, age_s: float
) -> tuple[Prediction, FloatArray]:
    """Shifts an earlier prediction to the current time, with the same number of steps.

    Compensates the latency of the tracks; the ellipses grow accordingly.

    Args:
        prediction: made `age_s` ago.
        last_m: (A, 2) positions in metres at that time.
        age_s: seconds since then.

    Returns:
        The prediction from the current time, and (A, 2) mean positions at that time, metres.
    """
    n_steps, step_s = prediction.mean.shape[1], prediction.step_s
    n_late = max(int(np.ceil(age_s / step_s - 1e-9)), 1)
    share = age_s / step_s - (n_late - 1)
    extended = extend_prediction(prediction, last_m, n_steps + n_late)

    def between(path: FloatArray) -> FloatArray:
        """At times that are all the same share of a step after a known one."""
        low, high = path[n_late - 1 : -1], path[n_late:]
        between_m: FloatArray = low + share * (high - low)
        return between_m

    def of_agents(values: FloatArray) -> FloatArray:
        return between(values.swapaxes(0, 1)).swapaxes(0, 1)

    factors = extended.radius_scales
    before_m = last_m if n_late == 1 else extended.mean[:, n_late - 2]
    advanced = Prediction(
        samples=between(extended.samples.transpose(2, 0, 1, 3)).transpose(1, 2, 0, 3),
        mean=of_agents(extended.mean),
        covariance=of_agents(extended.covariance),
        step_s=step_s,
        radius_scales=None if factors is None else of_agents(factors),
        probabilities=prediction.probabilities,
    )
    return advanced, before_m + share * (extended.mean[:, n_late - 1] - before_m)


def resample_prediction(prediction: Prediction, last_m: FloatArray, steps: Steps) -> Prediction:
    """Interpolates a prediction between its stamp and its last step.

    Positions and covariances are linear between two steps of the model. Linear covariances stay
    positive semi-definite and stay calibrated at the model's steps; at the stamp they are zero.

    Args:
        prediction: at the model's steps.
        last_m: (A, 2) positions at the stamp, metres.
        steps: requested steps, within the horizon of the prediction.

    Returns:
        The prediction at `steps`; the same object if these are the model's.
    """
    n_known = prediction.mean.shape[1]
    if steps == Steps(prediction.step_s, n_known):
        return prediction
    at = np.arange(1, steps.n_steps + 1, dtype=np.float64) * (steps.step_s / prediction.step_s)
    read = partial(_between_steps, at=at)
    mean, covariance = moments_at(prediction, last_m, steps.times_s)
    return Prediction(
        samples=read(
            prediction.samples, 2, np.broadcast_to(last_m, prediction.samples[:, :, 0].shape)
        ),
        mean=mean,
        covariance=covariance,
        step_s=steps.step_s,
        radius_scales=_factors_between_steps(prediction.radius_scales, at),
        probabilities=prediction.probabilities,
    )


def _with_last_repeated(factors: FloatArray | None, n_times: int) -> FloatArray | None:
    if factors is None:
        return None
    return np.concatenate([factors, np.repeat(factors[:, -1:], n_times, axis=1)], axis=1)


def _factors_between_steps(factors: FloatArray | None, at: FloatArray) -> FloatArray | None:
    """As `_between_steps`; before the first step the factors are those of the first step."""
    return None if factors is None else _between_steps(factors, 1, factors[:, 0], at=at)


def _between_steps(
    values: FloatArray, axis: int, start: FloatArray, *, at: FloatArray
) -> FloatArray:
    """Interpolates along `axis`, one step after `start` onwards, at times `at` in steps."""
    n_known = values.shape[axis]
    values = np.concatenate([np.expand_dims(start, axis), values], axis=axis)
    high = np.clip(np.ceil(at - 1e-6).astype(int), 1, n_known)
    share = np.minimum(at - (high - 1), 1.0)
    weight = share.reshape([-1] + [1] * (values.ndim - axis - 1))
    low = np.take(values, high - 1, axis)
    return low + weight * (np.take(values, high, axis) - low)


def without_samples(prediction: Prediction) -> Prediction:
    """The same mean and covariance; samples take time and memory."""
    return replace(
        prediction, samples=prediction.samples[:0], probabilities=prediction.probabilities[:0]
    )


def moments_at(
    prediction: Prediction, last_m: FloatArray, times_s: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance at any times, also beyond the horizon of the prediction.

    Both are linear between two steps; at the stamp the covariance is zero. Beyond the horizon they
    go on as in `extend_prediction`.

    Args:
        prediction: of A agents at T steps.
        last_m: (A, 2) positions at the stamp, metres.
        times_s: (S,) seconds from the stamp.

    Returns:
        (A, S, 2) metres and (A, S, 2, 2) square metres.
    """
    n_agents, n_known, _ = prediction.mean.shape
    at, steps = times_s[:, None] / prediction.step_s, np.arange(n_known + 1)
    low = np.minimum(np.maximum(np.ceil(at - 1e-6) - 1.0, 0.0), n_known - 1.0)
    # (S, 1 + T) weights of the present and of each step.
    of_mean = np.where(steps == low, 1.0 - (at - low), 0.0) + np.where(
        steps == low + 1.0, at - low, 0.0
    )
    beyond = np.arange(max(np.ceil(at.max(initial=0.0)) - n_known, 0.0) + 1.0)
    growth = np.interp(at - n_known, beyond, _growth(beyond, n_known))
    of_covariance = np.where(at > n_known, np.where(steps == n_known, growth, 0.0), of_mean)
    mean = of_mean[:, :1] * last_m[:, None] + of_mean[:, 1:] @ prediction.mean
    covariance = of_covariance[:, 1:] @ prediction.covariance.reshape(n_agents, n_known, 4)
    return mean, covariance.reshape(n_agents, len(times_s), 2, 2)


def _growth(steps_beyond: FloatArray, n_known: int) -> FloatArray:
    """Factors on the covariance of the last step, some steps later."""
    growth: FloatArray = (1.0 + steps_beyond / n_known) ** (2.0 * _SIGMA_GROWTH)
    return growth
