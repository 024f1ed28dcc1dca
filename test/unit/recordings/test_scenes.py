"""Windows of 8 s from any tracker's messages, for training and evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from support.bags import START_NS, S, people_messages, walkers, write_bag

from social_implicit_ros.prediction.replay_settings import load_settings
from social_implicit_ros.recordings.scenes import WINDOW_NS, bag_scenes
from social_implicit_ros.recordings.text_formats.eth_ucy import Scene, scenes
from social_implicit_ros.recordings.text_formats.text import load_recording
from social_implicit_ros.recordings.track_source import open_source
from social_implicit_ros.types import Tracks


def scenes_of(path: Path) -> list[Scene]:
    return bag_scenes(open_source(path), load_settings())


def recorded(path: Path, tracks: list[Tracks]) -> Path:
    return write_bag(path, people_messages(tracks))


def test_a_text_recording_has_the_windows_of_the_benchmark(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    lines = []
    for person in range(6):
        first, n_frames = 5 * person, int(generator.integers(15, 40))
        walk = generator.normal(0.4, 0.1, (n_frames, 2)).cumsum(axis=0)
        lines += [
            f"{10 * (first + n)} {person} {x:.3f} {y:.3f}" for n, (x, y) in enumerate(walk.tolist())
        ]
    path = tmp_path / "walks.txt"
    path.write_text("\n".join(lines))

    found = scenes_of(path)
    expected = list(scenes(load_recording(path), min_agents=1))

    assert len(found) == len(expected) > 10
    for ours, theirs in zip(found, expected, strict=True):
        order = np.lexsort(ours.positions_m[:, 0].T)
        np.testing.assert_allclose(
            ours.positions_m[order],
            theirs.positions_m[np.lexsort(theirs.positions_m[:, 0].T)],
        )


def test_messages_at_any_rate_are_interpolated_at_the_models_step(tmp_path: Path) -> None:
    found = scenes_of(recorded(tmp_path / "bag", walkers(duration_s=12.0, rate_hz=7.0)))
    assert len(found) == 12  # from 0 to 4.4 s, every 0.4 s, and 7.6 s each
    assert [scene.frame for scene in found] == [START_NS + n * 2 * S // 5 for n in range(12)]
    for scene in found:
        steps = np.linalg.norm(np.diff(scene.positions_m, axis=1), axis=-1)
        np.testing.assert_allclose(steps, 0.4, atol=1e-6)


def test_no_window_spans_a_gap_of_a_track(tmp_path: Path) -> None:
    tracks = walkers(duration_s=30.0)
    hidden = [
        t if not 10.0 < (t.stamp_ns - START_NS) / S < 13.0 else without(t, "p1") for t in tracks
    ]
    found = scenes_of(recorded(tmp_path / "bag", hidden))
    during = [
        s for s in found if s.frame < START_NS + 13 * S and s.frame + WINDOW_NS > START_NS + 10 * S
    ]
    assert {len(scene.ids) for scene in during} == {2}
    assert {len(scene.ids) for scene in found} == {2, 3}
    # After the gap the person counts as another one, as nothing confirms the identity.
    assert len({track for scene in found for track in scene.ids.tolist()}) == 4


def test_a_recycled_id_is_another_person(tmp_path: Path) -> None:
    tracks = [
        t
        if t.stamp_ns < START_NS + 10 * S
        else replace(t, positions_m=t.positions_m + np.array([50.0, 0.0]))
        for t in walkers(duration_s=20.0, n_agents=1)
    ]
    found = scenes_of(recorded(tmp_path / "bag", tracks))
    assert all(np.ptp(scene.positions_m[..., 0]) < 20.0 for scene in found)
    assert len({track for scene in found for track in scene.ids.tolist()}) == 2


def test_no_window_spans_a_jump_back_in_time_and_repeated_times_are_adjacent(
    tmp_path: Path,
) -> None:
    once = walkers(duration_s=12.0)
    messages = people_messages(once)
    length_ns = once[-1].stamp_ns - once[0].stamp_ns + S
    again = [replace(m, recorded_ns=m.recorded_ns + length_ns) for m in messages]
    found = scenes_of(write_bag(tmp_path / "bag", [*messages, *again]))
    starts = [scene.frame for scene in found]
    assert starts == sorted(starts)
    assert starts[-1] + WINDOW_NS <= once[-1].stamp_ns
    assert len(starts) > 1.5 * len(scenes_of(write_bag(tmp_path / "once", messages)))


def test_a_far_future_stamp_does_not_add_windows(tmp_path: Path) -> None:
    far = replace(walkers(duration_s=0.0)[0], stamp_ns=START_NS + 14 * 365 * 86_400 * S)
    messages = [*people_messages(walkers(duration_s=12.0)), *people_messages([far])]
    found = scenes_of(write_bag(tmp_path / "bag", messages))
    assert len(found) == 12


def test_progress_is_reported_message_by_message(tmp_path: Path) -> None:
    reported: list[int] = []
    source = open_source(recorded(tmp_path / "bag", walkers(duration_s=9.0)))
    bag_scenes(source, load_settings(), reported.append)
    assert sum(reported) == source.n_messages


def test_short_tracks_make_no_window(tmp_path: Path) -> None:
    assert scenes_of(recorded(tmp_path / "bag", walkers(duration_s=7.0))) == []


def without(tracks: Tracks, agent: str) -> Tracks:
    kept = [row for row, other in enumerate(tracks.ids) if other != agent]
    return Tracks(tracks.stamp_ns, tuple(tracks.ids[row] for row in kept), tracks.positions_m[kept])
