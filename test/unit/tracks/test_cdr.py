"""Serialised messages and message objects give the same tracks, for every shipped tracker."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.object_decoder import ObjectDecoder
from support.random_messages import random_message
from support.typestore import STORE

from social_implicit_ros.recordings.bag_writer import zero_message
from social_implicit_ros.recordings.definitions import definitions_of
from social_implicit_ros.tracks.messages.cdr import CdrReader
from social_implicit_ros.tracks.messages.cdr_layout import (
    Definitions,
    FieldType,
    UnsupportedLayoutError,
)
from social_implicit_ros.tracks.messages.decoder import TrackerDecoder
from social_implicit_ros.tracks.messages.field_path import FieldPath
from social_implicit_ros.tracks.messages.spec import (
    POINT_CLOUD,
    TrackerFilters,
    TrackerSpec,
    find_tracker_spec,
    load_tracker_spec,
    shipped_trackers,
)

TRACKERS = [
    name
    for name, file in shipped_trackers().items()
    if load_tracker_spec(file).message_type != POINT_CLOUD
]


def assert_same_tracks(raw: Any, plain: Any) -> None:
    assert (raw.frame_id, raw.skipped) == (plain.frame_id, plain.skipped)
    assert (raw.tracks is None) == (plain.tracks is None)
    if plain.tracks is None:
        return
    for name in ("stamp_ns", "ids"):
        assert getattr(raw.tracks, name) == getattr(plain.tracks, name)
    for name in ("positions_m", "heights_m", "velocities_m_s", "covariances_m2"):
        expected = getattr(plain.tracks, name)
        if expected is None:
            assert getattr(raw.tracks, name) is None
        else:
            np.testing.assert_array_equal(getattr(raw.tracks, name), expected)


def outcome(decode: Callable[[], Any]) -> Any:
    """The result, or the text of the error."""
    try:
        return decode()
    except ValueError as error:
        return str(error)


def decoders(spec: TrackerSpec) -> tuple[TrackerDecoder, ObjectDecoder]:
    definitions = definitions_of(STORE, spec.message_type)
    return TrackerDecoder(spec, definitions), ObjectDecoder(spec)


def classified(*classes: tuple[int, float], number: int = 1) -> Any:
    """An Autoware object at x = number, with labels and their probabilities."""
    zero = zero_message(STORE, "autoware_perception_msgs/msg/TrackedObject")
    label = STORE.types["autoware_perception_msgs/msg/ObjectClassification"]
    pose = zero.kinematics.pose_with_covariance
    at = replace(pose, pose=replace(pose.pose, position=replace(pose.pose.position, x=number)))
    return replace(
        zero,
        object_id=replace(zero.object_id, uuid=np.full(16, number, np.uint8)),
        classification=[label(label=name, probability=p) for name, p in classes],
        kinematics=replace(zero.kinematics, pose_with_covariance=at),
    )


def test_the_most_probable_class_is_used_and_not_the_first() -> None:
    nan = float("nan")
    objects = [
        classified((1, 0.1), (7, 0.9), number=1),
        classified((7, 0.1), (1, 0.9), number=2),
        classified(number=3),
        classified((7, 0.5), (1, 0.5), number=4),
        classified((1, nan), (7, 0.2), number=5),
    ]
    name = "autoware_perception_msgs/msg/TrackedObjects"
    message = replace(zero_message(STORE, name), objects=objects)
    raw, plain = decoders(find_tracker_spec("autoware"))
    from_bytes = raw.decode(bytes(STORE.serialize_cdr(message, name)))
    assert_same_tracks(from_bytes, plain.decode(message))
    assert from_bytes.tracks is not None
    assert from_bytes.tracks.positions_m[:, 0].tolist() == [1.0, 4.0, 5.0]


@pytest.mark.parametrize("name", TRACKERS)
def test_bytes_and_objects_of_any_message_give_the_same_tracks(name: str) -> None:
    spec = find_tracker_spec(name)
    unfiltered = replace(spec, filters=TrackerFilters())
    pairs = [decoders(spec), decoders(unfiltered)]
    chance = random.Random(name)
    n_people = 0
    for _ in range(50):
        message = random_message(spec.message_type, chance)
        n_entries = chance.choice([0, 1, 2, 9])
        entries = [random_message(entry_type(spec), chance) for _ in range(n_entries)]
        setattr(message, str(spec.entries), entries)
        is_little = chance.random() < 0.8
        data = bytes(STORE.serialize_cdr(message, spec.message_type, little_endian=is_little))
        message = STORE.deserialize_cdr(data, spec.message_type)
        for raw, plain in pairs:
            expected = outcome(lambda plain=plain, message=message: plain.decode(message))
            found = outcome(lambda raw=raw, data=data: raw.decode(data))
            if isinstance(expected, str):
                assert found == expected
            else:
                assert_same_tracks(found, expected)
                n_people += 0 if expected.tracks is None else len(expected.tracks.ids)
    assert n_people > 10


def test_a_position_in_an_empty_sequence_is_not_a_number() -> None:
    spec = replace(
        find_tracker_spec("vision_detections"),
        position=(FieldPath.parse("results[0].pose.pose.position", "position"),),
        filters=TrackerFilters(),
    )
    raw, plain = decoders(spec)
    message = random_message(spec.message_type, random.Random(0))
    message.detections = [random_message(entry_type(spec), random.Random(n)) for n in range(3)]
    for person, n_results in zip(message.detections, (1, 0, 2), strict=True):
        person.id = "somebody"
        kind = "vision_msgs/msg/ObjectHypothesisWithPose"
        person.results = [random_message(kind, random.Random(n)) for n in range(n_results)]
    data = bytes(STORE.serialize_cdr(message, spec.message_type))
    found = raw.decode(data)
    assert np.isnan(found.tracks.positions_m).all(axis=1).tolist() == [False, True, False]
    assert_same_tracks(found, plain.decode(STORE.deserialize_cdr(data, spec.message_type)))


@pytest.mark.parametrize("name", ["people", "marker_array", "autoware"])
def test_a_message_truncated_anywhere_is_an_error(name: str) -> None:
    spec = find_tracker_spec(name)
    raw, _ = decoders(spec)
    chance = random.Random(3)
    message = random_message(spec.message_type, chance)
    setattr(message, str(spec.entries), [random_message(entry_type(spec), chance)])
    data = bytes(STORE.serialize_cdr(message, spec.message_type))
    raw.decode(data)
    # Up to three bytes of padding may follow the last field.
    for end in range(4, len(data) - 3):
        with pytest.raises(ValueError, match="ends before"):
            raw.decode(data[:end])


def entry_type(spec: TrackerSpec) -> str:
    fields = dict(definitions_of(STORE, spec.message_type)[spec.message_type])
    return fields[str(spec.entries)].name


def test_flipped_bytes_give_tracks_or_a_value_error() -> None:
    spec = find_tracker_spec("people")
    raw, _ = decoders(spec)
    chance = random.Random(1)
    for _ in range(300):
        data = bytearray(
            STORE.serialize_cdr(random_message(spec.message_type, chance), spec.message_type)
        )
        for _ in range(3):
            data[chance.randrange(4, len(data))] ^= chance.randrange(1, 256)
        outcome(lambda data=data: raw.decode(bytes(data)))


def test_unsupported_layouts_are_named() -> None:
    people = find_tracker_spec("people")
    raw, _ = decoders(people)
    with pytest.raises(UnsupportedLayoutError, match="not plain CDR"):
        raw.decode(b"\x00\x03\x00\x00")
    outer = [("list", FieldType("a/msg/B", 0))]
    wide = {
        "a/msg/A": outer,
        "a/msg/B": [("id", FieldType("wstring"))],
    }
    with pytest.raises(UnsupportedLayoutError, match="wstring"):
        CdrReader("a/msg/A", wide, list_path="list", chosen=[], chosen_in_list=["id"])
    with pytest.raises(UnsupportedLayoutError, match="has no list crowd"):
        CdrReader("a/msg/A", wide, list_path="crowd", chosen=[], chosen_in_list=["id"])
    with pytest.raises(UnsupportedLayoutError, match="no definition of a/msg/A"):
        CdrReader("a/msg/A", {}, list_path="list", chosen=[], chosen_in_list=["id"])
    plain = {"a/msg/A": outer, "a/msg/B": [("id", FieldType("int8"))]}
    with pytest.raises(UnsupportedLayoutError, match="no name that can be read"):
        CdrReader("a/msg/A", plain, list_path="list", chosen=[], chosen_in_list=["name"])


@pytest.mark.parametrize("count", [0, 2, 4, 2**31, 2**32 - 1])
def test_a_list_longer_than_the_message_is_an_error(count: int) -> None:
    raw, _ = decoders(find_tracker_spec("people"))
    data = people_called("a", "b", "c")
    at = data.index(struct.pack("<II", 3, 2) + b"a\0")
    changed = data[:at] + struct.pack("<I", count) + data[at + 4 :]
    if count < 3:
        assert len(raw.decode(changed).tracks.ids) == count
    else:
        with pytest.raises(ValueError, match="ends before"):
            raw.decode(changed)


#: A list after a sequence of messages whose size depends on the padding before them.
PADDED = {
    "a/msg/A": [("skipped", FieldType("a/msg/Skipped", 0)), ("list", FieldType("a/msg/Entry", 0))],
    "a/msg/Skipped": [
        ("byte", FieldType("uint8")),
        ("wide", FieldType("float64", 2)),
        ("pair", FieldType("a/msg/Pair", 2)),
        ("last", FieldType("int8")),
    ],
    "a/msg/Pair": [("one", FieldType("int8")), ("two", FieldType("int16"))],
    "a/msg/Entry": [("id", FieldType("uint16")), ("flags", FieldType("bool", 3))],
}


def reader_of_padded(definitions: Definitions = PADDED) -> CdrReader:
    return CdrReader(
        "a/msg/A",
        definitions,
        list_path="list",
        chosen=["skipped[0]"],
        chosen_in_list=["id", "flags"],
    )


def padded(n_skipped: int) -> bytes:
    """Numbers aligned by hand: some skipped entries and two of the list."""
    body = struct.pack("<I", n_skipped)
    for number in range(n_skipped):
        body += struct.pack("<B", number)
        body += bytes(-len(body) % 8) + struct.pack("<2dbxhbxhb", 1.5, 2.5, 3, 4, 5, 6, 7)
    body += bytes(-len(body) % 4) + struct.pack("<IH3?xH3?", 2, 7, 1, 0, 1, 8, 0, 0, 1)
    return b"\0\1\0\0" + body


@pytest.mark.parametrize("n_skipped", [0, 1, 2, 3, 50])
def test_padding_is_skipped_at_every_alignment(n_skipped: int) -> None:
    message, entries = reader_of_padded().read(padded(n_skipped))
    assert entries.values("id") == [7, 8]
    assert [flags.tolist() for flags in entries.values("flags")] == [
        [True, False, True],
        [False, False, True],
    ]
    first = [message.values(f"skipped[0].{name}")[0] for name in ("byte", "wide", "pair[1].two")]
    if n_skipped == 0:
        assert first == [None, None, None]
    else:
        assert (first[0], first[1].tolist(), first[2]) == (0, [1.5, 2.5], 6)


@pytest.mark.parametrize("at", [4, 8])
def test_a_sequence_of_billions_of_messages_is_an_error(at: int) -> None:
    data = padded(0)
    data = data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]
    with pytest.raises(ValueError, match="ends before"):
        reader_of_padded().read(data)


def test_a_type_with_billions_of_fields_is_not_compiled() -> None:
    huge = {**PADDED, "a/msg/Pair": [("lists", FieldType("a/msg/List", 10**9))]}
    huge["a/msg/List"] = [("x", FieldType("string"))]
    with pytest.raises(UnsupportedLayoutError, match="more than 10000 fields"):
        reader_of_padded(huge)


def people_called(*names: str) -> bytes:
    """A serialised people_msgs/People with these names and random values."""
    spec, chance = find_tracker_spec("people"), random.Random(7)
    message = random_message(spec.message_type, chance)
    message.people = [random_message(entry_type(spec), chance) for _ in names]
    for person, name in zip(message.people, names, strict=True):
        person.name = name
    return bytes(STORE.serialize_cdr(message, spec.message_type))


def test_a_string_without_a_final_zero_is_an_error() -> None:
    raw, _ = decoders(find_tracker_spec("people"))
    data = people_called("person 0", "person 1", "person 2")
    assert raw.decode(data).tracks.ids == ("person 0", "person 1", "person 2")
    with pytest.raises(ValueError, match="does not end with a zero"):
        raw.decode(data.replace(b"person 1\0", b"person 1!"))


def test_a_signalling_nan_is_read_without_a_warning() -> None:
    spec = find_tracker_spec("zed")
    raw, plain = decoders(spec)
    message = random_message(spec.message_type, random.Random(0))
    message.objects = [random_message(entry_type(spec), random.Random(0))]
    (person,) = message.objects
    person.label, person.tracking_state = "Person", 1
    for numbers in (person.position, person.velocity, person.position_covariance):
        numbers[:] = np.array([0x7FA00000], np.uint32).view(np.float32)[0]
    data = bytes(STORE.serialize_cdr(message, spec.message_type))
    for decoded in (raw.decode(data), plain.decode(STORE.deserialize_cdr(data, spec.message_type))):
        assert np.isnan(decoded.tracks.positions_m).all()
        assert np.isnan(decoded.tracks.covariances_m2).all()


def test_strings_of_different_lengths_are_read() -> None:
    spec = find_tracker_spec("people")
    raw, plain = decoders(spec)
    data = people_called(*("x" * n for n in range(1, 61)))
    assert_same_tracks(
        raw.decode(data), plain.decode(STORE.deserialize_cdr(data, spec.message_type))
    )


#: Arrays whose elements are chosen.
ARRAYS = {
    "a/msg/A": [("list", FieldType("a/msg/Entry", 0)), ("last", FieldType("uint8"))],
    "a/msg/Entry": [
        ("state", FieldType("float64", 4)),
        ("flags", FieldType("int16", 0)),
        ("names", FieldType("string", 0)),
        ("pairs", FieldType("a/msg/Pair", 0)),
    ],
    "a/msg/Pair": [("name", FieldType("string")), ("number", FieldType("int32"))],
}


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_elements_of_arrays_and_sequences_are_read(n: int) -> None:
    chosen = ["state[2]", "flags[1]", "names[1]", "pairs[2].number", "pairs[0].name"]
    reader = CdrReader("a/msg/A", ARRAYS, list_path="list", chosen=["last"], chosen_in_list=chosen)
    body = struct.pack("<Ixxxx4d", 1, 0.0, 1.0, 2.0, 3.0)
    body += struct.pack(f"<I{n}h", n, *range(10, 10 + n))

    def string(before: bytes, text: bytes) -> bytes:
        return before + bytes(-len(before) % 4) + struct.pack("<I", len(text) + 1) + text + b"\0"

    body += bytes(-len(body) % 4) + struct.pack("<I", n)
    for number in range(n):
        body = string(body, b"x" * number)
    body += bytes(-len(body) % 4) + struct.pack("<I", n)
    for number in range(n):
        body = string(body, b"p%d" % number)
        body += bytes(-len(body) % 4) + struct.pack("<i", number)
    message = b"\0\1\0\0" + body + b"\x07"
    last, entries = reader.read(message)
    assert last.values("last") == [7]
    assert entries.values("state[2]") == [2.0]
    assert entries.values("flags[1]") == [11 if n > 1 else None]
    assert entries.values("names[1]") == ["x" if n > 1 else None]
    assert entries.values("pairs[2].number") == [2 if n > 2 else None]
    assert entries.values("pairs[0].name") == ["p0" if n > 0 else None]


def test_a_list_may_be_an_array_of_a_fixed_length() -> None:
    definitions = {
        "a/msg/A": [("first", FieldType("uint8")), ("list", FieldType("a/msg/Pair", 3))],
        "a/msg/Pair": [("number", FieldType("int32")), ("flag", FieldType("bool"))],
    }
    reader = CdrReader(
        "a/msg/A", definitions, list_path="list", chosen=["first"], chosen_in_list=["number"]
    )
    message = b"\0\1\0\0" + struct.pack("<Bxxxi?xxxi?xxxi?", 7, 1, True, 2, True, 3, False)
    first, entries = reader.read(message)
    assert first.values("first") == [7]
    assert entries.values("number") == [1, 2, 3]
    with pytest.raises(ValueError, match="ends before"):
        reader.read(message[:-1])


def test_the_element_with_the_largest_number_may_be_read_as_a_whole() -> None:
    definitions = {
        "a/msg/A": [("list", FieldType("a/msg/Entry", 0))],
        "a/msg/Entry": [("joints", FieldType("a/msg/Joint", 0))],
        "a/msg/Joint": [(name, FieldType("float32")) for name in ("x", "y", "score")],
    }
    chosen = ["joints[max score]"]
    reader = CdrReader("a/msg/A", definitions, list_path="list", chosen=[], chosen_in_list=chosen)
    message = b"\0\1\0\0" + struct.pack("<III6f", 2, 0, 2, 1.0, 2.0, 0.25, 3.0, 4.0, 0.5)
    _, entries = reader.read(message)
    assert entries.values("joints[max score].x") == [None, 3.0]
    assert entries.values("joints[max score].y") == [None, 4.0]
