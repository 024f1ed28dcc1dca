"""The walls of a recording are read as they were written."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.recordings.arrivals import recorded_tracks
from social_implicit_ros.recordings.bag_writer import write_tracks
from social_implicit_ros.recordings.floor_plan import floor_plan_of
from social_implicit_ros.recordings.track_source import open_source
from social_implicit_ros.types import Tracks


def write(path: Path, floor_plan: FloorPlan | None) -> Path:
    tracks = Tracks(1_000_000_000, ("1",), np.zeros((1, 2)))
    write_tracks(
        path,
        [tracks],
        topic="/tracks",
        message_type="point_cloud",
        frame_id="map",
        floor_plan=floor_plan,
    )
    return path


def test_a_floor_plan_comes_back_as_written(tmp_path: Path) -> None:
    occupied = np.zeros((3, 5), bool)
    occupied[0, 1] = occupied[2, 4] = True
    path = write(tmp_path / "bag", FloorPlan(occupied, 0.5, (-1.0, 2.0)))
    read = floor_plan_of(path)
    assert read is not None
    np.testing.assert_array_equal(read.occupied, occupied)
    assert read.extent_m == (-1.0, 1.5, 2.0, 3.5)
    # The tracks beside it are still found by themselves.
    assert len(list(recorded_tracks(open_source(path)))) == 1


def test_a_recording_may_have_none(tmp_path: Path) -> None:
    assert floor_plan_of(write(tmp_path / "bag", None)) is None
    (tmp_path / "walk.txt").write_text("0 1 0 0\n")
    assert floor_plan_of(tmp_path / "walk.txt") is None


def test_the_shipped_crowd_walks_around_its_walls() -> None:
    path = Path(str(resources.files("social_implicit_ros.recordings") / "crowd"))
    plan = floor_plan_of(path)
    assert plan is not None and plan.occupied.any()
    left, right, low, high = plan.extent_m
    places = np.concatenate([tracks.positions_m for tracks in recorded_tracks(open_source(path))])
    column = ((places[:, 0] - left) / plan.resolution_m).astype(int)
    row = ((places[:, 1] - low) / plan.resolution_m).astype(int)
    inside = (places > [left, low]).all(axis=1) & (places < [right, high]).all(axis=1)
    assert inside.mean() > 0.99
    assert not plan.occupied[row[inside], column[inside]].any()


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ValueError, match="resolution_m"):
        FloorPlan(np.zeros((2, 2), bool), 0.0, (0.0, 0.0))
    with pytest.raises(ValueError, match="occupied"):
        FloorPlan(np.zeros(4, bool), 1.0, (0.0, 0.0))
