"""Poses, rigid transforms, and the transformation of tracks.

Poses are tuples of floats, as numpy takes ten times longer for three or four numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from social_implicit_ros.tracks.entries import MAX_COORDINATE_M
from social_implicit_ros.types import FloatArray, Tracks, require_shape

#: (x, y, z) in metres and the rotation as unit quaternion (x, y, z, w).
Pose = tuple[tuple[float, float, float], tuple[float, float, float, float]]

IDENTITY: Pose = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
#: Below this contribution of z to x and y, two frames have the same vertical axis.
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

    @classmethod
    def from_quaternion(cls, xyzw: FloatArray, translation_m: FloatArray) -> RigidTransform:
        """From a (4,) quaternion x, y, z, w of any non-zero norm.

        Raises:
            ValueError: the quaternion has norm zero, or a value is not finite.
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
        """The inverse transform."""
        return RigidTransform(self.rotation.T, -self.rotation.T @ self.translation_m)

    def of_ground(self, positions_m: FloatArray) -> FloatArray:
        """Transforms (..., 2) positions at z = 0 into the target frame, metres."""
        return np.asarray(positions_m @ self.rotation[:2, :2].T + self.translation_m[:2])


def transform_tracks(tracks: Tracks, transform: RigidTransform) -> Tracks:
    """Transforms positions, velocities and covariances into the target frame.

    People are predicted in the x-y plane of the target frame, which must be level; z is passed
    through. If both frames are level, z does not matter and may be NaN. The velocity of the source
    frame is not added: trackers publish velocities relative to the ground, in the axes of the
    source frame.

    Args:
        tracks: in the source frame.
        transform: pose of the source frame in the target frame at the tracks' stamp.
    """
    points = np.column_stack([tracks.positions_m, tracks.heights_m])
    # True for NaN.
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
    """A transform is not available, or not yet; the message says what is missing.

    Attributes:
        may_come: whether later messages may make it available.
        newest_ns: newest stamp of the link that ends before the requested time; None if that is not
            the reason.
    """

    def __init__(self, message: str, *, may_come: bool, newest_ns: int | None = None) -> None:
        super().__init__(message)
        self.may_come = may_come
        self.newest_ns = newest_ns


def _rotate(q: tuple[float, ...], v: tuple[float, ...]) -> tuple[float, float, float]:
    x, y, z, w = q
    tx, ty, tz = 2 * (y * v[2] - z * v[1]), 2 * (z * v[0] - x * v[2]), 2 * (x * v[1] - y * v[0])
    return (
        v[0] + w * tx + y * tz - z * ty,
        v[1] + w * ty + z * tx - x * tz,
        v[2] + w * tz + x * ty - y * tx,
    )


def compose(outer: Pose, inner: Pose) -> Pose:
    """The pose that applies `inner`, then `outer`."""
    (ax, ay, az, aw), (bx, by, bz, bw) = outer[1], inner[1]
    moved = _rotate(outer[1], inner[0])
    return (
        (moved[0] + outer[0][0], moved[1] + outer[0][1], moved[2] + outer[0][2]),
        (
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ),
    )


def inverse(pose: Pose) -> Pose:
    """The inverse pose: that of the parent in the child."""
    x, y, z, w = pose[1]
    back = (-x, -y, -z, w)
    moved = _rotate(back, pose[0])
    return (-moved[0], -moved[1], -moved[2]), back


def between(earlier: Pose, later: Pose, share: float) -> Pose:
    """Linear interpolation of the translation and slerp of the rotation (Shoemake 1985)."""
    a, b = earlier[1], later[1]
    cosine = sum(p * q for p, q in zip(a, b, strict=True))
    sign = -1.0 if cosine < 0.0 else 1.0
    angle = math.acos(min(abs(cosine), 1.0))
    if angle < 1e-6:
        weight_a, weight_b = 1.0 - share, share
    else:
        weight_a = math.sin((1.0 - share) * angle) / math.sin(angle)
        weight_b = math.sin(share * angle) / math.sin(angle)
    x, y, z, w = (weight_a * p + sign * weight_b * q for p, q in zip(a, b, strict=True))
    (ax, ay, az), (bx, by, bz) = earlier[0], later[0]
    translation = (ax + share * (bx - ax), ay + share * (by - ay), az + share * (bz - az))
    return translation, (x, y, z, w)


def differ(one: Pose, other: Pose) -> bool:
    """Whether two poses differ by more than 1 cm or 0.5 degrees."""
    cosine = abs(sum(p * q for p, q in zip(one[1], other[1], strict=True)))
    return math.dist(one[0], other[0]) > 0.01 or cosine < math.cos(math.radians(0.25))
