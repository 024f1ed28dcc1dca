"""Scores predictions against the ground truth while the predictor runs.

A prediction is pending until its horizon has passed. The ground truth of each predicted step is
read from the track history, which interpolates between two observations. It is unknown if the agent
is not observed, or if its track restarts in between.

The node scores one prediction per step of the model (`SelfEvaluation`), as predictions 0.1 s apart
have almost the same ground truth. A replay scores every prediction (`PendingPredictions`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from social_implicit_ros.metrics.mahalanobis import squared_mahalanobis
from social_implicit_ros.metrics.reliability import confidence_levels
from social_implicit_ros.prediction.pipeline import PredictionPipeline, Tick
from social_implicit_ros.prediction.resample import Steps, without_samples
from social_implicit_ros.prediction.scoring.recent_scores import RecentScores, ScoreWindow
from social_implicit_ros.prediction.site_errors import Uncorrected
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.stamps import NEVER_NS, NS_PER_S
from social_implicit_ros.tracks.tracker_timing import PERIODS_KEPT
from social_implicit_ros.types import ROBOT_ID, FloatArray, IntArray, Prediction, require_shape
from social_implicit_ros.uncertainty.adaptive import ScoredPositions
from social_implicit_ros.uncertainty.ellipses import gaussian_distance, joined_scales

#: Longest time between two observations over which self-evaluation interpolates, seconds; for
#: slower trackers it is their period.
MAX_GAP_S = 0.5
#: A tick that is early by up to this share of a step counts as one step later.
EARLY = 0.1
#: Pending predictions allowed beyond twice the steps, for horizons of few steps.
_SPARE = 8
#: A track has not moved while it stays within this distance of its first position, metres.
MOTIONLESS_M = 0.01

Content = TypeVar("Content")


@dataclass(eq=False)
class PendingPrediction(Generic[Content]):
    """A prediction, and its ground truth so far.

    Attributes:
        stamp_ns: time of the prediction, integer nanoseconds.
        since_ns: stamp of the newest observation used. Ground truth ends where a track restarts
            after it.
        rows: (A,) rows of the agents in the history.
        content: the prediction itself.
        ground_truth_m: (A, T, 2) positions at the predicted steps, metres; NaN where unknown.
        n_final: leading steps whose ground truth is final.
    """

    stamp_ns: int
    since_ns: int
    rows: IntArray
    content: Content
    ground_truth_m: FloatArray
    n_final: int = 0

    def __post_init__(self) -> None:
        shape = (len(self.rows), "T", 2)
        require_shape("PendingPrediction", "ground_truth_m", self.ground_truth_m, shape)


class PendingPredictions(Generic[Content]):
    """Predictions that wait for their ground truth, oldest first; all have the same steps."""

    def __init__(
        self,
        history: TrackHistory,
        times_s: FloatArray,
        *,
        max_gap_s: float,
        max_pending: int | None = None,
        reads_forgotten: bool = False,
        period_s: float = 0.0,
    ) -> None:
        """Starts empty, for steps at `times_s` after the stamp, ascending.

        Args:
            history: history of the predicted agents.
            times_s: (T,) predicted steps in seconds after the stamp, ascending.
            max_gap_s: longest gap between two observations to interpolate over, seconds.
            max_pending: maximum number of pending predictions; beyond it the oldest is dropped.
            reads_forgotten: read a track before the history forgets it. This takes time when an
                agent leaves; otherwise the last `max_gap_s` of its ground truth is lost.
            period_s: delay before ground truth is read; reading many steps at once is faster.
        """
        self.max_gap_s = max_gap_s
        self._history = history
        self._offsets_ns: list[int] = np.round(times_s * NS_PER_S).astype(np.int64).tolist()
        self._pending: deque[PendingPrediction[Content]] = deque(maxlen=max_pending)
        self._period_ns = round(period_s * NS_PER_S)
        self._next_ns = NEVER_NS  # earliest step whose ground truth is not final
        if reads_forgotten:
            history.before_forgetting.append(self._read_provisional)

    def __len__(self) -> int:
        """Number of pending predictions."""
        return len(self._pending)

    def add(self, stamp_ns: int, since_ns: int, ids: Sequence[str], content: Content) -> None:
        """Adds a pending prediction.

        Args:
            stamp_ns: time of the prediction, integer nanoseconds.
            since_ns: stamp of the newest observation used.
            ids: (A,) the predicted agents, all in the history.
            content: returned with the ground truth.
        """
        rows = self._history.rows_of(tuple(ids))
        unknown = np.full((len(rows), len(self._offsets_ns), 2), np.nan)
        self._pending.append(PendingPrediction(stamp_ns, since_ns, rows, content, unknown))
        self._next_ns = min(self._next_ns, stamp_ns + self._offsets_ns[0])

    def update(self, now_ns: int) -> list[tuple[PendingPrediction[Content], range]]:
        """Reads the ground truth that has become final.

        A position is final when the newest observation is `max_gap_s` later: no further
        observation can change it.

        Args:
            now_ns: current time, integer nanoseconds.

        Returns:
            The predictions with new ground truth, each with the range of new steps.
        """
        max_gap_ns = round(self.max_gap_s * NS_PER_S)
        if now_ns - max_gap_ns - self._period_ns < self._next_ns:
            return []
        newest_ns = self._history.newest_ns(now_ns)
        return self._read_final((now_ns if newest_ns is None else newest_ns) - max_gap_ns)

    def finish(self) -> None:
        """Reads all known ground truth and marks it as final."""
        self._read_final(NEVER_NS)

    def pop_complete(self) -> list[PendingPrediction[Content]]:
        """Removes and returns the oldest predictions whose ground truth is final at all steps."""
        complete = []
        while self._pending and self._pending[0].n_final == len(self._offsets_ns):
            complete.append(self._pending.popleft())
        return complete

    def clear(self) -> None:
        """Drops all predictions."""
        self._pending.clear()
        self._next_ns = NEVER_NS

    def _read_final(self, until_ns: int) -> list[tuple[PendingPrediction[Content], range]]:
        """Reads the ground truth up to a time and marks it as final."""
        due = self._steps_until(until_ns)
        self._read(due)
        for pending, steps in due:
            pending.n_final = steps.stop
        n_steps = len(self._offsets_ns)
        self._next_ns = min(
            (
                pending.stamp_ns + self._offsets_ns[pending.n_final]
                for pending in self._pending
                if pending.n_final < n_steps
            ),
            default=NEVER_NS,
        )
        return due

    def _read_provisional(self, until_ns: int) -> None:
        """Reads the known ground truth up to a time, before the history forgets it."""
        self._read(self._steps_until(until_ns))

    def _steps_until(self, until_ns: int) -> list[tuple[PendingPrediction[Content], range]]:
        """The steps up to a time whose ground truth is not final."""
        steps = (
            (pending, bisect_right(self._offsets_ns, until_ns - pending.stamp_ns))
            for pending in self._pending
        )
        return [(p, range(p.n_final, end)) for p, end in steps if end > p.n_final]

    def _read(self, due: Sequence[tuple[PendingPrediction[Content], range]]) -> None:
        """Copies the positions that the history knows; positions read earlier are kept."""
        if not due:
            return
        times_ns = [
            entry.stamp_ns + self._offsets_ns[step] for entry, steps in due for step in steps
        ]
        since_ns = np.repeat([entry.since_ns for entry, _ in due], [len(steps) for _, steps in due])
        found_m = self._history.observed_m(np.array(times_ns), since_ns, self.max_gap_s)
        # After a reset the history has fewer rows.
        n_rows = max(int(entry.rows.max(initial=-1)) + 1 for entry, _ in due)
        unknown = np.full((max(n_rows - len(found_m), 0), len(times_ns), 2), np.nan)
        found_m = np.concatenate([found_m, unknown])
        column = 0
        for pending, steps in due:
            known = pending.ground_truth_m[:, steps.start : steps.stop]
            found = found_m[pending.rows, column : column + len(steps)]
            np.copyto(known, found, where=~np.isnan(found))
            column += len(steps)


class MotionlessTracks:
    """Finds predictions of tracks that have never moved, which get no weight.

    All predictions of such a track are equal. If each counted, a few pillars that were detected as
    people would outweigh all people who stand. A person who enters and then stands has moved.
    """

    def __init__(self) -> None:
        self._first_m: dict[str, FloatArray] = {}  # first position by id; NaN once the track moved

    def add(self, ids: tuple[str, ...], positions_m: FloatArray) -> FloatArray:
        """Adds present positions; tracks that are not among them are forgotten.

        Args:
            ids: (A,) ids of the predicted agents.
            positions_m: (A, 2) their positions, metres.

        Returns:
            (A, 2) constant positions of tracks that were added before and have not moved since,
            metres; NaN for all others.
        """
        before = self._first_m
        known = np.array([agent in before for agent in ids], dtype=bool)
        first_m = np.array(
            [before.get(agent, at_m) for agent, at_m in zip(ids, positions_m, strict=True)]
        ).reshape(-1, 2)
        first_m = np.where(_is_near(positions_m, first_m)[:, None], first_m, np.nan)
        self._first_m = dict(zip(ids, first_m, strict=True))
        return np.where(known[:, None], first_m, np.nan)

    def clear(self) -> None:
        """Forgets all tracks."""
        self._first_m.clear()


def weights_of(ground_truth_m: FloatArray, still_m: FloatArray) -> FloatArray:
    """(E,) weights of scored positions: 0 where the track has not moved yet, else 1.

    Args:
        ground_truth_m: (E, 2) positions, metres.
        still_m: (E, 2) result of `MotionlessTracks.add` at the time of the prediction.
    """
    return np.where(_is_near(ground_truth_m, still_m), 0.0, 1.0)


def _is_near(first_m: FloatArray, second_m: FloatArray) -> FloatArray:
    near: FloatArray = np.hypot(*(first_m - second_m).T) <= MOTIONLESS_M
    return near


@dataclass(frozen=True, eq=False)
class _Published:
    """The part of a tick that self-evaluation needs.

    Attributes:
        speed_m_s: (A,) observed speeds, m/s.
        published: the prediction without its samples.
        base: the same before the adaptive calibration.
        still_m: (A, 2) result of `MotionlessTracks.add`.
        uncorrected: the same before its correction by the errors at this site; None without one.
    """

    speed_m_s: FloatArray
    published: Prediction
    base: Prediction
    still_m: FloatArray
    uncorrected: Uncorrected | None


_Due = list[tuple[PendingPrediction[_Published], range]]


class SelfEvaluation:
    """Scores a pipeline's predictions and updates its adaptive calibration.

    One prediction per step of the model is added and scored, at any tick rate. Memory is bounded
    by the number of agents times the horizon.
    """

    def __init__(self, pipeline: PredictionPipeline, *, window_s: float) -> None:
        """Starts without scores.

        Args:
            pipeline: source of the ticks; its adaptive calibration, if any, is updated.
            window_s: time window of `recent`, seconds; may change.
        """
        self._pipeline = pipeline
        self._steps = Steps(pipeline.model.step_s, pipeline.model.n_predicted)
        self._step_ns = round(self._steps.step_s * NS_PER_S)
        self._pending: PendingPredictions[_Published] = PendingPredictions(
            pipeline.history,
            self._steps.times_s,
            max_gap_s=MAX_GAP_S,
            # Twice the number of steps: one prediction is added per step, each waits for all steps.
            max_pending=2 * self._steps.n_steps + _SPARE,
        )
        self._added_ns: int | None = None  # the last added tick
        self._scored_ns: int | None = None  # the last tick at which positions were scored
        self._motionless = MotionlessTracks()
        self.window = ScoreWindow(self._steps.times_s, window_s)

    def observe(self, tick: Tick) -> ScoredPositions | None:
        """Scores the ground truth known at a tick, learns, and adds the tick if one is due.

        Args:
            tick: newest tick of the pipeline.

        Returns:
            The scored positions; None where there are none.
        """
        scored = self._score(tick)
        if scored is not None:
            self.window.add(scored, self._pipeline.config.confidence)
            if self._pipeline.adaptive is not None:
                self._pipeline.adaptive.learn(scored)
        self.window.drop_old(tick.stamp_ns)
        if not self._pending or self._is_step_later(tick, self._added_ns):
            self._add(tick)
        return scored

    def reset(self) -> None:
        """Drops all pending predictions, scores and errors at this site."""
        self._pending.clear()
        if self._pipeline.site_errors is not None:
            self._pipeline.site_errors.reset()
        self._scored_ns = None
        self._motionless.clear()
        self.window.clear()

    def recent(self) -> RecentScores:
        """The scores in the window."""
        return self.window.recent(self._pipeline.config.confidence)

    def _is_step_later(self, tick: Tick, last_ns: int | None) -> bool:
        return last_ns is None or tick.stamp_ns - last_ns >= (1.0 - EARLY) * self._step_ns

    def _add(self, tick: Tick) -> None:
        ids = tick.window.ids
        finite = np.isfinite(tick.prediction.mean).all(axis=(1, 2))
        finite &= np.isfinite(tick.prediction.covariance).all(axis=(1, 2, 3))
        people = np.array([agent != ROBOT_ID for agent in ids], dtype=bool) & finite
        if not people.any():
            return
        still_m = self._motionless.add(ids, tick.window.positions_m[:, -1])
        # Without a robot the arrays are not copied.
        rows = slice(None) if people.all() else np.flatnonzero(people)
        chosen = ids if people.all() else [ids[row] for row in np.flatnonzero(people)]
        content = _Published(
            tick.speed_m_s[rows],
            without_samples(tick.prediction).of_agents(rows),
            without_samples(tick.base).of_agents(rows),
            still_m[rows],
            None if tick.uncorrected is None else tick.uncorrected.of_agents(rows),
        )
        self._pending.add(tick.stamp_ns, tick.window.stamp_ns, chosen, content)
        self._added_ns = tick.stamp_ns

    def _score(self, tick: Tick) -> ScoredPositions | None:
        if not self._is_step_later(tick, self._scored_ns):
            return None
        timeout_s = self._pipeline.history.config.track_timeout_s
        self._pending.max_gap_s = min(max(MAX_GAP_S, timeout_s / PERIODS_KEPT), timeout_s)
        due = self._pending.update(tick.stamp_ns)
        for entry in self._pending.pop_complete():
            if self._pipeline.site_errors is not None and entry.content.uncorrected is not None:
                self._pipeline.site_errors.learn(entry.content.uncorrected, entry.ground_truth_m)
        if not due:
            return None
        self._scored_ns = tick.stamp_ns
        return _scored(tick.stamp_ns, due)


def _scored(stamp_ns: int, due: _Due) -> ScoredPositions | None:
    """Compares steps of predictions with their ground truth; None if it is unknown."""
    pairs = [(entry, step) for entry, steps in due for step in steps]
    ground_truth = np.concatenate([entry.ground_truth_m[:, step] for entry, step in pairs])
    known = np.isfinite(ground_truth[:, 0])
    if not known.any():
        return None
    steps = np.repeat([step for _, step in pairs], [len(entry.rows) for entry, _ in pairs])[known]
    ground_truth = ground_truth[known]

    def at_steps(arrays: Sequence[FloatArray]) -> FloatArray:
        """(E, ...) values at the known positions, from one (A, T, ...) array per pair."""
        chosen = [array[:, step] for array, (_, step) in zip(arrays, pairs, strict=True)]
        return np.concatenate(chosen)[known]

    published = [entry.content.published for entry, _ in pairs]
    base = [entry.content.base for entry, _ in pairs]
    mean = at_steps([prediction.mean for prediction in published])
    base_covariance = at_steps([prediction.covariance for prediction in base])
    distance_2, _ = squared_mahalanobis(mean, base_covariance, ground_truth)
    return ScoredPositions(
        stamp_ns=stamp_ns,
        steps=steps,
        speed_m_s=np.concatenate([entry.content.speed_m_s for entry, _ in pairs])[known],
        error_m=np.hypot(*(ground_truth - mean).T),
        distance=gaussian_distance(np.sqrt(distance_2), joined_scales(base, at_steps)),
        levels=confidence_levels(
            mean,
            at_steps([prediction.covariance for prediction in published]),
            ground_truth,
            joined_scales(published, at_steps),
        ),
        weight=weights_of(
            ground_truth, np.concatenate([entry.content.still_m for entry, _ in pairs])[known]
        ),
    )
