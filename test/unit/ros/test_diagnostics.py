"""The status names what is wrong and counts what was left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from social_implicit_ros.prediction.health.snapshot import NodeState, Surroundings
from social_implicit_ros.prediction.health.tracker_log import TrackerLog
from social_implicit_ros.ros.reporting.diagnostics import DiagnosticsLog
from social_implicit_ros.ros.reporting.reporter import reason_of
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.tracks.messages.decoder import DecodedMessage
from social_implicit_ros.tracks.messages.spec import find_tracker_spec
from social_implicit_ros.types import SkipReason, Tracks

S = 1_000_000_000
ACTIVE = NodeState("active", model="walker", track_timeout_s=1.0)


@pytest.fixture
def log() -> DiagnosticsLog:
    """The log of a node with one tracker."""
    return DiagnosticsLog({"": TrackerLog("/tracks", find_tracker_spec("people"))})


def tell(log: DiagnosticsLog, stamp_ns: int, arrived_s: float) -> None:
    """Adds a message with five people."""
    tracks = Tracks(stamp_ns, tuple("abcde"), np.zeros((5, 2)))
    log.add_arrival("", arrived_s)
    log.add_decoded("", DecodedMessage(tracks, "odom", Counter(), 5))
    log.add_message("", tracks)


def busy_second(log: DiagnosticsLog, start_ns: int, n_ticks: int = 10) -> None:
    """A second of messages and ticks, the steady clock running with the node's."""
    for n in range(n_ticks):
        stamp_ns = start_ns + (n + 1) * S // n_ticks
        tell(log, stamp_ns, stamp_ns / S)
        log.add_tick(0.002, 5, [], 4)
    log.trackers[""].n_predicted = 4


def report(log: DiagnosticsLog, now_s: float, state: NodeState = ACTIVE) -> DiagnosticStatus:
    return log.report("/predictor", state, round(now_s * S), now_s)


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {entry.key: entry.value for entry in status.values}


def test_a_healthy_node_has_no_findings(log: DiagnosticsLog) -> None:
    report(log, 10.0)
    busy_second(log, 10 * S)
    status = report(log, 11.0)
    assert status.level == DiagnosticStatus.OK
    assert status.message == "predicting 4 of 5 agents"
    assert status.name == "predictor: prediction"
    told = values(status)
    assert told["tick_rate_hz"] == "10.00"
    assert told["tick_ms_median"] == told["tick_ms_max"] == "2.00"
    assert told["model"] == "walker"
    assert told["tracks_age_s"] == "0.000"
    assert told["messages"] == "10"


def test_median_and_maximum_are_of_the_same_ticks(log: DiagnosticsLog) -> None:
    for duration_s in (0.001, 0.009, 0.001):
        log.add_tick(duration_s, 1, [], 1)
    report(log, 1.0)
    log.add_tick(0.001, 1, [], 1)
    told = values(report(log, 2.0))
    assert (told["tick_ms_median"], told["tick_ms_max"]) == ("1.00", "9.00")


def test_skips_are_counted_by_reason_and_never_reset(log: DiagnosticsLog) -> None:
    log.add_tick(0.1, 0, [SkipReason.STALE, SkipReason.NOT_FINITE, SkipReason.STALE], 0)
    report(log, 1.0)
    log.add_tick(0.1, 0, [SkipReason.STALE], 0)
    told = values(report(log, 2.0))
    assert told["skipped.stale"] == "3"
    assert told["skipped.not_finite"] == "1"
    assert {f"skipped.{reason.value}" for reason in SkipReason} <= set(told)


def test_a_failed_configure_is_an_error_with_its_reason() -> None:
    status = report(DiagnosticsLog({}), 1.0, NodeState("unconfigured", problem="no model 'x'"))
    assert (status.level, status.message) == (DiagnosticStatus.ERROR, "no model 'x'")


@pytest.mark.parametrize("lifecycle", ["unconfigured", "inactive"])
def test_an_inactive_node_says_what_it_waits_for(log: DiagnosticsLog, lifecycle: str) -> None:
    status = report(log, 1.0, NodeState(lifecycle))
    assert status.level == DiagnosticStatus.WARN
    assert "nobody is predicted" in status.message and "ros2 lifecycle set" in status.message
    log.surroundings = Surroundings(waits_for_manager=True)
    status = report(log, 2.0, NodeState(lifecycle))
    assert status.level == DiagnosticStatus.OK
    assert "waits for its lifecycle manager" in status.message


def test_tracks_that_never_came_or_have_stopped_are_warnings(log: DiagnosticsLog) -> None:
    status = report(log, 1.0)
    assert (status.level, status.message) == (DiagnosticStatus.WARN, "no tracks yet on /tracks")
    busy_second(log, 1 * S)
    status = report(log, 5.5)
    assert status.message.startswith("no tracks on /tracks for 3.5 s")
    assert "old" not in status.message
    assert status.level == DiagnosticStatus.WARN


@pytest.mark.parametrize("factor", [0.0, 0.1])
def test_a_slow_or_paused_replay_is_not_silent(log: DiagnosticsLog, factor: float) -> None:
    """A tracker of 2 Hz: at a tenth of real time, its messages are five seconds apart."""
    for second in range(1, 21):
        now_ns = round(100 * S + factor * second * S)
        if second % 5 == 0 and (factor or second < 10):
            tell(log, now_ns, float(second))
        log.add_tick(0.002, 5, [], 5)
        status = log.report("/predictor", ACTIVE, now_ns, second + 0.5)
        if second > 5:
            assert "no tracks on /tracks" not in status.message


def slow_tracker(log: DiagnosticsLog, skipped: Counter[SkipReason], n_s: int) -> list[str]:
    """Warnings of a tracker with a message each 2.5 s whose five entries nobody predicts."""
    state, kinds = replace(ACTIVE, track_timeout_s=3.0), []
    for second in range(1, n_s + 1):
        if second % 5 in (1, 3):
            tracks = Tracks(second * S, (), np.empty((0, 2)))
            log.add_arrival("", second - 0.5)
            log.add_decoded("", DecodedMessage(tracks, "odom", skipped, 5, examples={}))
            log.add_message("", tracks)
        for _ in range(10):
            log.add_tick(0.002, 0, [], 0)
        kinds.append(values(report(log, float(second), state))["warnings"])
    return kinds


def test_faults_of_a_slow_tracker_are_warnings_between_its_messages(log: DiagnosticsLog) -> None:
    kinds = slow_tracker(log, Counter({SkipReason.EMPTY_ID: 5}), 40)
    assert set(kinds[5:]) == {"nobody./tracks"}
    assert "100% of the entries" in "".join(finding.text for finding in log.findings)


def test_a_slow_tracker_may_take_its_timeout_for_a_first_prediction(log: DiagnosticsLog) -> None:
    assert slow_tracker(log, Counter(), 6) == ["", "", "", "", "", "nobody./tracks"]


def test_the_faults_of_a_tracker_that_falls_silent_end(log: DiagnosticsLog) -> None:
    slow_tracker(log, Counter({SkipReason.EMPTY_ID: 5}), 20)
    for second in range(21, 28):
        log.add_tick(0.002, 0, [], 0)
        status = report(log, float(second), replace(ACTIVE, track_timeout_s=3.0))
    assert values(status)["warnings"].split(", ")[0] == "silent./tracks"
    assert "nobody" not in values(status)["warnings"]


def test_a_message_without_people_counts_as_received(log: DiagnosticsLog) -> None:
    log.add_arrival("", 10.0)
    log.add_decoded("", DecodedMessage(None, "", Counter()))
    assert report(log, 10.1).level == DiagnosticStatus.OK


def test_a_refusal_is_shown_once(log: DiagnosticsLog) -> None:
    report(log, 10.0)
    busy_second(log, 10 * S)
    log.add_refusal("frame", "tracks arrive in frame 'lidar'")
    status = report(log, 11.0)
    assert (status.level, status.message) == (
        DiagnosticStatus.WARN,
        "tracks arrive in frame 'lidar'",
    )
    busy_second(log, 11 * S)
    status = report(log, 12.0)
    assert status.level == DiagnosticStatus.OK
    assert values(status)["messages_refused"] == "1"


def test_the_first_period_after_activation_is_not_evaluated_by_its_rate(
    log: DiagnosticsLog,
) -> None:
    busy_second(log, 10 * S, n_ticks=2)
    assert report(log, 11.0).level == DiagnosticStatus.OK


def test_ticks_are_counted_in_the_nodes_time_not_in_wall_time(log: DiagnosticsLog) -> None:
    report(log, 100.0)
    for n in range(50):
        tell(log, 100 * S + n * S // 10, 1.0)
        log.add_tick(0.001, 1, [], 1)
    # Replayed at rate 5: five seconds of the recording in one of ours.
    status = log.report("/predictor", ACTIVE, 105 * S, 1.0)
    assert values(status)["tick_rate_hz"] == "10.00"
    assert status.level == DiagnosticStatus.OK


def test_a_clock_that_stands_still_is_a_warning(log: DiagnosticsLog) -> None:
    report(log, 0.0)
    tell(log, 5 * S, 1.0)
    status = log.report("/predictor", ACTIVE, 0, 1.0)
    assert status.level == DiagnosticStatus.WARN
    assert "clock does not advance" in status.message


@pytest.mark.parametrize(
    ("tick_rate_hz", "period_s", "n_ticks"),
    [(10.0, 0.05, (1, 0)), (2.0, 0.9, (1, 2)), (2.0, 1.001, (3, 1)), (2.5, 1.001, (2, 3))],
)
def test_a_tick_more_or_less_in_a_report_is_not_a_low_rate(
    log: DiagnosticsLog, tick_rate_hz: float, period_s: float, n_ticks: tuple[int, int]
) -> None:
    """As of few ticks a second, and in a simulation at a twentieth of real time."""
    state = ACTIVE.with_config(
        NodeConfig.from_values({"tick_rate_hz": tick_rate_hz, "markers.lifetime_s": 1.0})
    )
    report(log, 100.0)
    for n in range(1, 9):
        now_ns = round((100 + n * period_s) * S)
        tell(log, now_ns, float(n))
        for _ in range(n_ticks[n % 2]):
            log.add_tick(0.002, 5, [], 5)
        status = log.report("/predictor", state, now_ns, float(n))
        assert "tick" not in status.message


@pytest.mark.parametrize(("tick_rate_hz", "n_ticks"), [(2.0, 0), (2.5, 1), (10.0, 7)])
def test_a_low_rate_is_a_warning(log: DiagnosticsLog, tick_rate_hz: float, n_ticks: int) -> None:
    state = ACTIVE.with_config(
        NodeConfig.from_values({"tick_rate_hz": tick_rate_hz, "markers.lifetime_s": 1.0})
    )
    report(log, 100.0)
    tell(log, 101 * S, 1.0)
    for _ in range(n_ticks):
        log.add_tick(0.002, 5, [], 5)
    status = log.report("/predictor", state, 101 * S, 1.0)
    assert status.level == DiagnosticStatus.WARN
    assert f"{n_ticks:.1f} ticks per second instead of {tick_rate_hz:g}" in status.message


def test_old_stamps_are_a_warning_that_names_use_sim_time(log: DiagnosticsLog) -> None:
    report(log, 1000.0)
    log.trackers[""].latency_s = 998.0
    for _ in range(10):
        tell(log, 3 * S, 1001.0)
        log.add_tick(0.001, 0, [], 0)
    status = report(log, 1001.0)
    assert status.level == DiagnosticStatus.WARN
    assert "998.0 s old" in status.message
    assert "use_sim_time" in status.message


def test_ticks_at_messages_are_evaluated_neither_by_rate_nor_by_age(log: DiagnosticsLog) -> None:
    report(log, 1000.0)
    tell(log, 3 * S, 1001.0)
    log.add_tick(0.001, 1, [], 1)
    on_message = replace(ACTIVE, config=NodeConfig.from_values({"tick_rate_hz": 0.0}))
    assert report(log, 1001.0, on_message).level == DiagnosticStatus.OK


def test_a_failed_tick_is_an_error_until_the_next_report(log: DiagnosticsLog) -> None:
    report(log, 10.0)
    tell(log, 11 * S, 11.0)
    log.add_failed_tick("nobody is predicted: no memory")
    status = report(log, 11.0)
    assert (status.level, status.message) == (
        DiagnosticStatus.ERROR,
        "nobody is predicted: no memory",
    )
    busy_second(log, 11 * S)
    status = report(log, 12.0)
    assert status.level == DiagnosticStatus.OK
    assert values(status)["ticks_failed"] == "1"


def test_a_broken_connection_is_a_warning_as_long_as_it_lasts(log: DiagnosticsLog) -> None:
    report(log, 10.0)
    log.surroundings = Surroundings(broken=("nothing is heard from /tracker: its type is other",))
    busy_second(log, 10 * S)
    status = report(log, 11.0)
    assert status.level == DiagnosticStatus.WARN
    assert status.message == "nothing is heard from /tracker: its type is other"
    assert values(status)["connections_broken"] == "1"
    log.surroundings = Surroundings()
    busy_second(log, 11 * S)
    assert report(log, 12.0).level == DiagnosticStatus.OK


def test_a_lost_robot_is_a_warning_until_it_is_found(log: DiagnosticsLog) -> None:
    busy_second(log, 1 * S)
    log.events.robot_lost = True
    state = replace(ACTIVE, config=NodeConfig.from_values({"robot": "odometry"}))
    status = report(log, 2.0, state)
    assert status.level == DiagnosticStatus.WARN
    assert "the robot is lost" in status.message and "~/odometry" in status.message
    busy_second(log, 2 * S)
    assert report(log, 3.0).level == DiagnosticStatus.OK


def test_a_reason_can_be_published_whatever_a_file_contains() -> None:
    assert reason_of(ValueError("tag \ud800 \x1b[2J")) == "tag \\ud800 \\x1b[2J"


@pytest.mark.parametrize("reason", [SkipReason.MERGED, SkipReason.VANISHED, SkipReason.ROBOT])
def test_tracks_that_are_gone_or_merged_are_not_missing(
    log: DiagnosticsLog, reason: SkipReason
) -> None:
    log.trackers[""].n_predicted = 5
    for n in range(40):
        tell(log, n * S // 10, n / 10)
        log.add_tick(0.002, 15, [reason] * 10, 5)
        if n % 10 == 9:
            status = report(log, n / 10)
            assert status.message == "predicting 5 of 5 agents"
            assert values(status)["agents_tracked"] == "15"
