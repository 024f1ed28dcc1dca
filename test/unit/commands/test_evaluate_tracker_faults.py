"""`evaluate_bag --tracker-faults` and `--ground-truth`, from recording to results."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.bags import (
    START_NS,
    TF_MESSAGE,
    Recorded,
    S,
    people_messages,
    transform_message,
    walkers,
    write_bag,
)

from social_implicit_ros.commands import evaluate_bag
from social_implicit_ros.types import Tracks

MODEL = ("--model", "constant_velocity", "--moments", "0", "--jobs", "1", "--tick-rate", "10")


def text_of(path: Path, recording: list[Tracks], *, first_ns: int = START_NS) -> Path:
    """A text recording whose frames are milliseconds since `first_ns`."""
    lines = [
        f"{round((tracks.stamp_ns - first_ns) / 1e6)} {agent[1:]} {x} {y}"
        for tracks in recording
        for agent, (x, y) in zip(tracks.ids, tracks.positions_m.tolist(), strict=True)
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines))
    return path


def abreast(*, apart_m: float, n_people: int = 2) -> list[Tracks]:
    """People who walk side by side for 12 s."""
    ids = tuple(f"p{person}" for person in range(n_people))
    beside_m = np.arange(n_people) * apart_m
    return [
        Tracks(
            START_NS + tick * S // 10, ids, np.stack([beside_m, np.full(n_people, tick / 10)], 1)
        )
        for tick in range(121)
    ]


def run(*arguments: object) -> int:
    return evaluate_bag.main([*map(str, arguments), *MODEL])


def tracker_metrics(tmp_path: Path, *arguments: object) -> dict[str, Any]:
    """The tracker's metrics in the results."""
    out = tmp_path / "out"
    assert run(*arguments, "--out", out) == 0
    results = json.loads((out / "results.json").read_text())
    metrics: dict[str, Any] = results["models"]["constant_velocity"]["tracker"]
    return metrics


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return text_of(tmp_path / "walkers.txt", walkers(duration_s=12.0, n_agents=4))


def test_without_faults_everybody_is_predicted_from_the_second_message_on(tmp_path, text):
    metrics = tracker_metrics(
        tmp_path, text, "--frames-per-second", 1000, "--tracker-faults", "none"
    )

    assert metrics["person_ticks"] == 4 * 121
    assert metrics["predicted"] == pytest.approx(120 / 121)
    assert (metrics["people"], metrics["surplus"], metrics["id_changes"]) == (4, 0.0, 0.0)
    assert metrics["mean_fde"] < 0.1
    assert metrics["end_change_m"] < 0.01
    assert [group["futures"] for group in metrics["by_age"]] == [8, 12, 24, 48, 96, 100]


def test_errors_are_relative_to_the_people_and_not_to_the_tracks(tmp_path, text):
    """Each track follows a person for half a second only, so it contains no ground truth."""
    faults = ("--frames-per-second", 1000, "--tracker-faults", "cuts=0.5,noise=0.02,latency=0.15")

    metrics = tracker_metrics(tmp_path, text, *faults)

    assert metrics["futures"] > 100
    assert 0.05 < metrics["mean_fde"] < 2.0
    assert metrics["median_fde"] < 2.0


@pytest.mark.slow
def test_ids_change_where_cuts_are_not_stitched(tmp_path, text):
    params = tmp_path / "params.yaml"
    params.write_text("predictor: {ros__parameters: {stitching: false, tick_rate_hz: 10.0}}")
    faults = ("--frames-per-second", 1000, "--tracker-faults", "cuts=3")

    stitched = tracker_metrics(tmp_path, text, *faults)
    plain = tracker_metrics(tmp_path, text, *faults, "--params", params)

    assert plain["id_changes"] >= 3
    assert plain["surplus"] > stitched["surplus"]  # the old id is extrapolated beside the new one
    assert stitched["id_changes"] < 1


def test_swapped_ids_are_matched_to_the_nearest_people(tmp_path):
    text = text_of(tmp_path / "pair.txt", abreast(apart_m=0.6))
    params = tmp_path / "params.yaml"
    params.write_text("predictor: {ros__parameters: {untangling: false, tick_rate_hz: 10.0}}")
    faults = ("--frames-per-second", 1000, "--tracker-faults", "swaps=1,swap_rate=0.2")

    metrics = tracker_metrics(tmp_path, text, *faults, "--params", params)

    assert metrics["id_changes"] >= 1
    assert metrics["predicted"] > 0.95
    assert metrics["surplus"] == 0.0


@pytest.mark.slow
def test_requested_faults_are_not_noted_as_those_of_the_recording(tmp_path):
    bag = write_bag(tmp_path / "bag", people_messages(walkers(duration_s=12.0, n_agents=4)))
    tracker_metrics(tmp_path, bag, "--tracker-faults", "quantum=0.5")
    (evaluated,) = json.loads((tmp_path / "out" / "results.json").read_text())["bags"]
    assert not any("rounded" in note for note in evaluated["notes"])


def test_false_tracks_are_surplus_predictions(tmp_path, text):
    metrics = tracker_metrics(
        tmp_path, text, "--frames-per-second", 1000, "--tracker-faults", "ghosts=60,ghost_s=2"
    )

    assert metrics["surplus"] > 0.1
    assert metrics["predicted"] > 0.95


def test_people_out_of_range_count_as_not_predicted(tmp_path, text):
    near = tracker_metrics(
        tmp_path, text, "--frames-per-second", 1000, "--tracker-faults", "range=4"
    )

    assert near["person_ticks"] == 4 * 121
    assert 0.05 < near["predicted"] < 0.9


@pytest.mark.slow
def test_the_people_are_in_the_fixed_frame(tmp_path):
    """Tracks in the frame of a robot that drives at 0.5 m/s, which /tf locates."""
    recording = walkers(duration_s=7.0, n_agents=3)
    seen, transforms = [], []
    for tracks in recording:
        x = 0.5 * (tracks.stamp_ns - recording[0].stamp_ns) / S
        seen.append(Tracks(tracks.stamp_ns, tracks.ids, tracks.positions_m - [x, 0.0]))
        moved = transform_message("odom", "base", tracks.stamp_ns, xyz=(x, 0.0, 0.0))
        transforms.append(Recorded("/tf", TF_MESSAGE, moved, tracks.stamp_ns))
    bag = write_bag(tmp_path / "bag", [*transforms, *people_messages(seen, frame_id="base")])
    params = tmp_path / "params.yaml"
    params.write_text(
        "predictor: {ros__parameters: {robot: tf, robot_frame: base, tick_rate_hz: 10.0}}"
    )

    everybody = tracker_metrics(tmp_path, bag, "--tracker-faults", "none")
    near = tracker_metrics(tmp_path, bag, "--tracker-faults", "range=4", "--params", params)

    assert everybody["mean_fde"] < 0.3
    assert everybody["predicted"] > 0.95
    assert 0.05 < near["predicted"] < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--tracker-faults", "--ground-truth"])
@pytest.mark.parametrize("frame", ["map", "base"])
def test_ground_truth_follows_the_corrected_localisation(tmp_path, frame, option):
    """`odom` jumps by 1.5 m in `map`; tracks arrive in `map` or through `odom`."""
    correction = np.array([1.5, 0.0])
    odom = walkers(duration_s=12.0, n_agents=4)
    jump_ns = odom[60].stamp_ns
    in_map = [
        replace(t, positions_m=t.positions_m + correction * (t.stamp_ns >= jump_ns)) for t in odom
    ]
    transforms = [
        Recorded("/tf", TF_MESSAGE, transform_message(target, source, stamp_ns, xyz=xyz), stamp_ns)
        for stamp_ns in (tracks.stamp_ns for tracks in odom)
        for target, source, xyz in (
            ("map", "odom", (1.5 * (stamp_ns >= jump_ns), 0.0, 0.0)),
            ("odom", "base", (0.0, 0.0, 0.0)),
        )
    ]
    seen = in_map if frame == "map" else odom
    params = tmp_path / "params.yaml"
    params.write_text("predictor: {ros__parameters: {fixed_frame: map}}")
    bag = write_bag(tmp_path / "bag", [*transforms, *people_messages(seen, frame_id=frame)])
    truth = write_bag(tmp_path / "truth", people_messages(in_map, frame_id="map"))
    by = "none" if option == "--tracker-faults" else truth

    metrics = tracker_metrics(tmp_path, bag, option, by, "--params", params)

    assert metrics["predicted"] > 0.97
    assert metrics["surplus"] < 0.03
    assert metrics["by_age"][-1]["median_fde"] < 0.05  # most of them begin after the correction


@pytest.mark.slow
def test_a_recording_is_evaluated_with_the_ground_truth_of_another(tmp_path):
    people = abreast(apart_m=2.0, n_people=4)
    truth = text_of(tmp_path / "truth" / "walk.txt", people)
    # With other ids, and one person is never seen.
    seen = [Tracks(t.stamp_ns, ("p7", "p8", "p9"), 0.3 + t.positions_m[:3]) for t in people]
    recording = text_of(tmp_path / "seen" / "walk.txt", seen)

    metrics = tracker_metrics(
        tmp_path, recording, "--frames-per-second", 1000, "--ground-truth", truth.parent
    )

    assert metrics["predicted"] == pytest.approx(0.75, abs=0.01)
    assert metrics["mean_ade"] == pytest.approx(0.3 * 2**0.5, abs=0.03)
    assert metrics["surplus"] == 0.0


@pytest.mark.slow
def test_ground_truth_of_another_clock_is_shifted(tmp_path):
    people = abreast(apart_m=2.0)
    late = [replace(tracks, stamp_ns=tracks.stamp_ns + 3 * S // 10) for tracks in people]
    truth = text_of(tmp_path / "truth.txt", late)
    recording = text_of(tmp_path / "seen.txt", people)
    option = ("--frames-per-second", 1000, "--ground-truth", truth)

    as_recorded = tracker_metrics(tmp_path, recording, *option)
    shifted = tracker_metrics(tmp_path, recording, *option, "--ground-truth-shift", -0.3)

    assert as_recorded["mean_ade"] == pytest.approx(0.3, abs=0.03)
    assert shifted["by_age"][-1]["mean_ade"] < 0.02
    assert shifted["predicted"] == pytest.approx(120 / 121)


def test_tracks_far_from_everybody_are_surplus(tmp_path):
    people = abreast(apart_m=2.0)
    truth = text_of(tmp_path / "truth.txt", people)
    far = [Tracks(t.stamp_ns, t.ids, 1.5 + t.positions_m) for t in people]
    recording = text_of(tmp_path / "far.txt", far)

    metrics = tracker_metrics(
        tmp_path, recording, "--frames-per-second", 1000, "--ground-truth", truth
    )

    assert metrics["predicted"] == 0.0
    assert metrics["surplus"] == pytest.approx(120 / 121)
    (bag,) = json.loads((tmp_path / "out" / "results.json").read_text())["bags"]
    assert any("no predicted person is within 1 m" in note for note in bag["notes"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--tracker-faults", "nose=1"), "--tracker-faults 'nose=1'"),
        (("--ground-truth", "nowhere"), "--ground-truth nowhere: no such file or folder"),
        (("--tracker-faults", "none", "--ground-truth", "."), "leave out --ground-truth"),
        (("--ground-truth-shift", "0.2"), "--ground-truth-shift needs --ground-truth"),
        (("--ground-truth", ".", "--ground-truth-shift", "nan"), "--ground-truth-shift is nan"),
    ],
)
def test_an_invalid_request_is_refused_before_anything_is_read(
    tmp_path, text, capsys, arguments, expected
):
    assert run(text, *arguments, "--out", tmp_path / "out") == 2
    assert expected in capsys.readouterr().err


def test_a_folder_without_the_ground_truth_is_refused(tmp_path, text, capsys):
    (tmp_path / "truth").mkdir()

    assert run(text, "--ground-truth", tmp_path / "truth", "--out", tmp_path / "out") == 2
    assert "has no ground truth named walkers.txt" in capsys.readouterr().err


def test_ground_truth_of_another_time_is_refused(tmp_path, text, capsys):
    later = text_of(tmp_path / "later.txt", walkers(), first_ns=START_NS - 60 * S)

    run(text, "--frames-per-second", 1000, "--ground-truth", later, "--out", tmp_path / "out")

    said = capsys.readouterr().err
    assert "the ground truth starts 60 s after the tracks" in said
    assert "--ground-truth-shift" in said


def test_the_tables_show_the_metrics_by_age(tmp_path, text, capsys):
    tracker_metrics(
        tmp_path, text, "--frames-per-second", 1000, "--tracker-faults", "cuts=4,seed=2"
    )

    shown = capsys.readouterr().out
    for expected in ("person-time predicted", "surplus predictions", "2.4-4.8 s", "cuts=4,seed=2"):
        assert expected in shown
    page = (tmp_path / "out" / "report.html").read_text()
    for expected in ("cuts=4,seed=2", "person-time predicted", "age 2.4-4.8 s"):
        assert expected in page
