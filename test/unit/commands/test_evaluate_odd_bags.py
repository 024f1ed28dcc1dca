"""Recordings with faults: the rest is evaluated, and the faults are reported."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.bags import (
    START_NS,
    STORE,
    TF_MESSAGE,
    Recorded,
    S,
    header,
    people_messages,
    transform_message,
    walkers,
    write_bag,
)

from social_implicit_ros.commands import evaluate_bag
from social_implicit_ros.evaluation.parts import read_part
from social_implicit_ros.recordings.bag_writer import zero_message
from social_implicit_ros.types import Tracks

FAST = ("--model", "constant_velocity", "--moments", "0", "--jobs", "1")
WALK = walkers(duration_s=9.0)


def evaluated(path: Path, *arguments: str) -> dict[str, Any]:
    out = path.parent / "out"
    assert evaluate_bag.main([str(path), "--out", str(out), *FAST, *arguments]) == 0
    (bag,) = json.loads((out / "results.json").read_text())["bags"]
    return dict(bag)


def reason(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    out = path.parent / "out"
    assert evaluate_bag.main([str(path), "--out", str(out), *FAST, *arguments]) == 1
    return " ".join(capsys.readouterr().err.split())


def parameters(folder: Path, line: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(f"/**:\n  ros__parameters:\n    {line}\n")
    return path


def shifted(walk: list[Tracks], shift_s: float) -> list[Tracks]:
    return [replace(tracks, stamp_ns=tracks.stamp_ns + round(shift_s * S)) for tracks in walk]


def test_unusable_messages_are_counted_and_left_out(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", people_messages(WALK), storage="sqlite3")
    with sqlite3.connect(bag / "bag.db3") as database:
        database.execute("UPDATE messages SET data = x'00010000ffffffff' WHERE id IN (1, 30, 31)")

    result = evaluated(bag)

    assert result["messages"] == len(WALK)
    assert result["entries"] == 3 * (len(WALK) - 3)
    assert result["problem"] is None
    assert any(note.startswith("3 of 91 messages cannot be used") for note in result["notes"])


def odometry_messages() -> list[Recorded]:
    message_type = "nav_msgs/msg/Odometry"
    zero = zero_message(STORE, message_type)
    return [
        Recorded("/odom", message_type, replace(zero, header=header(t.stamp_ns, "map")), t.stamp_ns)
        for t in WALK
    ]


def transform_messages() -> list[Recorded]:
    return [
        Recorded("/tf", TF_MESSAGE, transform_message("map", "camera", t.stamp_ns), t.stamp_ns)
        for t in WALK
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("others", "topic", "data", "note"),
    [
        (odometry_messages, "/odom", "x'00010000ff'", "2 times: odometry cannot be read"),
        (odometry_messages, "/odom", "x''", "2 times: odometry cannot be read"),
        (transform_messages, "/tf", "x'00010000ffffffff'", "2 times: transforms cannot be read"),
    ],
)
def test_damaged_odometry_and_transforms_are_counted(
    tmp_path: Path, others: Callable[[], list[Recorded]], topic: str, data: str, note: str
) -> None:
    people = people_messages(WALK, frame_id="camera" if topic == "/tf" else "map")
    bag = write_bag(tmp_path / "bag", [*people, *others()], storage="sqlite3")
    with sqlite3.connect(bag / "bag.db3") as database:
        database.execute(
            f"UPDATE messages SET data = {data} WHERE id IN (SELECT m.id FROM messages m JOIN "
            f"topics t ON t.id = m.topic_id WHERE t.name = '{topic}' ORDER BY m.id LIMIT 2)"
        )
    given = parameters(tmp_path, f"robot: {'odometry' if topic == '/odom' else 'none'}")
    result = evaluated(bag, "--fixed-frame", "map", "--params", str(given))
    assert [text for text in result["notes"] if note in text], result["notes"]
    assert result["entries"] > 200


def test_a_recording_without_a_usable_message_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(tmp_path / "bag", people_messages(WALK), storage="sqlite3")
    with sqlite3.connect(bag / "bag.db3") as database:
        database.execute("UPDATE messages SET data = x'00'")

    assert "no message can be used" in reason(bag, capsys)


class TestClocks:
    @pytest.mark.parametrize(("offset_s", "says"), [(5.0, "after"), (-5.0, "before")])
    def test_a_clock_with_an_offset_is_reported(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], offset_s: float, says: str
    ) -> None:
        bag = write_bag(tmp_path / "bag", people_messages(WALK, clock_offset_s=offset_s))

        said = reason(bag, capsys)

        assert f"recorded 5.0 s {says} their header stamps" in said
        assert "synchronise the clocks" in said
        assert "check that ids persist" not in said

    def test_arrival_as_the_stamp_source_needs_no_clock(self, tmp_path: Path) -> None:
        bag = write_bag(tmp_path / "bag", people_messages(WALK, clock_offset_s=5.0))
        given = parameters(tmp_path, "stamp_source: arrival")

        assert evaluated(bag, "--params", str(given))["entries"] == 3 * len(WALK)

    @pytest.mark.parametrize("step_s", [2.0, -2.0])
    def test_a_clock_that_steps_is_reported(self, tmp_path: Path, step_s: float) -> None:
        ahead = people_messages(shifted(WALK[60:], step_s), clock_offset_s=-step_s)
        bag = write_bag(tmp_path / "bag", [*people_messages(WALK[:60]), *ahead])

        assert any("a clock was stepped" in note for note in evaluated(bag)["notes"])


def test_the_accepted_spread_of_stamps_is_that_of_the_parameters(tmp_path: Path) -> None:
    array = "visualization_msgs/msg/MarkerArray"
    marker = zero_message(STORE, "visualization_msgs/msg/Marker")
    messages = []
    for tracks in WALK:
        markers = []
        for index, (x, y) in enumerate(tracks.positions_m.tolist()):
            pose = replace(marker.pose, position=replace(marker.pose.position, x=x, y=y))
            stamp = header(tracks.stamp_ns - index * S // 10, "map")
            markers.append(replace(marker, header=stamp, ns="person", id=index, pose=pose))
        message = replace(zero_message(STORE, array), markers=markers)
        messages.append(Recorded("/people", array, message, tracks.stamp_ns))
    bag = write_bag(tmp_path / "bag", messages)

    narrow = evaluated(bag)  # uses the newest entry of each message
    assert narrow["skipped"]["other_stamp"] == 2 * len(WALK)
    wide = parameters(tmp_path, "stamp_spread_s: 0.5")
    assert evaluated(bag, "--params", str(wide))["entries"] == 3 * len(WALK)


@pytest.mark.slow
def test_ids_of_a_megabyte_are_shortened_in_the_report(tmp_path: Path) -> None:
    longs = {f"p{who}": f"{'x' * 1_000_000}{who}" for who in range(3)}
    walk = [replace(tracks, ids=tuple(map(longs.get, tracks.ids))) for tracks in WALK[::4]]
    bag = write_bag(tmp_path / "bag", people_messages(walk))

    evaluated(bag)

    out = tmp_path / "out"
    assert (out / "report.html").stat().st_size < 10_000_000
    (part,) = (out / "parts").iterdir()
    frame = read_part(part, "highlights")["highlights"]["scene"]["frames"][0]
    assert len(set(frame["ids"])) == len(frame["ids"])
    assert max(map(len, frame["ids"])) <= 48


@pytest.mark.parametrize("name", ["caf\udce9", ":smile: [red]", "<!--<script>"])
def test_a_recording_may_have_any_name(tmp_path: Path, name: str) -> None:
    bag = write_bag(tmp_path / "bag", people_messages(WALK[::4]))
    (tmp_path / name).mkdir()
    file = (bag / "bag.mcap").rename(tmp_path / name / f"{name}.mcap")

    assert evaluated(file)["messages"] == len(WALK[::4])


@pytest.mark.parametrize("options", [(), ("--tracks", "/people")])
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_topic_may_have_messages_of_another_type(
    tmp_path: Path, storage: str, options: tuple[str, ...]
) -> None:
    """For example after an update of the tracker during the recording."""
    others = [
        Recorded("/people", TF_MESSAGE, transform_message("a", "b", n * S), WALK[0].stamp_ns + n)
        for n in range(5)
    ]
    bag = write_bag(tmp_path / "bag", [*others, *people_messages(WALK[::4])], storage=storage)

    found = evaluated(bag, *options)

    assert found["messages"] == len(WALK[::4])
    assert any(f"has 5 messages of another type, {TF_MESSAGE}" in note for note in found["notes"])


def test_links_to_a_parent_folder_are_followed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).symlink_to(folder)
    (folder / "c").symlink_to(folder / "c")
    write_bag(folder / "bag", people_messages(WALK[::4]))

    assert evaluated(folder)["messages"] == len(WALK[::4])
    assert evaluate_bag.main([str(folder / "c"), "--out", str(tmp_path / "out"), *FAST]) == 2
    assert "no recording there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("origin", "negate", "note"),
    [
        ([-50.0, -50.0, 0.0], 0, None),
        ([500.0, 0.0, 0.0], 0, "100 % of the people are not on the map"),
        ([-50.0, -50.0, 0.0], 1, "100 % of the people are inside the walls of the map"),
    ],
)
def test_a_map_that_does_not_fit_the_people_is_reported(
    tmp_path: Path, origin: list[float], negate: int, note: str | None
) -> None:
    bag = write_bag(tmp_path / "bag", people_messages(WALK))
    Image.fromarray(np.full((100, 100), 254, dtype=np.uint8)).save(tmp_path / "hall.png")
    values = {"image": "hall.png", "resolution": 1.0, "origin": origin, "negate": negate}
    (tmp_path / "hall.yaml").write_text(json.dumps(values))
    notes = evaluated(bag, "--map", str(tmp_path / "hall.yaml"))["notes"]
    assert [text for text in notes if "of the people are" in text] == [
        text for text in notes if note is not None and text.startswith(note)
    ]
    assert (note is None) == (not any("of the people are" in text for text in notes))


@pytest.mark.parametrize(
    ("frame_id", "note"),
    [("map", "inside the walls of the map"), ("hall", "predicted without walls: no transform")],
)
def test_a_map_is_used_or_the_report_says_why_not(tmp_path: Path, frame_id: str, note: str) -> None:
    zero = zero_message(STORE, "nav_msgs/msg/OccupancyGrid")
    origin = replace(zero.info.origin, orientation=replace(zero.info.origin.orientation, w=1.0))
    info = replace(zero.info, resolution=0.5, width=2, height=1, origin=origin)
    cells = np.array([100, 0], dtype=np.int8)
    grid = replace(zero, header=header(0, frame_id), info=info, data=cells)
    at_ns = WALK[0].stamp_ns
    messages = [*people_messages(WALK), Recorded("/map", grid.__msgtype__, grid, at_ns)]
    (file,) = write_bag(tmp_path / "bag", messages).glob("*.mcap")
    assert any(note in text for text in evaluated(file)["notes"])
    (part,) = (file.parent / "out" / "parts").iterdir()
    scene = read_part(part, "highlights")["highlights"]["scene"]
    assert bool(scene["walls"]) == (frame_id == "map")


@pytest.mark.parametrize(
    ("unit_m", "note"),
    [(1.0, ""), (3.28, "people on /people move at"), (0.001, "are listed twice")],
)
def test_positions_in_other_units_are_noted(tmp_path: Path, unit_m: float, note: str) -> None:
    """By the rules of the node's warnings."""
    people = tuple("abcdef")
    ways_m_s = np.array([[1.3, 0.0], [-1.2, 0.4], [0.2, 1.4], [0.0, -1.3], [1.0, 1.0], [0.9, -0.9]])
    noise = np.random.default_rng(0)
    walk = [
        Tracks(
            START_NS + n * S // 10,
            people,
            unit_m
            * (np.arange(12).reshape(6, 2) + n / 10 * ways_m_s + noise.normal(0, 0.03, (6, 2))),
        )
        for n in range(120)
    ]
    notes = evaluated(write_bag(tmp_path / "bag", people_messages(walk)))["notes"]
    assert [each for each in notes if note and note in each] == notes
    assert len(notes) == bool(note)
