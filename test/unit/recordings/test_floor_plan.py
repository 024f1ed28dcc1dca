"""The walls of a recording are read as they were written."""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from support.bags import join_bags

from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.recordings.arrivals import recorded_tracks
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.bag_writer import write_tracks
from social_implicit_ros.recordings.floor_plan import floor_plan_of, load_map
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


def test_the_last_map_is_used_as_the_maps_of_a_slam_grow(tmp_path: Path) -> None:
    plans = [FloorPlan(np.ones((n, n), bool), 0.5, (0.0, 0.0)) for n in (1, 3)]
    parts = [write(tmp_path / str(number), plan) for number, plan in enumerate(plans)]
    read = floor_plan_of(join_bags(tmp_path / "bag", parts))
    assert read is not None and read.occupied.shape == (3, 3)


def test_a_recording_may_have_no_map(tmp_path: Path) -> None:
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
    with pytest.raises(ValueError, match="resolution is"):
        FloorPlan(np.zeros((2, 2), bool), 0.0, (0.0, 0.0))
    with pytest.raises(ValueError, match="occupied"):
        FloorPlan(np.zeros(4, bool), 1.0, (0.0, 0.0))


def map_server_files(folder: Path, **changes: object) -> Path:
    """An image of 3 x 2 pixels, dark at the top left, and its YAML file."""
    Image.fromarray(np.array([[0, 255, 255], [255, 255, 100]], dtype=np.uint8)).save(
        folder / "hall.png"
    )
    values = {"image": "hall.png", "resolution": 0.5, "origin": [1.0, 2.0, 0.0], **changes}
    path = folder / "hall.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}))
    return path


def test_a_damaged_map_in_a_bag_names_the_remedy(tmp_path: Path) -> None:
    plan = FloorPlan(np.zeros((3, 5), bool), 0.5, (-1.0, 2.0))
    object.__setattr__(plan, "resolution_m", math.nan)
    path = write(tmp_path / "bag", plan)
    with pytest.raises(RecordingError, match=r"topic /map cannot be used.*resolution.*--no-map"):
        floor_plan_of(path)


def test_the_files_of_a_map_server_are_read(tmp_path: Path) -> None:
    plan = load_map(map_server_files(tmp_path))
    np.testing.assert_array_equal(plan.occupied, [[0, 0, 0], [1, 0, 0]])
    assert (plan.resolution_m, plan.origin_m) == (0.5, (1.0, 2.0))
    lower = load_map(map_server_files(tmp_path, occupied_thresh=0.5))
    np.testing.assert_array_equal(lower.occupied, [[0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize(
    ("mode", "occupied"),
    [
        ("trinary", [[0, 0, 0], [1, 0, 0]]),
        ("scale", [[0, 0, 1], [1, 0, 0]]),  # 0.61 of 0.25 to 0.65 is published as 90 percent
        ("raw", [[0, 0, 1], [0, 0, 0]]),  # pixels are percent
    ],
)
def test_walls_are_those_of_the_grid_that_a_map_server_publishes(
    tmp_path: Path, mode: str, occupied: list[list[int]]
) -> None:
    plan = load_map(map_server_files(tmp_path, mode=mode))
    np.testing.assert_array_equal(plan.occupied, occupied)


@pytest.mark.parametrize("mode", ["trinary", "scale", "raw"])
def test_colours_and_transparency_count_as_in_the_map_server(tmp_path: Path, mode: str) -> None:
    """As `loadMapFromFile` of nav2_map_server; transparent black is a wall in mode trinary only."""
    path = map_server_files(tmp_path, mode=mode)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 4), dtype=np.uint8)
    pixels[:, :10] *= pixels[:, :10] > 127  # also black, and transparent
    pixels[:, 10:30, 3] = 255
    Image.fromarray(pixels).save(tmp_path / "hall.png")
    shade = pixels[..., : 4 if mode == "trinary" else 3].mean(axis=-1) / 255.0
    percent = np.select([1.0 - shade > 0.65, 1.0 - shade < 0.25], [100.0, 0.0], -1.0)
    if mode == "scale":
        between = np.rint((0.75 - shade) / 0.4 * 100.0)
        percent = np.where(percent == -1.0, between, percent)
        percent[pixels[..., 3] < 255] = -1.0
    if mode == "raw":
        percent = np.round(shade * 255.0)
    expected = (percent >= 65.0) & (percent <= 100.0)
    np.testing.assert_array_equal(load_map(path).occupied, expected[::-1])
    black = np.zeros((2, 2, 4), dtype=np.uint8)
    Image.fromarray(black).save(tmp_path / "hall.png")
    assert load_map(path).occupied.all() == (mode == "trinary")


@pytest.mark.parametrize("name", ["hall.png", "hall.pgm"])
def test_images_of_16_bits_are_read(tmp_path: Path, name: str) -> None:
    path = map_server_files(tmp_path, image=name)
    grey = np.array([[0, 65535, 65535], [65535, 65535, 20000]], dtype=np.uint16)
    if name.endswith(".png"):
        Image.fromarray(grey).save(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(b"P5 3 2 65535\n" + grey.astype(">u2").tobytes())
    np.testing.assert_array_equal(load_map(path).occupied, [[0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize("mode", ["trinary", "scale"])
def test_every_grey_is_a_wall_if_the_map_server_publishes_65_percent(
    tmp_path: Path, mode: str
) -> None:
    path = map_server_files(tmp_path, mode=mode)
    Image.fromarray(np.arange(256, dtype=np.uint8)[None]).save(tmp_path / "hall.png")
    darkness = 1.0 - np.arange(256) / 255.0
    # `loadMapFromFile` of nav2_map_server.
    percent = np.where(darkness >= 0.65, 100.0, -1.0)
    if mode == "scale":
        between = (darkness > 0.25) & (darkness < 0.65)
        percent[between] = np.round((darkness[between] - 0.25) / 0.4 * 100.0)
    np.testing.assert_array_equal(load_map(path).occupied[0], percent >= 65)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": None}, "expected image, resolution and origin"),
        ({"image": "other.png"}, "other.png"),
        ({"resolution": "wide"}, "resolution has 'wide', expected a number"),
        ({"resolution": -1.0}, "resolution is -1.0"),
        ({"origin": [1.0]}, r"origin is \[1.0\], expected \[x_m, y_m, yaw_rad\]"),
        ({"origin": [1e300, 0.0, 0.0]}, "origin is at"),
        ({"resolution": 1e-300}, "expected 0.001 to 100"),
        ({"occupied_thresh": float("nan")}, "occupied_thresh is nan"),
        ({"negate": "yes"}, "negate has 'yes', expected a number"),
        ({"origin": "0 0 0"}, "origin is '0 0 0', expected"),
        ({"image": "/dev/zero"}, "a device"),
        ({"image": "hall.yaml"}, "hall.yaml is not an image"),
        ({"mode": "colour"}, "mode is 'colour', expected trinary"),
    ],
)
def test_a_map_that_cannot_be_used_is_named(tmp_path: Path, changes: dict, message: str) -> None:
    path = map_server_files(tmp_path, **changes)
    with pytest.raises(RecordingError, match=message) as caught:
        load_map(path)
    assert "hall.yaml" in str(caught.value)


def test_a_costmap_is_not_used_as_map(tmp_path: Path) -> None:
    path = write(tmp_path / "bag", FloorPlan(np.ones((2, 2), bool), 0.5, (0.0, 0.0)))
    recording = next(path.glob("*.mcap"))
    content = recording.read_bytes()
    assert content.count(b"/map") >= 1
    recording.write_bytes(content.replace(b"/map", b"/mpa"))
    metadata = path / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("/map", "/mpa"))
    assert floor_plan_of(path) is None
