"""Metrics of the whole predicted distribution, which are slow: at a few positions and ticks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from social_implicit_ros.evaluation.errors import ScoredTick
from social_implicit_ros.metrics.amd import mahalanobis_distances, mean_covariance_eigenvalue
from social_implicit_ros.metrics.collision import collision_rate
from social_implicit_ros.metrics.gaussian_mixture import MAX_COMPONENTS
from social_implicit_ros.metrics.kde import kde_nll
from social_implicit_ros.metrics.proper_scores import energy_score
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.prediction.pipeline import predict_from
from social_implicit_ros.prediction.resample import Steps, resample_prediction
from social_implicit_ros.types import FloatArray

#: Samples of which a distribution is made.
SAMPLES = 200
#: Positions, one agent at one step, at which AMD, KDE and energy are measured in one moment.
POSITIONS = 48
#: Moments of a recording.
MOMENTS = 40
#: Moments measured together: mixtures of many positions are fitted faster at once.
TOGETHER = 10


class MomentChooser:
    """Says which ticks are measured: evenly spread, at most `MOMENTS` of a recording."""

    def __init__(self, duration_s: float, n_moments: int = MOMENTS) -> None:
        """Spreads at most `n_moments` over a recording; 0 chooses none."""
        self._left = n_moments
        self._spacing_ns = round(duration_s / max(n_moments, 1) * 1e9)
        self._next_ns: int | None = None

    def chooses(self, tick: ScoredTick) -> bool:
        """Whether the tick is to be measured; to be asked for one tick after another."""
        stamp_ns = tick.forecast.stamp_ns
        if self._left == 0 or (self._next_ns is not None and stamp_ns < self._next_ns):
            return False
        if not np.isfinite(tick.context.ground_truth).all(axis=(1, 2)).any():
            return False
        self._left -= 1
        self._next_ns = stamp_ns + self._spacing_ns
        return True


def measure_distribution(
    ticks: Sequence[ScoredTick], model: TrajectoryModel, steps: Steps, *, seed: int
) -> dict[str, float]:
    """Measures at some moments the agents whose whole future is known; at least one in each.

    Args:
        ticks: of the model; a few, as they are measured together.
        model: draws `SAMPLES` futures of the same windows.
        steps: of the forecasts.
        seed: of the samples, and of the choice of positions.

    Returns:
        `moments` and `positions`, their numbers; `amd`, `kde` and `energy`, sums over the
        positions, dimensionless, nats and metres; `amd_undefined` and `kde_degenerate`, numbers of
        positions without a published value; `amv`, sum over the moments, of all agents whose
        future is known, square metres; `collision_rate`, sum over the moments, of the samples that
        the node would draw, shares.
    """
    samples, futures, amv = zip(*(_draw(tick, model, steps, seed) for tick in ticks), strict=True)
    drawn = np.concatenate(samples, axis=1)[:, :, None]
    true = np.concatenate(futures)[:, None]
    if (drawn == drawn[:1]).all():
        drawn = drawn[:1]  # a model without a spread: one future says all, see `fit_mixtures`
    distances, undefined = mahalanobis_distances(
        drawn, true, max_components=1 if len(drawn) == 1 else MAX_COMPONENTS
    )
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
    """(K, P, 2) samples and (P, 2) ground truth at one moment, metres, and AMV of all, m^2."""
    window, truth = scored.tick.window, scored.context.ground_truth
    prediction, present_m = predict_from(
        scored.forecast.stamp_ns, window, model, n_samples=SAMPLES, seed=seed
    )
    samples = resample_prediction(prediction, present_m, steps).samples
    row_of = {agent: row for row, agent in enumerate(window.ids)}
    complete = np.flatnonzero(np.isfinite(truth).all(axis=(1, 2)))
    rows = np.array([row_of[scored.forecast.ids[index]] for index in complete])
    # Where the future of all is known, their samples need not be copied.
    known_samples = samples if len(rows) == samples.shape[1] else samples[:, rows]
    n_steps = truth.shape[1]
    # The same positions for every model, and others at every moment.
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
