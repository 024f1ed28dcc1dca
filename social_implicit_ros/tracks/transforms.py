"""Rigid transforms, the transformation of tracks, and a transform buffer without ROS."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from social_implicit_ros.tracks.stamps import stamp_ns_of
from social_implicit_ros.types import FloatArray, Tracks, require_shape

#: Length of the buffer, seconds; the default of tf2.
BUFFER_S = 10.0

#: (x, y, z) in metres and the rotation as unit quaternion (x, y, z, w).
_Pose = tuple[tuple[float, float, float], tuple[float, float, float, float]]

_IDENTITY: _Pose = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


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
        """Checks shapes and orthonormality; raises ValueError naming the field."""
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


def transform_tracks(tracks: Tracks, transform: RigidTransform) -> Tracks:
    """Transforms positions, velocities and covariances into the target frame.

    People are predicted in the x-y plane of the target frame, which must be level; z is passed
    through. The velocity of the source frame is not added: trackers publish velocities relative to
    the ground, in the axes of the source frame.

    Args:
        tracks: in the source frame.
        transform: of the source frame in the target frame, at the tracks' stamp.
    """
    points = np.column_stack([tracks.positions_m, tracks.heights_m])
    velocities, covariances = tracks.velocities_m_s, tracks.covariances_m2
    # Values that are not finite are rejected by the history.
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


class TransformUnavailableError(LookupError):
    """A transform is not available (yet); the message says what is missing.

    Attributes:
        may_come: whether later messages may make it available.
    """

    def __init__(self, message: str, *, may_come: bool) -> None:
        super().__init__(message)
        self.may_come = may_come


class TransformLookup(Protocol):
    """Looks up poses of frames; implemented by tf2's buffer and `TransformBuffer`."""

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        """The pose of `source` in `target` at a time; raises TransformUnavailableError."""

    def latest(self, target: str, source: str) -> tuple[RigidTransform, int]:
        """The newest pose of `source` in `target` and its stamp; raises likewise."""


def plain_frame(frame: str) -> str:
    """A frame's name without the leading slash of ROS 1 and old recordings."""
    return frame.lstrip("/")


@dataclass
class _Link:
    """A frame's pose in its parent: one if static, else one per stamp, oldest first."""

    parent: str
    is_static: bool
    stamps_ns: list[int] = field(default_factory=list)
    poses: list[_Pose] = field(default_factory=list)


class TransformBuffer:
    """Stores `tf2_msgs/TFMessage`s and looks up `RigidTransform`s."""

    def __init__(self) -> None:
        self._links: dict[str, _Link] = {}

    def add(self, message: Any, *, is_static: bool) -> None:
        """Adds a `tf2_msgs/TFMessage`; invalid transforms are ignored."""
        for entry in message.transforms:
            t, q = entry.transform.translation, entry.transform.rotation
            norm = math.sqrt(q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w)
            if not 1e-9 < norm < math.inf or not math.isfinite(t.x + t.y + t.z):
                continue
            self._add(
                plain_frame(entry.header.frame_id),
                plain_frame(entry.child_frame_id),
                stamp_ns_of(entry.header.stamp),
                ((t.x, t.y, t.z), (q.x / norm, q.y / norm, q.z / norm, q.w / norm)),
                is_static,
            )

    def ancestors(self, frame: str) -> list[str]:
        """The frame itself, its parent, and so on up to the root."""
        chain = [plain_frame(frame)]
        while chain[-1] in self._links and self._links[chain[-1]].parent not in chain:
            chain.append(self._links[chain[-1]].parent)
        return chain

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        """The pose of the frame `source` in the frame `target` at a time.

        Translations are interpolated linearly and rotations spherically between two stamps; there
        is no extrapolation.

        Raises:
            TransformUnavailableError: the frames are not connected, or not at that time.
        """
        up, down = self.ancestors(source), self.ancestors(target)
        shared = next((frame for frame in up if frame in down), None)
        if shared is None:
            raise TransformUnavailableError(
                f"no transform connects {source!r} with {target!r}", may_come=True
            )
        pose = self._climb(up[: up.index(shared)], stamp_ns)
        to_target = self._climb(down[: down.index(shared)], stamp_ns)
        translation, rotation = _compose(_inverse(to_target), pose)
        return RigidTransform.from_quaternion(np.array(rotation), np.array(translation))

    def latest(self, target: str, source: str) -> tuple[RigidTransform, int]:
        """The newest pose of `source` in `target` at a time common to all links, and its stamp.

        Raises:
            TransformUnavailableError: the frames are not connected, or at no common time.
        """
        frames = {*self.ancestors(source), *self.ancestors(target)}
        moving = [
            self._links[frame]
            for frame in frames
            if frame in self._links and not self._links[frame].is_static
        ]
        stamp_ns = min((link.stamps_ns[-1] for link in moving), default=0)
        return self.lookup(target, source, stamp_ns), stamp_ns

    def _add(self, parent: str, child: str, stamp_ns: int, pose: _Pose, is_static: bool) -> None:
        link = self._links.get(child)
        buffer_ns = round(BUFFER_S * 1e9)
        if (
            link is None
            or link.parent != parent
            or link.is_static
            or is_static
            or stamp_ns < link.stamps_ns[-1] - buffer_ns  # time jumped back
        ):
            link = self._links[child] = _Link(parent, is_static)
        at = bisect_left(link.stamps_ns, stamp_ns)
        if at < len(link.stamps_ns) and link.stamps_ns[at] == stamp_ns:
            return
        link.stamps_ns.insert(at, stamp_ns)
        link.poses.insert(at, pose)
        oldest_ns = link.stamps_ns[-1] - buffer_ns
        # Dropped in bulk: each deletion moves the whole list.
        if link.stamps_ns[len(link.stamps_ns) // 2] < oldest_ns:
            n_old = bisect_right(link.stamps_ns, oldest_ns)
            del link.stamps_ns[:n_old], link.poses[:n_old]

    def _climb(self, frames: list[str], stamp_ns: int) -> _Pose:
        """The pose of the first frame in the parent of the last."""
        pose = _IDENTITY
        for frame in frames:
            pose = _compose(self._pose_of(frame, stamp_ns), pose)
        return pose

    def _pose_of(self, frame: str, stamp_ns: int) -> _Pose:
        link = self._links[frame]
        if link.is_static:
            return link.poses[0]
        after = bisect_left(link.stamps_ns, stamp_ns)
        if after == len(link.stamps_ns):
            late_s = (stamp_ns - link.stamps_ns[-1]) * 1e-9
            raise TransformUnavailableError(
                f"the pose of {frame!r} in {link.parent!r} is known only until {late_s:.2f} s "
                "before the tracks",
                may_come=True,
            )
        if link.stamps_ns[after] == stamp_ns:
            return link.poses[after]
        if after == 0:
            raise TransformUnavailableError(
                f"the pose of {frame!r} in {link.parent!r} is known only from "
                f"{(link.stamps_ns[0] - stamp_ns) * 1e-9:.2f} s after the tracks on",
                may_come=False,
            )
        earlier_ns, later_ns = link.stamps_ns[after - 1], link.stamps_ns[after]
        share = (stamp_ns - earlier_ns) / (later_ns - earlier_ns)
        return _between(link.poses[after - 1], link.poses[after], share)


# Python floats: for three or four numbers numpy takes ten times longer.
def _rotate(q: tuple[float, ...], v: tuple[float, ...]) -> tuple[float, float, float]:
    x, y, z, w = q
    tx, ty, tz = 2 * (y * v[2] - z * v[1]), 2 * (z * v[0] - x * v[2]), 2 * (x * v[1] - y * v[0])
    return (
        v[0] + w * tx + y * tz - z * ty,
        v[1] + w * ty + z * tx - x * tz,
        v[2] + w * tz + x * ty - y * tx,
    )


def _compose(outer: _Pose, inner: _Pose) -> _Pose:
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


def _inverse(pose: _Pose) -> _Pose:
    x, y, z, w = pose[1]
    back = (-x, -y, -z, w)
    moved = _rotate(back, pose[0])
    return (-moved[0], -moved[1], -moved[2]), back


def _between(earlier: _Pose, later: _Pose, share: float) -> _Pose:
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
