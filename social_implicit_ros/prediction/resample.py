"""Resampling, extrapolation and latency compensation of predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
            model_n_steps: number of steps that the model predicts.
            step_s: seconds between two published steps; 0 for the model's.
            horizon_s: seconds to the last published step; 0 for the model's horizon.

        Raises:
            ValueError: the horizon is beyond the model's, or shorter than one step.
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


#: Exponent with which standard deviations grow over time beyond the last step. A constant velocity
#: error gives 1, a random walk of the velocity 1.5. Prediction errors on ETH/UCY grow with 1.1 to
#: 1.3. With 1.25 the coverage of ellipses at 6 s equals that at 4.8 s, from which they are
#: extrapolated.
_SIGMA_GROWTH = 1.25


def extend_prediction(prediction: Prediction, last_m: FloatArray, n_steps: int) -> Prediction:
    """Extrapolates a prediction beyond its last step.

    Mean and samples continue at their last velocity. The covariance keeps its shape and grows with
    the power 2.5 of time.

    Args:
        prediction: of at least one step.
        last_m: (A, 2) positions one step before the first predicted one, metres.
        n_steps: requested number of steps; a prediction with as many is returned unchanged.
    """
    if n_steps <= prediction.mean.shape[1]:
        return prediction
    return _at(prediction, last_m, np.arange(1.0, n_steps + 1))


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
    at = age_s / prediction.step_s + np.arange(prediction.mean.shape[1] + 1.0)
    present_m = _paths(prediction.mean, last_m, at[:1])[:, 0]
    return _at(prediction, last_m, at[1:]), present_m


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
    if steps == Steps(prediction.step_s, prediction.mean.shape[1]):
        return prediction
    resampled = _at(prediction, last_m, steps.times_s / prediction.step_s)
    return replace(resampled, step_s=steps.step_s)


def without_samples(prediction: Prediction) -> Prediction:
    """The prediction without its samples, which take time and memory."""
    return replace(
        prediction,
        # Copies, as a view would keep the samples in memory.
        samples=prediction.samples[:0].copy(),
        probabilities=prediction.probabilities[:0].copy(),
    )


def moments_at(
    prediction: Prediction, last_m: FloatArray, times_s: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance at any times, also beyond the horizon of the prediction.

    Both are linear between two steps; at the stamp the covariance is zero. Beyond the horizon they
    are extrapolated as in `extend_prediction`.

    Args:
        prediction: of A agents at T steps.
        last_m: (A, 2) positions at the stamp, metres.
        times_s: (S,) seconds from the stamp.

    Returns:
        (A, S, 2) metres and (A, S, 2, 2) square metres.
    """
    at = times_s / prediction.step_s
    return _paths(prediction.mean, last_m, at), _covariances(prediction.covariance, at)


def _at(prediction: Prediction, last_m: FloatArray, at: FloatArray) -> Prediction:
    """A prediction at (S,) times from its stamp, in steps; `step_s` is kept."""
    factors = prediction.radius_scales
    if factors is not None:
        # Before the first step, the scales of the first step apply.
        factors = _weights(np.maximum(at, 1.0), factors.shape[1])[:, 1:] @ factors
    return Prediction(
        samples=_paths(prediction.samples, last_m, at),
        mean=_paths(prediction.mean, last_m, at),
        covariance=_covariances(prediction.covariance, at),
        step_s=prediction.step_s,
        radius_scales=factors,
        probabilities=prediction.probabilities,
    )


def _weights(at: FloatArray, n_known: int) -> FloatArray:
    """(S, 1 + T) weights of linear interpolation between stamp and steps, constant beyond."""
    within = np.minimum(at, n_known)[:, None]
    return np.asarray(np.maximum(0.0, 1.0 - np.abs(within - np.arange(n_known + 1.0))))


def _covariances(covariances_m2: FloatArray, at: FloatArray) -> FloatArray:
    """(A, S, 2, 2) covariances at (S,) times in steps, from (A, T, 2, 2)."""
    n_agents, n_known = covariances_m2.shape[:2]
    weights = _weights(at, n_known)
    if (at > n_known).any():
        beyond = np.arange(np.ceil(at.max()) - n_known + 1.0)
        growth = np.interp(at - n_known, beyond, (1.0 + beyond / n_known) ** (2.0 * _SIGMA_GROWTH))
        weights *= growth[:, None]
    found_m2: FloatArray = weights[:, 1:] @ covariances_m2.reshape(n_agents, n_known, 4)
    return found_m2.reshape(n_agents, len(at), 2, 2)


def _paths(paths_m: FloatArray, last_m: FloatArray, at: FloatArray) -> FloatArray:
    """(..., A, S, 2) positions on (..., A, T, 2) paths from (A, 2), at (S,) times in steps."""
    n_times, n_known = len(at), paths_m.shape[-2]
    weights = _weights(at, n_known)
    beyond = np.maximum(at - n_known, 0.0)  # continues at the last velocity
    weights[:, -1] += beyond
    weights[:, -2] -= beyond
    # One product for x and y of all paths, many times faster than a small product per path.
    of_both = np.zeros((n_known + 1, 2, n_times, 2))
    of_both[:, 0, :, 0] = of_both[:, 1, :, 1] = weights.T
    from_steps = paths_m.reshape(-1, 2 * n_known) @ of_both[1:].reshape(2 * n_known, -1)
    positions_m: FloatArray = from_steps.reshape(*paths_m.shape[:-2], 2 * n_times)
    positions_m += last_m @ of_both[0].reshape(2, -1)
    return positions_m.reshape(*paths_m.shape[:-2], n_times, 2)
