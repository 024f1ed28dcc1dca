"""What is read from bytes is what is read from the message, for every shipped tracker."""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rosbags.interfaces import Nodetype
from support.random_messages import STORE, random_message, random_value

from social_implicit_ros.recordings.definitions import definitions_of
from social_implicit_ros.tracks.cdr import CdrReader, FieldType, UnsupportedLayoutError
from social_implicit_ros.tracks.decoder import RawTrackerDecoder, TrackerDecoder
from social_implicit_ros.tracks.spec import (
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


def assert_alike(raw: Any, plain: Any) -> None:
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
    """What comes of it, or the error's text."""
    try:
        return decode()
    except ValueError as error:
        return str(error)


def decoders(spec: TrackerSpec) -> tuple[RawTrackerDecoder, TrackerDecoder]:
    definitions = definitions_of(STORE, spec.message_type)
    return RawTrackerDecoder(spec, definitions), TrackerDecoder(spec)


@pytest.mark.parametrize("name", TRACKERS)
def test_every_shipped_tracker_is_read_alike_from_any_message(name: str) -> None:
    spec = find_tracker_spec(name)
    unfiltered = replace(spec, filters=TrackerFilters())
    pairs = [decoders(spec), decoders(unfiltered)]
    chance = random.Random(name)
    n_people = 0
    for _ in range(150):
        data = bytes(
            STORE.serialize_cdr(random_message(spec.message_type, chance), spec.message_type)
        )
        message = STORE.deserialize_cdr(data, spec.message_type)
        for raw, plain in pairs:
            expected = outcome(lambda plain=plain, message=message: plain.decode(message))
            found = outcome(lambda raw=raw, data=data: raw.decode(data))
            if isinstance(expected, str):
                assert found == expected
            else:
                assert_alike(found, expected)
                n_people += 0 if expected.tracks is None else len(expected.tracks.ids)
    assert n_people > 10


@pytest.mark.parametrize("name", ["people", "marker_array", "autoware"])
def test_a_message_cut_off_anywhere_is_an_error(name: str) -> None:
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


def test_flipped_bytes_are_an_error_or_tracks_never_anything_else() -> None:
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


def test_what_is_not_read_is_said() -> None:
    people = find_tracker_spec("people")
    raw, _ = decoders(people)
    with pytest.raises(UnsupportedLayoutError, match="little endian"):
        raw.decode(b"\x00\x00\x00\x00")
    with pytest.raises(UnsupportedLayoutError, match="no list of messages"):
        RawTrackerDecoder(find_tracker_spec("point_cloud"), {})
    with pytest.raises(UnsupportedLayoutError, match="no definition of people_msgs/msg/People"):
        RawTrackerDecoder(people, {})
    outer = [("list", FieldType("a/msg/B", 0))]
    wide = {
        "a/msg/A": outer,
        "a/msg/B": [("id", FieldType("wstring"))],
    }
    with pytest.raises(UnsupportedLayoutError, match="wstring"):
        CdrReader("a/msg/A", wide, list_path="list", chosen=[], chosen_in_list=["id"])
    plain = {"a/msg/A": outer, "a/msg/B": [("id", FieldType("int8"))]}
    with pytest.raises(UnsupportedLayoutError, match="no name that can be read"):
        CdrReader("a/msg/A", plain, list_path="list", chosen=[], chosen_in_list=["name"])


def a_step_later(message: Any, entries: str, kind: str, chance: random.Random) -> Any:
    """The message that a tracker sends next: mostly the same people elsewhere."""
    message = deepcopy(message)
    people = getattr(message, entries)
    match chance.randrange(6):
        case 0:
            chance.shuffle(people)
        case 1:
            people.append(random_message(kind, chance))
        case 2 if people:
            people[chance.randrange(len(people))] = random_message(kind, chance)
        case 3 if people:
            people.pop()
    for person in people:
        renumber(person, kind, chance)
    return message


def renumber(message: Any, kind: str, chance: random.Random) -> None:
    """Puts other floating-point numbers into a message; its bytes lie as before."""
    for name, (node, detail) in STORE.fielddefs[kind][1]:
        value = getattr(message, name)
        if node == Nodetype.NAME:
            renumber(value, detail, chance)
        elif isinstance(value, float):
            setattr(message, name, random_value((node, detail), chance))
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            value[:] = [chance.choice([-1.0, 0.0, 0.5, 3.0, np.nan]) for _ in value]


@pytest.mark.parametrize("name", TRACKERS)
def test_one_message_after_another_is_read_as_if_each_were_the_first(name: str) -> None:
    spec = replace(find_tracker_spec(name), filters=TrackerFilters())
    kind, entries = entry_type(spec), str(spec.entries)
    raw, plain = decoders(spec)
    chance = random.Random(name)
    for _ in range(12):
        message = random_message(spec.message_type, chance)
        n_people = chance.choice([1, 2, 9])
        setattr(message, entries, [random_message(kind, chance) for _ in range(n_people)])
        for _ in range(12):
            data = bytes(STORE.serialize_cdr(message, spec.message_type))
            expected = outcome(
                lambda: plain.decode(STORE.deserialize_cdr(data, spec.message_type))  # noqa: B023
            )
            first, _ = decoders(spec)
            for decoder in (raw, first):
                found = outcome(lambda: decoder.decode(data))  # noqa: B023
                if isinstance(expected, str):
                    assert found == expected
                else:
                    assert_alike(found, expected)
            message = a_step_later(message, entries, kind, chance)


def test_the_same_people_have_the_very_ids_of_the_message_before() -> None:
    raw, _ = decoders(find_tracker_spec("people"))
    data = people_called("a", "bc")
    ids = raw.decode(data).tracks.ids
    assert raw.decode(data).tracks.ids is ids
    assert raw.decode(people_called("a", "bd")).tracks.ids == ("a", "bd")
    assert raw.decode(people_called("a")).tracks.ids == ("a",)


@pytest.mark.parametrize("count", [0, 2, 4, 2**31, 2**32 - 1])
def test_a_count_that_is_not_that_of_the_message_before_is_believed_only_so_far(count: int) -> None:
    raw, _ = decoders(find_tracker_spec("people"))
    data = people_called("a", "b", "c")
    raw.decode(data)
    at = data.index(struct.pack("<II", 3, 2) + b"a\0")
    changed = data[:at] + struct.pack("<I", count) + data[at + 4 :]
    if count < 3:
        assert len(raw.decode(changed).tracks.ids) == count
    else:
        with pytest.raises(ValueError, match="ends before"):
            raw.decode(changed)


def test_lists_that_ever_lie_differently_fill_no_memory() -> None:
    raw, _ = decoders(find_tracker_spec("people"))
    chance = random.Random(2)

    def read(n_messages: int) -> None:
        for _ in range(n_messages):
            raw.decode(people_called(*("x" * chance.randrange(1, 99) for _ in range(50))))

    tracemalloc.start()
    try:
        read(5)
        before, _ = tracemalloc.get_traced_memory()
        read(40)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # All that is found out about forty lists takes more than 1 MB.
    assert after - before < 300_000


def people_called(*names: str) -> bytes:
    """A serialised people_msgs/People, in which all but the names is random."""
    spec, chance = find_tracker_spec("people"), random.Random(7)
    message = random_message(spec.message_type, chance)
    message.people = [random_message(entry_type(spec), chance) for _ in names]
    for person, name in zip(message.people, names, strict=True):
        person.name = name
    return bytes(STORE.serialize_cdr(message, spec.message_type))


def test_a_damaged_message_is_told_from_the_one_before_that_lay_alike() -> None:
    raw, _ = decoders(find_tracker_spec("people"))
    data = people_called("person 0", "person 1", "person 2")
    assert raw.decode(data).tracks.ids == ("person 0", "person 1", "person 2")

    renamed = data.replace(b"person 1\0", b"nobody 1\0")
    assert raw.decode(renamed).tracks.ids == ("person 0", "nobody 1", "person 2")
    with pytest.raises(ValueError, match="does not end with a zero"):
        raw.decode(data.replace(b"person 1\0", b"person 1!"))


def test_texts_of_ever_new_lengths_are_read() -> None:
    spec = find_tracker_spec("people")
    raw, plain = decoders(spec)
    data = people_called(*("x" * n for n in range(1, 61)))
    for _ in range(2):
        assert_alike(raw.decode(data), plain.decode(STORE.deserialize_cdr(data, spec.message_type)))
