"""A prediction read beyond its last step, for planners that look farther than the model."""

from __future__ import annotations

import math

import numpy as np

from social_implicit_ros.core.resample import Steps, resample_prediction
from social_implicit_ros.core.types import FloatArray, Prediction

#: Power of time with which standard deviations grow beyond the last step: between a velocity that
#: is wrong but stays (1) and one that wanders (1.5). On the ETH and UCY recordings prediction
#: errors grow with powers of 1.1 to 1.3, and with this one an ellipse at 6 s holds the same share
#: of true positions as the one at 4.8 s that it came from.
_SIGMA_GROWTH = 1.25


def extend_moments(
    prediction: Prediction, last_m: FloatArray, steps: Steps
) -> tuple[FloatArray, FloatArray]:
    """Mean and covariance at any steps, also at ones beyond the prediction's horizon.

    Beyond it everybody walks on as between the last two steps, and the covariance keeps its shape
    and grows, continuously, with time to the power of 2.5.

    Args:
        prediction: at the steps it has.
        last_m: (A, 2) present positions in metres.
        steps: where to read it.

    Returns:
        (A, S, 2) metres and (A, S, 2, 2) square metres at the S steps asked for.
    """
    n_agents, n_known, _ = prediction.mean.shape
    n_needed = math.ceil(steps.n_steps * steps.step_s / prediction.step_s - 1e-6)
    beyond = np.arange(1, n_needed - n_known + 1)
    path_m = np.concatenate([last_m[:, None], prediction.mean], axis=1)
    step_m = path_m[:, -1:] - path_m[:, -2:-1]
    growth = (1.0 + beyond / n_known) ** (2.0 * _SIGMA_GROWTH)
    mean = np.concatenate([prediction.mean, path_m[:, -1:] + step_m * beyond[:, None]], axis=1)
    covariance = np.concatenate(
        [prediction.covariance, prediction.covariance[:, -1:] * growth[:, None, None]], axis=1
    )
    no_samples = np.empty((0, n_agents, mean.shape[1], 2))
    extended = Prediction(no_samples, mean, covariance, prediction.step_s)
    at_steps = resample_prediction(extended, last_m, steps)
    return at_steps.mean, at_steps.covariance
