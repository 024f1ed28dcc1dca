"""Poses as Python floats: for three or four numbers numpy takes ten times longer."""

from __future__ import annotations

import math

#: (x, y, z) in metres and the rotation as unit quaternion (x, y, z, w).
Pose = tuple[tuple[float, float, float], tuple[float, float, float, float]]

IDENTITY: Pose = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


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
    """The pose of the parent in the child."""
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
