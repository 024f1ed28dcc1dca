"""A recording is delivered to a predictor as the node receives its messages."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from support.bags import (
    START_NS,
    STORE,
    TF_MESSAGE,
    Recorded,
    S,
    camera_bag,
    header,
    people_messages,
    transform_message,
    walkers,
    write_bag,
)

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.replay_settings import load_settings
from social_implicit_ros.prediction.robot_plan import PATH
from social_implicit_ros.prediction.update import Update
from social_implicit_ros.recordings.arrivals import (
    TracksArrival,
    TransformsArrival,
    arrivals_of,
    deliver,
    predictor_config,
    recorded_tracks,
)
from social_implicit_ros.recordings.bag_writer import zero_message
from social_implicit_ros.recordings.track_source import TrackSource, open_source
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.types import SkipReason

RECORDING = walkers(duration_s=4.0)


def delivered(
    source: TrackSource, transform_wait_s: float = 0.2
) -> tuple[Predictor, list[tuple[int, Update]]]:
    """The predictor, and its updates with their receive times."""
    settings = replace(load_settings(), transform_wait_s=transform_wait_s)
    transforms = TransformBuffer()
    predictor = Predictor(ConstantVelocity(), predictor_config(source, settings), transforms)
    return predictor, [
        (arrival.received_ns, deliver(arrival, predictor, transforms))
        for arrival in arrivals_of(source)
    ]


def test_tracks_are_transformed_at_their_own_stamp(tmp_path: Path) -> None:
    predictor, _ = delivered(open_source(camera_bag(tmp_path / "bag")))

    stamps_ns = np.array([tracks.stamp_ns for tracks in RECORDING])
    found = predictor.history.observed_m(stamps_ns, stamps_ns, 0.5)
    rows = predictor.history.rows_of(RECORDING[0].ids)
    for index, tracks in enumerate(RECORDING):
        angle, x = 0.02 * (index + 1), 0.1 * (index + 1)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        expected = (tracks.positions_m + np.array([0.5, 0.0])) @ turn.T + np.array([x, 0.0])
        np.testing.assert_allclose(found[rows, index], expected, atol=1e-9)
    forecast = predictor.tick(RECORDING[-1].stamp_ns)
    np.testing.assert_allclose(forecast.heights_m, 1.0)


def test_tracks_enter_when_their_transform_arrives(tmp_path: Path) -> None:
    _, updates = delivered(open_source(camera_bag(tmp_path / "bag", late_s=0.15)))

    entered_ns = [at_ns for at_ns, update in updates if update.n_entered]
    # The transform for a stamp comes 0.15 s later, and the tracks with it.
    assert entered_ns == [tracks.stamp_ns + round(0.15 * S) for tracks in RECORDING]


def test_tracks_without_a_transform_are_left_out_with_the_reason(tmp_path: Path) -> None:
    _, updates = delivered(open_source(camera_bag(tmp_path / "bag", late_s=0.5)))

    skipped = [(at_ns, update.skipped) for at_ns, update in updates if update.skipped]
    # The first few tracks have a transform, that of the beginning of the recording.
    at_ns, reasons = skipped[0]
    assert reasons == {SkipReason.NO_TRANSFORM: 3}
    assert at_ns >= START_NS + round(0.2 * S)
    assert not any(update.n_entered for received_ns, update in updates if received_ns > at_ns)


def test_tracks_end_where_transforms_end(tmp_path: Path) -> None:
    predictor, _ = delivered(open_source(camera_bag(tmp_path / "bag", until_s=2.0)))

    assert predictor.newest_ns == START_NS + 2 * S
    assert predictor.n_waiting > 0


def test_later_messages_may_be_in_another_frame_than_the_first(tmp_path: Path) -> None:
    """Two cameras share a topic; the first message is in the fixed frame, with a slash."""
    first, *others = walkers(duration_s=2.0, n_agents=1)
    messages = people_messages([first], frame_id="/odom")
    for n, tracks in enumerate(others):
        shift_m = np.array([3.0, 0.0]) if n % 2 else np.array([0.0, 3.0])
        moved = replace(tracks, positions_m=tracks.positions_m - shift_m)
        messages += people_messages([moved], frame_id="/right" if n % 2 else "left")
    for child, xyz in (("right", (3.0, 0.0, 0.0)), ("/left", (0.0, 3.0, 0.0))):
        mount = transform_message("/odom", child, START_NS, xyz=xyz)
        messages.append(Recorded("/tf_static", TF_MESSAGE, mount, START_NS))

    predictor, updates = delivered(open_source(write_bag(tmp_path / "bag", messages)))

    assert sum(update.n_entered for _, update in updates) == 21
    forecast = predictor.tick(START_NS + 2 * S)
    assert forecast.frame_id == "odom"
    np.testing.assert_allclose(forecast.present_m, others[-1].positions_m, atol=0.005)


def test_tracks_without_a_stamp_have_that_of_their_arrival(tmp_path: Path) -> None:
    messages = people_messages(walkers(duration_s=1.0))
    unstamped = [
        replace(entry, message=replace(entry.message, header=header(0, "map")))
        for entry in messages
    ]
    source = open_source(write_bag(tmp_path / "bag", unstamped))

    stamps_ns = [tracks.stamp_ns for tracks in recorded_tracks(source)]
    assert stamps_ns == [entry.recorded_ns for entry in messages]


def test_a_part_has_the_transforms_around_its_first_tracks(tmp_path: Path) -> None:
    part = open_source(camera_bag(tmp_path / "bag")).part(2.0, 1.0)

    arrivals = list(arrivals_of(part))
    tracks = [entry for entry in arrivals if isinstance(entry, TracksArrival)]
    moving = [e for e in arrivals if isinstance(e, TransformsArrival) and not e.is_static]
    assert [entry.received_ns for entry in tracks] == [t.stamp_ns for t in RECORDING[20:31]]
    assert moving[0].received_ns < tracks[0].received_ns
    _, updates = delivered(part)
    assert sum(update.n_entered for _, update in updates) == 3 * 11


def test_where_stamps_are_the_clock_transforms_arrive_with_the_tracks(tmp_path: Path) -> None:
    messages = people_messages(RECORDING, frame_id="camera", clock_offset_s=5000.0)
    for index in range(42):
        stamp_ns = START_NS + round((index - 1) * 0.1 * S)
        moved = transform_message("odom", "camera", stamp_ns, xyz=(0.0, 0.0, 0.0))
        recorded_ns = stamp_ns + 5000 * S + round(0.05 * S)
        messages.append(Recorded("/tf", TF_MESSAGE, moved, recorded_ns))
    source = open_source(write_bag(tmp_path / "bag", messages))

    assert source.uses_stamps_as_clock
    _, updates = delivered(source)
    assert sum(update.n_entered for _, update in updates) == 3 * len(RECORDING)


def test_a_plan_that_cannot_be_used_is_refused_and_ends_the_earlier_one(tmp_path: Path) -> None:
    messages = people_messages(RECORDING)
    for n, x_m in enumerate((1.0, math.nan)):
        plan, pose = (zero_message(STORE, kind) for kind in (PATH, "geometry_msgs/msg/PoseStamped"))
        pose.pose.position.x = x_m
        plan.header.frame_id, plan.poses = "map", [pose]
        messages.append(Recorded("/plan", PATH, plan, START_NS + n * S))
    source = open_source(write_bag(tmp_path / "bag", messages), PredictorConfig(robot="tf"))
    transforms = TransformBuffer()
    predictor = Predictor(ConstantVelocity(), PredictorConfig(fixed_frame="map"), transforms)

    plans, refusals = [], []
    for arrival in arrivals_of(source):
        refusals += deliver(arrival, predictor, transforms).refusals
        plans.append(predictor.robot_plan is not None)

    assert [plans.index(True), plans[-1]] == [1, False]
    assert [refusal.kind for refusal in refusals] == ["plan"]
    assert "cannot be used: it has positions that are not finite" in refusals[0].text
