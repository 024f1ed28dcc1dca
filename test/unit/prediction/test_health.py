"""Every cause that keeps people from being predicted is named, with its value and the fix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from social_implicit_ros.prediction.health.findings import Announcer, Finding, Level
from social_implicit_ros.prediction.health.rules import findings_of, status_of_findings
from social_implicit_ros.prediction.health.snapshot import (
    Endpoint,
    Events,
    NodeState,
    Snapshot,
    Surroundings,
    TrackerCounts,
)
from social_implicit_ros.settings import NodeConfig, PredictorConfig
from social_implicit_ros.tracks.messages.spec import find_tracker_spec
from social_implicit_ros.types import SkipReason

ACTIVE = NodeState("active")
TRACKER = TrackerCounts("/tracks", find_tracker_spec("yolo"), silent_s=0.1, n_entries=60)
WELL = Snapshot(ACTIVE, trackers=(TRACKER,), n_tracked=3, n_predicted=3, rate_hz=10.0)


def text_of(snapshot: Snapshot) -> str:
    """Message of the status, which is WARN."""
    level, text = status_of_findings(snapshot, findings_of(snapshot))
    assert level is Level.WARN
    return text


def with_tracker(**changes: Any) -> Snapshot:
    return replace(WELL, trackers=(replace(TRACKER, **changes),))


def with_skipped(
    skipped: Mapping[SkipReason, int], examples: Mapping[SkipReason, str], skipping_s: float = 0.0
) -> Snapshot:
    return with_tracker(skipped=skipped, examples=examples, skipping_s=skipping_s)


@pytest.mark.parametrize("frame", ["base_link", "robot1/base_footprint"])
def test_a_fixed_frame_that_moves_with_the_robot_is_named(frame: str) -> None:
    config = NodeConfig(predictor=PredictorConfig(fixed_frame=frame))
    text = text_of(replace(WELL, state=NodeState("active", config=config)))
    assert f"fixed_frame {frame} moves with the robot" in text and "such as odom" in text


def test_a_healthy_node_has_no_findings() -> None:
    assert findings_of(WELL) == []
    assert status_of_findings(WELL, []) == (Level.OK, "predicting 3 of 3 agents")


def test_a_clock_that_starts_again_is_no_fault() -> None:
    assert findings_of(replace(WELL, events=Events(n_jumps_back=1))) == []


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (SkipReason.DUPLICATE_ID, "have the id of another entry"),
        (SkipReason.OTHER_STAMP, "have another stamp than their message"),
        (SkipReason.DUPLICATE_STAMP, "have the stamp of the message before"),
        (SkipReason.OUTLIER, "are implausibly far from their track"),
        (SkipReason.UNSET_POSITION, "have a placeholder as position"),
        (SkipReason.DUPLICATE_POSITION, "have the position of another entry"),
        (SkipReason.EXTRAPOLATED, "are extrapolated, not measured"),
    ],
)
def test_more_than_a_tenth_of_wrong_entries_are_a_fault(reason: SkipReason, text: str) -> None:
    """If they are most, the rule of lost entries names them."""
    assert findings_of(with_skipped({reason: 6}, {})) == []
    few = findings_of(with_skipped({reason: 9}, {}))
    assert [finding.reason for finding in few] == [f"15% of the entries on /tracks {text}"]
    most = findings_of(with_skipped({reason: 40}, {}))
    assert not any(text in finding.reason for finding in most)


def test_somebody_who_is_reported_and_not_predicted_is_named() -> None:
    seen = {SkipReason.TOO_FEW_OBSERVATIONS: "'7'"}
    text = text_of(with_tracker(n_waiting=1, waiting_s=3.0, examples=seen))
    assert "1 of the people on /tracks are tracked, but have not been predicted for 3 s" in text
    assert "seen '7'; tracks end or jump before" in text


def test_people_inside_walls_are_reported_with_the_topic_of_the_map() -> None:
    endpoint = Endpoint("/map", "nav_msgs/msg/OccupancyGrid")
    around = Surroundings({endpoint.topic: endpoint})
    text = text_of(replace(with_tracker(in_walls_s=7.0), surroundings=around))
    assert "the map on /map and the tracks do not fit" in text


def test_a_class_that_is_filtered_out_is_named_with_the_fix() -> None:
    skipped, seen = {SkipReason.OTHER_CLASS: 60}, {SkipReason.OTHER_CLASS: "'walker'"}
    nobody = with_tracker(skipped=skipped, examples=seen, unpredicted_s=3.0)
    for snapshot in (nobody, with_skipped(skipped, seen, skipping_s=2.0)):
        text = text_of(snapshot)
        assert "100% of the entries on /tracks" in text
        assert "class 'walker' is not in [person" in text and "add it to class_in" in text
    assert "nobody on /tracks has been predicted for 3 s" in text_of(nobody)


def test_ignored_classes_are_reported_only_while_nobody_is_predicted() -> None:
    cars = {"n_entries": 0, "n_ignored": 60, "examples": {SkipReason.OTHER_CLASS: "'car'"}}
    assert findings_of(with_tracker(**cars)) == []
    assert "class 'car'" in text_of(with_tracker(**cars, unpredicted_s=3.0))


@pytest.mark.parametrize("reason", list(SkipReason))
def test_a_loss_of_more_than_half_of_the_entries_is_reported_with_its_reason(
    reason: SkipReason,
) -> None:
    text = text_of(with_skipped({reason: 31}, {reason: "'seen'"}, skipping_s=2.0))
    assert reason.value in text or reason is SkipReason.OVER_CAPACITY
    assert "'seen'" in text
    few = findings_of(with_skipped({reason: 5}, {}))
    assert few == [] or reason is SkipReason.OVER_CAPACITY


def test_nobody_predicted_is_reported_with_any_reason() -> None:
    reasons = {SkipReason.TOO_FEW_OBSERVATIONS: 30}
    nobody = with_tracker(unpredicted_s=2.5, tick_reasons=reasons)
    assert "too_few_observations" in text_of(nobody)
    diverged = with_tracker(unpredicted_s=2.5, tick_reasons={SkipReason.NOT_FINITE: 30})
    assert "not_finite: the model predicts" in text_of(diverged)
    assert "nobody on /tracks has been predicted" in text_of(with_tracker(unpredicted_s=2.5))
    assert findings_of(with_tracker(unpredicted_s=1.5)) == []


def test_few_of_the_tracked_are_predicted() -> None:
    assert "only 2 of 9" in text_of(replace(WELL, n_tracked=9, n_predicted=2, few_predicted_s=2.0))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"skipped": {SkipReason.DUPLICATE_ID: 10}}, ("17%", "an id of its own")),
        (
            {"skipped": {SkipReason.OUTLIER: 30}},
            ("50%", "implausibly far", "several publish on one topic"),
        ),
        (
            {"overlapping_s": 2.0},
            ("most people on /tracks have", "reported twice", "merge_distance_m"),
        ),
        ({"skipped": {SkipReason.EXTRAPOLATED: 10}}, ("17%", "not measured", "in exact lines")),
        ({"stamp_shift_ms": 110}, ("on /tracks are stamped 110 ms too late for the transforms",)),
        ({"stamp_shift_ms": -60}, ("60 ms too early", "when the robot turns")),
        ({"to_and_fro_m": 0.6}, ("people on /tracks jump to and fro by 0.60 m", "two nodes")),
        ({"only_axis": "x"}, ("people on /tracks differ in x only", "of bbox3d.center.position")),
        ({"cell_m": 0.5}, ("on /tracks are rounded to 0.5 m", "not rounded")),
        ({"in_walls_s": 7.0}, ("most people on /tracks have been inside walls", "map on ~/map")),
        ({"n_doubles": 3}, ("3 of the people on /tracks are listed twice", "merge_doubles")),
        ({"climb_m_s": 0.6}, ("rise or sink by 0.6 m/s", "header.frame_id")),
        ({"speed_m_s": 970.0}, ("970 m/s: unless", "bbox3d.center.position must be in metres")),
        (
            {"stamp_step_s": 1e-4, "mean_step_s": 0.1},
            ("advance by 0.0001 s in most messages, and by 0.1 s on", "microseconds", "bursts"),
        ),
        ({"skipped": {SkipReason.OTHER_STAMP: 10}}, ("17%", "another stamp", "stamp_spread_s")),
        ({"skipped": {SkipReason.DUPLICATE_STAMP: 30}}, ("50%", "no other node may publish")),
        ({"has_wrong_velocities": True}, ("do not fit the positions", "axes of header.frame_id")),
        ({"id_lifetime_s": 0.2}, ("median lifetime of an id on /tracks is 0.2 s",)),
        ({"needed_timeout_s": 4.4}, ("4.4 s", "after 1 s", "max_track_timeout_s")),
        ({"latency_s": -0.3}, ("0.30 s ahead", "measured on arrival", "synchronise the clocks")),
        (
            {"hold_s": 0.5},
            ("are repeated with new stamps for 0.50 s", "publish each detection once"),
        ),
        (
            {"reassigned_s": 2.5},
            ("are reassigned to another person after 2.5 s", "index in a list"),
        ),
        ({"frozen": ("7",)}, ("positions of '7' on /tracks do not", "no longer sees")),
        ({"frozen": tuple("abcdef")}, ("positions of 'a', 'b', 'c' and 3 more on /tracks",)),
        (
            {"skipped": {SkipReason.DUPLICATE_POSITION: 10}},
            ("17%", "position of another entry", "filter"),
        ),
        (
            {
                "skipped": {SkipReason.UNSET_POSITION: 10},
                "examples": {SkipReason.UNSET_POSITION: "'(0, 0, 0)'"},
            },
            ("17%", "seen '(0, 0, 0)' in bbox3d.center.position", "that it does not fill in"),
        ),
        ({"latency_s": 1.5, "needed_timeout_s": 1.7}, ("1.5 s old and are dropped",)),
        ({"latency_s": 8.9}, ("8.9 s old and are dropped", "use_sim_time")),
        ({"silent_s": math.inf}, ("no tracks yet on /tracks",)),
        ({"silent_s": 3.5}, ("no tracks on /tracks for 3.5 s",)),
    ],
)
def test_faults_of_a_tracker_are_named_with_the_fix(
    changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    text = text_of(with_tracker(**changes))
    assert all(word in text for word in words)


def test_an_implausible_speed_explains_broken_tracks() -> None:
    fast = {"reassigned_s": 0.1, "n_waiting": 2, "waiting_s": 3.0, "unpredicted_s": 3.0}
    text = text_of(with_tracker(**fast, speed_m_s=970.0))
    assert "predicted for 3 s: they are implausibly fast" in text
    assert "an id" not in text and "are tracked, but" not in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"variance_m2": 400.0, "growth": 50.0}, ("400 m^2", "50 times", "add_tracker_covariance")),
        ({"variance_m2": 400.0}, ("400 m^2", "correct the tracker's covariance")),
        ({"contested": ["'a' in 'b' jumps"]}, ("'a' in 'b' jumps", "two nodes publish")),
        ({"surroundings": Surroundings(lacks_clock=True)}, ("nobody publishes /clock",)),
        (
            {
                "events": Events(n_jumps_back=9),
                "surroundings": Surroundings(clocks=("/gazebo", "/player")),
            },
            ("jumped back 9 times", "published by /gazebo, /player", "one node alone"),
        ),
        ({"surroundings": Surroundings(n_namesakes=1)}, ("1 other node has", "a namespace of its")),
        ({"surroundings": Surroundings(n_namesakes=2)}, ("2 other nodes have",)),
        ({"surroundings": Surroundings(broken=("no messages from /a",))}, ("from /a",)),
        ({"events": Events(refusals={"frame": "no frame 'x'"})}, ("no frame 'x'",)),
        ({"rate_hz": 0.0, "elapsed_s": 0.0}, ("clock does not advance",)),
        ({"rate_hz": 6.0}, ("6.0 ticks per second instead of 10",)),
    ],
)
def test_other_problems_are_named_with_the_fix(
    changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    text = text_of(replace(WELL, **changes))
    assert all(word in text for word in words)


def test_a_silent_topic_is_reported_with_the_hint_of_its_endpoint() -> None:
    endpoint = Endpoint("/tracks", "people_msgs/msg/People", "nobody publishes it there")
    silent = replace(
        with_tracker(silent_s=math.inf), surroundings=Surroundings({"/tracks": endpoint})
    )
    assert text_of(silent) == "no tracks yet on /tracks: nobody publishes it there"


def test_more_people_than_capacity() -> None:
    text = text_of(with_skipped({SkipReason.OVER_CAPACITY: 5}, {}))
    assert "more people than max_agents, 1000" in text


def test_a_missing_publish_frame_is_not_reported_as_a_stopped_clock() -> None:
    lost = replace(
        WELL, events=Events(refusals={"publish_frame": "nothing is published"}), rate_hz=0.0
    )
    assert [finding.kind for finding in findings_of(lost)] == ["publish_frame"]


def test_a_robot_without_odometry() -> None:
    state = replace(ACTIVE, config=NodeConfig.from_values({"robot": "odometry"}))
    lost = replace(WELL, state=state, events=Events(robot_lost=True))
    assert "check that ~/odometry publishes" in text_of(lost)
    endpoint = Endpoint("/predictor/odometry", "nav_msgs/msg/Odometry", "nobody publishes it there")
    text = text_of(replace(lost, surroundings=Surroundings({endpoint.topic: endpoint})))
    assert text == (
        "the robot is lost: its position from odometry is unknown: "
        "/predictor/odometry: nobody publishes it there"
    )


def test_errors_come_first_and_long_lists_are_truncated() -> None:
    refusals = {str(n): f"text {n}" for n in range(5)}
    snapshot = replace(WELL, events=Events(refusals=refusals, failure="no memory"))
    level, text = status_of_findings(snapshot, findings_of(snapshot))
    assert level is Level.ERROR
    assert text == "no memory; text 0; text 1; and 3 more, see warnings"


def test_a_finding_is_logged_once_when_it_begins_and_once_when_it_ends() -> None:
    announcer, finding = Announcer(), Finding("a", "reason", "fix")
    assert announcer.update([finding], 1.0) == [(Level.WARN, "reason: fix")]
    assert announcer.update([replace(finding, reason="reason 2")], 2.0) == []
    # It recurs before it has ended.
    assert announcer.update([], 3.0) == []
    assert announcer.update([finding], 4.0) == []
    assert announcer.update([], 8.9) == []
    assert announcer.update([], 9.0) == [(Level.OK, "resolved: reason")]
    assert announcer.update([], 20.0) == []


def test_a_finding_that_comes_and_goes_does_not_fill_the_log() -> None:
    announcer, finding = Announcer(), Finding("a", "reason")
    lines = [announcer.update([finding] if second % 7 == 0 else [], second) for second in range(60)]
    assert sum(map(len, lines)) == 4


def test_a_finding_with_log_after_s_is_logged_only_if_it_lasts() -> None:
    announcer, finding = Announcer(), Finding("a", "reason", log_after_s=2.0)
    assert announcer.update([finding], 1.0) == []
    assert announcer.update([], 2.0) == []
    assert announcer.update([finding], 3.0) == []
    assert announcer.update([finding], 5.0) == [(Level.WARN, "reason")]


def test_a_finding_that_was_already_logged_is_not_logged_again() -> None:
    announcer, finding = Announcer(), Finding("a", "reason", is_logged=True)
    assert announcer.update([finding], 1.0) == []
    assert announcer.update([], 6.0) == [(Level.OK, "resolved: reason")]


def test_a_node_that_failed_to_configure_repeats_the_reason_every_ten_seconds() -> None:
    state = NodeState("unconfigured", problem="tracker.yaml: no such file")
    announcer, findings = Announcer(), findings_of(replace(WELL, state=state))
    lines = {second: announcer.update(findings, float(second)) for second in range(25)}
    assert [second for second, told in lines.items() if told] == [10, 20]
    ((level, text),) = lines[10]
    assert level is Level.ERROR
    assert "still not configured" in text and text.endswith(": tracker.yaml: no such file")


def test_positions_on_a_grid_do_not_accuse_the_velocities() -> None:
    text = text_of(with_tracker(cell_m=0.25, has_wrong_velocities=True))
    assert "rounded to 0.25 m" in text and "do not fit the positions" not in text


def test_a_fine_grid_and_a_moment_in_a_wall_are_fine() -> None:
    assert findings_of(with_tracker(cell_m=0.05, in_walls_s=2.0)) == []
