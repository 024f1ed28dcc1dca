"""Recordings of any storage and tracker are read, in a frame that does not move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.bags import (
    PEOPLE,
    START_NS,
    STORE,
    TF_MESSAGE,
    Recorded,
    S,
    camera_bag,
    join_bags,
    people_messages,
    transform_message,
    walkers,
    write_bag,
)

from social_implicit_ros.recordings.arrivals import TracksArrival, arrivals_of
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.bag_writer import write_tracks, zero_message
from social_implicit_ros.recordings.text_formats.text import TextFormat
from social_implicit_ros.recordings.track_source import SourceChoices, TrackSource, open_source
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.types import Tracks

DEFINITIONS = Path(__file__).parents[2] / "interfaces"


def read(source: TrackSource) -> list[TracksArrival]:
    return [entry for entry in arrivals_of(source) if isinstance(entry, TracksArrival)]


def assert_same(arrivals: list[TracksArrival], recording: list[Tracks]) -> None:
    read_tracks = [arrival.tracks for arrival in arrivals]
    assert [tracks.stamp_ns for tracks in read_tracks] == [t.stamp_ns for t in recording]
    assert [tracks.ids for tracks in read_tracks] == [t.ids for t in recording]
    for tracks, written in zip(read_tracks, recording, strict=True):
        np.testing.assert_allclose(tracks.positions_m, written.positions_m, atol=1e-9)


def test_a_recording_in_several_files_is_read_as_one(tmp_path):
    recording = walkers(duration_s=4.0)
    parts = [
        write_bag(tmp_path / f"part{index}", people_messages(half))
        for index, half in enumerate((recording[:17], recording[17:]))
    ]
    bag = join_bags(tmp_path / "bag", parts)

    source = open_source(bag)

    assert source.n_messages == len(recording)
    assert_same(read(source), recording)


@pytest.mark.parametrize(
    ("step", "walked", "notes"),
    [
        (10, 0.4, ()),  # as ETH/UCY
        (1, 0.1, ("25 frames per second are assumed, at which people move at 2.5 m/s (median)",)),
        (10, 40.0, ("people move at 100 m/s (median): positions must be in metres",)),
    ],
)
def test_units_of_text_that_nobody_named_are_remarked(tmp_path, step, walked, notes):
    file = tmp_path / "crowd.txt"
    file.write_text("".join(f"{step * i} {k} {walked * i} {k}\n" for i in range(9) for k in "12"))

    found = open_source(file).notes

    assert len(found) == len(notes)
    assert all(note.startswith(start) for note, start in zip(found, notes, strict=True))
    assert open_source(file, choices=SourceChoices(text=TextFormat(25.0))).notes == (
        found if walked > 1 else ()
    )


def test_text_has_no_robot_and_says_so(tmp_path):
    file = tmp_path / "crowd.txt"
    file.write_text("0 1 0 0\n10 1 0.4 0\n")

    assert open_source(file).notes == ()
    assert open_source(file, PredictorConfig(robot="tf")).notes == (
        "text has no position of the robot: people are predicted without it",
    )


def test_somebody_who_walks_to_and_fro_moves(tmp_path):
    file = tmp_path / "guard.txt"
    places_m = np.abs((0.48 * np.arange(750)) % 24.0 - 12.0)
    file.write_text("".join(f"{10 * i} 1 {x:.2f} 0\n" for i, x in enumerate(places_m)))

    assert open_source(file).notes == ()


def test_a_part_of_a_recording_is_read(tmp_path):
    recording = walkers(duration_s=4.0)
    source = open_source(write_bag(tmp_path / "bag", people_messages(recording)))

    part = source.part(1.0, 2.0)

    assert (part.duration_s, part.n_messages) == (2.0, 21)
    assert_same(read(part), recording[10:31])
    assert_same(read(source.part(3.5, None)), recording[35:])
    with pytest.raises(RecordingError, match=r"no messages from 9 s on; it is 4.0 s long"):
        source.part(9.0, None)


def test_a_recording_without_definitions_needs_a_sourced_workspace(tmp_path, monkeypatch):
    recording = walkers(duration_s=1.0)
    bag = write_bag(
        tmp_path / "bag", people_messages(recording), storage="sqlite3", definitions=False
    )
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    with pytest.raises(RecordingError, match="no definition of people_msgs/msg/People"):
        open_source(bag)

    (tmp_path / "install").mkdir()
    (tmp_path / "install" / "share").symlink_to(DEFINITIONS)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "install"))

    assert_same(read(open_source(bag)), recording)


class TestTopic:
    def cloud(self, topic: str, *names: str) -> Recorded:
        zero = zero_message(STORE, "sensor_msgs/msg/PointCloud2")
        zero.header.frame_id = "lidar"
        field = zero_message(STORE, "sensor_msgs/msg/PointField")
        zero.fields = [
            type(field)(name=name, offset=4 * index, datatype=7, count=1)
            for index, name in enumerate(names)
        ]
        zero.point_step, zero.row_step, zero.height = 4 * len(names), 0, 1
        return Recorded(topic, "sensor_msgs/msg/PointCloud2", zero, START_NS)

    def test_a_tracker_is_preferred_to_clouds_and_markers(self, tmp_path):
        messages = [
            *people_messages(walkers(duration_s=1.0)),
            self.cloud("/lidar", "x", "y", "z"),
            self.cloud("/also_tracks", "x", "y", "id"),
        ]

        source = open_source(write_bag(tmp_path / "bag", messages))

        assert source.topic == "/people"

    def test_a_cloud_without_ids_is_not_used_as_tracks(self, tmp_path):
        bag = tmp_path / "bag"
        write_tracks(
            bag, walkers(duration_s=1.0), topic="/t", message_type="point_cloud", frame_id="map"
        )
        lidar = write_bag(tmp_path / "lidar", [self.cloud("/lidar", "x", "y", "z")])
        joined = write_bag(
            tmp_path / "both",
            [self.cloud("/lidar", "x", "y", "z"), self.cloud("/t", "x", "y", "id")],
        )

        assert open_source(bag).topic == "/t"
        with pytest.raises(RecordingError, match="no topic that a shipped tracker reads"):
            open_source(lidar)
        with pytest.raises(RecordingError, match="topic /t: no message contains a person"):
            open_source(joined)

    def test_an_optional_field_that_a_cloud_lacks_is_named(self, tmp_path):
        mapping = tmp_path / "mine.yaml"
        mapping.write_text(
            "message_type: sensor_msgs/msg/PointCloud2\nid: id\nposition: [x, y]\n"
            "velocity: [vx, vy]\n"
        )
        clouds = [self.cloud("/lidar", "x", "y", "z"), self.cloud("/t", "x", "y", "id")]
        bag = write_bag(tmp_path / "bag", clouds)

        with pytest.raises(RecordingError, match=r"topic /t: .* no field vx \(it has x, y, id\)"):
            open_source(bag, choices=SourceChoices(tracker=str(mapping)))

    def test_outputs_of_the_node_are_no_candidates(self, tmp_path):
        recording = walkers(duration_s=1.0)
        outputs = ["/predictor/people", "/robot1/predictor/people"]
        own = [m for topic in outputs for m in people_messages(recording, topic=topic)]
        both = write_bag(tmp_path / "both", [*people_messages(recording), *own])
        default = people_messages(recording, topic="/predictor/tracks")
        tracked = write_bag(tmp_path / "tracked", [*own, *default])

        assert open_source(both).topic == "/people"
        assert open_source(both, choices=SourceChoices(topic=outputs[1])).topic == outputs[1]
        assert open_source(tracked).topic == "/predictor/tracks"

    def test_two_candidates_are_named(self, tmp_path):
        recording = walkers(duration_s=1.0)
        bag = write_bag(
            tmp_path / "bag",
            [*people_messages(recording), *people_messages(recording, topic="/others")],
        )

        with pytest.raises(RecordingError, match=r"2 topics.*/others.*--tracks"):
            open_source(bag)
        assert open_source(bag, choices=SourceChoices(topic="/others")).topic == "/others"

    @pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
    def test_a_recording_without_topics_says_so(self, tmp_path, storage):
        bag = write_bag(tmp_path / "bag", [], storage=storage)

        for topic in (None, "/people"):
            with pytest.raises(RecordingError, match="has no topics: its recorder has not written"):
                open_source(bag, choices=SourceChoices(topic=topic))

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"topic": "/nobody"}, "no topic '/nobody'; its topics: /people"),
            ({"topic": "people"}, r"no topic 'people' \(did you mean /people\?\); its topics"),
            ({"topic": "/people", "tracker": "spencer"}, "tracker 'spencer' reads spencer_"),
            ({"tracker": "spencer"}, "no topic that tracker 'spencer' reads"),
            ({"topic": "/pose"}, "no shipped tracker reads geometry_msgs/msg/PoseStamped"),
        ],
    )
    def test_errors_name_the_problem(self, tmp_path, options, says):
        pose_type = "geometry_msgs/msg/PoseStamped"
        pose = Recorded("/pose", pose_type, zero_message(STORE, pose_type), START_NS)
        bag = write_bag(tmp_path / "bag", [*people_messages(walkers(duration_s=1.0)), pose])

        with pytest.raises(RecordingError, match=says):
            open_source(bag, choices=SourceChoices(**options))

    def test_a_custom_tracker_mapping_is_used(self, tmp_path):
        description = tmp_path / "mine.yaml"
        description.write_text(
            f"message_type: {PEOPLE}\nlist: people\nid: name\nposition: position\n"
            "score: reliability\nfilters: {score_above: 2.0}\n"
        )
        bag = write_bag(tmp_path / "bag", people_messages(walkers(duration_s=1.0)))

        with pytest.raises(RecordingError, match="low_score"):
            open_source(bag, choices=SourceChoices(tracker=str(description)))

    def test_a_field_that_the_recorded_type_lacks_is_named(self, tmp_path):
        """The error must not say that the recording is damaged."""
        mapping = tmp_path / "mine.yaml"
        mapping.write_text(f"message_type: {PEOPLE}\nlist: people\nid: nam\nposition: position\n")
        bag = write_bag(tmp_path / "bag", people_messages(walkers(duration_s=1.0)))

        with pytest.raises(RecordingError, match=r"id: nam names no field 'nam' .* it has name"):
            open_source(bag, choices=SourceChoices(tracker=str(mapping)))


class TestFrames:
    def test_the_fixed_frame_is_that_of_the_robots_odometry(self, tmp_path):
        source = open_source(camera_bag(tmp_path / "bag"))

        assert (source.frame_id, source.fixed_frame) == ("camera", "odom")

    def test_the_frame_can_be_chosen(self, tmp_path):
        source = open_source(camera_bag(tmp_path / "bag"), PredictorConfig(fixed_frame="camera"))

        assert_same(read(source), walkers(duration_s=4.0))

    def unconnected(self, tmp_path: Path, frame_id: str, **connected: str) -> Path:
        """A robot that stands for a minute, then drives; no transform leads to its sensor."""
        messages = people_messages(walkers(duration_s=4.0), frame_id=frame_id)
        for n in range(700):
            pose = transform_message(
                "odom", "base_link", START_NS + n * S // 10, xyz=(max(n - 600, 0) * 0.1, 0.0, 0.0)
            )
            messages.append(Recorded("/tf", TF_MESSAGE, pose, START_NS + n * S // 1000))
        for child, parent in connected.items():
            mount = transform_message(parent, child, START_NS)
            messages.append(Recorded("/tf_static", TF_MESSAGE, mount, START_NS))
        return write_bag(tmp_path / "bag", messages)

    @pytest.mark.parametrize("connected", [{}, {"lidar": "mast"}])
    def test_a_missing_transform_to_a_moving_frame_is_named(self, tmp_path, connected):
        bag = self.unconnected(tmp_path, "lidar", **connected)

        with pytest.raises(RecordingError, match="base_link moves in odom") as caught:
            open_source(bag)

        assert "no transform connects frame lidar" in str(caught.value)
        assert "--fixed-frame lidar" in str(caught.value)
        assert open_source(bag, PredictorConfig(fixed_frame="lidar")).fixed_frame == "lidar"

    def test_tracks_without_a_frame_beside_a_moving_one_are_refused_by_name(self, tmp_path):
        with pytest.raises(RecordingError, match="tracks name no frame, and frame base_link moves"):
            open_source(self.unconnected(tmp_path, ""))

    def test_a_frame_that_is_fixed_by_its_name_needs_no_transform(self, tmp_path):
        source = open_source(self.unconnected(tmp_path, "map"))

        assert source.fixed_frame == "map"

    def test_if_nothing_moves_a_frame_without_transforms_is_taken_as_fixed(self, tmp_path):
        messages = people_messages(walkers(duration_s=1.0), frame_id="lidar")
        messages.append(
            Recorded("/tf", TF_MESSAGE, transform_message("a", "b", START_NS), START_NS)
        )

        source = open_source(write_bag(tmp_path / "bag", messages))

        assert source.fixed_frame == "lidar"
        assert "no transform moves frame lidar" in source.notes[0]

    def test_without_transforms_the_frame_is_taken_as_fixed_with_a_note(self, tmp_path):
        people = people_messages(walkers(duration_s=1.0), frame_id="camera")

        source = open_source(write_bag(tmp_path / "bag", people))

        assert source.fixed_frame == "camera"
        assert "no transforms: frame camera is taken as fixed" in source.notes[0]

    def test_a_frame_that_is_fixed_by_its_name_needs_no_note(self, tmp_path):
        bag = write_bag(tmp_path / "bag", people_messages(walkers(duration_s=1.0)))

        source = open_source(bag)

        assert (source.fixed_frame, source.notes) == ("map", ())


class TestClock:
    def test_messages_arrive_when_they_were_recorded(self, tmp_path):
        bag = write_bag(tmp_path / "bag", people_messages(walkers(duration_s=1.0), latency_s=0.3))

        first = read(open_source(bag))[0]

        assert first.received_ns - first.tracks.stamp_ns == round(0.3 * S)

    def test_stamps_of_another_clock_are_used_as_receive_times(self, tmp_path):
        bag = write_bag(
            tmp_path / "bag", people_messages(walkers(duration_s=1.0), clock_offset_s=5000.0)
        )

        source = open_source(bag)

        assert "5000 s after" in source.notes[-1]
        assert all(entry.received_ns == entry.tracks.stamp_ns for entry in read(source))


class TestDamage:
    def test_a_damaged_database_gives_what_it_holds_before_the_damage(self, tmp_path):
        recording = walkers(duration_s=60.0, n_agents=5)
        bag = write_bag(tmp_path / "bag", people_messages(recording), storage="sqlite3")
        (file,) = bag.glob("*.db3")
        content = bytearray(file.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 40_000] = b"\xff" * 40_000
        file.write_bytes(content)

        arrivals = []
        with pytest.raises(RecordingError, match="damaged"):
            arrivals.extend(arrivals_of(open_source(bag)))

        assert arrivals == []

    def test_a_recording_without_people_is_refused(self, tmp_path):
        empty = [Tracks(START_NS + i * S, (), np.empty((0, 2))) for i in range(3)]
        bag = write_bag(tmp_path / "bag", people_messages(empty))

        with pytest.raises(RecordingError, match="no message contains a person"):
            open_source(bag)

    @pytest.mark.parametrize(
        ("walk", "says"),
        [
            (
                [Tracks(START_NS, ("", ""), np.zeros((2, 2)))],
                "2 entries are left out, empty_id: .*record the output of a tracker",
            ),
            (
                [
                    Tracks(START_NS, ("car 1",), np.zeros((1, 2))),
                    Tracks(START_NS + S, ("human 1", "car 1"), np.zeros((2, 2))),
                ],
                "3 entries are left out, other_class, such as 'human 1': see class_in and",
            ),
        ],
    )
    def test_if_all_entries_are_left_out_reason_and_value_are_named(self, tmp_path, walk, says):
        mapping = tmp_path / "mine.yaml"
        mapping.write_text(
            f"message_type: {PEOPLE}\nlist: people\nid: name\nposition: position\nclass: name\n"
            "filters: {class_in: [person, ''], class_out: [car*]}\n"
        )
        bag = write_bag(tmp_path / "bag", people_messages(walk))

        with pytest.raises(RecordingError, match=says):
            open_source(bag, choices=SourceChoices(tracker=str(mapping)))
