"""Text recordings: what a line holds, what is refused, and the windows of the benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.benchmark_data import write_walks

from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT, scenes, split_scenes
from social_implicit_ros.recordings.text_formats.text import load_recording


def write(folder: Path, text: str) -> Path:
    path = folder / "walk.txt"
    path.write_text(text)
    return path


def test_lines_are_sorted_by_frame_then_id(tmp_path: Path) -> None:
    path = write(tmp_path, "10 2 5.0 6.0\n0\t7\t1.0\t2.0\n10.0 1.0 3.0 4.0\n")
    recording = load_recording(path)
    assert recording.name == "walk"
    assert recording.frames.tolist() == [0, 10, 10]
    assert recording.ids.tolist() == [7, 1, 2]
    np.testing.assert_array_equal(recording.positions_m, [[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected lines of four numbers"),
        ("0 1 2\n", "expected lines of four numbers"),
        ("0 1 2 3\n0 1 2\n", "four numbers"),
        ("0 1 two 3\n", "four numbers"),
        ("0 1 2 3\n1 1 nan 3\n", "line 2 is not finite"),
        ("0 1 2 3\n1e300 1 2 3\n", "line 2 .* beyond"),
        ("0 -1e17 2 3\n", "line 1 .* beyond"),
        ("0 1 2 3\n-5 1 2 3\n", "line 2 has a negative frame"),
    ],
)
def test_an_invalid_line_is_refused_with_its_place(tmp_path: Path, text: str, reason: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=reason) as caught:
        load_recording(path)
    assert str(path) in str(caught.value)


def test_a_window_has_the_people_who_are_in_every_frame(tmp_path: Path) -> None:
    seen = {1: range(6), 2: range(1, 6), 3: (0, 1, 3, 4, 5)}  # frames of each person
    lines = [
        f"{10 * frame} {who} {frame} {who}" for who, frames in seen.items() for frame in frames
    ]
    recording = load_recording(write(tmp_path, "\n".join(lines)))
    pairs = list(scenes(recording, n_steps=4))
    assert [(scene.frame, scene.ids.tolist()) for scene in pairs] == [(10, [1, 2]), (20, [1, 2])]
    np.testing.assert_array_equal(pairs[1].positions_m[1], [[2, 2], [3, 2], [4, 2], [5, 2]])
    assert [scene.frame for scene in scenes(recording, n_steps=4, min_agents=1)] == [0, 10, 20]


@pytest.mark.parametrize(
    ("data", "split", "message"),
    [
        ("nowhere", "eth", "has no eth_ucy/all_data"),
        (".", "paris", "unknown split 'paris': expected one of eth, hotel"),
        (".", "hotel", "lacks biwi_hotel.txt"),
        (".", "zara1", "crowds_zara01.txt.*four numbers"),
        (".", "zara2", "no window with 2 agents"),
    ],
)
def test_wrong_data_is_named(tmp_path: Path, data: str, split: str, message: str) -> None:
    recordings = write_walks(tmp_path) / "eth_ucy/all_data"
    (recordings / "biwi_hotel.txt").unlink()
    (recordings / "crowds_zara01.txt").write_text("1 2 three\n")
    (recordings / "crowds_zara02.txt").write_text("0 1 0.0 0.0\n")
    with pytest.raises(RecordingError, match=message):
        split_scenes(tmp_path / data, split)


def test_every_split_is_tested_on_its_own_recordings(tmp_path: Path) -> None:
    straight = write_walks(tmp_path)
    for split, names in LEAVE_ONE_OUT.items():
        assert {scene.recording for scene in split_scenes(straight, split)} == set(names)
