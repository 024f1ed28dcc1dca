"""The tracks of a recording are read although one topic, message or file is odd."""

from __future__ import annotations

import errno
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcap.writer import CompressionType, Writer
from support.bags import PEOPLE, STORE, Recorded, people_messages, walkers, write_bag

from social_implicit_ros.recordings import bag
from social_implicit_ros.recordings.arrivals import recorded_tracks
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.bag_writer import zero_message
from social_implicit_ros.recordings.track_source import TrackSource, open_source

WALK = walkers(duration_s=3.0)
MESSAGES = people_messages(WALK)
STAMPS = [tracks.stamp_ns for tracks in WALK]
DEFINITION, _ = STORE.generate_msgdef(PEOPLE, ros_version=2)

NESTED_IDL = b"""module odd { module msg {
  module Odd_Constants { const int32 A = ((((1)) + (2))); };
  struct Odd { int32 a; };
}; };
"""


def write_mcap(
    path: Path,
    messages: Sequence[Recorded] = MESSAGES,
    *,
    schema: tuple[str, bytes] = ("ros2msg", DEFINITION.encode()),
    foreign: tuple[str, bytes] | None = None,
    **options: Any,
) -> Path:
    """People in the given order; `foreign` is encoding and definition of another topic."""
    with path.open("wb") as file:
        writer = Writer(file, **options)
        writer.start(profile="ros2")
        if foreign is not None:
            other = writer.register_schema("odd/msg/Odd", *foreign)
            channel = writer.register_channel("/odd", foreign[0] or "cdr", other)
            writer.add_message(channel, messages[0].recorded_ns, b"\0" * 8, 0)
        people = writer.register_schema(PEOPLE, *schema)
        channel = writer.register_channel("/people", "cdr", people)
        for entry in messages:
            data = bytes(STORE.serialize_cdr(entry.message, PEOPLE))
            writer.add_message(channel, entry.recorded_ns, data, entry.recorded_ns)
        writer.finish()
    return path


def stamps_in(source: TrackSource) -> list[int]:
    return [tracks.stamp_ns for tracks in recorded_tracks(source)]


class TestForeignTopics:
    @pytest.mark.parametrize("indexed", [True, False], ids=["index", "scan"])
    @pytest.mark.parametrize(
        "foreign",
        [
            ("unknown", b""),
            ("", b""),
            ("ros2msg", b"bool data\n---\nbool success\nstring message\n"),
            ("protobuf", bytes(range(256))),
            ("ros2idl", NESTED_IDL),
            ("ros2msg", b"\xff\xfe no text"),
        ],
        ids=["unknown", "empty", "srv", "protobuf", "idl", "bytes"],
    )
    def test_its_schema_is_not_read(self, tmp_path: Path, foreign: Any, indexed: bool) -> None:
        bag = write_mcap(tmp_path / "bag.mcap", foreign=foreign, use_statistics=indexed)

        source = open_source(bag)

        assert (source.topic, source.n_messages) == ("/people", len(WALK))
        assert stamps_in(source) == STAMPS

    def test_the_encoding_of_a_database_s_definition_does_not_matter(self, tmp_path: Path) -> None:
        pose = "geometry_msgs/msg/Pose"
        odd = Recorded("/pose", pose, zero_message(STORE, pose), STAMPS[0])
        bag = write_bag(tmp_path / "bag", [*MESSAGES, odd], storage="sqlite3")
        with sqlite3.connect(bag / "bag.db3") as database:
            database.execute(
                "UPDATE message_definitions SET encoding = 'unknown' WHERE topic_type = ?", (pose,)
            )

        assert stamps_in(open_source(bag)) == STAMPS

    @pytest.mark.parametrize("topic", ["/people", "/text"])
    def test_a_type_hash_of_another_distribution_does_not_matter(
        self, tmp_path: Path, topic: str
    ) -> None:
        text = "std_msgs/msg/String"
        odd = Recorded("/text", text, zero_message(STORE, text), STAMPS[0])
        bag = write_bag(tmp_path / "bag", [*MESSAGES, odd])
        metadata = yaml.safe_load((bag / "metadata.yaml").read_text())
        for entry in metadata["rosbag2_bagfile_information"]["topics_with_message_count"]:
            if entry["topic_metadata"]["name"] == topic:
                entry["topic_metadata"]["type_description_hash"] = f"RIHS01_{'0' * 64}"
        (bag / "metadata.yaml").write_text(yaml.safe_dump(metadata))

        assert stamps_in(open_source(bag)) == STAMPS


class TestTheDefinitionOfThePeople:
    def test_nested_brackets_are_parsed_quickly(self, tmp_path: Path) -> None:
        header = "=" * 80 + "\n"
        odd = NESTED_IDL.decode().replace("odd", "people_msgs").replace("Odd", "People")
        bag = write_mcap(
            tmp_path / "bag.mcap",
            schema=("ros2idl", f"{header}IDL: people_msgs/msg/People\n{odd}".encode()),
        )
        began_s = time.process_time()
        with pytest.raises(RecordingError, match="people_msgs"):
            open_source(bag)
        assert time.process_time() - began_s < 5.0

    def test_an_unreadable_definition_is_named(self, tmp_path: Path) -> None:
        bag = write_mcap(tmp_path / "bag.mcap", schema=("ros2msg", b"!!!\n"))

        with pytest.raises(RecordingError, match=r"definition of people_msgs.*cannot be read"):
            open_source(bag)


class TestOrder:
    @pytest.mark.parametrize(
        "options",
        [
            {"use_chunking": False},
            {"use_chunking": False, "use_statistics": False, "use_summary_offsets": False},
            {"chunk_size": 2000, "compression": CompressionType.LZ4},
        ],
        ids=["chunks", "summary", "indexed"],
    )
    def test_messages_are_sorted(self, tmp_path: Path, options: dict[str, Any]) -> None:
        late = [*MESSAGES]
        late[4], late[5], late[20], late[22] = late[5], late[4], late[22], late[20]

        assert stamps_in(open_source(write_mcap(tmp_path / "bag.mcap", late, **options))) == STAMPS

    def test_a_long_recording_without_chunks_is_read_in_order(self, tmp_path: Path) -> None:
        walk = walkers(duration_s=210.0, n_agents=1)
        late = people_messages(walk)
        late[998], late[1002] = late[1002], late[998]
        bag = write_mcap(tmp_path / "bag.mcap", late, use_chunking=False)

        source = open_source(bag)

        assert stamps_in(source) == [tracks.stamp_ns for tracks in walk]
        assert stamps_in(source.part(99.0, 2.0)) == [t.stamp_ns for t in walk[990:1011]]

    def test_a_message_before_the_clock_was_set_does_not_stretch_the_recording(
        self, tmp_path: Path
    ) -> None:
        first = [*MESSAGES]
        first[0].recorded_ns, before_ns = 0, first[0].recorded_ns
        source = open_source(write_mcap(tmp_path / "bag.mcap", first))
        first[0].recorded_ns = before_ns

        assert source.duration_s == pytest.approx(2.9)
        assert stamps_in(source) == STAMPS


class TestLogsOfDatabases:
    def bag(self, folder: Path) -> Path:
        """A bag whose last third is in the log, as when a recorder in WAL mode is killed."""
        bag = write_bag(folder / "bag", MESSAGES, storage="sqlite3")
        copy = folder / "killed"
        copy.mkdir()
        database = sqlite3.connect(bag / "bag.db3")
        database.execute("PRAGMA journal_mode = WAL")
        rows = database.execute(
            "SELECT topic_id, timestamp, data FROM messages WHERE id > 20"
        ).fetchall()
        database.execute("DELETE FROM messages WHERE id > 20")
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.executemany(
            "INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", rows
        )
        database.commit()
        for file in bag.iterdir():
            if not file.name.endswith("-shm"):
                (copy / file.name).write_bytes(file.read_bytes())
        database.close()
        assert (copy / "bag.db3-wal").stat().st_size > 0
        return copy

    @pytest.mark.parametrize("single", [False, True], ids=["folder", "file"])
    def test_messages_in_the_log_are_read(self, tmp_path: Path, single: bool) -> None:
        bag = self.bag(tmp_path)
        before = {file.name: file.read_bytes() for file in bag.iterdir()}
        bag.chmod(0o555)
        try:
            source = open_source(bag / "bag.db3" if single else bag)
            assert source.n_messages == len(WALK)
            assert stamps_in(source) == STAMPS
            assert {file.name: file.read_bytes() for file in bag.iterdir()} == before
        finally:
            bag.chmod(0o755)


class TestOddFiles:
    def none(self, path: Path) -> Path:
        path.mkdir()
        return path

    def empty_file(self, path: Path) -> Path:
        path = path.with_suffix(".db3")
        path.touch()
        return path

    def folder_named_mcap(self, path: Path) -> Path:
        return self.none(path.with_suffix(".mcap"))

    def metadata_loop(self, path: Path) -> Path:
        path.mkdir()
        (path / "metadata.yaml").symlink_to("metadata.yaml")
        return path

    def huge_metadata(self, path: Path) -> Path:
        path = write_bag(path, MESSAGES)
        with (path / "metadata.yaml").open("a") as file:
            file.truncate(100 * 2**20)
        return path

    def no_metadata(self, path: Path) -> Path:
        path = write_bag(path, MESSAGES)
        (path / "metadata.yaml").write_text("[1, 2")
        return path

    def other_metadata(self, path: Path) -> Path:
        path = write_bag(path, MESSAGES)
        (path / "metadata.yaml").write_text(json.dumps({"rosbag2_bagfile_information": [1]}))
        return path

    def missing_file(self, path: Path) -> Path:
        path = write_bag(path, MESSAGES)
        (path / "bag.mcap").unlink()
        return path

    def no_messages(self, path: Path) -> Path:
        return write_mcap(path.with_suffix(".mcap"), [])

    def only_magic(self, path: Path) -> Path:
        path = path.with_suffix(".mcap")
        path.write_bytes(b"\x89MCAP0\r\n" * 2)
        return path

    @pytest.mark.parametrize(
        ("make", "says"),
        [
            (none, r"no metadata\.yaml.*ros2 bag reindex"),
            (folder_named_mcap, "no metadata.yaml"),
            (empty_file, "truncated .*its recorder has not written anything yet: stop it"),
            (metadata_loop, "no metadata.yaml"),
            (huge_metadata, "more than the"),
            (no_metadata, "not YAML"),
            (other_metadata, "damaged"),
            (missing_file, r"lacks bag\.mcap, which metadata\.yaml names: copy it there, or"),
            (no_messages, "no message on topic /people"),
            (only_magic, "damaged"),
        ],
    )
    def test_a_file_that_holds_no_people_is_refused_with_the_reason(
        self, tmp_path: Path, make: Callable[[TestOddFiles, Path], Path], says: str
    ) -> None:
        path = make(self, tmp_path / "bag")
        with pytest.raises(RecordingError, match=says) as error:
            open_source(path)
        assert str(path) in str(error.value)

    def test_a_file_without_permission_is_not_called_damaged(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write_bag(tmp_path / "bag", MESSAGES)

        def refuse(file: Path) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", str(file))

        monkeypatch.setattr(bag, "open_file", refuse)
        with pytest.raises(RecordingError, match=r"bag\.mcap cannot be read: change its perm"):
            open_source(path)

    def test_values_of_other_types_in_a_database_are_read(self, tmp_path: Path) -> None:
        """Databases keep values of any type, such as those of other writers."""
        path = write_bag(tmp_path / "bag", MESSAGES, storage="sqlite3")
        with sqlite3.connect(path / "bag.db3") as database:
            database.execute(
                "UPDATE topics SET name = CAST(name AS BLOB), type = CAST(type AS BLOB)"
            )
            database.execute("UPDATE messages SET data = CAST(1e12 AS INTEGER) WHERE id == 1")

        source = open_source(path)
        assert (source.topic, source.message_type) == ("/people", "people_msgs/msg/People")
        assert stamps_in(source) == STAMPS[1:]

    def test_names_that_are_not_utf8_and_links_are_read(self, tmp_path: Path) -> None:
        folder = tmp_path / "caf\udce9 #1?%41"
        folder.mkdir()
        write_mcap(tmp_path / "bag.mcap")
        link = folder / "caf\udce9.mcap"
        link.symlink_to(tmp_path / "bag.mcap")

        assert stamps_in(open_source(link)) == STAMPS


def test_a_chunk_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    from social_implicit_ros.recordings import compressed

    bomb = compressed.zstd.compress(bytes(200 * 2**20))
    bag = write_mcap(tmp_path / "bag.mcap", compression=CompressionType.NONE)
    content = bag.read_bytes()
    place = content.index(b"\x06", 20)
    chunk = (
        content[place + 9 : place + 25]
        + (200 * 2**20).to_bytes(8, "little")
        + bytes(4)
        + len(b"zstd").to_bytes(4, "little")
        + b"zstd"
        + len(bomb).to_bytes(8, "little")
        + bomb
    )
    head = content[:place] + b"\x06" + len(chunk).to_bytes(8, "little") + chunk
    footer = b"\x02" + (20).to_bytes(8, "little") + bytes(20) + b"\x89MCAP0\r\n"
    bag.write_bytes(head + footer)

    with pytest.raises(RecordingError, match="compressed bytes unpack to"):
        open_source(bag)
