"""Trackers that repeat positions, freeze tracks, send zeros, or have a clock that is ahead."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.health.tracker_log import TrackerLog
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.messages.spec import find_tracker_spec
from social_implicit_ros.types import FloatArray, SkipReason, Tracks
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration

S = 1_000_000_000
START_NS = 1000 * S
N_PEOPLE = 16
HORIZON_S = 4.8
NOISE_M = 0.05


def people() -> tuple[FloatArray, FloatArray]:
    """(A, 2) first positions and velocities; one person in three stands."""
    generator = np.random.default_rng(3)
    speed = generator.uniform(0.6, 1.6, N_PEOPLE) * (np.arange(N_PEOPLE) % 3 > 0)
    heading = generator.uniform(-np.pi, np.pi, N_PEOPLE)
    directions = np.stack([np.cos(heading), np.sin(heading)], axis=1)
    return generator.uniform(-60.0, 60.0, (N_PEOPLE, 2)), speed[:, None] * directions


FIRST_M, VELOCITIES_M_S = people()
IDS = tuple(str(n) for n in range(N_PEOPLE))
#: Time in seconds -> (A, 2) positions in metres.
Seen = Callable[[float], FloatArray]


def seen(time_s: float, noise_m: float = NOISE_M) -> FloatArray:
    """Noisy positions of people as a tracker reports them; equal at equal times."""
    generator = np.random.default_rng(round(1e6 * time_s))
    noise = generator.normal(0.0, noise_m, FIRST_M.shape)
    return FIRST_M + VELOCITIES_M_S * time_s + noise


class Run:
    """Messages of a tracker, a tick ten times a second, and what comes of it."""

    def __init__(self) -> None:
        self.predictor = Predictor(
            load_model("default"),
            PredictorConfig(fixed_frame="odom"),
            TransformBuffer(),
            adaptive=AdaptiveCalibration(12),
        )
        self.log = TrackerLog("/tracks", find_tracker_spec("yolo"))
        self.skipped: Counter[SkipReason] = Counter()
        self.errors_m: list[float] = []
        self.n_ticks = 0

    def watch(
        self, position_of: Seen, *, rate_hz: float, duration_s: float = 20.0, ahead_s: float = 0.0
    ) -> Run:
        messages = iter(np.arange(0.0, duration_s, 1.0 / rate_hz).tolist())
        message_s: float | None = next(messages)
        for tick_s in np.arange(0.15, duration_s, 0.2).tolist():
            while message_s is not None and message_s <= tick_s:
                self._tell(position_of(message_s), message_s, ahead_s)
                message_s = next(messages, None)
            self._tick(tick_s)
        self.log.take_counts(self.predictor, "")
        return self

    def _tell(self, positions_m: FloatArray, time_s: float, ahead_s: float) -> None:
        now_ns = START_NS + round(time_s * S)
        tracks = Tracks(now_ns + round(ahead_s * S), IDS, positions_m)
        update = self.predictor.add_tracks(tracks, "odom", now_ns)
        self.skipped += update.skipped

    def _tick(self, time_s: float) -> None:
        self.predictor.tick(START_NS + round(time_s * S))
        self.predictor.evaluate()
        if time_s < 8.0:
            return
        self.n_ticks += 1
        tick = self.predictor.last_tick
        assert tick is not None
        rows = [int(agent_id) for agent_id in tick.window.ids]
        end_m = (FIRST_M + VELOCITIES_M_S * (time_s + HORIZON_S))[rows]
        self.errors_m += np.hypot(*(end_m - tick.prediction.mean[:, -1]).T).tolist()

    @property
    def error_m(self) -> float:
        """Mean error at the horizon, metres."""
        return float(np.mean(self.errors_m))


@functools.cache
def plain_run(rate_hz: float) -> Run:
    """The result with a tracker without faults."""
    return Run().watch(seen, rate_hz=rate_hz)


@pytest.mark.slow
@pytest.mark.parametrize("detector_hz", [2.0, 4.0])
def test_repeated_positions_do_not_change_predictions(detector_hz: float) -> None:
    """A detector of a few hertz whose positions are published at 20 Hz with new stamps."""
    plain = plain_run(detector_hz)
    held = Run().watch(
        lambda time_s: seen(np.floor(time_s * detector_hz + 1e-6) / detector_hz), rate_hz=20.0
    )
    assert len(held.errors_m) == N_PEOPLE * held.n_ticks  # nobody is lost
    assert held.error_m < 1.1 * plain.error_m
    assert held.predictor.history.noise_m("") == pytest.approx(NOISE_M, rel=0.2)
    assert held.predictor.counters()["frame_corrections"] == 0
    assert held.skipped[SkipReason.REPEATED] > 0.7 * 20 * N_PEOPLE * 20
    assert held.log.hold_s == pytest.approx(1.0 / detector_hz)
    # Repetitions do not count as losses, which would cause another warning.
    held.log.end_period((0.0, 0.0), 0, 0.0, 1.0, has_tick=True)
    assert held.log.skipped == {}


@pytest.mark.slow
def test_people_who_are_repeated_while_missed_are_extrapolated() -> None:
    """Each person is missed for one second in five, as behind another one."""

    def missed(time_s: float) -> FloatArray:
        positions_m = seen(time_s)
        for person in range(N_PEOPLE):
            since_s = (time_s + 1.1 * person) % 5.0
            if since_s < 1.0 and time_s > 1.0:
                positions_m[person] = seen(round(time_s - since_s - 0.1, 6))[person]
        return positions_m

    run = Run().watch(missed, rate_hz=10.0)
    assert len(run.errors_m) == N_PEOPLE * run.n_ticks
    assert run.error_m < 1.3 * plain_run(10.0).error_m
    assert run.log.hold_s == pytest.approx(1.1, abs=0.11)


@pytest.mark.slow
def test_a_slow_detector_keeps_its_people_although_it_publishes_fast() -> None:
    held = Run().watch(lambda time_s: seen(np.floor(time_s + 1e-6)), rate_hz=20.0)
    assert held.predictor.track_timeout_s == pytest.approx(2.2)
    assert len(held.errors_m) == N_PEOPLE * held.n_ticks


@pytest.mark.slow
def test_people_who_stand_exactly_still_stay_predicted() -> None:
    """As in a simulator; their tracks are not frozen."""
    exact = Run().watch(lambda time_s: seen(min(time_s, 6.0), noise_m=0.0), rate_hz=10.0)
    assert exact.log.frozen == ()
    assert len(exact.errors_m) == N_PEOPLE * exact.n_ticks
    assert exact.skipped[SkipReason.REPEATED] == 0


@pytest.mark.parametrize(
    ("noise_m", "rate_hz", "duration_s", "axis"),
    [(NOISE_M, 20.0, 16.0, "x"), (0.0, 50.0, 16.0, ""), (0.0, 2.0, 32.0, "")],
)
def test_people_in_a_simulator_may_walk_exactly_along_x(
    noise_m: float, rate_hz: float, duration_s: float, axis: str
) -> None:
    """Positions of a detector that fills in x alone are noisy."""
    run = Run().watch(
        lambda time_s: seen(time_s, noise_m) * [1.0, 0.0], rate_hz=rate_hz, duration_s=duration_s
    )
    assert run.log.only_axis == axis


def frozen(time_s: float) -> FloatArray:
    """After six seconds, half of the people are published at their last position."""
    positions_m = seen(time_s)
    positions_m[::2] = seen(min(time_s, 6.0))[::2]
    return positions_m


def gone(time_s: float) -> FloatArray:
    """As `frozen`, but with unknown positions."""
    positions_m = seen(time_s)
    if time_s > 6.0:
        positions_m[::2] = np.nan
    return positions_m


@pytest.mark.slow
def test_frozen_tracks_are_named_and_not_learned_from() -> None:
    run = Run().watch(frozen, rate_hz=10.0)
    assert set(run.log.frozen) == set(IDS[::2])
    assert run.predictor.history.frozen == set(IDS[::2])
    site = run.predictor.history._estimator.site
    standing = np.hypot(*np.array([*site._velocity_m_s.values()]).T) < 0.3
    assert standing.sum() == np.count_nonzero(~VELOCITIES_M_S.any(axis=1))
    # They do not shrink the regions of people who stand.
    others = Run().watch(gone, rate_hz=10.0)
    assert run.predictor.adaptive is not None and others.predictor.adaptive is not None
    ratio = run.predictor.adaptive.radii[0] / others.predictor.adaptive.radii[0]
    assert ratio.min() > 0.9


def test_a_tracker_that_repeats_its_last_message_for_ever_is_reported() -> None:
    run = Run().watch(lambda time_s: seen(min(time_s, 6.0)), rate_hz=10.0, duration_s=10.0)
    assert set(run.log.frozen) == set(IDS) == run.predictor.history.frozen


@pytest.mark.slow
def test_zeros_for_lost_people_are_not_used_as_positions() -> None:
    def zeros(time_s: float) -> FloatArray:
        positions_m = seen(time_s)
        # Each second another person, for half a second.
        if time_s % 1.0 >= 0.5:
            positions_m[int(time_s) % N_PEOPLE] = 0.0
        return positions_m

    run = Run().watch(zeros, rate_hz=10.0)
    assert run.skipped[SkipReason.UNSET_POSITION] == 5 * 20
    assert run.skipped[SkipReason.OUTLIER] == 0
    assert run.error_m < 1.15 * plain_run(10.0).error_m
    assert len(run.errors_m) == N_PEOPLE * run.n_ticks


@pytest.mark.slow
@pytest.mark.parametrize("ahead_s", [0.35, 0.9])
def test_a_tracker_clock_that_is_ahead_does_not_increase_errors(ahead_s: float) -> None:
    plain = plain_run(10.0)
    ahead = Run().watch(seen, rate_hz=10.0, ahead_s=ahead_s)
    assert ahead.error_m == pytest.approx(plain.error_m, rel=0.02)
    assert len(ahead.errors_m) == N_PEOPLE * ahead.n_ticks
    assert ahead.log.latency_s == pytest.approx(-ahead_s)  # which is named


def test_simulated_time_in_steps_is_not_taken_for_a_lead_of_the_tracker() -> None:
    """Simulated time that is published twice a second: messages between seem to be ahead."""
    run = Run()
    for n in range(60):
        stamp_ns, clock_ns = START_NS + n * S // 10, START_NS + n // 5 * S // 2
        update = run.predictor.add_tracks(Tracks(stamp_ns, IDS, seen(n / 10.0)), "odom", clock_ns)
        assert update.is_accepted and run.predictor.tracker("").timing.lead_ns == 0
    assert run.predictor.tracker("").timing.latency_s == pytest.approx(0.0)
    assert run.predictor.newest_ns == START_NS + 59 * S // 10


def messages_ahead(leads_s: Iterator[float]) -> list[float]:
    """The lead that is subtracted after each message, seconds."""
    run = Run()
    taken = []
    for n, lead_s in enumerate(leads_s):
        run._tell(seen(n / 10.0), n / 10.0, lead_s)
        taken.append(run.predictor.tracker("").timing.lead_ns / S)
    return taken


def test_the_clock_of_a_tracker_is_followed() -> None:
    # A small lead may be delay of this node's clock, and is not corrected.
    assert set(messages_ahead(iter([0.08] * 20))) == {0.0}
    drifting = messages_ahead(n / 100.0 for n in range(60))
    assert drifting[9] == 0.0 and drifting[30] == pytest.approx(0.3)
    corrected = messages_ahead(iter([0.4] * 20 + [-0.1] * 20))
    assert corrected[19] == pytest.approx(0.4) and corrected[-1] == 0.0
