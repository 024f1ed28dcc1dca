"""A recording through the node's own pipeline: every tick, with what later came to pass.

The recording is read ahead of the moment that is predicted by as much as predictions reach, so that
each prediction is judged at once and none has to be kept.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from social_implicit_ros.evaluation.truth_window import TruthWindow
from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.prediction.forecast import Forecast, forecast_from_tick
from social_implicit_ros.prediction.pipeline import PredictionPipeline, Tick
from social_implicit_ros.prediction.replay_settings import ReplaySettings
from social_implicit_ros.prediction.resample import Steps
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.track_source import Arrival, TrackSource
from social_implicit_ros.tracks.agent_ids import AgentNumbers
from social_implicit_ros.tracks.stamp_guard import StampGuard, StampVerdict
from social_implicit_ros.types import (
    FloatArray,
    IntArray,
    ObservationWindow,
    SkipReason,
    Tracks,
)
from social_implicit_ros.uncertainty.calibration import observed_motion

_NS_PER_S = 1_000_000_000
#: Interpolation bridges at least so much, and two periods of a slow tracker, seconds.
_MIN_GAP_S = 0.5
#: The reading ahead allows for tracks that arrive so late, seconds.
_LATENCY_S = 1.0

#: Others within this distance count as near.
NEAR_M = 3.0

#: Ticks, and futures of one model, judged together: numpy takes hardly longer than for one tick.
_TICKS_AT_ONCE, _FUTURES_AT_ONCE = 32, 1000

#: People compared with all others at once, so that memory does not grow with their square.
_ROWS_AT_ONCE = 256

#: Leader and steps of a model, and stamp and agents of its forecast.
_Question = tuple[str, Steps, int, tuple[str, ...]]

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


@dataclass(frozen=True, eq=False)
class _Foretold:
    """What one model predicted at one tick, before it is known what came to pass.

    Attributes:
        tick: of the pipeline.
        forecast: as the node would publish it.
        tracks: (A,) numbers of the unbroken tracks of its agents.
    """

    tick: Tick
    forecast: Forecast
    tracks: IntArray

    @property
    def past_m(self) -> FloatArray:
        """(A, H, 2) what was observed of the forecast's agents, metres."""
        window = self.tick.window
        if window.ids == self.forecast.ids:
            return window.positions_m
        row_of = {agent: row for row, agent in enumerate(window.ids)}
        return window.positions_m[[row_of[agent] for agent in self.forecast.ids]]


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
        # The last message, until it is noted there: most tell of the same tracks as the one before.
        self._told: Tracks | None = None
        self._told_numbers = _NOBODY
        self._n_tracks_to_drop = 100
        self._next_tick_ns: int | None = None
        self._newest_ns = 0
        self._unjudged: list[dict[str, _Foretold]] = []
        self._n_unjudged_futures = 0  # of the model with most of them

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
                        self._play(waiting, math.inf)
                        yield from self._judged()
                        self._restart()
                    if verdict in (StampVerdict.IN_TIME, StampVerdict.JUMPED_BACK):
                        assert arrival.tracks is not None  # see _verdict
                        waiting.append((arrival, self._truth.add(arrival.tracks)))
                self._play(waiting, arrival.received_ns - self._ahead_ns)
                if (
                    len(self._unjudged) >= _TICKS_AT_ONCE
                    or self._n_unjudged_futures >= _FUTURES_AT_ONCE
                ):
                    yield from self._judged()
        except RecordingError:
            self._play(waiting, math.inf)
            yield from self._judged()
            raise
        self._play(waiting, math.inf)
        yield from self._judged()

    def _is_usable(self, arrival: Arrival) -> bool:
        """Whether the robot's position may enter the histories."""
        if arrival.tracks is None:
            return False
        verdict = self._robot_guard.judge(arrival.tracks.stamp_ns, arrival.received_ns)
        return verdict not in _REFUSED

    def _verdict(self, arrival: Arrival) -> StampVerdict | None:
        """Whether a message may enter the histories; counts what may not."""
        if arrival.skipped:
            self.counts.skipped += arrival.skipped
        if arrival.tracks is None:
            return None
        verdict = self._guard.judge(arrival.tracks.stamp_ns, arrival.received_ns)
        if verdict in _REFUSED:
            self.counts.skipped[_REFUSED[verdict]] += len(arrival.tracks.ids)
        return verdict

    def _play(self, waiting: deque[tuple[Arrival, IntArray]], until_ns: float) -> None:
        """Hands over the messages received until then, and ticks in between."""
        while waiting and waiting[0][0].received_ns <= until_ns:
            arrival, track_numbers = waiting.popleft()
            assert arrival.tracks is not None
            self._tick_before(arrival.received_ns)
            if arrival.is_robot:
                self._locate_robot(arrival.tracks)
                continue
            self._update(arrival.tracks, track_numbers)
            if self._period_ns == 0:
                if arrival.tracks.stamp_ns == self._newest_ns:
                    self._tick(arrival.tracks.stamp_ns)
            elif self._next_tick_ns is None:
                self._next_tick_ns = arrival.received_ns
        if math.isinf(until_ns) and self._next_tick_ns is not None:
            self._tick_before(self._next_tick_ns + 1)

    def _update(self, tracks: Tracks, track_numbers: IntArray) -> None:
        self._newest_ns = max(self._newest_ns, tracks.stamp_ns)
        if track_numbers is not self._told_numbers:  # somebody came, left or jumped
            self._note_told()
            self._told, self._told_numbers = tracks, track_numbers
            self._note_told()
        else:
            self._told = tracks
        rejected: dict[str, SkipReason] = {}
        for pipeline in self._histories:
            rejected = pipeline.update(tracks)
        if rejected:
            self.counts.skipped.update(rejected.values())
        self.counts.entries += len(tracks.ids) - len(rejected)

    def _note_told(self) -> None:
        """Notes of whom the last message told."""
        told, self._told = self._told, None
        if told is None:
            return
        entries = zip(told.ids, self._told_numbers.tolist(), strict=True)
        self._track_of_id.update(
            {agent: (number, told.stamp_ns) for agent, number in entries if number >= 0}
        )

    def _locate_robot(self, robot: Tracks) -> None:
        """As the node does: odometry enters the histories as it comes, transforms at a tick."""
        if self._settings.robot == "tf":
            self._robot = robot
            return
        for pipeline in self._histories:
            pipeline.update(robot)

    def _tick_before(self, stamp_ns: int) -> None:
        """Makes the ticks of the timer that are due before a moment."""
        while self._next_tick_ns is not None and self._next_tick_ns < stamp_ns:
            if all(pipeline.n_tracked == 0 for pipeline in self._histories):
                # Nobody is there, and nobody comes before the next message.
                missed = (stamp_ns - self._next_tick_ns) // self._period_ns
                self._next_tick_ns += max(missed, 1) * self._period_ns
                continue
            tick_ns, self._next_tick_ns = self._next_tick_ns, self._next_tick_ns + self._period_ns
            self._tick(tick_ns)

    def _tick(self, stamp_ns: int) -> None:
        if self._robot is not None:
            for pipeline in self._histories:
                pipeline.update(self._robot)
        foretold: dict[str, _Foretold] = {}
        # Most models predict the same agents.
        tracks_of: dict[tuple[str, ...], IntArray] = {}
        for name, pipeline in self._pipelines.items():
            leader = self._leaders[name]
            if leader == name:
                tick = pipeline.tick(stamp_ns)
            else:
                tick = pipeline.repeat(foretold[leader].tick)
            forecast = forecast_from_tick(
                tick, self._numbers[name], self.steps[name], self._source.fixed_frame
            )
            if forecast.ids not in tracks_of:
                tracks = [self._track_of_id[agent][0] for agent in forecast.ids]
                tracks_of[forecast.ids] = np.array(tracks, dtype=np.int64)
            foretold[name] = _Foretold(tick, forecast, tracks_of[forecast.ids])
        n_futures = max(len(model.forecast.ids) for model in foretold.values())
        if n_futures:
            self._unjudged.append(foretold)
            self._n_unjudged_futures += n_futures

    def _judged(self) -> Iterator[dict[str, JudgedTick]]:
        """What came of the ticks that wait for it."""
        waiting, self._unjudged, self._n_unjudged_futures = self._unjudged, [], 0
        circumstances = self._circumstances(waiting)
        for foretold in waiting:
            yield {
                name: JudgedTick(
                    model.tick.window,
                    model.forecast,
                    circumstances[self._question(name, model)],
                    model.tick.timings_s["window"],
                    model.tick.timings_s["model"],
                )
                for name, model in foretold.items()
            }
        if waiting:
            stamp_ns = next(iter(waiting[-1].values())).tick.stamp_ns
            self._forget_before(stamp_ns - self._behind_ns)

    def _forget_before(self, stamp_ns: int) -> None:
        """Drops what no later tick can ask for."""
        self._truth.forget_before(stamp_ns)
        # In bulk, as every look at all of them takes time.
        if len(self._track_of_id) > self._n_tracks_to_drop:
            self._note_told()
            self._track_of_id = {
                agent: entry for agent, entry in self._track_of_id.items() if entry[1] >= stamp_ns
            }
            self._n_tracks_to_drop = 2 * len(self._track_of_id) + 100

    def _question(self, name: str, foretold: _Foretold) -> _Question:
        """What is asked for a model; most ask for the same."""
        forecast = foretold.forecast
        return self._leaders[name], self.steps[name], forecast.stamp_ns, forecast.ids

    def _circumstances(
        self, ticks: Sequence[Mapping[str, _Foretold]]
    ) -> dict[_Question, Circumstances]:
        """Of all models at some ticks."""
        asked: dict[_Question, _Foretold] = {}
        for tick in ticks:
            for name, model in tick.items():
                asked.setdefault(self._question(name, model), model)
        answers: dict[_Question, Circumstances] = {}
        # Those with the same steps together.
        for alike in {question[:2] for question in asked}:
            questions = [question for question in asked if question[:2] == alike]
            of_questions = self._answers([asked[question] for question in questions])
            answers.update(zip(questions, of_questions, strict=True))
        return answers

    def _answers(self, foretold: Sequence[_Foretold]) -> Iterator[Circumstances]:
        """Of forecasts with the same steps."""
        counts = [len(model.tracks) for model in foretold]
        stamps_ns = np.array([model.forecast.stamp_ns for model in foretold])
        ahead_ns = np.round(foretold[0].forecast.times_s * _NS_PER_S).astype(np.int64)
        truth = self._truth.positions_m(
            np.concatenate([model.tracks for model in foretold]),
            np.repeat(stamps_ns, counts)[:, None] + ahead_ns,
        )
        past_m = np.concatenate([model.past_m for model in foretold])
        known = ~np.isnan(past_m[..., 0])
        motion = observed_motion(past_m, known, foretold[0].tick.window.step_s)
        end = 0
        for model, count in zip(foretold, counts, strict=True):
            rows = slice(end, end + count)
            yield Circumstances(
                truth=truth[rows],
                observed_m=past_m[rows, -1],
                speed_m_s=motion.speed_m_s[rows],
                n_near=_n_near(model.forecast.present_m),
            )
            end += count

    def _restart(self) -> None:
        """Forgets everybody, as the node does when time jumps back."""
        self.counts.resets += 1
        self._truth.clear()
        self._track_of_id.clear()
        self._told, self._told_numbers = None, _NOBODY
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
