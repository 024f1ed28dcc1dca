"""Truncated recordings: MCAP is read up to the cut, sqlite3 is refused with the remedy."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from support.bags import (
    PEOPLE,
    STORE,
    TF_MESSAGE,
    Recorded,
    S,
    join_bags,
    people_messages,
    transform_message,
    walkers,
    write_bag,
)

from social_implicit_ros.recordings.arrivals import (
    TracksArrival,
    TransformsArrival,
    arrivals_of,
    recorded_tracks,
)
from social_implicit_ros.recordings.bag import RecordingError, find_bags
from social_implicit_ros.recordings.track_source import TrackSource, open_source
from social_implicit_ros.types import Tracks

KINDS = [
    ("mcap", "none"),
    ("mcap", "storage"),
    ("mcap", "message"),
    ("mcap", "file"),
    ("sqlite3", "none"),
    ("sqlite3", "message"),
    ("sqlite3", "file"),
]
MCAP = [kind for kind in KINDS if kind[0] == "mcap"]
SQLITE3 = [kind for kind in KINDS if kind[0] == "sqlite3"]


@pytest.fixture(scope="module")
def crowd() -> list[Tracks]:
    """40 s of people."""
    return walkers(duration_s=40.0)


def messages_of(crowd: list[Tracks], **options: Any) -> list[Recorded]:
    """Messages that do not compress well; 40 s of them are several chunks of an MCAP file."""
    rng = np.random.default_rng(0)
    recorded = people_messages(crowd, **options)
    for entry in recorded:
        entry.message.people[0].tags = [rng.bytes(6000).hex()]
    return recorded


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory, crowd: list[Tracks]) -> dict[Any, Path]:
    """A recording of every kind."""
    folder, messages = tmp_path_factory.mktemp("bags"), messages_of(crowd)
    return {
        (storage, compression): write_bag(
            folder / f"{storage}_{compression}", messages, storage=storage, compression=compression
        )
        for storage, compression in KINDS
    }


def file_of(bag: Path) -> Path:
    (file,) = (entry for entry in bag.iterdir() if entry.suffix != ".yaml")
    return file


def cut(file: Path, share: float) -> None:
    file.write_bytes(file.read_bytes()[: round(share * file.stat().st_size)])


def assert_same(read: list[Tracks], written: list[Tracks]) -> None:
    for found, expected in zip(read, written, strict=True):
        assert (found.stamp_ns, found.ids) == (expected.stamp_ns, expected.ids)
        np.testing.assert_array_equal(found.positions_m, expected.positions_m)


def stamps_in(source: TrackSource) -> list[int]:
    return [tracks.stamp_ns for tracks in recorded_tracks(source)]


@pytest.mark.slow
@pytest.mark.parametrize("single", [False, True], ids=["folder", "file"])
@pytest.mark.parametrize(("storage", "compression"), MCAP)
def test_the_messages_before_the_cut_are_read(
    tmp_path: Path, bags: Any, crowd: list[Tracks], storage: str, compression: str, single: bool
) -> None:
    bag = Path(shutil.copytree(bags[storage, compression], tmp_path / "bag"))
    file = file_of(bag)
    cut(file, 0.7)

    source = open_source(file if single else bag)
    read = list(recorded_tracks(source))

    assert source.problem is not None and f"{file.name} is truncated" in source.problem
    assert 0.5 < len(read) / len(crowd) < 0.75
    assert_same(read, crowd[: len(read)])


@pytest.mark.slow
@pytest.mark.parametrize("single", [False, True], ids=["folder", "file"])
@pytest.mark.parametrize(("storage", "compression"), KINDS)
def test_a_complete_recording_is_read_in_full(
    bags: Any, crowd: list[Tracks], storage: str, compression: str, single: bool
) -> None:
    bag = bags[storage, compression]

    source = open_source(file_of(bag) if single else bag)

    assert source.tracker is not None
    assert (source.topic, source.tracker.name, source.problem) == ("/people", "people", None)
    assert source.n_messages == len(crowd)
    assert_same(list(recorded_tracks(source)), crowd)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3, 0.5, 0.8, 0.95, 0.9999])
@pytest.mark.parametrize(("storage", "compression"), MCAP)
def test_any_truncation_gives_a_part_or_a_reason(
    tmp_path: Path, bags: Any, crowd: list[Tracks], storage: str, compression: str, share: float
) -> None:
    bag = Path(shutil.copytree(bags[storage, compression], tmp_path / "bag"))
    cut(file_of(bag), share)
    try:
        source = open_source(bag)
    except RecordingError as error:
        reason = f"{file_of(bag).name} is truncated" if compression == "none" and share else ""
        assert "truncated" in str(error) and reason in str(error)
        assert share < 0.1
    else:
        assert source.problem is not None
        read = stamps_in(source)
        assert read == [tracks.stamp_ns for tracks in crowd][: len(read)]
        assert len(read) > (share - 0.15) * len(crowd)


@pytest.mark.parametrize("name", ["a.mcap", "a.db3", "a.mcap.zstd", "a.db3.zstd"])
def test_a_file_that_git_lfs_did_not_fetch_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\nsize 12\n")
    with pytest.raises(RecordingError, match=f"{name} is a pointer .*`git lfs pull`"):
        open_source(tmp_path / name)


@pytest.mark.parametrize("single", [False, True], ids=["folder", "file"])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.9999])
@pytest.mark.parametrize(("storage", "compression"), SQLITE3)
def test_a_truncated_database_is_refused_with_the_remedy(
    tmp_path: Path, bags: Any, storage: str, compression: str, share: float, single: bool
) -> None:
    bag = Path(shutil.copytree(bags[storage, compression], tmp_path / "bag"))
    file = file_of(bag)
    cut(file, share)
    with pytest.raises(RecordingError, match=r"truncated.*sqlite3 .* \.recover.*ros2 bag reindex"):
        open_source(file if single else bag)


@pytest.mark.parametrize(("storage", "compression"), SQLITE3)
def test_of_an_empty_database_nothing_is_to_be_recovered(
    tmp_path: Path, bags: Any, storage: str, compression: str
) -> None:
    bag = Path(shutil.copytree(bags[storage, compression], tmp_path / "bag"))
    cut(file_of(bag), 0.0)
    with pytest.raises(RecordingError, match="its recorder has not written anything yet: stop it"):
        open_source(bag)


@pytest.mark.slow
def test_chunks_of_lz4_are_read_up_to_the_cut(tmp_path: Path, crowd: list[Tracks]) -> None:
    writer = Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    with writer:
        storage: Any = writer.storage
        storage.compression, storage.compressor = "lz4", lz4.frame.compress
        connection = writer.add_connection("/people", PEOPLE, typestore=STORE)
        for entry in messages_of(crowd):
            data = STORE.serialize_cdr(entry.message, PEOPLE)
            writer.write(connection, entry.recorded_ns, data)
    file = tmp_path / "bag" / "bag.mcap"
    assert len(stamps_in(open_source(file))) == len(crowd)
    cut(file, 0.7)

    assert 0.5 < len(stamps_in(open_source(file))) / len(crowd) < 0.75


def test_topics_may_be_out_of_order_as_recorders_write_them(
    tmp_path: Path, crowd: list[Tracks]
) -> None:
    """Each transform is written after the people who came 5 ms later."""
    writer = Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.MCAP)
    with writer:
        people = writer.add_connection("/people", PEOPLE, typestore=STORE)
        moving = writer.add_connection("/tf", TF_MESSAGE, typestore=STORE)
        for entry in messages_of(crowd, frame_id="base", latency_s=0.005):
            stamp_ns = entry.recorded_ns - S // 200
            transform = transform_message("odom", "base", stamp_ns)
            writer.write(people, entry.recorded_ns, STORE.serialize_cdr(entry.message, PEOPLE))
            writer.write(moving, stamp_ns, STORE.serialize_cdr(transform, TF_MESSAGE))
    cut(tmp_path / "bag" / "bag.mcap", 0.7)

    arrivals = list(arrivals_of(open_source(tmp_path / "bag")))

    kinds = [type(arrival) for arrival in arrivals]
    assert len(kinds) > 1.0 * len(crowd)
    # Each transform comes before the people whom it moves.
    assert kinds[::2] == [TransformsArrival] * len(kinds[::2])
    assert kinds[1::2] == [TracksArrival] * len(kinds[1::2])


def test_damage_inside_a_compressed_file_gives_what_lies_before_it(
    tmp_path: Path, crowd: list[Tracks]
) -> None:
    bag = write_bag(tmp_path / "bag", messages_of(crowd), compression="file")
    file = file_of(bag)
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 5000] = bytes(5000)
    file.write_bytes(content)

    read = []
    with pytest.raises(RecordingError, match="is damaged"):
        for tracks in recorded_tracks(open_source(bag)):
            read.append(tracks.stamp_ns)

    assert read == [tracks.stamp_ns for tracks in crowd][: len(read)]
    assert len(read) > 0.2 * len(crowd)


@pytest.mark.slow
def test_one_file_of_a_split_recording_may_be_truncated(
    tmp_path: Path, crowd: list[Tracks]
) -> None:
    half = len(crowd) // 2
    parts = [
        write_bag(tmp_path / name, messages_of(entries), compression="file")
        for name, entries in (("a", crowd[:half]), ("b", crowd[half:]))
    ]
    bag = join_bags(tmp_path / "bag", parts)
    cut(next(bag.glob("part_1*")), 0.6)

    source = open_source(bag)

    assert source.problem is not None and source.problem.startswith("part_1.mcap.zstd is truncated")
    read = stamps_in(source)
    assert read == [tracks.stamp_ns for tracks in crowd][: len(read)]
    assert half < len(read) < len(crowd)


def test_a_truncated_file_in_a_folder_without_metadata_is_found(
    tmp_path: Path, bags: Any, crowd: list[Tracks]
) -> None:
    bag = Path(shutil.copytree(bags["mcap", "none"], tmp_path / "bag"))
    cut(file_of(bag), 0.7)
    (bag / "metadata.yaml").unlink()

    (path,) = find_bags([str(bag)])

    assert len(stamps_in(open_source(path))) > 0.5 * len(crowd)


def test_a_recorder_killed_while_it_compressed_leaves_one_recording(
    tmp_path: Path, crowd: list[Tracks]
) -> None:
    """It writes `x.mcap.zstd` beside `x.mcap`, and no metadata.yaml yet."""
    plain = write_bag(tmp_path / "one", people_messages(crowd[:20]))
    packed = write_bag(tmp_path / "two", people_messages(crowd[:20]), compression="file")
    folder = tmp_path / "killed"
    folder.mkdir()
    file_of(plain).rename(folder / "bag_0.mcap")
    (folder / "bag_0.mcap.zstd").write_bytes(file_of(packed).read_bytes()[:500])
    file_of(packed).rename(folder / "bag_1.mcap.zstd")

    found = find_bags([str(folder)])

    assert [path.name for path in found] == ["bag_0.mcap", "bag_1.mcap.zstd"]
    assert all(len(stamps_in(open_source(path))) == 20 for path in found)
