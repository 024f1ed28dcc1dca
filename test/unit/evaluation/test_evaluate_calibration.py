"""The replay that shows what adaptive calibration does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.benchmark_data import DATA, needs_recordings, write_walks

from social_implicit_ros.core.adaptive_calibration import AdaptiveCalibration
from social_implicit_ros.core.predictor import ConstantVelocity
from social_implicit_ros.core.recordings import LEAVE_ONE_OUT
from social_implicit_ros.core.types import Tracks
from social_implicit_ros.evaluation.bags import load_text, text_tracks
from social_implicit_ros.evaluation.benchmark import load_benchmark_model
from social_implicit_ros.evaluation.calibration_replay import CalibrationReplay, replay_calibration
from social_implicit_ros.evaluation.evaluate_calibration import main

S = 1_000_000_000


def replay_of(times_s: list[float], inside: list[bool]) -> CalibrationReplay:
    return CalibrationReplay(np.array(times_s), np.where(inside, 0.5, 1.0), times_s[-1], 1.0)


def test_running_coverage_counts_what_was_judged_by_then() -> None:
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
    # For 20 s every second position is inside, then 19 of 20.
    times_s = [float(second) for second in range(60) for _ in range(20)]
    inside = [n % 2 == 0 if n < 400 else n % 20 > 0 for n in range(1200)]
    near_s, far_s = replay_of(times_s, inside).seconds_in_window(5.0, 0.03)
    assert near_s + far_s == 54.0
    assert near_s == pytest.approx(36.0, abs=1.0)


def test_nothing_to_judge_is_an_error() -> None:
    lonely = [Tracks(n * S, ("a",), np.zeros((1, 2))) for n in range(2)]
    with pytest.raises(ValueError, match="nobody was seen"):
        replay_calibration(ConstantVelocity(), lonely, adaptive=None)


def test_it_prints_and_writes_what_it_measured(
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


def test_a_folder_without_recordings_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(tmp_path), "--split", "eth"]) == 2
    assert "biwi_eth.txt" in capsys.readouterr().err


@needs_recordings
@pytest.mark.parametrize("family", ["social_zone", "social_implicit"])
@pytest.mark.parametrize(
    ("split", "name"), [(split, name) for split, names in LEAVE_ONE_OUT.items() for name in names]
)
def test_on_every_split_ellipses_come_to_hold_what_they_say(
    family: str, split: str, name: str
) -> None:
    recording = load_text(DATA / f"eth_ucy/all_data/{name}.txt")
    replay = replay_calibration(
        load_benchmark_model(f"{family}_{split}"),
        text_tracks(recording),
        adaptive=AdaptiveCalibration(12),
    )
    r_avg, r_min = replay.reliability
    assert replay.seconds_to_band() <= 60.0
    assert replay.coverage == pytest.approx(0.95, abs=0.01)
    assert r_avg >= 0.95
    assert r_min >= 0.90
