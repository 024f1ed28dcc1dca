"""A recording through the node's own pipeline and self-evaluation, with what was judged when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from social_implicit_ros.metrics.reliability import coverage, reliability_scores
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.prediction.online_evaluation import EARLY, SelfEvaluation
from social_implicit_ros.prediction.pipeline import PipelineConfig, PredictionPipeline
from social_implicit_ros.prediction.replay_settings import ReplaySettings
from social_implicit_ros.recordings.track_source import TrackSource
from social_implicit_ros.tracks.stamp_guard import StampGuard, StampVerdict
from social_implicit_ros.types import FloatArray, Prediction, Tracks, require_shape
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


def tracks_in_time(
    source: TrackSource,
    settings: ReplaySettings,
    advance: Callable[[int], None] = lambda n_messages: None,
) -> Iterator[Tracks]:
    """The messages of a recording that the node would use, in the order of arrival.

    Args:
        source: the recording.
        settings: as the node's parameters: how late tracks may come.
        advance: called with the number of messages whenever some were read.

    Raises:
        RecordingError: the recording turns out to be damaged.
    """
    guard = StampGuard(settings.pipeline.track_timeout_s)
    for arrival in source.arrivals(transform_wait_s=settings.transform_wait_s):
        advance(1)
        if arrival.tracks is None:
            continue
        verdict = guard.judge(arrival.tracks.stamp_ns, arrival.received_ns)
        if verdict in (StampVerdict.IN_TIME, StampVerdict.JUMPED_BACK):
            yield arrival.tracks


def replay_calibration(
    model: TrajectoryModel,
    recording: Iterable[Tracks],
    *,
    adaptive: AdaptiveCalibration | None,
    config: PipelineConfig | None = None,
) -> CalibrationReplay:
    """Predicts once a step, at the stamp of a message, and judges on the way.

    Args:
        model: to judge.
        recording: in the order of arrival; where stamps jump back by more than the tracks'
            timeout, as in a recording of a loop, everybody is forgotten, but not what was learnt.
        adaptive: learns on the way; None judges the model as it is.
        config: of the pipeline, the node's defaults where left out.

    Raises:
        NothingToJudgeError: a recording too short, or without people.
        RecordingError: the recording turns out to be damaged.
    """
    config = config or PipelineConfig(confidence=CONFIDENCE)
    pipeline = PredictionPipeline(model, config, adaptive)
    evaluation = SelfEvaluation(pipeline, window_s=0.0)
    timeout_ns = round(config.track_timeout_s * _NS_PER_S)
    period_ns = round((1.0 - EARLY) * model.step_s * _NS_PER_S)
    newest_ns = next_ns = played_ns = 0
    stamps_ns: list[int] = []
    times_ns, levels, log_areas = [], [], []
    for tracks in recording:
        if tracks.stamp_ns < newest_ns - timeout_ns:
            pipeline.reset()
            evaluation.forget()
            # The time that is counted goes on where it was.
            played_ns += newest_ns - tracks.stamp_ns
            newest_ns = next_ns = tracks.stamp_ns
        newest_ns = max(newest_ns, tracks.stamp_ns)
        pipeline.update(tracks)
        if tracks.stamp_ns < next_ns:
            continue
        next_ns = tracks.stamp_ns + period_ns
        tick = pipeline.tick(tracks.stamp_ns)
        if tick.window.ids:
            stamps_ns.append(tick.stamp_ns + played_ns)
            log_areas.append(_log_areas(tick.prediction))
        judged = evaluation.observe(tick)
        if judged is not None:
            times_ns.append(np.full(len(judged.levels), judged.stamp_ns + played_ns))
            levels.append(judged.levels)
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
