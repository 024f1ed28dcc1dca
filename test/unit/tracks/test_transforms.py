"""Tracks stay the same people when they are transformed into another frame."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from social_implicit_ros.tracks.frames.transforms import RigidTransform, transform_tracks
from social_implicit_ros.types import Tracks


def random_tracks(rng: np.random.Generator) -> Tracks:
    roots = rng.normal(size=(4, 3, 3))
    return Tracks(
        stamp_ns=5,
        ids=("a", "b", "c", "d"),
        positions_m=rng.normal(size=(4, 2)),
        heights_m=rng.normal(size=4),
        velocities_m_s=rng.normal(size=(4, 3)),
        covariances_m2=roots @ roots.transpose(0, 2, 1),
    )


@pytest.mark.parametrize("seed", range(5))
def test_every_orientation_agrees_with_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rotation, shift = Rotation.random(random_state=seed), rng.normal(size=3)
    tracks = random_tracks(rng)

    moved = transform_tracks(
        tracks, RigidTransform.from_quaternion(3.0 * rotation.as_quat(), shift)
    )

    points = np.column_stack([tracks.positions_m, tracks.heights_m])
    expected = rotation.apply(points) + shift
    np.testing.assert_allclose(moved.positions_m, expected[:, :2])
    np.testing.assert_allclose(moved.heights_m, expected[:, 2])
    np.testing.assert_allclose(moved.velocities_m_s, rotation.apply(tracks.velocities_m_s))
    matrix = rotation.as_matrix()
    np.testing.assert_allclose(
        moved.covariances_m2, [matrix @ c @ matrix.T for c in tracks.covariances_m2]
    )
    assert (moved.stamp_ns, moved.ids) == (tracks.stamp_ns, tracks.ids)


def test_a_quaternion_may_have_any_length() -> None:
    direction = np.array([0.5, -0.5, 0.5, 0.5])
    one, huge = (RigidTransform.from_quaternion(n * direction, np.zeros(3)) for n in (1.0, 1e200))
    np.testing.assert_allclose(huge.rotation, one.rotation)


def test_person_ahead_of_a_camera_stands_ahead_of_the_robot() -> None:
    # An optical frame looks along z with x to the right: z ahead is the robot's x ahead.
    optical = RigidTransform.from_quaternion(np.array([-0.5, 0.5, -0.5, 0.5]), np.zeros(3))
    tracks = Tracks(0, ("a",), np.array([[1.0, 0.0]]), np.array([5.0]))
    moved = transform_tracks(tracks, optical)
    np.testing.assert_allclose(moved.positions_m, [[5.0, -1.0]], atol=1e-12)


@pytest.mark.parametrize(
    ("quaternion", "shift"),
    [([0.0] * 4, [0.0] * 3), ([np.nan, 0, 0, 1], [0.0] * 3), ([0, 0, 0, 1], [np.inf, 0, 0])],
)
def test_an_invalid_transform_is_refused(quaternion: list[float], shift: list[float]) -> None:
    with pytest.raises(ValueError, match="is not a pose"):
        RigidTransform.from_quaternion(np.array(quaternion), np.array(shift))


@pytest.mark.parametrize("height_m", [np.nan, -np.inf, 1e308])
def test_unknown_heights_are_accepted_between_level_frames(height_m: float) -> None:
    tracks = Tracks(5, ("a", "b"), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([height_m, 0.5]))
    turned = RigidTransform.from_quaternion(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 0.2]))
    camera = RigidTransform.from_quaternion(np.array([-0.5, 0.5, -0.5, 0.5]), np.zeros(3))

    level = transform_tracks(tracks, turned)
    np.testing.assert_allclose(level.positions_m, [[-2.0, 1.0], [-4.0, 3.0]])
    np.testing.assert_allclose(level.heights_m, [np.nan, 0.7])
    # In the frame of a camera z is the distance.
    unknown = transform_tracks(tracks, camera).positions_m[0]
    assert not (np.abs(unknown) < 1e7).all()
