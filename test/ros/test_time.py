"""Ticks by a timer in simulated time: latency is compensated, jumps of time are detected."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import PointCloud2
from support.conversation import Conversation, predictions_of, value_of
from support.ros import NodeUnderTest
from support.tracks import WALKERS, S, assert_walks_straight, walkers_at
from visualization_msgs.msg import MarkerArray

from social_implicit_ros.evaluation.published import (
    PublishedPrediction,
    prediction_from_point_cloud,
)
from social_implicit_ros.ros.messages import stamp_to_msg
from social_implicit_ros.tracks.stamps import stamp_ns_of

#: The clock of a replay runs in such steps; ticks come at 10 Hz of it.
CLOCK_STEP_NS = S // 50


class Stage:
    """Simulated time and tracks for a node that ticks by a timer."""

    def __init__(self, node: NodeUnderTest) -> None:
        self.node = node
        self.clock = node.publisher(Clock, "/clock")
        self.tracks = node.publisher(MarkerArray, "/predictor/tracks")
        self.clouds: list[PointCloud2] = node.collect(PointCloud2, "/predictor/predictions")
        self._reports: list[DiagnosticArray] = node.collect(DiagnosticArray, "/diagnostics")
        self.now_ns = 10 * S

    def play(self, accept: Callable[[PublishedPrediction], Any], *, delay_s: float) -> Any:
        """Advances time and publishes walking people until a prediction is accepted.

        Tracks arrive `delay_s` after they were measured.
        """

        def accepted() -> PublishedPrediction | None:
            self.now_ns += CLOCK_STEP_NS
            self.clock.publish(Clock(clock=stamp_to_msg(self.now_ns)))
            if self.now_ns % (5 * CLOCK_STEP_NS) == 0:
                self.tracks.publish(walkers_at(self.now_ns - round(delay_s * S)))
            predictions = map(prediction_from_point_cloud, self.clouds)
            found = next((p for p in predictions if accept(p)), None)
            self.clouds.clear()
            return found

        return self.node.wait_for(accepted, "an expected prediction")

    def report(self, accept: Callable[[DiagnosticStatus], Any] = lambda status: True) -> Any:
        """The first status from now on that `accept` accepts; time stands still meanwhile."""
        self._reports.clear()

        def found() -> DiagnosticStatus | None:
            return next((s for s in predictions_of(self._reports) if accept(s)), None)

        return self.node.wait_for(found, "an expected report")


@pytest.fixture(scope="module")
def module_stage(start_once: Callable[..., NodeUnderTest]) -> Stage:
    return Stage(start_once(use_sim_time=True, model="constant_velocity", position_noise_m=0.0))


@pytest.fixture
def stage(module_stage: Stage) -> Iterator[Stage]:
    # Far beyond all earlier stamps.
    module_stage.now_ns += 1000 * S
    module_stage.clouds.clear()
    yield module_stage
    assert "Traceback" not in module_stage.node.process.output


def is_complete(prediction: PublishedPrediction) -> bool:
    return len(prediction.agents) == 2 and prediction.n_observed.min() == 8


def test_the_latency_of_tracks_is_compensated(stage: Stage) -> None:
    prediction = stage.play(is_complete, delay_s=0.3)
    for agent_id, velocity in WALKERS.items():
        assert_walks_straight(prediction, agent_id, velocity, 2e-3)


def test_ticks_come_at_the_rate_of_simulated_time(stage: Stage) -> None:
    stage.play(is_complete, delay_s=0.0)
    stamps_ns: list[int] = []

    def ten_more(prediction: PublishedPrediction) -> bool:
        stamps_ns.append(prediction.stamp_ns)
        return len(stamps_ns) > 10

    stage.play(ten_more, delay_s=0.0)
    assert (stamps_ns[-1] - stamps_ns[0]) / (len(stamps_ns) - 1) == pytest.approx(S / 10, rel=0.25)


def test_histories_restart_with_one_warning_if_the_clock_jumps_back(stage: Stage) -> None:
    stage.play(is_complete, delay_s=0.0)
    jump_ns = stage.now_ns
    stage.now_ns -= 20 * S
    new = stage.play(lambda p: p.stamp_ns < jump_ns and len(p.agents) == 2, delay_s=0.0)
    assert new.n_observed.max() < 8
    assert stage.play(is_complete, delay_s=0.0).stamp_ns < jump_ns
    assert stage.node.process.output.count("jumped back") == 1
    # Before late messages can show it.
    assert stage.node.process.output.count("the clock jumped back") == 1


def test_tracks_from_the_future_are_refused_and_do_no_harm(stage: Stage) -> None:
    stage.play(is_complete, delay_s=0.0)
    stage.tracks.publish(walkers_at(stage.now_ns + 3600 * S))
    refused = "tracks from the future"
    stage.play(lambda p: is_complete(p) and refused in stage.node.process.output, delay_s=0.0)


def test_people_are_dropped_if_the_tracker_stops_until_it_returns(stage: Stage) -> None:
    stage.play(is_complete, delay_s=0.0)
    before = int(value_of(stage.report(), "skipped.stale"))

    def silence() -> PublishedPrediction | None:
        stage.now_ns += CLOCK_STEP_NS
        stage.clock.publish(Clock(clock=stamp_to_msg(stage.now_ns)))
        found = next((c for c in stage.clouds if c.width == 0), None)
        return found and prediction_from_point_cloud(found)

    stage.clouds.clear()
    last_told_ns = stage.now_ns
    empty = stage.node.wait_for(silence, "an empty prediction")
    assert empty.stamp_ns - last_told_ns == pytest.approx(1.0 * S, abs=0.3 * S)
    stage.report(lambda status: int(value_of(status, "skipped.stale")) == before + 2)
    stage.play(is_complete, delay_s=0.0)


def test_the_cloud_is_stamped_with_the_current_time(stage: Stage) -> None:
    prediction = stage.play(is_complete, delay_s=0.3)
    assert stage.now_ns - prediction.stamp_ns < 0.25 * S
    assert stamp_ns_of(stamp_to_msg(prediction.stamp_ns)) == prediction.stamp_ns


def test_a_clock_that_stops_is_a_warning_until_it_continues(stage: Stage) -> None:
    stage.play(is_complete, delay_s=0.0)

    # The tracker continues; time does not.
    def is_warned(status: DiagnosticStatus) -> bool:
        stage.tracks.publish(walkers_at(stage.now_ns))
        return "the clock does not advance" in status.message

    status = stage.report(is_warned)
    assert status.level == DiagnosticStatus.WARN
    assert value_of(status, "tick_rate_hz") == "0.00"
    assert stage.play(is_complete, delay_s=0.0).stamp_ns <= stage.now_ns


def test_two_publishers_of_the_clock_are_named(stage: Stage) -> None:
    other = stage.node.publisher(Clock, "/clock")
    ahead_ns = itertools.cycle([0, 100 * S])

    reports: list[DiagnosticArray] = stage.node.collect(DiagnosticArray, "/diagnostics")

    def is_warned() -> bool:
        stage.now_ns += CLOCK_STEP_NS
        other.publish(Clock(clock=stamp_to_msg(stage.now_ns + next(ahead_ns))))
        texts = [status.message for status in predictions_of(reports)]
        return any("/clock is published by /peer, /peer: one node alone" in t for t in texts)

    stage.node.wait_for(is_warned, "a warning of two clocks")
    stage.node.peer.node.destroy_publisher(other)
    stage.now_ns += 200 * S
    stage.play(is_complete, delay_s=0.0)


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_after_a_jump_of_time_only_new_observations_count(stage: Stage, jump_s: int) -> None:
    stage.now_ns += 10_000 * S
    stage.play(is_complete, delay_s=0.0)
    stage.now_ns += jump_s * S
    jumped_ns = stage.now_ns
    within = jumped_ns - S, jumped_ns + 60 * S

    def after(prediction: PublishedPrediction) -> bool:
        return within[0] < prediction.stamp_ns < within[1] and len(prediction.agents) == 2

    new = stage.play(after, delay_s=0.0)
    assert new.n_observed.max() < 8
    for agent_id, velocity in WALKERS.items():
        assert_walks_straight(new, agent_id, velocity, 5e-3)
    stage.play(is_complete, delay_s=0.0)


def test_the_node_recovers_from_the_last_possible_time(stage: Stage) -> None:
    stage.play(is_complete, delay_s=0.0)
    last_ns = (2**31 - 1) * S

    def nobody_there() -> bool:
        stage.clock.publish(Clock(clock=stamp_to_msg(last_ns)))
        return any(c.width == 0 and stamp_ns_of(c.header.stamp) == last_ns for c in stage.clouds)

    stage.node.wait_for(nobody_there, "an empty prediction at the end of time")
    stage.play(is_complete, delay_s=0.0)


def test_without_a_clock_a_stamp_beyond_the_last_that_a_message_can_hold_is_refused(
    start: Callable[..., NodeUnderTest],
) -> None:
    # Simulated time without a clock: all other stamps are valid.
    talk = Conversation(start(use_sim_time=True, tick_rate_hz=0.0, model="constant_velocity"))
    with talk.counting("skipped.future_stamp", 2):
        talk.tell(walkers_at((2**31 - 1) * S))
        assert len(talk.walk(talk.new_stamps(), 2).agents) == 2
