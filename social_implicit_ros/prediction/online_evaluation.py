"""A pipeline's own predictions against where people are now, while it runs.

One tick in every step of the model is kept until its last step has come to pass: predictions a
tenth of a second apart judge the same future. So memory is bounded by the most agents times the
horizon. Nor is judged more often than that, whatever the rate of ticks. A position is judged where
the history has observations on both sides of its moment, by interpolation; where an agent was not
seen, or its track broke, nobody knows and nothing counts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from social_implicit_ros.metrics.mahalanobis import squared_mahalanobis
from social_implicit_ros.metrics.reliability import confidence_levels
from social_implicit_ros.prediction.pipeline import PredictionPipeline, Tick
from social_implicit_ros.tracks.agent_ids import ROBOT_ID
from social_implicit_ros.types import FloatArray, IntArray, Prediction
from social_implicit_ros.uncertainty.adaptive import Judged
from social_implicit_ros.uncertainty.ellipses import gaussian_distance

_NS_PER_S = 1_000_000_000
#: Between two observations further apart than this nobody knows where an agent was, seconds. A
#: prediction is judged when so much time has passed, so that no observation comes later.
MAX_GAP_S = 0.5
#: A tick that is early by this share of a step is still the next one to keep, or to judge at.
EARLY = 0.1
#: Ticks kept beyond twice the steps, for horizons of few steps.
_SPARE = 8


@dataclass(frozen=True, eq=False)
class RecentScores:
    """How good the predictions were whose time came within a window of time.

    Attributes:
        times_s: (T,) how far each step looked ahead, seconds.
        n_judged: (T,) positions judged.
        error_m: (T,) mean distance of the true positions from the expected ones, metres; NaN
            where nothing was judged.
        inside: (T,) share of true positions inside the ellipse of `confidence`; NaN likewise.
        confidence: of that ellipse.
    """

    times_s: FloatArray
    n_judged: IntArray
    error_m: FloatArray
    inside: FloatArray
    confidence: float

    @property
    def n_positions(self) -> int:
        """Positions judged, over all steps."""
        return int(self.n_judged.sum())

    @property
    def ade_m(self) -> float:
        """Mean error, in which every step counts the same, metres; NaN until all were judged."""
        return float(self.error_m.mean())

    @property
    def fde_m(self) -> float:
        """Mean error at the last step, metres; NaN until some were judged."""
        return float(self.error_m[-1])

    @property
    def coverage(self) -> float:
        """Share of all true positions inside the ellipse; NaN where nothing was judged."""
        if self.n_positions == 0:
            return float("nan")
        return float(np.nansum(self.inside * self.n_judged) / self.n_positions)


@dataclass(eq=False)
class _Kept:
    """A tick that waits for its future."""

    stamp_ns: int
    rows: IntArray
    speed_m_s: FloatArray
    published: Prediction
    base: Prediction
    next_step: int = 0


class SelfEvaluation:
    """Watches a pipeline's ticks, judges them when their time has come, and lets it learn."""

    def __init__(self, pipeline: PredictionPipeline, *, window_s: float) -> None:
        """Has seen nothing yet.

        Args:
            pipeline: whose ticks will be observed; its adaptive calibration, where it has one,
                learns.
            window_s: how long a judgement counts in `recent`, seconds.
        """
        self.window_s = window_s
        self._pipeline = pipeline
        self._n_steps, self._step_s = pipeline.model.n_predicted, pipeline.model.step_s
        self._step_ns = round(self._step_s * _NS_PER_S)
        # More than this fit into no horizon; the oldest then go unjudged.
        self._kept: deque[_Kept] = deque(maxlen=2 * self._n_steps + _SPARE)
        self._judged_ns: int | None = None  # when there last was something to judge
        # Of each round of judgement: its stamp and (3, T) numbers, summed errors, numbers inside.
        self._rounds: deque[tuple[int, FloatArray]] = deque()

    def observe(self, tick: Tick) -> Judged | None:
        """Judges what has come to pass by a tick, learns from it, and keeps the tick if one is due.

        Args:
            tick: the newest of the pipeline.

        Returns:
            What was judged; None where nothing was.
        """
        judged = self._judge(tick)
        if judged is not None:
            self._rounds.append((judged.stamp_ns, self._counted(judged)))
            if self._pipeline.adaptive is not None:
                self._pipeline.adaptive.learn(judged)
        while self._rounds and self._rounds[0][0] < tick.stamp_ns - self.window_s * _NS_PER_S:
            self._rounds.popleft()
        if self._is_due(tick, self._kept[-1].stamp_ns if self._kept else None):
            self._keep(tick)
        return judged

    def forget(self) -> None:
        """Drops the predictions that wait for their future, and all judgements in the window."""
        self._kept.clear()
        self._judged_ns = None
        self._rounds.clear()

    def recent(self) -> RecentScores:
        """The judgements in the window."""
        rounds = [counts for _, counts in self._rounds]
        n_judged, error_m, inside = (
            np.sum(rounds, axis=0) if rounds else np.zeros((3, self._n_steps))
        )
        known = np.where(n_judged > 0, n_judged, np.nan)
        return RecentScores(
            times_s=np.asarray(np.arange(1, self._n_steps + 1) * self._step_s),
            n_judged=n_judged.astype(np.int64),
            error_m=error_m / known,
            inside=inside / known,
            confidence=self._pipeline.config.confidence,
        )

    def _is_due(self, tick: Tick, last_ns: int | None) -> bool:
        """Whether a step has passed since the last time, or there was none."""
        return last_ns is None or tick.stamp_ns - last_ns >= (1.0 - EARLY) * self._step_ns

    def _keep(self, tick: Tick) -> None:
        ids = tick.window.ids
        finite = np.isfinite(tick.prediction.mean).all(axis=(1, 2))
        finite &= np.isfinite(tick.prediction.covariance).all(axis=(1, 2, 3))
        people = np.array([agent != ROBOT_ID for agent in ids], dtype=bool) & finite
        if not people.any():
            return
        # Where all are people, their arrays need not be copied.
        chosen = slice(None) if people.all() else np.flatnonzero(people)
        rows = self._pipeline.history.rows_of(ids)[chosen]
        published, base = (
            _without_samples(prediction, chosen) for prediction in (tick.prediction, tick.base)
        )
        self._kept.append(_Kept(tick.stamp_ns, rows, tick.speed_m_s[chosen], published, base))

    def _judge(self, tick: Tick) -> Judged | None:
        if not self._is_due(tick, self._judged_ns):
            return None
        until_ns = tick.window.stamp_ns - round(self._max_gap_s * _NS_PER_S)
        due: list[tuple[_Kept, int]] = []
        for kept in self._kept:
            end = min((until_ns - kept.stamp_ns) // self._step_ns, self._n_steps)
            if end > kept.next_step:
                due.extend((kept, step) for step in range(kept.next_step, end))
                kept.next_step = end
        while self._kept and self._kept[0].next_step == self._n_steps:
            self._kept.popleft()
        if not due:
            return None
        self._judged_ns = tick.stamp_ns
        made_ns = np.array([kept.stamp_ns for kept, _ in due], dtype=np.int64)
        steps = np.array([step for _, step in due], dtype=np.int64)
        truth_m = self._pipeline.history.observed_m(
            made_ns + (steps + 1) * self._step_ns, made_ns, self._max_gap_s
        )
        return _judged(tick.stamp_ns, due, truth_m)

    @property
    def _max_gap_s(self) -> float:
        return min(MAX_GAP_S, self._pipeline.config.track_timeout_s)

    def _counted(self, judged: Judged) -> FloatArray:
        """(3, T) numbers judged, summed errors and numbers inside, by step."""
        inside = judged.levels <= self._pipeline.config.confidence
        return np.stack(
            [
                np.bincount(judged.steps, weights=values, minlength=self._n_steps)
                for values in (np.ones(len(inside)), judged.error_m, inside)
            ]
        )


def _judged(stamp_ns: int, due: list[tuple[_Kept, int]], truth_m: FloatArray) -> Judged | None:
    """Compares predictions with the truth; None where nobody knows it.

    Args:
        stamp_ns: of the judgement.
        due: M kept ticks, each with the step whose time has come.
        truth_m: (R, M, 2) where agents were, by row, metres; NaN where nobody knows.
    """
    truth = np.concatenate([truth_m[kept.rows, at] for at, (kept, _) in enumerate(due)])
    known = np.isfinite(truth[:, 0])
    if not known.any():
        return None
    sizes = [len(kept.rows) for kept, _ in due]
    steps = np.repeat([step for _, step in due], sizes)[known]
    speed_m_s = np.concatenate([kept.speed_m_s for kept, _ in due])[known]
    truth = truth[known]

    def of(name: str, values: list[Prediction]) -> FloatArray:
        parts = [
            getattr(value, name)[:, step] for value, (_, step) in zip(values, due, strict=True)
        ]
        return np.concatenate(parts)[known]

    published, base = [kept.published for kept, _ in due], [kept.base for kept, _ in due]
    mean = of("mean", published)
    factors = None if published[0].level_factors is None else of("level_factors", published)
    base_factors = None if base[0].level_factors is None else of("level_factors", base)
    distance_2, _ = squared_mahalanobis(mean, of("covariance", base), truth)
    return Judged(
        stamp_ns=stamp_ns,
        steps=steps,
        speed_m_s=speed_m_s,
        error_m=np.hypot(*(truth - mean).T),
        distance=gaussian_distance(np.sqrt(distance_2), base_factors),
        levels=confidence_levels(mean, of("covariance", published), truth, factors),
    )


def _without_samples(prediction: Prediction, rows: slice | IntArray) -> Prediction:
    factors = prediction.level_factors
    return Prediction(
        prediction.samples[:0, rows],
        prediction.mean[rows],
        prediction.covariance[rows],
        prediction.step_s,
        None if factors is None else factors[rows],
    )
