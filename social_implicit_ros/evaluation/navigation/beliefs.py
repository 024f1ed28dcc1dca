"""What a planner believes about the people of a recording, from each predictor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from social_implicit_ros.evaluation.faulty_tracker.people import People
from social_implicit_ros.evaluation.navigation.robot import DT_S, N_STEPS
from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.modes import representative_paths
from social_implicit_ros.prediction.resample import extend_prediction, without_samples
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, IntArray, Prediction
from social_implicit_ros.uncertainty.ellipses import confidence_to_sigmas, joined_scales, radius_at

#: Modes of a person.
N_MODES = 5


@dataclass(frozen=True, eq=False)
class Belief:
    """Predictions of one predictor at all ticks; N of a person at a tick, P modes, T steps.

    Attributes:
        rows: (F, A) the predictions of each tick; -1 for none.
        present_m: (N, 2) positions at the tick, metres.
        mean_m: (N, P, T, 2) predicted positions, metres.
        weights: (N, P) probability of each mode.
        covariance_m2: (N, T, 2, 2) square metres; zero without uncertainty.
        radius_scales: (N, T, L) as of a `Prediction`; None for Gaussians.
        has_regions: the covariance means something.
    """

    rows: IntArray
    present_m: FloatArray
    mean_m: FloatArray
    weights: FloatArray
    covariance_m2: FloatArray
    radius_scales: FloatArray | None = None
    has_regions: bool = False

    def radius_at(self, confidence: float | None) -> FloatArray:
        """(N, T) Mahalanobis radius of the region of a confidence; zeros without regions."""
        if not self.has_regions or confidence is None:
            return np.zeros(self.covariance_m2.shape[:2])
        mean_m = self.mean_m[:, 0]
        samples = np.empty((0, *mean_m.shape))
        prediction = Prediction(samples, mean_m, self.covariance_m2, DT_S, self.radius_scales)
        return radius_at(prediction, confidence)

    def scale_at(self, confidence: float | None) -> FloatArray:
        """(N, T) factor of the covariance that is published for a confidence."""
        if not self.has_regions or confidence is None:
            return np.zeros(self.covariance_m2.shape[:2])
        return (self.radius_at(confidence) / confidence_to_sigmas(confidence)) ** 2

    def without_regions(self) -> Belief:
        """The mean alone."""
        nothing = np.zeros_like(self.covariance_m2)
        return replace(self, covariance_m2=nothing, radius_scales=None, has_regions=False)

    def standing(self) -> Belief:
        """Nobody moves."""
        mean_m = np.broadcast_to(self.present_m[:, None, None], self.mean_m[:, :1].shape)
        return replace(self.without_regions(), mean_m=mean_m, weights=self.weights[:, :1])


class BeliefBuilder:
    """Collects the forecasts of one predictor."""

    def __init__(self, *, has_modes: bool) -> None:
        """`has_modes` also collects the modes, see `modes`."""
        self._has_modes = has_modes
        self._ticks: list[int] = []
        self._parts: list[tuple[FloatArray, Prediction]] = []
        self._modes: list[tuple[FloatArray, FloatArray]] = []

    def add(self, tick: int, forecast: Forecast) -> None:
        """Adds the forecast of a tick."""
        prediction = extend_prediction(forecast.prediction, forecast.present_m, N_STEPS)
        self._ticks += [tick] * len(forecast.ids)
        if self._has_modes:
            self._modes.append(representative_paths(prediction, N_MODES))
        self._parts.append((forecast.present_m, without_samples(prediction)))

    def beliefs(self, n_ticks: int) -> dict[str, Belief]:
        """By kind: `regions`, and `modes` if they are collected."""
        present_m = np.concatenate([part for part, _ in self._parts])
        predictions = [prediction for _, prediction in self._parts]
        regions = Belief(
            rows_of(np.array(self._ticks, dtype=np.int64), n_ticks),
            present_m,
            np.concatenate([prediction.mean for prediction in predictions])[:, None],
            np.ones((len(present_m), 1)),
            np.concatenate([prediction.covariance for prediction in predictions]),
            joined_scales(predictions),
            has_regions=True,
        )
        if not self._has_modes:
            return {"regions": regions}
        modes = replace(
            regions.without_regions(),
            mean_m=np.concatenate([paths for paths, _ in self._modes]),
            weights=np.concatenate([shares for _, shares in self._modes]),
        )
        return {"regions": regions, "modes": modes}


def oracle(people: People, stamps_ns: Sequence[int]) -> Belief:
    """The true future; beyond a person's last observation the last velocity."""
    steps_ns = np.round(np.arange(-2, N_STEPS + 1) * DT_S * NS_PER_S).astype(np.int64)
    ticks, paths = [], []
    for tick, stamp_ns in enumerate(stamps_ns):
        present, _ = people.present_at(stamp_ns)
        ticks += [tick] * len(present)
        paths.append(people.positions_at(present, stamp_ns + steps_ns))
    path_m = _continued(np.concatenate(paths))
    n = len(path_m)
    covariance_m2 = np.zeros((n, N_STEPS, 2, 2))
    rows = rows_of(np.array(ticks, dtype=np.int64), len(stamps_ns))
    return Belief(rows, path_m[:, 2], path_m[:, None, 3:], np.ones((n, 1)), covariance_m2)


def _continued(path_m: FloatArray) -> FloatArray:
    """(N, S, 2) paths whose third position is known, without NaN from there on."""
    path_m = path_m.copy()
    path_m[:, 1] = np.where(np.isnan(path_m[:, 1]), path_m[:, 2], path_m[:, 1])
    for step in range(3, path_m.shape[1]):
        # Over two steps, as annotations jump.
        ahead_m = 2.0 * path_m[:, step - 1] - path_m[:, step - 2]
        path_m[:, step] = np.where(np.isnan(path_m[:, step]), ahead_m, path_m[:, step])
    return path_m


def rows_of(ticks: IntArray, n_ticks: int) -> IntArray:
    """(F, A) rows of each tick, -1 where it has fewer; `ticks` is (N,), ascending."""
    counts = np.bincount(ticks, minlength=n_ticks)
    rows = np.full((n_ticks, max(int(counts.max(initial=0)), 1)), -1)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rows[ticks, np.arange(len(ticks)) - first[ticks]] = np.arange(len(ticks))
    return rows
