"""The definitions of installed message types equal those of recordings."""

from __future__ import annotations

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from support.tracker_messages import MESSAGES
from support.typestore import STORE

from social_implicit_ros.recordings.definitions import definitions_of as recorded_definitions_of
from social_implicit_ros.ros.definitions import definitions_of, field_type
from social_implicit_ros.ros.trackers import Tracker, TrackerSpecError, load_tracker
from social_implicit_ros.tracks.messages.cdr_layout import FieldType
from social_implicit_ros.tracks.messages.spec import shipped_trackers


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


def tracker_of(name: str) -> Tracker:
    try:
        return load_tracker(name, "~/tracks")
    except TrackerSpecError as error:
        pytest.skip(f"{error} (scripts/build_test_interfaces.py)")


@pytest.mark.parametrize("name", sorted(shipped_trackers()))
def test_definitions_are_those_of_recordings(name: str) -> None:
    """So tests of the decoder with messages of recordings are valid for those of rclpy, too."""
    message_type = tracker_of(name).decoder.spec.message_type
    assert definitions_of(message_type) == recorded_definitions_of(STORE, message_type)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_messages_that_rclpy_serialises_are_read(name: str) -> None:
    tracker, (build, agent_id) = tracker_of(name), MESSAGES[name]
    data = serialize_message(build(1_500_000_000, 3.5, -2.0, "odom"))
    tracks = tracker.decode(data).tracks
    assert tracks is not None
    assert tracks.ids == (agent_id,)
    np.testing.assert_allclose(tracks.positions_m, [[3.5, -2.0]])
