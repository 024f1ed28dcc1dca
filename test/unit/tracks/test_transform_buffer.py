"""Transforms are interpolated and chained; unavailable ones are refused with a reason."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp
from support.bags import S, transform_message

from social_implicit_ros.tracks.transforms import (
    TransformBuffer,
    TransformUnavailableError,
)


def buffer_of(*transforms: tuple, static: tuple = ()) -> TransformBuffer:
    """From (parent, child, seconds, xyz, yaw)."""
    buffer = TransformBuffer()
    for parent, child, time_s, xyz, yaw in transforms:
        message = transform_message(parent, child, round(time_s * S), xyz=xyz, yaw=yaw)
        buffer.add(message, is_static=False)
    for parent, child, xyz, yaw in static:
        buffer.add(transform_message(parent, child, 0, xyz=xyz, yaw=yaw), is_static=True)
    return buffer


def test_halfway_between_two_stamps_the_pose_is_halfway():
    buffer = buffer_of(
        ("odom", "base", 1, (0, 0, 0), 0), ("odom", "base", 2, (4, 2, 0), math.pi / 2)
    )

    pose = buffer.lookup("odom", "base", round(1.5 * S))

    np.testing.assert_allclose(pose.translation_m, [2, 1, 0], atol=1e-12)
    np.testing.assert_allclose(
        pose.rotation, Rotation.from_euler("z", 45, degrees=True).as_matrix(), atol=1e-12
    )


def test_rotations_are_interpolated_as_scipy_does():
    message = transform_message("a", "b", S)
    later = transform_message("a", "b", 2 * S)
    first, second = Rotation.random(2, random_state=4)
    for entry, rotation in ((message, first), (later, second)):
        q = entry.transforms[0].transform.rotation
        q.x, q.y, q.z, q.w = rotation.as_quat()
    buffer = TransformBuffer()
    buffer.add(message, is_static=False)
    buffer.add(later, is_static=False)

    for share in (0.0, 0.2, 0.9, 1.0):
        expected = Slerp([0, 1], Rotation.concatenate([first, second]))(share)
        pose = buffer.lookup("a", "b", round((1 + share) * S))
        np.testing.assert_allclose(pose.rotation, expected.as_matrix(), atol=1e-9)


def test_frames_are_chained_through_their_common_ancestor():
    buffer = buffer_of(
        ("map", "odom", 1, (10, 0, 0), 0),
        ("odom", "base", 1, (0, 5, 0), math.pi / 2),
        static=(("base", "camera", (1, 0, 0.5), 0), ("map", "beacon", (0, 0, 3), 0)),
    )

    in_odom = buffer.lookup("odom", "camera", S)
    in_beacon = buffer.lookup("beacon", "camera", S)

    np.testing.assert_allclose(in_odom.translation_m, [0, 6, 0.5], atol=1e-12)
    np.testing.assert_allclose(in_beacon.translation_m, [10, 6, -2.5], atol=1e-12)


def test_the_inverse_direction_undoes_the_other():
    buffer = buffer_of(("odom", "base", 1, (3, -2, 1), 0.7))

    there, back = buffer.lookup("odom", "base", S), buffer.lookup("base", "odom", S)

    np.testing.assert_allclose(there.rotation @ back.rotation, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(
        there.rotation @ back.translation_m + there.translation_m, 0, atol=1e-12
    )


def test_slashes_in_front_of_frames_do_not_matter():
    buffer = buffer_of(("/odom", "/base", 1, (1, 0, 0), 0))

    assert buffer.lookup("odom", "base", S).translation_m[0] == 1


@pytest.mark.parametrize(
    ("target", "source", "time_s", "may_come", "says"),
    [
        ("odom", "nowhere", 1.5, True, "no transform connects 'nowhere' with 'odom'"),
        ("odom", "base", 3.0, True, "only until 1.00 s before"),
        ("odom", "base", 0.5, False, "only from 0.50 s after"),
    ],
)
def test_an_unavailable_transform_is_refused(target, source, time_s, may_come, says):
    buffer = buffer_of(("odom", "base", 1, (0, 0, 0), 0), ("odom", "base", 2, (1, 0, 0), 0))

    with pytest.raises(TransformUnavailableError, match=says) as caught:
        buffer.lookup(target, source, round(time_s * S))

    assert caught.value.may_come is may_come


def test_a_frame_may_change_its_parent():
    buffer = buffer_of(("a", "x", 1, (1, 0, 0), 0), ("b", "x", 2, (2, 0, 0), 0))

    assert buffer.ancestors("x") == ["x", "b"]


def test_the_buffer_starts_again_when_time_jumps_back():
    buffer = buffer_of(
        ("odom", "base", 100, (9, 0, 0), 0),
        ("odom", "base", 1, (0, 0, 0), 0),
        ("odom", "base", 2, (1, 0, 0), 0),
    )

    assert buffer.lookup("odom", "base", round(1.5 * S)).translation_m[0] == pytest.approx(0.5)


def test_memory_does_not_grow_with_the_recording():
    buffer = TransformBuffer()
    for index in range(5000):
        message = transform_message(
            "odom", "base", round((1 + index * 0.01) * S), xyz=(index, 0, 0)
        )
        buffer.add(message, is_static=False)

    assert len(buffer._links["base"].poses) < 3000
    with pytest.raises(TransformUnavailableError):
        buffer.lookup("odom", "base", S)
    assert buffer.lookup("odom", "base", round(45.005 * S)).translation_m[0] == pytest.approx(
        4400.5
    )


def test_invalid_transforms_are_ignored():
    broken = transform_message("odom", "base", S, xyz=(math.nan, 0, 0))
    buffer = TransformBuffer()

    buffer.add(broken, is_static=False)

    assert buffer.ancestors("base") == ["base"]
