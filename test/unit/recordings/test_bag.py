"""Recordings are read as they were written, and a bad one is refused with a reason."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.bags import people_messages, walkers, write_bag

from social_implicit_ros.recordings.arrivals import recorded_tracks
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.bag_writer import MESSAGE_TYPES, write_tracks
from social_implicit_ros.recordings.text_formats.text import TextFormat
from social_implicit_ros.recordings.track_source import SourceChoices, open_source
from social_implicit_ros.types import Tracks

START_NS = 5_000_000_000


def crowd(n_stamps: int = 30, n_agents: int = 3) -> Iterator[Tracks]:
    for index in range(n_stamps):
        positions = np.arange(2 * n_agents).reshape(-1, 2) / 7 + index * np.array([0.13, -0.05])
        yield Tracks(
            START_NS + index * 100_000_000,
            tuple(str(agent) for agent in range(n_agents)),
            positions,
            np.linspace(0.0, 1.0, n_agents),
        )


def write(path: Path, message_type: str = "point_cloud", topic: str = "/tracks") -> Path:
    write_tracks(path, crowd(), topic=topic, message_type=message_type, frame_id="map")
    return path


@pytest.mark.parametrize("message_type", sorted(MESSAGE_TYPES))
def test_a_bag_gives_back_the_tracks_written(tmp_path: Path, message_type: str) -> None:
    recording = open_source(write(tmp_path / "bag", message_type))
    assert recording.topic == "/tracks"
    assert recording.frame_id == "map"
    assert recording.duration_s == pytest.approx(2.9)
    for read, written in zip(recorded_tracks(recording), crowd(), strict=True):
        assert read.stamp_ns == written.stamp_ns
        np.testing.assert_array_equal(read.positions_m, written.positions_m)
        np.testing.assert_array_equal(read.heights_m, written.heights_m)
    prefix = "pedestrian/" if message_type == "marker_array" else ""
    assert read.ids == (f"{prefix}0", f"{prefix}1", f"{prefix}2")


@pytest.mark.slow
def test_a_long_bag_is_streamed(tmp_path: Path) -> None:
    # 8 MB, of which most are texts that are not decoded.
    messages = people_messages(walkers(duration_s=99.9))
    for entry in messages:
        entry.message.people[0].tags = ["x" * 8000]
    recording = open_source(write_bag(tmp_path / "bag", messages))
    entries = recorded_tracks(recording)
    next(entries)
    tracemalloc.start()
    n_read = 1 + sum(1 for _ in entries)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n_read == 1000
    assert peak_bytes < 5_000_000


def test_text_frames_become_stamps(tmp_path: Path) -> None:
    path = tmp_path / "walk.txt"
    path.write_text("0\t1\t0.5\t1.5\n10\t1\t0.9\t1.5\n10\t2\t3.0\t4.0\n")
    source = open_source(path)
    first, second = recorded_tracks(source)
    assert source.n_messages == 2
    assert [tracks.stamp_ns for tracks in recorded_tracks(source.part(0.2, None))] == [
        second.stamp_ns
    ]
    assert second.stamp_ns - first.stamp_ns == 400_000_000
    assert second.ids == ("1", "2")
    assert first.stamp_ns > 0  # zero means "no time" to ROS
    slow_first, slow_second = recorded_tracks(
        open_source(path, choices=SourceChoices(text=TextFormat(15.0)))
    )
    assert slow_second.stamp_ns - slow_first.stamp_ns == 666_666_667


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_flipped_bytes_are_an_error_or_tracks_never_a_crash(tmp_path: Path, seed: int) -> None:
    storage = write(tmp_path / "bag") / "bag.mcap"
    content = bytearray(storage.read_bytes())
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(content), 3):
        content[place] ^= int(rng.integers(1, 256))
    storage.write_bytes(content)
    try:
        entries = list(recorded_tracks(open_source(tmp_path / "bag")))
    except RecordingError as error:
        assert "bag" in str(error)
    else:
        assert all(isinstance(tracks, Tracks) for tracks in entries)


@pytest.mark.parametrize("content", ["", "rosbag2_bagfile_information: {version: 8}\n"])
def test_truncated_metadata_is_refused_with_the_fix(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "bag")
    (path / "metadata.yaml").write_text(content)
    with pytest.raises(RecordingError, match=r"metadata.yaml is damaged.*ros2 bag reindex"):
        open_source(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"nowhere\.mcap: no such file"):
        open_source(tmp_path / "nowhere.mcap")


def test_a_bag_is_never_overwritten(tmp_path: Path) -> None:
    path = write(tmp_path / "bag")
    before = (path / "bag.mcap").read_bytes()
    with pytest.raises(RecordingError, match="not overwritten"):
        write(path)
    assert (path / "bag.mcap").read_bytes() == before
