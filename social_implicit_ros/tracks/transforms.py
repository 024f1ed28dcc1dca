"""Tracks moved from one coordinate frame into another."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from social_implicit_ros.types import FloatArray, Tracks, require_shape


@dataclass(frozen=True, eq=False)
class RigidTransform:
    """Where a frame lies in another: `x_target = rotation @ x_source + translation_m`.

    Attributes:
        rotation: (3, 3) rotation matrix.
        translation_m: (3,) in metres.
    """

    rotation: FloatArray
    translation_m: FloatArray

    def __post_init__(self) -> None:
        """Checks shapes and that the rotation is one; raises ValueError naming the field."""
        require_shape("RigidTransform", "rotation", self.rotation, (3, 3))
        require_shape("RigidTransform", "translation_m", self.translation_m, (3,))
        if not np.allclose(self.rotation @ self.rotation.T, np.eye(3), atol=1e-6):
            raise ValueError("RigidTransform.rotation is not orthonormal")

    @classmethod
    def from_quaternion(cls, xyzw: FloatArray, translation_m: FloatArray) -> RigidTransform:
        """From a rotation as (4,) quaternion x, y, z, w, of any length above zero.

        Raises:
            ValueError: a quaternion of length zero or a value that is not finite.
        """
        norm = math.hypot(*xyzw)  # which does not overflow on the way
        if not 1e-9 < norm < np.inf or not np.isfinite(translation_m).all():
            raise ValueError(
                f"transform with quaternion {np.asarray(xyzw).tolist()} and translation "
                f"{np.asarray(translation_m).tolist()} is no pose"
            )
        x, y, z, w = np.asarray(xyzw, dtype=np.float64) / norm
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        return cls(rotation, np.asarray(translation_m, dtype=np.float64))


def transform_tracks(tracks: Tracks, transform: RigidTransform) -> Tracks:
    """Moves positions, velocities and covariances into the target frame.

    People are predicted in the x-y plane of the target frame (which is to be level); z is only
    passed through. The velocity of the source frame itself is not added: velocities are taken as
    measured against the ground, in the axes of the source frame, as trackers publish them.

    Args:
        tracks: in the source frame.
        transform: of the source frame in the target frame, at the tracks' stamp.
    """
    points = np.column_stack([tracks.positions_m, tracks.heights_m])
    velocities, covariances = tracks.velocities_m_s, tracks.covariances_m2
    # What is not finite is turned away where histories are kept.
    with np.errstate(invalid="ignore", over="ignore"):
        moved = points @ transform.rotation.T + transform.translation_m
        if velocities is not None:
            velocities = velocities @ transform.rotation.T
        if covariances is not None:
            covariances = transform.rotation @ covariances @ transform.rotation.T
    return replace(
        tracks,
        positions_m=moved[:, :2],
        heights_m=moved[:, 2],
        velocities_m_s=velocities,
        covariances_m2=covariances,
    )
