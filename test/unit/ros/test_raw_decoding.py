"""Tracks decoded from bytes equal those decoded through rclpy, for every shipped mapping."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.typesys import Stores, get_typestore
from support.object_decoder import ObjectDecoder, read

from social_implicit_ros.ros.definitions import field_type
from social_implicit_ros.ros.trackers import Tracker, TrackerSpecError, load_tracker
from social_implicit_ros.tracks.messages.cdr_layout import FieldType
from social_implicit_ros.tracks.messages.decoder import DecodedMessage
from social_implicit_ros.tracks.messages.field_path import FieldPath
from social_implicit_ros.tracks.messages.spec import TrackerSpec, shipped_trackers

TRACKERS = sorted(set(shipped_trackers()) - {"point_cloud"})
#: Values that pass the filters, and others.
TEXTS = ("person", "Person", "", "7", "é", "other")


def random_value(kind: FieldType, rng: np.random.Generator) -> Any:
    """Any value of a field."""
    if kind.length is not None:
        n_items = kind.length or int(rng.integers(4))
        return [random_value(FieldType(kind.name), rng) for _ in range(n_items)]
    if kind.name == "string":
        return str(rng.choice(TEXTS))
    if kind.name in ("float64", "float32"):
        value = rng.choice([0.0, np.nan, np.inf, rng.normal(0, 10), rng.normal(0, 1e5)])
        return float(np.float32(value))
    if kind.name == "bool":
        return bool(rng.integers(2))
    if kind.name == "octet":
        return bytes([rng.integers(256)])
    if "/" not in kind.name:
        info = np.iinfo(kind.name)
        if rng.random() < 0.7:  # small numbers are what filters ask for
            return int(rng.integers(8))
        return int(rng.integers(info.min, info.max, endpoint=True, dtype=kind.name))
    package, _, name = kind.name.split("/")
    return filled(getattr(import_module(f"{package}.msg"), name)(), rng)


def filled(message: Any, rng: np.random.Generator) -> Any:
    for name, text in message.get_fields_and_field_types().items():
        setattr(message, name, random_value(field_type(text), rng))
    return message


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("double", FieldType("float64")),
        ("double[36]", FieldType("float64", 36)),
        ("sequence<uint8>", FieldType("uint8", 0)),
        ("sequence<std_msgs/Header, 4>", FieldType("std_msgs/msg/Header", 0)),
        ("string<10>", FieldType("string")),
    ],
)
def test_types_of_fields_are_parsed(text: str, kind: FieldType) -> None:
    assert field_type(text) == kind


def give_one_header(spec: TrackerSpec, entries: Sequence[Any]) -> None:
    """Gives all entries the stamp and frame of the first, if each has its own."""
    for path in filter(None, map(spec.path_in_entry, (spec.frame, spec.stamp))):
        *outer, (last, _) = path.steps
        for entry in entries[1:]:
            setattr(read(FieldPath(tuple(outer)), entry), last, read(path, entries[0]))


def tracker_of(name: str) -> Tracker:
    try:
        return load_tracker(name, "~/tracks")
    except TrackerSpecError as error:
        pytest.skip(f"{error} (scripts/build_test_interfaces.py)")


def decode(decoder: Any, message: Any) -> DecodedMessage | str:
    try:
        return decoder.decode(message)
    except ValueError as error:
        return str(error)


def assert_same(one: DecodedMessage | str, other: DecodedMessage | str) -> None:
    if isinstance(one, str) or isinstance(other, str):
        assert one == other
        return
    for name in ("frame_id", "skipped", "n_entries", "ignored", "examples"):
        assert getattr(one, name) == getattr(other, name)
    assert (one.tracks is None) == (other.tracks is None)
    if one.tracks is None or other.tracks is None:
        return
    assert (one.tracks.stamp_ns, one.tracks.ids) == (other.tracks.stamp_ns, other.tracks.ids)
    for name in ("positions_m", "heights_m", "velocities_m_s", "covariances_m2"):
        ours, theirs = getattr(one.tracks, name), getattr(other.tracks, name)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", TRACKERS)
@given(seed=st.integers(0, 2**32 - 1), same_header=st.booleans())
@settings(deadline=None, max_examples=20)
def test_bytes_and_rclpy_give_the_same_tracks(name: str, seed: int, same_header: bool) -> None:
    tracker = tracker_of(name)
    spec = tracker.decoder.spec
    message = filled(tracker.message_class(), np.random.default_rng(seed))
    if same_header:
        give_one_header(spec, read(spec.entries, message))
    data = serialize_message(message)

    from_objects = decode(ObjectDecoder(spec), deserialize_message(data, tracker.message_class))

    assert_same(decode(tracker, data), from_objects)


@pytest.mark.parametrize("name", TRACKERS)
def test_a_truncated_message_is_refused(name: str) -> None:
    tracker = tracker_of(name)
    rng = np.random.default_rng(0)
    data = serialize_message(filled(tracker.message_class(), rng))
    for end in rng.integers(0, len(data) - 8, 50).tolist():
        with pytest.raises(ValueError, match="byte"):
            tracker.decode(data[:end])


def test_the_other_byte_order_is_read_too() -> None:
    store, kind = get_typestore(Stores.ROS2_HUMBLE), "visualization_msgs/msg/MarkerArray"
    tracker = load_tracker("marker_array", "~/tracks")
    message = filled(tracker.message_class(), np.random.default_rng(3))
    give_one_header(tracker.decoder.spec, message.markers)
    for marker in message.markers:
        marker.type, marker.action = marker.SPHERE, marker.ADD
    data = serialize_message(message)
    turned = store.serialize_cdr(store.deserialize_cdr(data, kind), kind, little_endian=False)

    assert_same(tracker.decode(bytes(turned)), tracker.decode(data))
    assert tracker.decode(data).tracks is not None
