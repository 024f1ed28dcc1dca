"""Rigid transforms, and the transformation of tracks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from social_implicit_ros.tracks.entries import MAX_COORDINATE_M
from social_implicit_ros.types import FloatArray, Tracks, require_shape

#: Share of z in x and y, below which two frames have the same vertical axis.
_LEVEL = 1e-3


@dataclass(frozen=True, eq=False)
class RigidTransform:
    """The pose of a frame in another: `x_target = rotation @ x_source + translation_m`.

    Attributes:
        rotation: (3, 3) rotation matrix.
        translation_m: (3,) in metres.
    """

    rotation: FloatArray
    translation_m: FloatArray

    def __post_init__(self) -> None:
        require_shape("RigidTransform", "rotation", self.rotation, (3, 3))
        require_shape("RigidTransform", "translation_m", self.translation_m, (3,))
        if not np.allclose(self.rotation @ self.rotation.T, np.eye(3), atol=1e-6):
            raise ValueError("RigidTransform.rotation is not orthonormal")

    @classmethod
    def from_quaternion(cls, xyzw: FloatArray, translation_m: FloatArray) -> RigidTransform:
        """From a (4,) quaternion x, y, z, w of any non-zero norm.

        Raises:
            ValueError: a quaternion of norm zero, or a value that is not finite.
        """
        norm = math.hypot(*xyzw)  # does not overflow
        if not 1e-9 < norm < np.inf or not np.isfinite(translation_m).all():
            raise ValueError(
                f"transform with quaternion {np.asarray(xyzw).tolist()} and translation "
                f"{np.asarray(translation_m).tolist()} is not a pose"
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

    def after(self, first: RigidTransform) -> RigidTransform:
        """The transform that applies `first`, then this one."""
        return RigidTransform(
            self.rotation @ first.rotation, self.rotation @ first.translation_m + self.translation_m
        )

    def inverse(self) -> RigidTransform:
        """The transform in the other direction."""
        return RigidTransform(self.rotation.T, -self.rotation.T @ self.translation_m)

    def of_ground(self, positions_m: FloatArray) -> FloatArray:
        """(..., 2) positions in the target frame of (..., 2) positions at z = 0, metres."""
        return np.asarray(positions_m @ self.rotation[:2, :2].T + self.translation_m[:2])


def transform_tracks(tracks: Tracks, transform: RigidTransform) -> Tracks:
    """Transforms positions, velocities and covariances into the target frame.

    People are predicted in the x-y plane of the target frame, which must be level; z is passed
    through. If both frames are level, z does not matter and may be NaN. The velocity of the source
    frame is not added: trackers publish velocities relative to the ground, in the axes of the
    source frame.

    Args:
        tracks: in the source frame.
        transform: of the source frame in the target frame, at the tracks' stamp.
    """
    points = np.column_stack([tracks.positions_m, tracks.heights_m])
    # False for NaN, too.
    no_height = ~(np.abs(tracks.heights_m) <= MAX_COORDINATE_M)
    no_height &= bool(np.abs(transform.rotation[:2, 2]).max() < _LEVEL)
    points[no_height, 2] = 0.0
    velocities, covariances = tracks.velocities_m_s, tracks.covariances_m2
    # Values that are not finite are rejected by the history.
    with np.errstate(invalid="ignore", over="ignore"):
        moved = points @ transform.rotation.T + transform.translation_m
        if velocities is not None:
            velocities = velocities @ transform.rotation.T
        if covariances is not None:
            covariances = transform.rotation @ covariances @ transform.rotation.T
    moved[no_height, 2] = np.nan
    return replace(
        tracks,
        positions_m=moved[:, :2],
        heights_m=moved[:, 2],
        velocities_m_s=velocities,
        covariances_m2=covariances,
    )


class TransformUnavailableError(LookupError):
    """A transform is not available (yet); the message says what is missing.

    Attributes:
        may_come: whether later messages may make it available.
        newest_ns: newest stamp of the link that is not known up to the requested time; None if
            another reason applies.
    """

    def __init__(self, message: str, *, may_come: bool, newest_ns: int | None = None) -> None:
        super().__init__(message)
        self.may_come = may_come
        self.newest_ns = newest_ns
