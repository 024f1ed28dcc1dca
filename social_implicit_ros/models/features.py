"""Observed positions -> model tensors, and model output -> positions.

Model files compute in float32, whose resolution at map coordinates of 1e5 m is 8 mm. Therefore
inputs are relative to the centre of the scene, and outputs relative to each agent's last position.
Agents farther than `MAX_OFFSET_M` from the others are moved to that distance, so that one wrong
track does not reduce the precision of all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from social_implicit_ros.types import Float32Array, FloatArray

#: Beyond every interaction range; the resolution of float32 at this distance is 1 mm.
MAX_OFFSET_M = 10_000.0


@dataclass(frozen=True, eq=False)
class ModelInput:
    """The inputs of every model file, except the noise.

    Attributes:
        observed: (A, H, 2) float32 positions in metres relative to the scene's centre, oldest
            first. Unknown leading steps are extrapolated backwards at the first known velocity.
            Agents whose last position is beyond `MAX_OFFSET_M` in x or y are moved there.
        mask: (A, H) float32, 1 where a step was observed, 0 where it was extrapolated.
        last_m: (A, 2) float64 last positions in metres, fixed frame.
    """

    observed: Float32Array
    mask: Float32Array
    last_m: FloatArray


def model_input_from_observed(observed: FloatArray, n_observed: int) -> ModelInput:
    """Pads to the model's number of steps, centres, and extrapolates unknown steps.

    Args:
        observed: (A, H, 2) positions in metres, H from 2 to `n_observed`; NaN in the leading
            steps before an agent was first observed, the last two steps finite.
        n_observed: number of observed steps of the model.

    Returns:
        Tensors of `n_observed` steps.
    """
    n_agents, n_given, _ = observed.shape
    last_m = observed[:, -1].copy()
    unknown = np.full((n_agents, n_observed - n_given, 2), np.nan)
    padded = np.concatenate([unknown, observed - _origins(last_m)], axis=1)
    known = ~np.isnan(padded[..., 0] + padded[..., 1])
    if not known.all():
        first = known.argmax(axis=1)
        agents = np.arange(n_agents)
        start = padded[agents, first]
        velocity = padded[agents, first + 1] - start
        steps_before = np.arange(n_observed) - first[:, None]  # negative before the first
        filled = start[:, None] + velocity[:, None] * steps_before[..., None]
        padded = np.where(known[..., None], padded, filled)
    return ModelInput(padded.astype(np.float32), known.astype(np.float32), last_m)


def _origins(last_m: FloatArray) -> FloatArray:
    """(1, 1, 2) centre of the scene; if that is too large for float32, (A, 1, 2) one per agent."""
    if len(last_m) == 0:
        return np.zeros((1, 1, 2))
    if (last_m.max(axis=0) - last_m.min(axis=0)).max() <= MAX_OFFSET_M:
        return (last_m.sum(axis=0) / len(last_m))[None, None]
    from_centre_m = last_m - np.median(last_m, axis=0)
    return (last_m - np.clip(from_centre_m, -MAX_OFFSET_M, MAX_OFFSET_M))[:, None]


def samples_from_model_output(output: Float32Array, last_m: FloatArray) -> FloatArray:
    """Transforms a model's output into the fixed frame.

    Args:
        output: (K, A, T, 2) float32 positions in metres relative to each agent's last position.
        last_m: (A, 2) last positions in metres, fixed frame.

    Returns:
        (K, A, T, 2) positions in metres, fixed frame.
    """
    n_steps = output.shape[2]
    # Flat, since numpy adds long rows several times faster than many pairs.
    origin = last_m[:, None].repeat(n_steps, axis=1).reshape(-1, 2 * n_steps)  # (A, 2 T)
    positions: FloatArray = output.reshape(len(output), len(last_m), 2 * n_steps) + origin
    return positions.reshape(output.shape)
