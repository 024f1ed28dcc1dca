"""`tracks_to_bag` converts text to a rosbag2 recording without loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import Writer
from support.bags import (
    START_NS,
    TF_MESSAGE,
    Recorded,
    S,
    header,
    people_messages,
    transform_message,
    walkers,
    write_bag,
)

from social_implicit_ros.commands.tracks_to_bag import main
from social_implicit_ros.recordings.arrivals import recorded_tracks
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.bag_writer import MESSAGE_TYPES, write_tracks
from social_implicit_ros.recordings.track_source import open_source
from social_implicit_ros.types import Tracks


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "walk.txt"
    path.write_text("0 1 0.123456789 1.5\n10 1 0.9 -1.5\n10 2 3.0 4.0\n30 2 3.5 4.0\n")
    return path


@pytest.mark.parametrize("message_type", sorted(MESSAGE_TYPES))
def test_the_bag_contains_the_tracks_of_the_text(
    text: Path, tmp_path: Path, message_type: str
) -> None:
    out = tmp_path / "bag"
    assert main([str(text), str(out), "--type", message_type, "--frame", "hall"]) == 0
    bag = open_source(out)
    assert (bag.frame_id, bag.message_type) == ("hall", MESSAGE_TYPES[message_type])
    for read, written in zip(recorded_tracks(bag), recorded_tracks(open_source(text)), strict=True):
        assert read.stamp_ns == written.stamp_ns
        assert [agent.rpartition("/")[2] for agent in read.ids] == list(written.ids)
        np.testing.assert_array_equal(read.positions_m, written.positions_m)


def test_a_person_listed_twice_in_a_frame_is_written_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "walk.txt"
    path.write_text("0 1 0.1 1.5\n0 1 7.0 7.0\n0 2 3.0 3.0\n10 1 0.9 1.5\n10 1 0.9 1.5\n")
    assert main([str(path), "--out", str(tmp_path / "bag")]) == 0
    first, second = recorded_tracks(open_source(tmp_path / "bag"))
    np.testing.assert_array_equal(first.positions_m, [[0.1, 1.5], [3.0, 3.0]])
    assert len(second.ids) == 1
    assert "2 of 5 entries are left out, duplicate id" in capsys.readouterr().err


def test_tracks_of_a_sensor_are_written_in_the_fixed_frame(tmp_path: Path) -> None:
    walk = walkers(duration_s=1.0)
    mount = transform_message("odom", "lidar", START_NS, xyz=(3.0, 0.0, 0.0))
    messages = people_messages(walk, frame_id="lidar")
    messages.append(Recorded("/tf_static", TF_MESSAGE, mount, START_NS))
    seen = write_bag(tmp_path / "seen", messages)
    assert main([str(seen), "--out", str(tmp_path / "bag")]) == 0
    bag = open_source(tmp_path / "bag")
    assert bag.frame_id == "odom"
    for read, written in zip(recorded_tracks(bag), walk, strict=True):
        np.testing.assert_allclose(read.positions_m - written.positions_m, [[3.0, 0.0]] * 3)


def test_tracks_are_transformed_into_the_fixed_frame_or_get_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    walk = walkers(duration_s=1.0)
    messages = people_messages(walk, frame_id="odom")
    mount = transform_message("map", "odom", START_NS, xyz=(3.0, 0.0, 0.0))
    messages.append(Recorded("/tf_static", TF_MESSAGE, mount, START_NS))
    seen = write_bag(tmp_path / "seen", messages)
    for frame_id, shift_m in (("map", 3.0), ("hall", 0.0)):
        out = tmp_path / frame_id
        assert main([str(seen), "--out", str(out), "--fixed-frame", frame_id]) == 0
        bag = open_source(out)
        assert bag.frame_id == frame_id
        for read, written in zip(recorded_tracks(bag), walk, strict=True):
            np.testing.assert_allclose(read.positions_m - written.positions_m, [[shift_m, 0.0]] * 3)
    assert (
        "no transform leads from odom to hall, which is a name for odom" in capsys.readouterr().err
    )


def test_stamps_can_be_those_of_arrival_as_in_the_node(tmp_path: Path) -> None:
    walk = walkers(duration_s=1.0)
    stuck = [
        replace(entry, message=replace(entry.message, header=header(START_NS, "map")))
        for entry in people_messages(walk)
    ]
    seen, params = write_bag(tmp_path / "seen", stuck), tmp_path / "robot.yaml"
    params.write_text("predictor: {ros__parameters: {stamp_source: arrival}}")
    assert main([str(seen), "--out", str(tmp_path / "bag"), "--params", str(params)]) == 0
    read = recorded_tracks(open_source(tmp_path / "bag"))
    assert [tracks.stamp_ns for tracks in read] == [tracks.stamp_ns for tracks in walk]


def test_one_of_several_topics_is_chosen(tmp_path: Path) -> None:
    walk = walkers(duration_s=1.0)
    messages = [*people_messages(walk), *people_messages(walk[:5], topic="/others")]
    seen = write_bag(tmp_path / "seen", messages)
    assert main([str(seen), "--out", str(tmp_path / "bag"), "--tracks", "/others"]) == 0
    assert open_source(tmp_path / "bag").n_messages == 5


def test_a_recording_without_usable_tracks_writes_no_bag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = people_messages(walkers(duration_s=1.0), frame_id="lidar")
    late = transform_message("odom", "lidar", START_NS + 9 * S)
    messages.append(Recorded("/tf", TF_MESSAGE, late, START_NS))
    seen = write_bag(tmp_path / "seen", messages)
    assert main([str(seen), "--out", str(tmp_path / "bag")]) == 2
    assert "33 of 33 entries are left out, no transform" in capsys.readouterr().err
    assert not (tmp_path / "bag").exists()


def test_the_metadata_is_that_of_rosbag2(text: Path, tmp_path: Path) -> None:
    assert main([str(text), str(tmp_path / "bag"), "--topic", "/people"]) == 0
    metadata = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())
    information = metadata["rosbag2_bagfile_information"]
    assert information["storage_identifier"] == "mcap"
    assert information["relative_file_paths"] == ["bag.mcap"]
    assert information["message_count"] == 3
    assert information["duration"]["nanoseconds"] == 1_200_000_000
    (topic,) = information["topics_with_message_count"]
    assert topic["topic_metadata"]["name"] == "/people"
    assert topic["topic_metadata"]["serialization_format"] == "cdr"


def test_an_existing_folder_is_kept(
    text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bag").mkdir()
    assert main([str(text), str(tmp_path / "bag")]) == 2
    assert "not overwritten" in capsys.readouterr().err
    assert list((tmp_path / "bag").iterdir()) == []


@pytest.mark.parametrize("topic", ["two words", "tracks", "/", ""])
def test_an_invalid_topic_name_is_refused(
    text: Path, tmp_path: Path, topic: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(text), "--out", str(tmp_path / "bag"), "--topic", topic]) == 2
    assert f"topic is {topic!r}, expected a full name" in capsys.readouterr().err
    assert not (tmp_path / "bag").exists()


def test_a_bad_file_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "nothing.txt"), str(tmp_path / "bag")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert not (tmp_path / "bag").exists()


def test_an_unfinished_bag_is_removed(text: Path, tmp_path: Path) -> None:
    def interrupted() -> Iterator[Tracks]:
        yield next(recorded_tracks(open_source(text)))
        raise KeyboardInterrupt

    out = tmp_path / "bag"
    with pytest.raises(KeyboardInterrupt):
        write_tracks(out, interrupted(), topic="/t", message_type="point_cloud", frame_id="odom")
    assert not out.exists()


def test_a_bag_that_another_process_creates_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bag"

    def opened(writer: Writer) -> None:
        out.mkdir()
        (out / "bag.mcap").write_text("another's")
        begin(writer)

    begin = Writer.open
    monkeypatch.setattr(Writer, "open", opened)
    with pytest.raises(RecordingError, match="exists and is not overwritten"):
        write_tracks(out, [], topic="/t", message_type="point_cloud", frame_id="odom")
    assert (out / "bag.mcap").read_text() == "another's"
