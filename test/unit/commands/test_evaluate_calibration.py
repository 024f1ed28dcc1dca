"""`evaluate_calibration`: coverage as shipped and with adaptive calibration."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.bags import START_NS, S, header, people_messages, walkers, write_bag
from support.benchmark_data import DATA, needs_recordings, write_walks

from social_implicit_ros.commands import evaluate_calibration
from social_implicit_ros.commands.evaluate_calibration import main
from social_implicit_ros.evaluation.benchmark.calibration import (
    CalibrationReplay,
    replay_calibration,
)
from social_implicit_ros.evaluation.benchmark.split_metrics import (
    BenchmarkError,
    load_benchmark_model,
)
from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.replay_settings import load_settings
from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.recordings.bag_writer import write_tracks
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT
from social_implicit_ros.recordings.track_source import TrackSource, open_source
from social_implicit_ros.types import Tracks


def replay_of(times_s: list[float], inside: list[bool]) -> CalibrationReplay:
    levels, steps = np.where(inside, 0.5, 1.0), np.zeros(len(times_s), dtype=np.int64)
    return CalibrationReplay(np.array(times_s), levels, steps, 1.0)


def test_running_coverage_counts_positions_scored_until_then() -> None:
    replay = replay_of([1.0, 1.0, 2.0, 3.0], [True, False, True, True])
    assert replay.running_coverage(1.0) == 0.5
    assert replay.running_coverage(2.5) == pytest.approx(2 / 3)
    assert replay.coverage == 0.75
    assert np.isnan(replay.running_coverage(0.5))


def test_the_band_is_reached_at_the_first_moment_with_enough_positions() -> None:
    # A hundred positions a second: none inside at first, then all.
    inside = [second >= 2 for second in range(60) for _ in range(100)]
    times_s = [float(second) for second in range(60) for _ in range(100)]
    # 2 of n seconds are lost: within 3 points of 95 % from the 25th second on.
    assert replay_of(times_s, inside).seconds_to_band() == 24.0
    assert replay_of([0.0] * 99, [True] * 95 + [False] * 4).seconds_to_band() == float("inf")
    assert replay_of([0.0] * 100, [True] * 95 + [False] * 5).seconds_to_band() == 0.0


def test_time_in_the_band_is_of_the_latest_window() -> None:
    # For 4 minutes every second position is inside, then, for 8 minutes, 19 of 20.
    times_s = [12.0 * at for at in range(60) for _ in range(20)]
    inside = [n % 2 == 0 if n < 400 else n % 20 > 0 for n in range(1200)]
    assert replay_of(times_s, inside).time_in_band() == pytest.approx(36 / 54, abs=1 / 54)
    assert np.isnan(replay_of(times_s[:80], inside[:80]).time_in_band())


def test_nothing_to_score_is_an_error(tmp_path: Path) -> None:
    lonely = source_of(tmp_path, walkers(duration_s=0.2))
    with pytest.raises(BenchmarkError, match="nobody was observed"):
        replay_calibration(ConstantVelocity(), lonely, load_settings(), is_adaptive=False)


def test_results_are_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_walks(tmp_path, turn_rad=0.05)
    out = tmp_path / "figures.json"
    assert (
        main(
            ["--data", str(data), "--split", "zara1", "--model", "social_zone", "--json", str(out)]
        )
        == 0
    )
    assert "crowds_zara01" in capsys.readouterr().out
    row = json.loads(out.read_text())["models"]["social_zone"]["crowds_zara01"]
    assert row["adaptive"]["positions"] == row["as_shipped"]["positions"] > 100


def test_results_are_written_before_a_pipe_can_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(evaluate_calibration, "_print", broken)
    bag, out = tmp_path / "bag", tmp_path / "figures.json"
    write_bag(bag, people_messages(walkers()))
    assert main([str(bag), "--json", str(out)]) != 0
    assert json.loads(out.read_text())["models"]


@pytest.mark.slow
def test_own_recordings_are_evaluated_with_the_default_model(tmp_path: Path) -> None:
    people = write_bag(tmp_path / "people", people_messages(walkers(duration_s=20.0)))
    text = write_walks(tmp_path / "text", turn_rad=0.05) / "eth_ucy/all_data/biwi_eth.txt"
    out = tmp_path / "figures.json"
    assert main([str(people), str(text), "--json", str(out)]) == 0
    rows = json.loads(out.read_text())["models"]["default"]
    assert set(rows) == {str(people), str(text)}
    # Three people in every step; the first prediction is made once they were seen twice.
    assert 1000 < rows[str(people)]["adaptive"]["positions"] < 3 * 12 * 20 / 0.4


@pytest.mark.slow
def test_ellipses_are_limited_by_walls_as_in_the_node(tmp_path: Path) -> None:
    """People walk along a corridor; the map contains its walls."""
    walk = [
        replace(tracks, positions_m=tracks.positions_m * [1.0, 0.0] + [0.0, 0.3])
        for tracks in walkers(duration_s=20.0, n_agents=1)
    ]
    occupied = np.zeros((6, 300), bool)
    occupied[[0, 5]] = True
    plan = FloorPlan(occupied, 0.2, (-20.0, -0.3))
    bag = tmp_path / "bag"
    write_tracks(
        bag, walk, topic="/tracks", message_type="point_cloud", frame_id="map", floor_plan=plan
    )
    Image.fromarray(np.where(occupied[::-1], 0, 254).astype(np.uint8)).save(tmp_path / "map.png")
    (tmp_path / "map.yaml").write_text(
        "{image: map.png, resolution: 0.2, origin: [-20.0, -0.3, 0.0]}"
    )
    areas = []
    for given in ([], ["--map", str(tmp_path / "map.yaml")], ["--no-map"]):
        out = tmp_path / "figures.json"
        assert main([str(bag), "--json", str(out), *given]) == 0
        (row,) = json.loads(out.read_text())["models"]["default"].values()
        areas.append(row["as_shipped"]["area_m2"])
    in_bag, in_file, without = areas
    assert in_bag == pytest.approx(in_file, rel=1e-3)
    assert in_bag < 0.7 * without


@pytest.mark.slow
def test_parameters_are_read_from_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stamps of this tracker never change; `stamp_source: arrival` ignores them."""
    walk = walkers()
    stuck = [
        replace(entry, message=replace(entry.message, header=header(START_NS, "map")))
        for entry in people_messages(walk)
    ]
    bag, params = write_bag(tmp_path / "bag", stuck), tmp_path / "robot.yaml"
    assert main([str(bag)]) == 2
    assert "duplicate stamp: the tracker must set the stamp" in capsys.readouterr().err
    params.write_text("predictor: {ros__parameters: {stamp_source: arrival}}")
    assert main([str(bag), "--params", str(params)]) == 0


@pytest.mark.slow
def test_the_median_and_the_worst_of_many_recordings_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for turn in (0.0, 0.05, 0.3):
        write_walks(tmp_path / str(turn), turn_rad=turn)
    recordings = [str(path) for path in sorted(tmp_path.glob("*/*/*/biwi_eth.txt"))]
    out = tmp_path / "figures.json"
    assert main([*recordings, "--json", str(out)]) == 0
    rows = [row["as_shipped"] for row in json.loads(out.read_text())["models"]["default"].values()]
    lines = capsys.readouterr().out.splitlines()
    for heading, choose in (("median of 3", np.median), ("worst of 3", np.min)):
        (line,) = [line for line in lines if heading in line]
        assert f"{choose([row['r_min'] for row in rows]):.1%}" in line


def source_of(tmp_path: Path, recording: list[Tracks]) -> TrackSource:
    """A bag whose messages arrive 0.1 s apart, independent of their stamps."""
    messages = people_messages(recording)
    arrived = [
        replace(message, recorded_ns=recording[0].stamp_ns + index * S // 10)
        for index, message in enumerate(messages)
    ]
    return open_source(write_bag(tmp_path / "bag", arrived))


@pytest.mark.slow
def test_a_recording_of_a_looped_replay_is_evaluated_in_each_loop(tmp_path: Path) -> None:
    walk = walkers(duration_s=10.0)
    # Two old messages may be a mistake; the third is a jump back in time.
    again = [*walk[:1], *walk[:1], *walk]
    once, twice = (
        replay_calibration(
            ConstantVelocity(),
            source_of(tmp_path / name, tracks),
            load_settings(),
            is_adaptive=False,
        )
        for name, tracks in (("once", walk), ("twice", walk + again))
    )
    np.testing.assert_array_equal(twice.levels, np.tile(once.levels, 2))
    assert (np.diff(twice.times_s) >= 0.0).all()
    assert twice.times_s[-1] == pytest.approx(2 * once.times_s[-1], abs=1.0)


def test_messages_that_the_node_refuses_are_not_replayed(tmp_path: Path) -> None:
    walk = walkers(duration_s=10.0)
    refused = [replace(walk[30], stamp_ns=stamp_ns) for stamp_ns in (0, walk[10].stamp_ns - 9 * S)]
    clean, mixed = (
        replay_calibration(
            ConstantVelocity(),
            source_of(tmp_path / name, tracks),
            load_settings(),
            is_adaptive=False,
        )
        for name, tracks in (("clean", walk), ("mixed", [*walk[:30], *refused, *walk[30:]]))
    )
    np.testing.assert_array_equal(mixed.levels, clean.levels)


def test_progress_is_reported_message_by_message(tmp_path: Path) -> None:
    source = source_of(tmp_path, walkers(duration_s=10.0))
    reported: list[int] = []
    replay_calibration(
        ConstantVelocity(), source, load_settings(), is_adaptive=False, advance=reported.append
    )
    assert sum(reported) == source.n_messages


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere"], "nowhere: no recording there"),
        (["{short}"], "nobody was observed for long enough"),
        (["{short}", "--tracker", "nobodys"], "nobodys"),
        (["{short}", "--model", "missing.onnx"], "missing.onnx"),
    ],
)
def test_recordings_that_cannot_be_evaluated_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    short = write_bag(tmp_path / "short", people_messages(walkers(duration_s=0.5)))
    assert main([argument.format(short=short) for argument in arguments]) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "give BAG, or --data"),
        (["bag", "--split", "eth"], "--split applies to the benchmark"),
        (["--data", ".", "--no-map", "--seconds"], "--no-map, --seconds: only with BAG"),
    ],
)
def test_contradicting_options_are_refused(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    reason: str,
) -> None:
    monkeypatch.delenv("SOCIAL_IMPLICIT_DATA", raising=False)
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert reason in capsys.readouterr().err


def test_a_folder_without_recordings_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(tmp_path), "--split", "eth"]) == 2
    assert "biwi_eth.txt" in capsys.readouterr().err


#: Evaluated part of recordings with many people, which is enough for the same accuracy, seconds.
ENOUGH_S = {"students": 100.0, "crowds": 150.0, "biwi_eth": 360.0}


@pytest.mark.slow
@needs_recordings
@pytest.mark.parametrize(
    ("family", "split", "name"),
    [
        *(("social_zone", split, name) for split, names in LEAVE_ONE_OUT.items() for name in names),
        ("social_implicit", "hotel", "biwi_hotel"),  # few people
        ("social_implicit", "zara2", "crowds_zara02"),  # many
    ],
)
def test_ellipses_reach_nominal_coverage_on_every_split(family: str, split: str, name: str) -> None:
    duration_s = next((some for of, some in ENOUGH_S.items() if name.startswith(of)), None)
    replay = replay_calibration(
        load_benchmark_model(f"{family}_{split}"),
        open_source(DATA / f"eth_ucy/all_data/{name}.txt").part(0.0, duration_s),
        load_settings(),
        is_adaptive=True,
    )
    r_avg, r_min = replay.reliability
    assert replay.seconds_to_band() <= 60.0
    assert replay.coverage == pytest.approx(0.95, abs=0.01)
    assert r_avg >= 0.95
    # Without a calibration of its own, a model's first step reaches the bounds of the adaptation.
    assert r_min >= (0.90 if family == "social_zone" else 0.88)
