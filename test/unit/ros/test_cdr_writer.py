"""Lists serialised from arrays equal those that rosbags serialises from messages."""

from __future__ import annotations

import random
import tracemalloc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.random_messages import random_message
from support.typestore import STORE

from social_implicit_ros.recordings.definitions import definitions_of
from social_implicit_ros.ros.outputs.cdr_writer import CdrListWriter, text_bytes
from social_implicit_ros.tracks.messages.cdr_layout import FieldType, UnsupportedLayoutError

#: Type -> its list.
LISTS = {
    "autoware_perception_msgs/msg/PredictedObjects": "objects",
    "costmap_converter_msgs/msg/ObstacleArrayMsg": "obstacles",
    "mpc_planner_msgs/msg/ObstacleArray": "obstacles",
    "people_msgs/msg/People": "people",
    "vision_msgs/msg/Detection3DArray": "detections",
    "visualization_msgs/msg/MarkerArray": "markers",
    "zed_msgs/msg/ObjectsStamped": "objects",
}
PEOPLE = "people_msgs/msg/People"


def writer(kind: str, entries_of: Any) -> CdrListWriter:
    return CdrListWriter(kind, definitions_of(STORE, kind), entries_of)


def read(data: bytes, kind: str) -> Any:
    return STORE.deserialize_cdr(data, kind)


def written(message: Any, kind: str) -> bytes:
    return bytes(STORE.serialize_cdr(message, kind))


@pytest.mark.parametrize("kind", LISTS)
def test_any_entries_are_serialised(kind: str) -> None:
    chance = random.Random(kind)
    for _ in range(30):
        message = random_message(kind, chance)
        entries = getattr(message, LISTS[kind])
        groups = [entries[:1], entries[1:]]
        data = writer(kind, groups.__getitem__).write(message, [0, 1, 0], {})
        setattr(message, LISTS[kind], [*groups[0], *groups[1], *groups[0]])
        expected = written(message, kind)
        # Up to three bytes of padding may follow the last field.
        assert expected.startswith(data)
        assert len(expected) - len(data) < 4


def person(n_name: int, n_tags: int) -> Any:
    entry = random_message("people_msgs/msg/Person", random.Random(0))
    entry.name, entry.tags = "-" * n_name, ["of", "any", "length"][:n_tags]
    return entry


def test_numbers_and_strings_are_rewritten() -> None:
    people = writer(PEOPLE, lambda s: [person(*s)])
    message = random_message(PEOPLE, random.Random(1))
    generator = np.random.default_rng(0)
    for names, n_tags in ((("a", "äöü", ""), 1), (("b", "xyz", ""), 1), (("abcdefg" * 30,), 2)):
        texts = [text_bytes(name) for name in names]
        position, velocity_y = generator.normal(size=(len(names), 3)), np.arange(len(names))
        data = people.write(
            message,
            [(len(text), n_tags) for text in texts],
            {
                "name": np.frombuffer(b"".join(texts), np.uint8),
                "position": position,
                "velocity.y": velocity_y,
            },
        )
        found = read(data, PEOPLE).people
        assert [entry.name for entry in found] == list(names)
        places = [(entry.position.x, entry.position.y, entry.position.z) for entry in found]
        np.testing.assert_array_equal(places, position)
        assert [entry.velocity.y for entry in found] == velocity_y.tolist()
        kept = person(0, n_tags)
        for entry in found:
            assert (entry.velocity.x, entry.reliability) == (kept.velocity.x, kept.reliability)
            assert (entry.tags, entry.tagnames) == (kept.tags, kept.tagnames)


def test_a_string_before_the_list_may_change_its_length() -> None:
    people = writer(PEOPLE, lambda s: [person(3, 0)])
    for frame_id in ("odom", "m", "a_longer_name", "odom"):
        message = random_message(PEOPLE, random.Random(1))
        message.header.frame_id = frame_id
        found = read(people.write(message, [None, None], {"position.x": [1.5, 2.5]}), PEOPLE)
        assert found.header == message.header
        assert [entry.position.x for entry in found.people] == [1.5, 2.5]


def test_too_few_or_too_many_values_are_refused() -> None:
    people = writer(PEOPLE, lambda s: [person(3, 0)])
    message = random_message(PEOPLE, random.Random(1))
    for n_values in (0, 1, 5, 7):
        with pytest.raises(ValueError, match=f"position: {n_values} values for 6 places"):
            people.write(message, [0, 1], {"position": np.zeros(n_values)})


def test_unsupported_messages_are_refused() -> None:
    with pytest.raises(UnsupportedLayoutError, match="Odometry does not end with a list"):
        writer("nav_msgs/msg/Odometry", lambda s: [])
    entry = SimpleNamespace(wide=1.0, narrow=1.0)
    definitions = {
        "a/msg/A": [("list", FieldType("a/msg/B", 0))],
        "a/msg/B": [("pair", FieldType("a/msg/C")), ("other", FieldType("wstring"))],
        "a/msg/C": [("wide", FieldType("float64")), ("narrow", FieldType("float32"))],
    }
    for rewritten, why in (
        ("pair", "pair has numbers of several types"),
        ("pair.wide", "no definition of wstring, in other"),
    ):
        list_of_two = CdrListWriter(
            "a/msg/A", definitions, lambda s: [SimpleNamespace(pair=entry, other="")]
        )
        with pytest.raises(UnsupportedLayoutError, match=why):
            list_of_two.write(None, [0], {rewritten: [1.0]})


def test_a_string_ends_as_in_rclpy() -> None:
    assert text_bytes("a\0b") == b"a"
    assert text_bytes("é") == b"\xc3\xa9"
    assert text_bytes("\ud800") == b"?"


@pytest.mark.slow
def test_the_cache_of_string_lengths_is_bounded() -> None:
    people = writer(PEOPLE, lambda length: [person(length, 0)])
    message = random_message(PEOPLE, random.Random(1))

    def write(lengths: range) -> None:
        for length in lengths:
            people.write(message, [length], {"name": np.full(length, ord("x"), np.uint8)})

    tracemalloc.start()
    try:
        write(range(900, 1000))
        before, _ = tracemalloc.get_traced_memory()
        write(range(1000, 1250))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # All 250 shapes take 3 MB.
    assert after - before < 1_000_000
