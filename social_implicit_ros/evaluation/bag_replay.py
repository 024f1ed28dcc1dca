"""A recording through the node's own pipeline: every tick, with what later came to pass.

The recording is read ahead of the moment that is predicted by as much as predictions reach, so that
each prediction is judged at once and none has to be kept.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from social_implicit_ros.core.agent_ids import AgentNumbers
from social_implicit_ros.core.forecast import Forecast, forecast_from_tick
from social_implicit_ros.core.pipeline import PredictionPipeline, Tick
from social_implicit_ros.core.predictor import TrajectoryModel
from social_implicit_ros.core.resample import Steps
from social_implicit_ros.core.stamp_guard import StampGuard, StampVerdict
from social_implicit_ros.core.types import (
    FloatArray,
    IntArray,
    ObservationWindow,
    SkipReason,
    Tracks,
)
from social_implicit_ros.core.uncertainty import observed_motion
from social_implicit_ros.evaluation.bags import RecordingError
from social_implicit_ros.evaluation.replay_settings import ReplaySettings
from social_implicit_ros.evaluation.track_source import Arrival, TrackSource
from social_implicit_ros.evaluation.truth_window import TruthWindow

_NS_PER_S = 1_000_000_000
#: Interpolation bridges at least so much, and two periods of a slow tracker, seconds.
_MIN_GAP_S = 0.5
#: The reading ahead allows for tracks that arrive so late, seconds.
_LATENCY_S = 1.0

#: Others within this distance count as near.
NEAR_M = 3.0

#: People compared with all others at once, so that memory does not grow with their square.
_ROWS_AT_ONCE = 256

_NOBODY = np.empty(0, dtype=np.int64)

#: Why a stamp is refused, as the node counts it.
_REFUSED = {
    StampVerdict.NO_STAMP: SkipReason.NO_STAMP,
    StampVerdict.FUTURE: SkipReason.FUTURE_STAMP,
    StampVerdict.LATE: SkipReason.OUT_OF_ORDER,
}


@dataclass(frozen=True, eq=False)
class Circumstances:
    """Under which agents were predicted, and what came of them.

    Attributes:
        truth: (A, T, 2) where they were at the predicted steps, metres; NaN where nobody knows.
        observed_m: (A, 2) where they were seen last, metres.
        speed_m_s: (A,) net speed over the observed past.
        n_near: (A,) other people within `NEAR_M`.
    """

    truth: FloatArray
    observed_m: FloatArray
    speed_m_s: FloatArray
    n_near: IntArray


@dataclass(frozen=True, eq=False)
class JudgedTick:
    """What one model predicted at one tick, and what came to pass.

    Attributes:
        window: what the model saw.
        forecast: as the node would publish it.
        circumstances: of the forecast's agents.
        window_s: how long the history took.
        model_s: how long the model took.
    """

    window: ObservationWindow
    forecast: Forecast
    circumstances: Circumstances
    window_s: float
    model_s: float


@dataclass
class ReplayCounts:
    """What a replay met on its way.

    Attributes:
        messages: on the tracks' topic.
        entries: people in them that entered the histories.
        skipped: entries that did not, by reason.
        resets: how often time jumped back.
        first_ns, last_ns: when the first and last message were received, integer nanoseconds.
    """

    messages: int = 0
    entries: int = 0
    skipped: Counter[SkipReason] = field(default_factory=Counter)
    resets: int = 0
    first_ns: int = 0
    last_ns: int = 0

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last message."""
        return max(self.last_ns - self.first_ns, 0) * 1e-9

    def add_message(self, received_ns: int) -> None:
        """Counts a message."""
        if self.messages == 0:
            self.first_ns = received_ns
        self.messages, self.last_ns = self.messages + 1, received_ns


def longest_gap_s(source: TrackSource, track_timeout_s: float) -> float:
    """The longest time between two observations to interpolate over: two periods of a tracker."""
    return min(max(_MIN_GAP_S, 2.1 * source.period_s), max(track_timeout_s, _MIN_GAP_S))


class BagReplay:
    """Plays one recording to several models."""

    def __init__(
        self,
        source: TrackSource,
        models: Mapping[str, TrajectoryModel],
        settings: ReplaySettings,
    ) -> None:
        """Prepares; nothing is read yet.

        Args:
            source: the recording.
            models: by the names that results use.
            settings: as the node's parameters.

        Raises:
            ValueError: a horizon or time step that a model does not have.
        """
        self.counts = ReplayCounts()
        self._source, self._settings = source, settings
        self.steps = {
            name: Steps.within(
                model.step_s,
                model.n_predicted,
                step_s=settings.time_step_s,
                horizon_s=settings.horizon_s,
            )
            for name, model in models.items()
        }
        self._pipelines = {
            name: PredictionPipeline(model, settings.pipeline) for name, model in models.items()
        }
        # One history serves all models that take the same steps: that of the first of them.
        self._leaders: dict[str, str] = {}
        for name, model in models.items():
            alike = (
                leader
                for leader in self._leaders.values()
                if (models[leader].step_s, models[leader].n_observed)
                == (model.step_s, model.n_observed)
            )
            self._leaders[name] = next(alike, name)
        self._histories = [self._pipelines[name] for name in dict.fromkeys(self._leaders.values())]
        self._numbers = {name: AgentNumbers() for name in models}
        timeout_s = settings.pipeline.track_timeout_s
        self.max_gap_s = longest_gap_s(source, timeout_s)
        self._truth = TruthWindow(
            max_gap_s=self.max_gap_s,
            max_pause_s=timeout_s,
            max_speed_m_s=settings.pipeline.max_speed_m_s,
        )
        self._guard, self._robot_guard = StampGuard(timeout_s), StampGuard(timeout_s)
        # The latest that transforms tell of the robot, for the next tick.
        self._robot: Tracks | None = None
        horizon_s = max(steps.step_s * steps.n_steps for steps in self.steps.values())
        self._ahead_ns = round((horizon_s + self.max_gap_s + _LATENCY_S) * _NS_PER_S)
        self._behind_ns = round((timeout_s + self.max_gap_s + _LATENCY_S) * _NS_PER_S)
        self._period_ns = (
            round(_NS_PER_S / settings.tick_rate_hz) if settings.tick_rate_hz > 0 else 0
        )
        # Agent -> its unbroken track, and when it was told of.
        self._track_of_id: dict[str, tuple[int, int]] = {}
        self._n_tracks_to_drop = 100
        self._next_tick_ns: int | None = None
        self._newest_ns = 0
        self._last_answer: tuple[object, Circumstances | None] = (None, None)

    def ticks(
        self, advance: Callable[[int], None] = lambda n_messages: None
    ) -> Iterator[dict[str, JudgedTick]]:
        """Reads the recording once.

        Args:
            advance: called with the number of messages whenever some were read.

        Yields:
            For every tick that somebody is predicted at, what each model made of it.

        Raises:
            RecordingError: the recording turns out to be damaged; what was read until then has
                been yielded.
        """
        waiting: deque[tuple[Arrival, IntArray]] = deque()
        arrivals = self._source.arrivals(transform_wait_s=self._settings.transform_wait_s)
        try:
            for arrival in arrivals:
                if arrival.is_robot:
                    if self._is_usable(arrival):
                        waiting.append((arrival, _NOBODY))
                else:
                    self.counts.add_message(arrival.received_ns)
                    advance(1)
                    verdict = self._verdict(arrival)
                    if verdict is StampVerdict.JUMPED_BACK:
                        yield from self._played(waiting, math.inf)
                        self._restart()
                    if verdict in (StampVerdict.IN_TIME, StampVerdict.JUMPED_BACK):
                        assert arrival.tracks is not None  # see _verdict
                        waiting.append((arrival, self._truth.add(arrival.tracks)))
                yield from self._played(waiting, arrival.received_ns - self._ahead_ns)
        except RecordingError:
            yield from self._played(waiting, math.inf)
            raise
        yield from self._played(waiting, math.inf)

    def _is_usable(self, arrival: Arrival) -> bool:
        """Whether the robot's position may enter the histories."""
        if arrival.tracks is None:
            return False
        verdict = self._robot_guard.judge(arrival.tracks.stamp_ns, arrival.received_ns)
        return verdict not in _REFUSED

    def _verdict(self, arrival: Arrival) -> StampVerdict | None:
        """Whether a message may enter the histories; counts what may not."""
        self.counts.skipped += arrival.skipped
        if arrival.tracks is None:
            return None
        verdict = self._guard.judge(arrival.tracks.stamp_ns, arrival.received_ns)
        if verdict in _REFUSED:
            self.counts.skipped[_REFUSED[verdict]] += len(arrival.tracks.ids)
        return verdict

    def _played(
        self, waiting: deque[tuple[Arrival, IntArray]], until_ns: float
    ) -> Iterator[dict[str, JudgedTick]]:
        """Hands over the messages received until then, and ticks in between."""
        while waiting and waiting[0][0].received_ns <= until_ns:
            arrival, track_numbers = waiting.popleft()
            assert arrival.tracks is not None
            yield from self._ticks_before(arrival.received_ns)
            if arrival.is_robot:
                self._locate_robot(arrival.tracks)
                continue
            self._update(arrival.tracks, track_numbers)
            if self._period_ns == 0:
                if arrival.tracks.stamp_ns == self._newest_ns:
                    yield from self._tick(arrival.tracks.stamp_ns)
            elif self._next_tick_ns is None:
                self._next_tick_ns = arrival.received_ns
        if math.isinf(until_ns) and self._next_tick_ns is not None:
            yield from self._ticks_before(self._next_tick_ns + 1)

    def _update(self, tracks: Tracks, track_numbers: IntArray) -> None:
        self._newest_ns = max(self._newest_ns, tracks.stamp_ns)
        self._track_of_id.update(
            (agent, (number, tracks.stamp_ns))
            for agent, number in zip(tracks.ids, track_numbers.tolist(), strict=True)
            if number >= 0
        )
        rejected: dict[str, SkipReason] = {}
        for pipeline in self._histories:
            rejected = pipeline.update(tracks)
        self.counts.skipped.update(rejected.values())
        self.counts.entries += len(tracks.ids) - len(rejected)

    def _locate_robot(self, robot: Tracks) -> None:
        """As the node does: odometry enters the histories as it comes, transforms at a tick."""
        if self._settings.robot == "tf":
            self._robot = robot
            return
        for pipeline in self._histories:
            pipeline.update(robot)

    def _ticks_before(self, stamp_ns: int) -> Iterator[dict[str, JudgedTick]]:
        """The ticks of the timer that are due before a moment."""
        while self._next_tick_ns is not None and self._next_tick_ns < stamp_ns:
            if all(pipeline.n_tracked == 0 for pipeline in self._histories):
                # Nobody is there, and nobody comes before the next message.
                missed = (stamp_ns - self._next_tick_ns) // self._period_ns
                self._next_tick_ns += max(missed, 1) * self._period_ns
                continue
            tick_ns, self._next_tick_ns = self._next_tick_ns, self._next_tick_ns + self._period_ns
            yield from self._tick(tick_ns)

    def _tick(self, stamp_ns: int) -> Iterator[dict[str, JudgedTick]]:
        self._forget_before(stamp_ns - self._behind_ns)
        if self._robot is not None:
            for pipeline in self._histories:
                pipeline.update(self._robot)
        windows: dict[str, Tick] = {}
        judged = {}
        for name, pipeline in self._pipelines.items():
            leader = self._leaders[name]
            tick = pipeline.tick(stamp_ns) if leader == name else pipeline.repeat(windows[leader])
            windows[name] = tick
            judged[name] = self._judged(name, tick)
        if any(tick.forecast.ids for tick in judged.values()):
            yield judged

    def _forget_before(self, stamp_ns: int) -> None:
        """Drops what no later tick can ask for."""
        self._truth.forget_before(stamp_ns)
        # In bulk, as every look at all of them takes time.
        if len(self._track_of_id) > self._n_tracks_to_drop:
            self._track_of_id = {
                agent: entry for agent, entry in self._track_of_id.items() if entry[1] >= stamp_ns
            }
            self._n_tracks_to_drop = 2 * len(self._track_of_id) + 100

    def _judged(self, name: str, tick: Tick) -> JudgedTick:
        forecast = forecast_from_tick(
            tick, self._numbers[name], self.steps[name], self._source.fixed_frame
        )
        return JudgedTick(
            tick.window,
            forecast,
            self._circumstances(forecast, tick.window),
            tick.timings_s["window"],
            tick.timings_s["model"],
        )

    def _circumstances(self, forecast: Forecast, window: ObservationWindow) -> Circumstances:
        question = (forecast.stamp_ns, forecast.ids, tuple(forecast.times_s), id(window))
        asked, answer = self._last_answer
        # Models with the same steps ask for the same, one after another.
        if answer is None or asked != question:
            answer = self._answer(forecast, window)
            self._last_answer = question, answer
        return answer

    def _answer(self, forecast: Forecast, window: ObservationWindow) -> Circumstances:
        numbers = np.array([self._track_of_id[agent][0] for agent in forecast.ids], dtype=np.int64)
        steps_ns = forecast.stamp_ns + np.round(forecast.times_s * _NS_PER_S).astype(np.int64)
        past_m = window.positions_m
        if window.ids != forecast.ids:
            row_of = {agent: row for row, agent in enumerate(window.ids)}
            past_m = past_m[[row_of[agent] for agent in forecast.ids]]
        return Circumstances(
            truth=self._truth.positions_m(numbers, steps_ns),
            observed_m=past_m[:, -1],
            speed_m_s=observed_motion(past_m, ~np.isnan(past_m[..., 0]), window.step_s).speed_m_s,
            n_near=_n_near(forecast.present_m),
        )

    def _restart(self) -> None:
        """Forgets everybody, as the node does when time jumps back."""
        self.counts.resets += 1
        self._truth.clear()
        self._track_of_id.clear()
        self._next_tick_ns, self._newest_ns, self._robot = None, 0, None
        for pipeline in self._histories:
            pipeline.reset()


def _n_near(positions_m: FloatArray) -> IntArray:
    """(A,) how many others are within `NEAR_M` of each."""
    x, y = positions_m.T
    counts = np.empty(len(x), dtype=np.int64)
    for first in range(0, len(x), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        near = (x[rows, None] - x) ** 2 + (y[rows, None] - y) ** 2 <= NEAR_M * NEAR_M
        counts[rows] = near.sum(axis=1) - 1
    return counts
