"""A recording through the node's own pipeline and self-evaluation, with what was judged when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from social_implicit_ros.metrics.reliability import coverage, reliability_scores
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.prediction.online_evaluation import EARLY
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.replay_settings import ReplaySettings
from social_implicit_ros.recordings.arrivals import (
    TracksArrival,
    arrivals_of,
    deliver,
    predictor_config,
)
from social_implicit_ros.recordings.track_source import TrackSource
from social_implicit_ros.tracks.transforms import TransformBuffer
from social_implicit_ros.types import FloatArray, Prediction, require_shape
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration
from social_implicit_ros.uncertainty.ellipses import radius_at

_NS_PER_S = 1_000_000_000
#: The ellipse that is looked at.
CONFIDENCE = 0.95
#: How near its share must come, and after how many positions a share means something.
BAND = 0.03
MIN_POSITIONS = 100


class NothingToJudgeError(ValueError):
    """Nobody was seen at a time for which they were predicted."""


@dataclass(frozen=True, eq=False)
class CalibrationReplay:
    """What was judged while a recording was replayed, in the order of judgement.

    Attributes:
        times_s: (E,) when each position was judged, seconds since the first prediction.
        levels: (E,) confidence of the smallest published ellipse that held the true position.
        duration_s: from the first prediction to the last.
        area_m2: geometric mean of the areas of all published ellipses of `CONFIDENCE`.
    """

    times_s: FloatArray
    levels: FloatArray
    duration_s: float
    area_m2: float

    def __post_init__(self) -> None:
        """Checks the shapes; raises ValueError naming the field."""
        require_shape("CalibrationReplay", "levels", self.levels, self.times_s.shape)

    @property
    def coverage(self) -> float:
        """Share of all judged positions inside the ellipse."""
        return coverage(self.levels, CONFIDENCE)

    @property
    def reliability(self) -> tuple[float, float]:
        """R_avg and R_min over all judged positions."""
        return reliability_scores(self.levels)

    def running_coverage(self, at_s: float) -> float:
        """Share inside the ellipse of all positions judged by then; NaN where there is none."""
        return coverage(self.levels[self.times_s <= at_s], CONFIDENCE)

    def seconds_to_band(self) -> float:
        """When the running coverage first was within `BAND`; infinite where it never was."""
        moments_s, last = np.unique(self.times_s[::-1], return_index=True)
        n_judged = len(self.times_s) - last
        running = np.cumsum(self.levels <= CONFIDENCE)[n_judged - 1] / n_judged
        near = (np.abs(running - CONFIDENCE) <= BAND) & (n_judged >= MIN_POSITIONS)
        return float(moments_s[near.argmax()]) if near.any() else float("inf")

    def seconds_in_window(self, window_s: float, band: float) -> tuple[float, float]:
        """How long the coverage of the latest `window_s` was within `band`, and how long not.

        Counted from the first full window on, at every moment at which something was judged.
        """
        moments_s, first = np.unique(self.times_s, return_index=True)
        ends = np.append(first[1:], len(self.times_s))
        begins = np.searchsorted(self.times_s, moments_s - window_s, side="right")
        inside = np.append(0, np.cumsum(self.levels <= CONFIDENCE))
        share = (inside[ends] - inside[begins]) / (ends - begins)
        lasting_s = np.diff(moments_s, append=moments_s[-1:])
        full = moments_s >= window_s
        near = np.abs(share - CONFIDENCE) <= band
        return float(lasting_s[full & near].sum()), float(lasting_s[full & ~near].sum())


def replay_calibration(
    model: TrajectoryModel,
    source: TrackSource,
    settings: ReplaySettings,
    *,
    adaptive: AdaptiveCalibration | None,
    advance: Callable[[int], None] = lambda n_messages: None,
) -> CalibrationReplay:
    """Predicts once a step, at the stamp of a message, and scores on the way.

    Args:
        model: to evaluate.
        source: the recording. Where its stamps jump back, as in a recording of a loop, everybody
            is forgotten, but not what was learnt.
        settings: as the node's parameters, save for tick rate and confidence.
        adaptive: learns on the way; None evaluates the model as it is.
        advance: called with the number of messages whenever some were read.

    Raises:
        NothingToJudgeError: a recording too short, or without people.
        RecordingError: the recording turns out to be damaged.
    """
    config = predictor_config(source, settings)
    pipeline = replace(config.pipeline, confidence=CONFIDENCE)
    config = replace(config, pipeline=pipeline, tick_rate_hz=0.0, self_evaluation_window_s=0.0)
    transforms = TransformBuffer()
    predictor = Predictor(model, config, transforms, adaptive=adaptive)
    period_ns = round((1.0 - EARLY) * model.step_s * _NS_PER_S)
    newest_ns, next_ns, played_ns, has_jumped = 0, 0, 0, False
    stamps_ns: list[int] = []
    times_ns, levels, log_areas = [], [], []
    for arrival in arrivals_of(source):
        update = deliver(arrival, predictor, transforms)
        if isinstance(arrival, TracksArrival):
            advance(1)
        has_jumped |= update.jumped_back
        if update.tick_ns is None:
            continue
        if has_jumped:
            # The time that is counted continues where it was.
            played_ns += newest_ns - update.tick_ns
            next_ns, has_jumped = 0, False
        newest_ns = update.tick_ns
        if update.tick_ns < next_ns:
            continue
        next_ns = update.tick_ns + period_ns
        predictor.tick(update.tick_ns)
        tick = predictor.last_tick
        assert tick is not None
        if tick.window.ids:
            stamps_ns.append(tick.stamp_ns + played_ns)
            log_areas.append(_log_areas(tick.prediction))
        scored = predictor.evaluate()
        if scored is not None:
            times_ns.append(np.full(len(scored.levels), scored.stamp_ns + played_ns))
            levels.append(scored.levels)
    if not levels:
        raise NothingToJudgeError("nobody was seen for long enough after a prediction to judge it")
    return CalibrationReplay(
        times_s=(np.concatenate(times_ns) - stamps_ns[0]) * 1e-9,
        levels=np.concatenate(levels),
        duration_s=(stamps_ns[-1] - stamps_ns[0]) * 1e-9,
        area_m2=float(np.exp(np.concatenate(log_areas).mean())),
    )


def _log_areas(prediction: Prediction) -> FloatArray:
    """(A * T,) logarithms of the areas of the ellipses of `CONFIDENCE`, square metres."""
    determinant = np.linalg.det(prediction.covariance)
    area_m2 = np.pi * radius_at(prediction, CONFIDENCE) ** 2 * np.sqrt(np.maximum(determinant, 0))
    # A singular covariance has no area; a square millimetre stands for it.
    return np.asarray(np.log(np.maximum(area_m2, 1e-6)).ravel())
