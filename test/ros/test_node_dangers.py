"""The node never publishes wrong predictions with the level OK."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import OccupancyGrid, Odometry
from support.conversation import STEP_NS, Conversation
from support.ros import NodeUnderTest
from support.tracks import WALKERS, S, positions_at, tracks_to_marker_array, walker_tracks
from visualization_msgs.msg import MarkerArray

from social_implicit_ros.ros.messages import stamp_to_msg
from social_implicit_ros.tracks.messages.agent_ids import agent_number
from social_implicit_ros.types import Tracks

Start = Callable[..., NodeUnderTest]


def odometry_at(stamp_ns: int, x_m: float) -> Odometry:
    message = Odometry()
    message.header.stamp, message.header.frame_id = stamp_to_msg(stamp_ns), "odom"
    message.pose.pose.position.x = x_m
    return message


@pytest.mark.parametrize("fault", ["silent", "jumping"])
def test_the_costmap_stays_while_the_robot_is_lost(restart: Start, fault: str) -> None:
    node = restart(model="default", robot="odometry", outputs=["pointcloud", "costmap"])
    talk = Conversation(node)
    odometry = node.publisher(Odometry, "/predictor/odometry")
    grids = node.collect(OccupancyGrid, "/predictor/costmap")
    stamps_ns = talk.new_stamps()

    def around_the_robot() -> bool:
        stamp_ns = next(stamps_ns)
        odometry.publish(odometry_at(stamp_ns, 200.0))
        talk.walk(iter([stamp_ns]), 1)
        return bool(grids) and abs(grids[-1].info.origin.position.x - 190.0) < 0.11

    node.wait_for(around_the_robot, "a costmap around the robot")
    grids.clear()
    for n, stamp_ns in enumerate(itertools.islice(stamps_ns, 25)):
        if fault == "jumping":
            odometry.publish(odometry_at(stamp_ns, 230.0 if 10 <= n < 15 else 200.0))
        talk.walk(iter([stamp_ns + STEP_NS // 2]), 1)
    node.wait_for(lambda: len(grids) >= 20, "costmaps without the robot")
    assert {round(grid.info.origin.position.x) for grid in grids} == {190}
    text = "the robot is lost" if fault == "silent" else "the robot's position jumps by 30.0 m"
    status = talk.report_since(lambda status: text in status.message)
    assert status.level == DiagnosticStatus.WARN


def test_a_late_outlier_neither_breaks_nor_bends_a_track(restart: Start) -> None:
    talk = Conversation(restart())
    stamps_ns = talk.new_stamps()
    talk.walk(stamps_ns, 12)
    stamp_ns = next(stamps_ns)
    talk.walk(iter([stamp_ns]), 1)
    late = talk.build(stamp_ns - STEP_NS // 2)
    for marker in late.markers:
        marker.pose.position.x += 500.0
    with talk.counting("skipped.late_outlier", len(late.markers)):
        talk.tell(late)
    after = talk.walk(stamps_ns, 3)
    assert sorted(after.agents.tolist()) == sorted(agent_number(name) for name in WALKERS)
    for number, mean_m in zip(after.agents.tolist(), after.mean, strict=True):
        (name,) = (name for name in WALKERS if agent_number(name) == number)
        expected_m = positions_at(after.stamp_ns / S + after.times_s, WALKERS[name])
        assert np.abs(mean_m - expected_m).max() < 0.1


@pytest.mark.parametrize("apart_ns", [33_000_000, 1_000_000])
def test_a_standing_person_who_was_seen_twice_stays_near(restart: Start, apart_ns: int) -> None:
    """Beside people whose tracks are exact."""
    talk = Conversation(restart(model="default"))
    stamps_ns = talk.new_stamps()
    talk.walk(stamps_ns, 20)
    stamp_ns = next(stamps_ns)
    for after_ns, x_m in ((0, 50.05), (apart_ns, 49.95)):
        talk.tell(walkers_and("people/9", stamp_ns + after_ns, x_m))
        answer = talk.answer_at(stamp_ns + after_ns)
    (mean_m,) = answer.mean[answer.agents == agent_number("people/9")]
    assert np.abs(mean_m - np.array([50.0, 0.0])).max() < 3.0


def test_a_burst_after_a_silence_does_not_raise_speeds(restart: Start) -> None:
    """Ten noisy messages at once, as after an interruption of the network."""
    talk = Conversation(restart(model="default"))
    stamp_ns = next(talk.new_stamps())
    noise_m = np.random.default_rng(0).normal(0.0, 0.05, 40)
    times_ns = [*(n * STEP_NS for n in range(20)), *(3 * S + n * 1_000_000 for n in range(10))]
    for time_ns, x_m in zip(times_ns, 50.0 + noise_m, strict=False):
        talk.tell(walkers_and("people/9", stamp_ns + time_ns, float(x_m)))
        answer = talk.answer_at(stamp_ns + time_ns)
        mean_m = answer.mean[answer.agents == agent_number("people/9")]
        assert np.abs(mean_m - np.array([50.0, 0.0])).max(initial=0.0) < 3.0


def walkers_and(name: str, stamp_ns: int, x_m: float) -> MarkerArray:
    """The walkers, and somebody else."""
    walkers = walker_tracks(stamp_ns)
    positions_m = np.concatenate([walkers.positions_m, [[x_m, 0.0]]])
    return tracks_to_marker_array(Tracks(stamp_ns, (*walkers.ids, name), positions_m), "odom")


def test_repeated_positions_neither_bend_nor_stop_a_track(restart: Start) -> None:
    """Detected every 0.5 s, published ten times a second with new stamps."""
    talk = Conversation(restart())
    stamps_ns = [next(stamps) for stamps in [talk.new_stamps()] for _ in range(60)]
    for n, stamp_ns in enumerate(stamps_ns):
        detected = walker_tracks(stamps_ns[n - n % 5])
        tracks = Tracks(stamp_ns, detected.ids, detected.positions_m)
        talk.tell(tracks_to_marker_array(tracks, "odom"))
        answer = talk.answer_at(stamp_ns)
        if n < 50:  # until then it is learned
            continue
        assert len(answer.agents) == len(WALKERS)
        for number, mean_m in zip(answer.agents.tolist(), answer.mean, strict=True):
            (name,) = (name for name in WALKERS if agent_number(name) == number)
            expected_m = positions_at(stamp_ns / S + answer.times_s, WALKERS[name])
            assert np.abs(mean_m - expected_m).max() < 0.1
    status = talk.report_since(
        lambda status: "are repeated with new stamps for 0.50 s" in status.message
    )
    assert status.level == DiagnosticStatus.WARN


def test_zeros_in_place_of_a_lost_position_are_left_out(restart: Start) -> None:
    talk = Conversation(restart())
    stamps_ns = talk.new_stamps()
    talk.walk(stamps_ns, 12)
    with talk.counting("skipped.unset_position", 4):
        for stamp_ns in itertools.islice(stamps_ns, 4):
            message = talk.build(stamp_ns)
            lost = message.markers[0].pose.position
            lost.x = lost.y = lost.z = 0.0
            talk.tell(message)
            answer = talk.answer_at(stamp_ns)
            assert len(answer.agents) == len(WALKERS)  # the lost one is extrapolated
            assert np.abs(answer.mean).max(axis=(1, 2)).min() > 100.0  # nobody is at the origin
