"""The tracks of a recording become due at their stamps."""

from __future__ import annotations

from pathlib import Path

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

from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.playback import Playback
from social_implicit_ros.recordings.track_source import TrackSource, open_source


@pytest.fixture
def recording(tmp_path: Path) -> TrackSource:
    """Five entries, 0.4 s apart, from second 2 of the recording's time on."""
    path = tmp_path / "walk.txt"
    path.write_text("".join(f"{frame} 1 {frame} 0\n" for frame in (25, 35, 45, 55, 65)))
    return open_source(path)


def due_frames(playback: Playback, elapsed_s: float) -> list[float]:
    return [tracks.positions_m[0, 0] for tracks in playback.advance(elapsed_s)[1]]


def test_entries_are_due_at_their_time_and_once(recording: TrackSource) -> None:
    playback = Playback(recording)
    assert due_frames(playback, 0.0) == [25]
    assert due_frames(playback, 0.39) == []
    assert due_frames(playback, 0.41) == [35]
    assert due_frames(playback, 1.3) == [45, 55]
    assert not playback.is_done
    assert due_frames(playback, 99.0) == [65]
    assert playback.is_done
    assert due_frames(playback, 100.0) == []


@pytest.mark.parametrize("rate", [0.5, 1.0, 4.0])
def test_the_time_of_the_recording_runs_at_the_rate(recording: TrackSource, rate: float) -> None:
    playback = Playback(recording, rate=rate)
    begin_ns, _ = playback.advance(0.0)
    assert begin_ns == 2_000_000_000
    assert playback.advance(0.6)[0] - begin_ns == round(0.6e9 * rate)


def test_a_part_begins_and_ends_where_asked(recording: TrackSource) -> None:
    playback = Playback(recording, start_s=0.4, duration_s=0.8)
    assert due_frames(playback, 99.0) == [35, 45, 55]
    assert playback.is_done


def test_a_loop_begins_again_and_its_time_jumps_back(recording: TrackSource) -> None:
    playback = Playback(recording, loop=True)
    first_ns, due = playback.advance(5.0)
    assert len(due) == 5 and not playback.is_done
    again_ns, due_again = playback.advance(5.1)
    assert again_ns < first_ns
    assert [tracks.stamp_ns for tracks in due_again] == [2_000_000_000]
    assert due_frames(playback, 5.6) == [35]


def test_a_part_beyond_the_end_is_refused(recording: TrackSource) -> None:
    with pytest.raises(RecordingError, match=r"no messages from 9 s on; it is 1\.6 s long"):
        Playback(recording, start_s=9.0)


def test_a_part_in_a_gap_is_refused_with_the_time_of_the_next_message(tmp_path: Path) -> None:
    path = tmp_path / "gap.txt"
    path.write_text("".join(f"{frame} 1 {frame} 0\n" for frame in (0, 10, 20, 500, 510)))
    recording = open_source(path)
    reason = (
        r"no messages from 5 to 8 s; it is 20\.4 s long "
        r"and has a gap there: it continues at 20\.0 s"
    )
    with pytest.raises(RecordingError, match=reason):
        Playback(recording, start_s=5.0, duration_s=3.0)
    to_the_end = Playback(recording, start_s=5.0)
    assert due_frames(to_the_end, 0.0) == [500]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"rate": 0.0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"start_s": -1.0}, "start"),
        ({"duration_s": 0.0}, "duration"),
    ],
)
def test_an_option_out_of_range_is_named(
    recording: TrackSource, options: dict[str, float], name: str
) -> None:
    with pytest.raises(RecordingError, match=name):
        Playback(recording, **options)  # type: ignore[arg-type]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    messages = people_messages(walkers(duration_s=1.0), frame_id="lidar")
    for second in (0, 0.5):  # transforms end in the middle
        pose = transform_message("odom", "lidar", START_NS + round(second * S))
        messages.append(Recorded("/tf", TF_MESSAGE, pose, START_NS))
    playback = Playback(open_source(write_bag(tmp_path / "bag", messages)))
    _, due = playback.advance(99.0)
    assert len(due) == 6
    (note,) = playback.left_out.notes()
    assert note.startswith("15 of 33 entries are left out, no transform: ")
