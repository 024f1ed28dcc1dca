"""Predictions stay in free space: analytic rooms and invariances."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.walls import FloorPlan, floor_plan_from_grid
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.frames.transforms import RigidTransform
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, Prediction, Tracks

T = 12
STEP_S = 0.4
TIMES_S = STEP_S * np.arange(1, T + 1)


def corridor(**changes: object) -> FloorPlan:
    """Walls along y = 0 and y = 3 from x = 0 to x = 20, closed at x = 20; 5 cm cells."""
    occupied = np.zeros((64, 404), dtype=bool)
    occupied[:2] = occupied[62:] = True
    occupied[:, 400:] = True
    return FloorPlan(occupied, 0.05, (0.0, -0.1), **changes)  # type: ignore[arg-type]


def walkers(
    present_m: FloatArray, velocity_m_s: FloatArray, spread_m_s: float = 0.2, n_samples: int = 20
) -> Prediction:
    """People who walk straight, each sample with a velocity of its own."""
    rng = np.random.default_rng(1)
    mean = present_m[:, None] + velocity_m_s[:, None] * TIMES_S[:, None]
    noise = rng.normal(0.0, spread_m_s, (n_samples, len(present_m), 1, 2))
    covariance = np.eye(2) * (spread_m_s * TIMES_S)[:, None, None] ** 2
    return Prediction(
        samples=mean + noise * TIMES_S[:, None],
        mean=mean,
        covariance=np.broadcast_to(covariance, (len(present_m), T, 2, 2)).copy(),
        step_s=STEP_S,
    )


def straight(present: tuple[float, float], velocity: tuple[float, float]) -> tuple:
    present_m = np.array([present])
    return walkers(present_m, np.array([velocity]), spread_m_s=0.0, n_samples=1), present_m


def test_a_trajectory_at_an_angle_to_a_wall_slides_along_it() -> None:
    prediction, present_m = straight((2.0, 1.0), (1.0, -0.5))
    mean = corridor().constrain(prediction, present_m).mean[0]
    # The speed is kept, and is parallel to the wall.
    assert np.hypot(*np.diff(mean, axis=0)[-1]) == pytest.approx(STEP_S * np.hypot(1.0, 0.5))
    assert (mean[:, 1] > -1e-6).all() and mean[-1, 1] < 0.2


def test_a_trajectory_straight_at_a_wall_ends_before_it() -> None:
    prediction, present_m = straight((18.0, 1.5), (1.0, 0.0))
    mean = corridor().constrain(prediction, present_m).mean[0]
    np.testing.assert_allclose(mean[:4], prediction.mean[0, :4])
    np.testing.assert_allclose(mean[-1], [20.0, 1.5], atol=0.15)
    assert (mean[:, 0] < 20.0).all()


def test_a_walk_into_a_corner_ends_in_it() -> None:
    prediction, present_m = straight((19.0, 1.0), (1.0, -1.0))
    mean = corridor().constrain(prediction, present_m).mean[0]
    np.testing.assert_allclose(mean[-1], [20.0, 0.0], atol=0.3)


@pytest.mark.parametrize("yaw_rad", [0.0, 0.7, math.pi / 2])
def test_no_wall_is_between_a_person_and_a_predicted_position(yaw_rad: float) -> None:
    rng = np.random.default_rng(0)
    half = 0.5 * yaw_rad
    turned = np.array([0.0, 0.0, math.sin(half), math.cos(half)])
    plan = corridor().moved(RigidTransform.from_quaternion(turned, np.array([3.0, -2.0, 0.0])))
    present_m = rng.uniform((1.0, 0.3), (19.5, 2.7), (200, 2))
    velocity_m_s = rng.normal(0.0, 1.0, (200, 2))
    cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
    turn = np.array([[cos, sin], [-sin, cos]])
    present_m, velocity_m_s = present_m @ turn + (3.0, -2.0), velocity_m_s @ turn
    prediction = walkers(present_m, velocity_m_s)
    assert plan.is_occupied(prediction.samples).any()
    constrained = plan.constrain(prediction, present_m)
    for paths_m in (constrained.samples, constrained.mean[None]):
        assert not plan.is_occupied(paths_m).any()
        inside = (paths_m - (3.0, -2.0)) @ turn.T
        # The corridor is open at x = 0 only.
        left = inside[..., 0] < 0.0
        assert ((inside[..., 1] > 0.0) & (inside[..., 1] < 3.0) | left).mean() > 0.98
        assert (inside[..., 0] < 20.0).all()


@pytest.mark.parametrize("slope", [1.0, 1.0 / 3.0, -1.0])
def test_a_thin_diagonal_wall_has_no_gaps(slope: float) -> None:
    columns = np.arange(1, 200)
    rows = (100 + slope * (columns - 100)).astype(int)
    occupied = np.zeros((200, 200), dtype=bool)
    occupied[rows, columns] = True
    present_m = np.random.default_rng(0).uniform((9.0, 7.0), (11.0, 8.0), (400, 2))
    across = np.array([-slope, 1.0]) / math.hypot(slope, 1.0)
    prediction = walkers(present_m, np.tile(across, (400, 1)))
    mean = FloorPlan(occupied, 0.1, (0.0, 0.0)).constrain(prediction, present_m).mean
    assert (mean[..., 1] < 10.1 + slope * (mean[..., 0] - 10.0)).all()


def test_covariances_stay_valid_and_shrink_towards_the_wall() -> None:
    present_m = np.array([[10.0, 0.3]])
    prediction = walkers(present_m, np.array([[1.0, 0.0]]))
    constrained = corridor().constrain(prediction, present_m)
    along, across = np.diagonal(constrained.covariance[0, -1])
    before = prediction.covariance[0, -1, 0, 0]
    assert across < 0.6 * before and along > 0.8 * before
    assert (np.linalg.eigvalsh(constrained.covariance) >= 0.0).all()


def test_predictions_far_from_walls_and_outside_the_grid_are_unchanged() -> None:
    present_m = np.array([[5.0, 1.5], [-40.0, 70.0]])
    prediction = walkers(present_m, np.array([[0.2, 0.0], [1.0, 1.0]]), spread_m_s=0.05)
    assert corridor().constrain(prediction, present_m) is prediction
    nobody = walkers(np.empty((0, 2)), np.empty((0, 2)))
    assert corridor().constrain(nobody, np.empty((0, 2))).mean.shape == (0, T, 2)


def test_people_inside_a_wall_are_predicted_as_without_a_map() -> None:
    present_m = np.array([[20.1, 1.5]])
    prediction = walkers(present_m, np.array([[-1.0, 0.0]]))
    assert corridor().constrain(prediction, present_m) is prediction


@pytest.mark.parametrize("model", ["constant_velocity", "default"])
@pytest.mark.parametrize("is_alone", [True, False], ids=["latency", "lost among others"])
def test_nobody_is_extrapolated_through_a_wall(model: str, is_alone: bool) -> None:
    """Somebody walks at a wall and turns the corner, where the tracker does not see them."""
    occupied = np.zeros((300, 100), dtype=bool)
    occupied[:, 70:73] = True  # from x = 2 m on
    predictor = Predictor(load_model(model), PredictorConfig(), TransformBuffer())
    predictor.floor_plan = FloorPlan(occupied, 0.1, (-5.0, -15.0)).prepare()
    forecasts = []
    for tick in range(34):
        now_ns = (1_000 + tick) * NS_PER_S // 10
        there = {"other": (-4.0, -4.0)}
        if tick <= 29:
            there["lost"] = (1.8 - 0.12 * (29 - tick), 0.3)
        if tick <= 29 or not is_alone:
            tracks = Tracks(now_ns, tuple(there), np.array(list(there.values())))
            predictor.add_tracks(tracks, "odom", now_ns)
        forecasts.append(predictor.tick(now_ns))
    for forecast in forecasts[-5:]:
        row = forecast.ids.index("lost")
        assert 1.7 < forecast.present_m[row, 0] < 2.0
        assert (forecast.prediction.mean[row, :, 0] < 2.0).all()
        assert (forecast.prediction.samples[:, row, :, 0] < 2.0).all()


def test_an_empty_map_does_not_change_predictions() -> None:
    plan = FloorPlan(np.zeros((5, 5), dtype=bool), 1.0, (0.0, 0.0))
    present_m = np.array([[2.5, 2.5]])
    prediction = walkers(present_m, np.array([[1.0, 0.0]]))
    assert plan.constrain(prediction, present_m) is prediction


def grid(data: list[int], width: int, height: int, **rotation: float) -> SimpleNamespace:
    orientation = SimpleNamespace(**{"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0, **rotation})
    origin = SimpleNamespace(position=SimpleNamespace(x=1.0, y=2.0), orientation=orientation)
    info = SimpleNamespace(resolution=0.5, width=width, height=height, origin=origin)
    return SimpleNamespace(info=info, data=data, header=SimpleNamespace(frame_id="/map"))


def test_an_occupancy_grid_becomes_a_floor_plan() -> None:
    half = math.sqrt(0.5)
    plan = floor_plan_from_grid(grid([0, 100, -1, 64, 65, 0], 3, 2, z=half, w=half))
    np.testing.assert_array_equal(plan.occupied, [[0, 1, 0], [0, 1, 0]])
    assert plan.frame_id == "map"
    assert plan.yaw_rad == pytest.approx(math.pi / 2)
    # Column 1 is at y 2.5 to 3.0, as the grid is rotated by a quarter turn.
    np.testing.assert_array_equal(
        plan.is_occupied(np.array([[0.8, 2.7], [0.8, 2.2], [0.8, 3.2]])), [True, False, False]
    )


@pytest.mark.parametrize("size", [(3, 3), (0, 0)])
def test_a_grid_that_does_not_fit_its_data_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"{size[1]} x {size[0]} cells has 2"):
        floor_plan_from_grid(grid([0, 0], *size))


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("origin.position.x", math.nan, "origin is at"),
        ("origin.position.y", 1e9, "within 1e"),
        ("origin.orientation.z", math.inf, "yaw of nan"),
        ("resolution", 0.0, "resolution is 0.0"),
        ("resolution", -0.5, "resolution is -0.5"),
        ("resolution", math.nan, "resolution is nan"),
        ("resolution", 1e-30, "resolution is 1e-30"),
        ("width", -2, "2 x -2 cells has 4"),
        ("width", 10**9, "cells has 4"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_an_impossible_map_is_refused_by_name(field: str, value: float, text: str) -> None:
    message = grid([0, 0, 0, 0], 2, 2)
    *owners, name = field.split(".")
    owner = message.info
    for part in owners:
        owner = getattr(owner, part)
    setattr(owner, name, value)
    with pytest.raises(ValueError, match=text):
        floor_plan_from_grid(message)


def test_a_map_of_a_billion_cells_is_refused_before_it_takes_memory() -> None:
    occupied = np.broadcast_to(np.zeros(1, dtype=bool), (31_623, 31_623))
    with pytest.raises(ValueError, match=r"31623 x 31623 cells of 0.05 m is too large"):
        FloorPlan(occupied, 0.05, (0.0, 0.0))
