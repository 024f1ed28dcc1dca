"""Tracker mappings are read, checked against the message type, and decode its messages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace as Message

import numpy as np
import pytest
from support.object_decoder import ObjectDecoder

from social_implicit_ros.tracks.messages.cdr_layout import Definitions, FieldType
from social_implicit_ros.tracks.messages.decoder import DecodedMessage, TrackerDecoder
from social_implicit_ros.tracks.messages.field_path import TrackerSpecError
from social_implicit_ros.tracks.messages.spec import (
    check_tracker_spec,
    load_tracker_spec,
    tracker_spec_from_dict,
)
from social_implicit_ros.types import SkipReason

PEOPLE = {"message_type": "crowd_msgs/msg/Crowd", "list": "people", "id": "id", "position": "at"}

DEFINITIONS: Definitions = {
    "crowd_msgs/msg/Crowd": [
        ("header", FieldType("std_msgs/msg/Header")),
        ("people", FieldType("crowd_msgs/msg/Person", 0)),
    ],
    "crowd_msgs/msg/Person": [
        ("id", FieldType("uint64")),
        ("uuid", FieldType("uint8", 16)),
        ("name", FieldType("string")),
        ("at", FieldType("geometry_msgs/msg/Point")),
        ("xyz", FieldType("float32", 3)),
        ("cov", FieldType("float64", 36)),
        ("score", FieldType("float32")),
        ("labels", FieldType("crowd_msgs/msg/Label", 0)),
        ("pair", FieldType("crowd_msgs/msg/Label", 2)),
        ("aliases", FieldType("string", 0)),
    ],
    "crowd_msgs/msg/Label": [("text", FieldType("string")), ("weight", FieldType("float64"))],
    "geometry_msgs/msg/Point": [(axis, FieldType("float64")) for axis in "xyz"],
    "std_msgs/msg/Header": [
        ("stamp", FieldType("builtin_interfaces/msg/Time")),
        ("frame_id", FieldType("string")),
    ],
}


READABLE = {
    **DEFINITIONS,
    "builtin_interfaces/msg/Time": [("sec", FieldType("int32")), ("nanosec", FieldType("uint32"))],
}


def shipped(tracker: str) -> Path:
    """File of a shipped mapping in this checkout."""
    return Path(__file__).parents[3] / "config" / "trackers" / f"{tracker}.yaml"


def spec(**changes: object):
    values = {**PEOPLE, **changes}
    return tracker_spec_from_dict({k: v for k, v in values.items() if v is not None}, "t", "t.yaml")


def person(**fields: object) -> Message:
    return Message(**{"id": 7, "at": Message(x=1.0, y=2.0, z=0.5), **fields})


def crowd(*people: Message) -> Message:
    stamp = Message(sec=3, nanosec=5)
    return Message(header=Message(stamp=stamp, frame_id="odom"), people=list(people))


def decode(*people: Message, **changes: object) -> DecodedMessage:
    """A message with these people, by a mapping with these changes."""
    return ObjectDecoder(spec(**changes)).decode(crowd(*people))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"position": None}, "missing position"),
        ({"positon": "at"}, "t.yaml: unknown positon .did you mean position..; known keys are"),
        ({"message_type": "crowd_msgs/Crowd"}, "expected package/msg/Type"),
        ({"message_type": 7}, "expected package/msg/Type"),
        ({"list": None}, "list names the entries"),
        ({"position": "at..x"}, "expected a dotted path"),
        ({"position": "at[x]"}, "expected a dotted path"),
        ({"position": {"x": 1}}, "expected a dotted path"),
        ({"filters": {"score_above": 0.5}}, "score_above needs the path 'score'"),
        ({"filters": {"class_in": [1]}}, "class_in needs the path 'class'"),
        ({"score": "score", "filters": {"score_above": "high"}}, "expected a number"),
        ({"class": "name", "filters": {"class_in": "person"}}, "expected a list"),
        ({"filters": {"speed_above": 1}}, "unknown speed_above"),
        ({"filters": 3}, "filters holds int, expected a mapping with the keys score_above"),
        ({"position": "at" + ".at" * 40}, "of at most 32 steps"),
        ({"id": f"at[{'9' * 5000}]"}, "expected a dotted path"),
        ({"id": ["id"] * 9}, "has 9 paths, expected at most 8"),
        ({"position": ["at.x"] * 4}, "position has 4 paths, expected one, or those of x, y and z"),
        ({"class": "name", "filters": {"class_in": ["a"] * 1001}}, "has 1001 values"),
        ({"score": "score", "filters": {"score_above": float("nan")}}, "score_above is nan"),
        ({"score": "score", "filters": {"score_above": 10**5000}}, "too long to print"),
    ],
)
def test_an_invalid_mapping_names_the_error(changes: dict[str, object], error: str) -> None:
    with pytest.raises(TrackerSpecError, match=error.replace("[", r"\[")) as raised:
        spec(**changes)
    assert "t.yaml" in str(raised.value)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("- a\n- b\n", "holds list"),
        ("a: [", "is not YAML"),
        ("", "holds NoneType"),
        pytest.param("#" * 70_000, "has more than", id="too long"),
    ],
)
def test_an_invalid_file_names_the_error(tmp_path: Path, content: str, error: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(TrackerSpecError, match=error):
        load_tracker_spec(path)


def test_missing_file_and_unsafe_yaml_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        TrackerSpecError, match=r"mapping .*none.yaml: No such file or directory; give"
    ):
        load_tracker_spec(tmp_path / "none.yaml")
    unsafe = tmp_path / "unsafe.yaml"
    unsafe.write_text("!!python/object/apply:os.getcwd []\n")
    with pytest.raises(TrackerSpecError, match="is not YAML"):
        load_tracker_spec(unsafe)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"id": "uuid", "position": "xyz", "covariance": "cov", "score": "labels[0].weight"},
        {"id": ["name", "id"], "position": ["at.x", "at.y"], "class": "labels[1].text"},
        {"id": "uuid[3]", "position": ["xyz[0]", "xyz[2]"], "velocity": ["cov[7]", "cov[8]"]},
    ],
)
def test_a_mapping_that_matches_its_type_passes(changes: dict[str, object]) -> None:
    check_tracker_spec(spec(**changes), DEFINITIONS)
    filters = {"class_in": ["person"]} if "class" in changes else {}
    assert TrackerDecoder(spec(**changes, filters=filters), READABLE)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"list": "persons"}, "list: persons names no field 'persons' .* it has header, people"),
        ({"list": "header"}, r"list: header is std_msgs/msg/Header \(it has .*, expected a list"),
        ({"position": "at.w"}, "no field 'w' of geometry_msgs/msg/Point; it has x, y, z"),
        ({"position": "name"}, "position: name is string, expected a point"),
        ({"position": ["at.x", "name"]}, "position: name is string, expected a number"),
        ({"position": "id.x"}, "goes into uint64, which has no fields"),
        ({"list": "people[0].labels"}, r"people\[0\].labels is inside another list, which cannot"),
        ({"position": "labels.text"}, r"Label\[\], a list: only \[0\] or \[max PATH\] of it can"),
        ({"id": "at"}, r"is geometry_msgs/msg/Point \(it has x, y, z\), expected a text, a number"),
        ({"id": "aliases"}, r"id: aliases is string\[\], expected a text, a number or an array of"),
        ({"id": "pair[max weight].text"}, r"pair.*Label\[2\]: \[max PATH\] needs an array of any"),
        ({"score": "name"}, "score: name is string, expected a number"),
        ({"score": "score[0]"}, "takes an element of 'score', which is float32"),
        ({"score": "cov"}, r"score: cov is float64\[36\], expected a number"),
        ({"position": "labels"}, r"position: labels is crowd_msgs/msg/Label\[\], expected a point"),
        ({"covariance": "score"}, "covariance: score is float32, expected an array of numbers"),
        ({"class": "at"}, "class: at is geometry_msgs/msg/Point"),
        ({"stamp": "header.frame_id"}, "stamp: header.frame_id is string"),
        ({"frame": "header.stamp"}, "frame: header.stamp is builtin_interfaces/msg/Time"),
    ],
)
def test_path_that_the_type_does_not_have_is_named(changes: dict[str, object], error: str) -> None:
    with pytest.raises(TrackerSpecError, match=error):
        check_tracker_spec(spec(**changes), DEFINITIONS)


def test_a_type_that_cannot_be_read_is_named() -> None:
    fields = [*DEFINITIONS["crowd_msgs/msg/Person"], ("note", FieldType("wstring"))]
    with pytest.raises(TrackerSpecError, match=r"tracker 't': .* no definition of wstring"):
        TrackerDecoder(spec(), {**READABLE, "crowd_msgs/msg/Person": fields})
    assert TrackerDecoder(spec(), READABLE)


def test_entries_become_tracks_at_the_header_stamp() -> None:
    decoded = decode(person(), person(id=8))
    assert decoded.tracks.stamp_ns == 3_000_000_005
    assert decoded.tracks.ids == ("7", "8")
    assert decoded.tracks.positions_m.tolist() == [[1.0, 2.0], [1.0, 2.0]]
    assert decoded.tracks.heights_m.tolist() == [0.5, 0.5]
    assert decoded.frame_id == "odom"
    assert not decoded.skipped


def test_an_empty_message_gives_no_agents_but_a_stamp() -> None:
    decoded = decode(velocity="v")
    assert decoded.tracks.ids == ()


def test_an_empty_message_with_stamps_per_entry_gives_no_tracks() -> None:
    decoder = ObjectDecoder(spec(stamp="people[0].stamp", frame="people[0].frame"))
    assert decoder.decode(crowd()).tracks is None


def test_stamp_and_frame_per_entry_are_those_of_the_entries_that_pass() -> None:
    decoder = ObjectDecoder(
        spec(
            stamp="people[0].stamp",
            frame="people[0].frame",
            state="action",
            filters={"state_in": [0]},
        )
    )
    clears = person(stamp=Message(sec=0, nanosec=0), frame="", action=3)
    adds = person(stamp=Message(sec=2, nanosec=0), frame="map", action=0)
    decoded = decoder.decode(crowd(clears, adds))
    assert (decoded.tracks.stamp_ns, decoded.frame_id) == (2_000_000_000, "map")
    assert decoder.decode(crowd(clears)).tracks is None


def test_states_are_matched_as_classes_are() -> None:
    decoder = ObjectDecoder(spec(state="action", filters={"state_in": ["track*"]}))
    decoded = decoder.decode(crowd(person(action="TRACKED"), person(action="lost", id=8)))
    assert decoded.tracks.ids == ("7",)
    assert decoded.skipped == {SkipReason.OTHER_STATE: 1}


def test_the_newest_of_nearly_equal_stamps_is_used() -> None:
    decoder = ObjectDecoder(spec(stamp="people[0].stamp"))
    entries = [person(stamp=Message(sec=2, nanosec=n)) for n in (10_000, 50_000_000, 0)]
    decoded = decoder.decode(crowd(*entries))
    assert decoded.tracks.stamp_ns == 2_050_000_000
    assert len(decoded.tracks.ids) == 3


@pytest.mark.parametrize(
    ("seconds", "used"),
    [
        ([8.0, 8.0, 5.0, 6.5], "01"),  # lost people with their last stamps
        ([8.0, 8.02, 4e8, 8.01], "013"),  # one of another clock
        ([8.0, 0.0, 8.01, 0.0], "0123"),  # set in some entries only
        ([5.0, 5.0, 8.0, 8.0], "23"),
        ([0.0, 0.0, 0.0, 0.0], "0123"),
    ],
)
def test_entries_of_another_time_than_their_message_are_skipped(
    seconds: list[float], used: str
) -> None:
    stamps = [Message(sec=int(each), nanosec=round(each % 1 * 1e9)) for each in seconds]
    entries = [person(stamp=stamp, id=str(n)) for n, stamp in enumerate(stamps)]
    decoded = decode(*entries, stamp="people[0].stamp")
    assert decoded.tracks.ids == tuple(used)
    assert decoded.tracks.stamp_ns == round(1e9 * max(seconds[int(n)] for n in used))
    assert decoded.skipped[SkipReason.OTHER_STAMP] == 4 - len(used)


def test_entries_of_different_frames_are_refused() -> None:
    entries = [person(frame=frame) for frame in ("odom", "base_link")]
    with pytest.raises(ValueError, match="such as 'base_link' and 'odom'"):
        decode(*entries, frame="people[0].frame")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**63 + 5, "9223372036854775813"),
        ("bob", "bob"),
        (np.arange(16, dtype=np.uint8), "000102030405060708090a0b0c0d0e0f"),
        ([0] * 15 + [1], "0" * 31 + "1"),
        (7.0, "7"),
    ],
)
def test_ids_of_every_kind_become_text(value: object, text: str) -> None:
    decoded = decode(person(id=value))
    assert decoded.tracks.ids == (text,)


@pytest.mark.parametrize("value", ["", float("nan"), np.zeros(16, dtype=np.uint8)])
def test_untracked_entries_are_skipped_and_counted(value: object) -> None:
    decoded = decode(person(id=value), person())
    assert decoded.tracks.ids == ("7",)
    assert decoded.skipped == {SkipReason.EMPTY_ID: 1}


@pytest.mark.parametrize("value", [-1, "-1", -1.0])
def test_values_of_no_id_are_skipped_and_counted(value: object) -> None:
    decoded = decode(person(id=value), person(), no_id=[-1])
    assert decoded.tracks.ids == ("7",)
    assert decoded.skipped == {SkipReason.EMPTY_ID: 1}


@pytest.mark.parametrize(
    ("tracker", "label", "passes"),
    [
        ("zed", "Body_3", True),
        ("zed", "Person", True),
        ("zed", "Vehicle", False),
        ("vision_detections", "Human", True),
        ("vision_detections", "PEDESTRIAN", True),
        ("vision_detections", "human.pedestrian.adult", True),
        ("vision_detections", "Body_3", True),
        ("vision_detections", "car", False),
        ("yolo", "Person", True),
        ("yolo", "Body_3", True),
        ("yolo", "somebody_3", False),
        ("autoware", 7, True),
        ("autoware", 1, False),
        ("derived_object", 4, True),
        ("derived_object", 6, False),
        ("hunav", 1, True),
        ("hunav", 2, False),
        ("pedsim", 3, True),
        ("pedsim", 2, False),
    ],
)
def test_shipped_mappings_know_the_labels_of_people(
    tracker: str, label: str | int, passes: bool
) -> None:
    described = replace(
        spec(**{"class": "label"}), filters=load_tracker_spec(shipped(tracker)).filters
    )
    decoded = ObjectDecoder(replace(described, state=None)).decode(crowd(person(label=label)))
    assert bool(decoded.tracks.ids) == passes
    is_known = label != "somebody_3"
    assert bool(decoded.ignored) == (not passes and is_known)
    assert decoded.examples == ({} if passes else {SkipReason.OTHER_CLASS: str(label)})


@pytest.mark.parametrize(
    ("tracker", "state", "is_ignored"),
    [("spencer", True, True), ("zed", 2, True), ("zed", 3, True), ("zed", 0, False)],
)
def test_states_of_lost_people_are_skipped_without_a_warning(
    tracker: str, state: bool | int, is_ignored: bool
) -> None:
    described = replace(spec(state="state"), filters=load_tracker_spec(shipped(tracker)).filters)
    decoded = ObjectDecoder(replace(described, class_=None)).decode(crowd(person(state=state)))
    assert decoded.skipped == {SkipReason.OTHER_STATE: 1}
    assert bool(decoded.ignored) == is_ignored


@pytest.mark.parametrize(
    ("tracker", "no_id"),
    [
        ("vision_detections", "-1"),
        ("vision_detections", "0" * 32),
        ("yolo", "00000000-0000-0000-0000-000000000000"),
        ("people", "-1"),
        ("zed", -1),
        ("hunav", -1),
        ("spencer", 2**64 - 1),
        ("pedsim", 2**64 - 1),
        ("derived_object", 2**32 - 1),
        ("autoware", bytes(16)),
        ("nav2_dynamic", bytes(16)),
        ("point_cloud", -1.0),
        ("marker_array", -1),
    ],
)
def test_shipped_mappings_skip_ids_of_untracked_entries(tracker: str, no_id: object) -> None:
    described = spec(no_id=list(load_tracker_spec(shipped(tracker)).no_id))
    value = np.frombuffer(no_id, np.uint8) if isinstance(no_id, bytes) else no_id
    decoded = ObjectDecoder(described).decode(crowd(person(id=value)))
    assert decoded.skipped == {SkipReason.EMPTY_ID: 1}
    assert decoded.n_entries == 1


def test_markers_that_delete_are_ignored_and_not_lost() -> None:
    filters = load_tracker_spec(shipped("marker_array")).filters
    described = replace(spec(**{"state": "action", "class": "type"}), filters=filters)
    decoded = ObjectDecoder(described).decode(
        crowd(
            person(action=3, type=3),
            person(id=1, action=0, type=3),
            person(id=2, action=1, type=3),
        )
    )
    assert decoded.ignored == {SkipReason.OTHER_STATE: 1}
    assert decoded.skipped == {SkipReason.OTHER_STATE: 2}
    assert decoded.examples == {SkipReason.OTHER_STATE: "1"}


@pytest.mark.parametrize("kind", range(13))
def test_markers_with_points_or_a_text_are_ignored(kind: int) -> None:
    """They are trails and labels, often with the origin of the frame as pose."""
    filters = load_tracker_spec(shipped("marker_array")).filters
    described = replace(spec(**{"state": "action", "class": "type"}), filters=filters)
    decoded = ObjectDecoder(described).decode(crowd(person(action=0, type=kind)))
    is_body = kind in (0, 1, 2, 3, 10)  # arrow, cube, sphere, cylinder, mesh
    assert len(decoded.tracks.ids) == is_body
    assert decoded.ignored == ({} if is_body else {SkipReason.OTHER_CLASS: 1})


def test_filters_skip_by_class_score_and_state() -> None:
    decoder = ObjectDecoder(
        spec(
            **{"class": "labels[0].text", "score": "score", "state": "state"},
            filters={"class_in": ["person"], "score_above": 0.3, "state_in": [1]},
        )
    )
    label, cat = [Message(text="person")], [Message(text="cat")]
    decoded = decoder.decode(
        crowd(
            person(id=1, labels=label, score=0.9, state=1),
            person(id=2, labels=cat, score=0.9, state=1),
            person(id=3, labels=[], score=0.9, state=1),
            person(id=4, labels=label, score=0.3, state=1),
            person(id=5, labels=label, score=float("nan"), state=1),
            person(id=6, labels=label, score=0.9, state=2),
        )
    )
    assert decoded.tracks.ids == ("1",)
    assert decoded.skipped == {
        SkipReason.OTHER_CLASS: 2,
        SkipReason.LOW_SCORE: 2,
        SkipReason.OTHER_STATE: 1,
    }
    assert decoded.examples[SkipReason.OTHER_CLASS] == "cat"
    assert decoded.n_entries == 6


@pytest.mark.parametrize(
    "numbers",
    [
        [0.1, 0.02, 0.02, 0.2],
        [0.1, 0.02, 0.0, 0.2, 0.0, 0.3],
        [0.1, 0.02, 0.0, 0.02, 0.2, 0.0, 0.0, 0.0, 0.3],
        np.diag([0.1, 0.2, 0.3, 9.0, 9.0, 9.0]).ravel()
        + 0.02 * np.eye(36)[1]
        + 0.02 * np.eye(36)[6],
    ],
    ids=["2x2", "upper", "3x3", "6x6"],
)
def test_covariances_of_every_layout_are_read(numbers: list[float]) -> None:
    decoded = decode(person(cov=numbers), covariance="cov")
    np.testing.assert_allclose(decoded.tracks.covariances_m2[0, :2, :2], [[0.1, 0.02], [0.02, 0.2]])


@pytest.mark.parametrize("variance", [0.0, 1e6, float("nan")])
def test_unset_covariance_is_unknown(variance: float) -> None:
    numbers = (variance * np.eye(3)).ravel()
    decoded = decode(person(cov=numbers), covariance="cov")
    assert np.isnan(decoded.tracks.covariances_m2).all()


def test_velocity_of_zero_is_unknown() -> None:
    moving, unset = Message(x=1.0, y=0.0, z=0.0), Message(x=0.0, y=0.0, z=0.0)
    decoded = ObjectDecoder(spec(velocity="v")).decode(
        crowd(person(id=1, v=moving), person(id=2, v=unset))
    )
    assert decoded.tracks.velocities_m_s[0].tolist() == [1.0, 0.0, 0.0]
    assert np.isnan(decoded.tracks.velocities_m_s[1]).all()


def test_every_shipped_mapping_can_be_read() -> None:
    folder = shipped("").parent
    types = {path.stem: load_tracker_spec(path).message_type for path in folder.glob("*.yaml")}
    assert len(types) == 12
    assert len(set(types.values())) == 12
