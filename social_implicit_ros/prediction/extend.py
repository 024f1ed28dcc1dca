"""Extrapolation beyond the last step, for planners with a longer horizon than the model."""

from __future__ import annotations

import math
from dataclasses import replace

from social_implicit_ros.prediction.resample import Steps, extend_prediction, resample_prediction
from social_implicit_ros.types import FloatArray, Prediction


def without_samples(prediction: Prediction) -> Prediction:
    """The same mean and covariance; samples take time and memory."""
    return replace(
        prediction, samples=prediction.samples[:0], probabilities=prediction.probabilities[:0]
    )


def extend_moments(
    prediction: Prediction, last_m: FloatArray, steps: Steps
) -> tuple[FloatArray, FloatArray]:
    """(A, S, 2) mean in metres and (A, S, 2, 2) covariance, also beyond the prediction's horizon.

    There the mean keeps the velocity of the last step. The covariance keeps its shape and grows
    continuously with time to the power of 2.5. `last_m` has the positions at the stamp.
    """
    n_needed = math.ceil(steps.n_steps * steps.step_s / prediction.step_s - 1e-6)
    extended = extend_prediction(without_samples(prediction), last_m, n_needed)
    at_steps = resample_prediction(extended, last_m, steps)
    return at_steps.mean, at_steps.covariance
