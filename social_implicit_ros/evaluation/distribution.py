"""Metrics of the predicted distribution, computed at some ticks and positions: they are slow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from social_implicit_ros.evaluation.errors import ScoredTick
from social_implicit_ros.metrics.amd import mahalanobis_distances, mean_covariance_eigenvalue
from social_implicit_ros.metrics.collision import collision_rate
from social_implicit_ros.metrics.kde import kde_nll
from social_implicit_ros.metrics.proper_scores import energy_score
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.prediction.pipeline import predict_from
from social_implicit_ros.prediction.resample import Steps, resample_prediction
from social_implicit_ros.types import FloatArray

#: Number of samples that represent a distribution.
SAMPLES = 200
#: Positions per tick (one agent at one step each) at which AMD, KDE and energy are computed.
POSITIONS = 48
#: Ticks per recording at which distributions are evaluated ("moments").
MOMENTS = 40
#: Ticks evaluated in one batch: mixtures of many positions are fitted faster at once.
TICKS_PER_BATCH = 10


class MomentChooser:
    """Selects the ticks at which distributions are evaluated, evenly spread over a recording."""

    def __init__(self, duration_s: float, n_moments: int = MOMENTS) -> None:
        """Selects at most `n_moments` ticks; 0 selects none."""
        self._left = n_moments
        self._spacing_ns = round(duration_s / max(n_moments, 1) * 1e9)
        self._next_ns: int | None = None

    def chooses(self, ticks: Sequence[ScoredTick]) -> bool:
        """Whether to evaluate the tick, of all models; call it for each tick, in order of time."""
        stamp_ns = ticks[0].forecast.stamp_ns
        if self._left == 0 or (self._next_ns is not None and stamp_ns < self._next_ns):
            return False
        # Of models with different horizons, not all have an agent with complete ground truth.
        truths = (tick.ground_truth for tick in ticks)
        if not all(np.isfinite(truth).all(axis=(1, 2)).any() for truth in truths):
            return False
        self._left -= 1
        self._next_ns = stamp_ns + self._spacing_ns
        return True


def measure_distribution(
    ticks: Sequence[ScoredTick], model: TrajectoryModel, steps: Steps, *, seed: int
) -> dict[str, float]:
    """Computes the metrics of a batch of ticks, over the agents with complete ground truth.

    Args:
        ticks: ticks of the model, each with at least one such agent.
        model: draws `SAMPLES` samples for the same windows.
        steps: steps of the forecasts.
        seed: seed of the samples and of the choice of positions.

    Returns:
        `moments` and `positions`: numbers of ticks and of positions. `amd` (dimensionless), `kde`
        (nats) and `energy` (metres): sums over the positions. `amd_undefined` and
        `kde_degenerate`: numbers of positions at which the published metric is undefined. `amv`
        (square metres): sum over the ticks, each over all agents with complete ground truth.
        `collision_rate`: sum over the ticks, of the samples that the node would draw, shares.
    """
    samples, futures, amv = zip(*(_draw(tick, model, steps, seed) for tick in ticks), strict=True)
    drawn = np.concatenate(samples, axis=1)[:, :, None]
    true = np.concatenate(futures)[:, None]
    if (drawn == drawn[:1]).all():
        drawn = drawn[:1]  # a deterministic model: one sample suffices, see `fit_mixtures`
    distances, undefined = mahalanobis_distances(drawn, true)
    kde, degenerate = kde_nll(drawn, true)
    return {
        "moments": len(ticks),
        "positions": len(true),
        "amd": float(distances.sum()),
        "amd_undefined": int(undefined.sum()),
        "kde": float(kde.sum()),
        "kde_degenerate": int(degenerate.sum()),
        "energy": float(energy_score(drawn, true).sum()),
        "amv": sum(amv),
        "collision_rate": sum(collision_rate(tick.forecast.prediction.samples) for tick in ticks),
    }


def _draw(
    scored: ScoredTick, model: TrajectoryModel, steps: Steps, seed: int
) -> tuple[FloatArray, FloatArray, float]:
    """(K, P, 2) samples and (P, 2) ground truth of one tick, metres, and AMV of all agents, m^2."""
    window, truth = scored.tick.window, scored.ground_truth
    prediction, present_m = predict_from(
        scored.forecast.stamp_ns, window, model, n_samples=SAMPLES, seed=seed
    )
    samples = resample_prediction(prediction, present_m, steps).samples
    complete = np.flatnonzero(np.isfinite(truth).all(axis=(1, 2)))
    rows = scored.rows[complete]
    # Avoids a copy of the samples if the ground truth of all agents is complete.
    known_samples = samples if len(rows) == samples.shape[1] else samples[:, rows]
    n_steps = truth.shape[1]
    # The same positions for every model, but different ones at every tick.
    generator = np.random.default_rng([seed, window.stamp_ns % 2**63])
    n_positions = min(POSITIONS, len(rows) * n_steps)
    agent, step = np.divmod(
        generator.choice(len(rows) * n_steps, n_positions, replace=False), n_steps
    )
    return (
        samples[:, rows[agent], step],
        truth[complete[agent], step],
        mean_covariance_eigenvalue(known_samples),
    )
