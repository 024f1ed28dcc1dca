"""Transforms are interpolated and chained; unavailable ones are refused with a reason."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp
from support.bags import S, transform_message
from support.typestore import STORE

from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.frames.transform_messages import TF_MESSAGE, transforms_of
from social_implicit_ros.tracks.frames.transforms import TransformUnavailableError


def serialised(message, order: str = "<") -> bytes:
    data = STORE.serialize_cdr(message, TF_MESSAGE, little_endian=order == "<")
    return bytes(data)


def buffer_of(*transforms: tuple, static: tuple = ()) -> TransformBuffer:
    """From (parent, child, seconds, xyz, yaw)."""
    buffer = TransformBuffer()
    for parent, child, time_s, xyz, yaw in transforms:
        message = transform_message(parent, child, round(time_s * S), xyz=xyz, yaw=yaw)
        buffer.add(serialised(message), is_static=False)
    for parent, child, xyz, yaw in static:
        message = transform_message(parent, child, 0, xyz=xyz, yaw=yaw)
        buffer.add(serialised(message), is_static=True)
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


def test_a_pose_far_in_the_future_is_not_interpolated_to():
    buffer = buffer_of(
        *(("odom", "base", 1 + n / 10, (n, 0, 0), 0) for n in range(10)),
        ("odom", "base", 2_000_000_000, (99, 0, 0), 0),
    )
    buffer.lookup("odom", "base", round(1.9 * S))
    with pytest.raises(TransformUnavailableError, match=r"known only until 1\.900 s") as error:
        buffer.lookup("odom", "base", 5 * S)
    assert error.value.newest_ns == round(1.9 * S)


@pytest.mark.parametrize("quaternion", [(0, 0, 0, 0), (math.nan, 0, 0, 1)])
@pytest.mark.parametrize("n_valid", [0, 3])
def test_a_publisher_of_invalid_poses_is_named(quaternion, n_valid):
    """The frame is not called unknown, nor its transform late."""
    buffer = buffer_of(*(("odom", "base", 1 + n, (n, 0, 0), 0) for n in range(n_valid)))
    broken = transform_message("odom", "base", 9 * S)
    q = broken.transforms[0].transform.rotation
    q.x, q.y, q.z, q.w = map(float, quaternion)
    buffer.add(serialised(broken), is_static=False)
    with pytest.raises(TransformUnavailableError, match="'base' in 'odom' is not valid") as error:
        buffer.lookup("odom", "base", 9 * S)
    assert error.value.newest_ns is None  # it is not late
    buffer.add(serialised(transform_message("odom", "base", 9 * S)), is_static=False)
    buffer.lookup("odom", "base", 9 * S)


def test_frames_that_are_parents_of_each_other_are_refused():
    buffer = buffer_of(("odom", "base", 1, (3, 0, 0), 0), ("base", "odom", 1, (0, 0, 0), 0))
    with pytest.raises(TransformUnavailableError, match="form a loop"):
        buffer.lookup("odom", "base", S)


@pytest.mark.parametrize(
    ("offset_m", "turn", "text"),
    [
        (0.5, 0.0, "'base' in 'odom' jumps to and fro by 0.5"),
        (0.0, 0.2, "'base' in 'odom' jumps to and fro by 0.4"),
        (0.02, 0.01, ""),
    ],
)
def test_a_transform_of_two_publishers_is_named(offset_m, turn, text):
    buffer = buffer_of(
        *(
            ("odom", "base", 1 + n / 30, (0.02 * n + offset_m * (n % 2), 0, 0), turn * (n % 2))
            for n in range(60)
        )
    )
    buffer.lookup("odom", "base", 2 * S)
    assert [each[: len(text)] for each in buffer.contested()] == ([text] if text else [])


def test_a_static_transform_of_two_publishers_is_named():
    buffer = TransformBuffer()
    for n in range(12):
        message = transform_message("base", "camera", S, xyz=(2.0 * (n % 2), 0.0, 0.0))
        buffer.add(serialised(message), is_static=True)
    assert buffer.lookup("base", "camera", 9 * S).translation_m[0] == 2.0
    assert buffer.contested() == ["'camera' in 'base' jumps to and fro by 2.00 m"]


def test_a_static_transform_that_is_corrected_does_not_move():
    buffer = TransformBuffer()
    for x_m in (0.0, 0.1):
        message = transform_message("base", "camera", S, xyz=(x_m, 0.0, 0.0))
        buffer.add(serialised(message), is_static=True)
    assert buffer.moving() == buffer.contested() == []


@pytest.mark.parametrize("stamp_s", [0, 1])
def test_a_publisher_that_repeats_its_stamp_is_named(stamp_s):
    """Unset stamps, or a static transform that is published on /tf with the time of its start."""
    buffer = buffer_of(*(("odom", "base", stamp_s, (1, 0, 0), 0) for _ in range(9)))
    text = f"'base' in 'odom' is published again and again with the stamp {stamp_s}.000 s"
    with pytest.raises(TransformUnavailableError, match=text) as caught:
        buffer.lookup("odom", "base", 3 * S)
    assert caught.value.newest_ns is None
    assert buffer.lookup("odom", "base", stamp_s * S).translation_m[0] == 1.0


def test_a_localisation_that_repeats_its_newest_transform_is_late_only():
    """As slam_toolbox, which publishes at 50 Hz with the stamps of scans at 5 Hz."""
    buffer = buffer_of(*(("map", "odom", 1 + n // 10 / 5, (1, 0, 0), 0) for n in range(50)))
    with pytest.raises(TransformUnavailableError, match=r"only until 1\.800 s, 0\.300 s"):
        buffer.lookup("map", "odom", 21 * S // 10)


def test_a_sensor_that_sweeps_and_a_corrected_localisation_have_one_publisher():
    buffer = buffer_of(
        *(("base", "laser", 1 + n / 10, (0, 0, 0), math.sin(0.8 * n)) for n in range(90)),
        *(("map", "odom", 1 + n / 10, (0.3 * (n // 8), 0, 0), 0) for n in range(90)),
        *(("odom", "base", 1 + n / 10, (0, 0, 0), 0) for n in range(90)),
    )
    buffer.lookup("map", "laser", 2 * S)
    assert buffer.contested() == []


def test_a_noisy_localisation_has_one_publisher():
    turns = np.random.default_rng(2).normal(0.0, 0.05, 128)
    buffer = buffer_of(
        *(("map", "odom", 1 + n / 10, (0, 0, 0), turn) for n, turn in enumerate(turns))
    )
    buffer.lookup("map", "odom", 2 * S)
    assert buffer.contested() == []


def test_rotations_are_interpolated_as_scipy_does():
    message = transform_message("a", "b", S)
    later = transform_message("a", "b", 2 * S)
    first, second = Rotation.random(2, random_state=4)
    for entry, rotation in ((message, first), (later, second)):
        q = entry.transforms[0].transform.rotation
        q.x, q.y, q.z, q.w = rotation.as_quat()
    buffer = TransformBuffer()
    buffer.add(serialised(message), is_static=False)
    buffer.add(serialised(later), is_static=False)

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


def test_leading_slashes_of_frames_are_ignored():
    buffer = buffer_of(("/odom", "/base", 1, (1, 0, 0), 0))

    assert buffer.lookup("odom", "base", S).translation_m[0] == 1


@pytest.mark.parametrize(
    ("target", "source", "time_s", "may_come", "says"),
    [
        ("odom", "", 1.5, False, "must set header.frame_id"),
        ("odom", "nowhere", 1.5, True, "from 'nowhere' to 'odom': nothing publishes 'nowhere'$"),
        ("odom", "r1/base", 1.5, True, "; 'r1/base' is not 'base': use one name"),
        ("Odom ", "base", 1.5, True, "nothing publishes 'Odom '; 'Odom ' is not 'odom'"),
        ("map", "/r2/map", 1.5, True, "'r2/map' or 'map'; 'r2/map' is not 'map': use one"),
        ("odom", "base", 3.0, True, "'base' in 'odom' is known only until 2.000 s, 1.000 s before"),
        ("odom", "base", 0.5, False, "is known only from 1.000 s on, 0.500 s after"),
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


def test_a_frame_that_two_nodes_publish_is_named():
    buffer = buffer_of(*(("ab"[n % 2], "x", n, (1, 0, 0), 0) for n in (1, 2, 3)))
    with pytest.raises(
        TransformUnavailableError, match="'x' has two parents, 'a' and 'b'"
    ) as caught:
        buffer.lookup("a", "x", 3 * S)
    assert "nothing publishes" not in str(caught.value)


def test_the_buffer_restarts_when_time_jumps_back():
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
        buffer.add(serialised(message), is_static=False)

    buffer.ancestors("base")
    assert len(buffer._links["base"].poses) < 3000
    with pytest.raises(TransformUnavailableError):
        buffer.lookup("odom", "base", S)
    assert buffer.lookup("odom", "base", round(45.005 * S)).translation_m[0] == pytest.approx(
        4400.5
    )


def test_invalid_transforms_are_ignored():
    broken = transform_message("odom", "base", S, xyz=(math.nan, 0, 0))
    buffer = TransformBuffer()

    buffer.add(serialised(broken), is_static=False)

    assert buffer.ancestors("base") == ["base"]


def test_after_a_change_of_parent_each_time_has_its_own():
    buffer = buffer_of(
        ("a", "x", 1, (1, 0, 0), 0),
        ("a", "x", 2, (2, 0, 0), 0),
        ("b", "x", 3, (7, 0, 0), 0),
        ("b", "x", 4, (8, 0, 0), 0),
        static=(("root", "a", (0, 0, 0), 0), ("root", "b", (0, 100, 0), 0)),
    )

    def place(time_s):
        return buffer.lookup("root", "x", round(time_s * S)).translation_m[:2].tolist()

    assert place(1.5) == [1.5, 0]
    assert place(2.5) == [2, 0]  # as tf2: the last pose of the old parent until the new one's first
    assert place(3.5) == [7.5, 100]


def test_the_newest_time_is_that_of_the_links_between_the_frames():
    buffer = buffer_of(
        ("map", "odom", 1, (0, 0, 0), 0),
        ("odom", "base", 3, (1, 0, 0), 0),
        ("odom", "base", 4, (2, 0, 0), 0),
        ("base", "arm", 3, (0, 1, 0), 0),
    )

    pose, stamp_ns = buffer.latest("odom", "arm")

    assert stamp_ns == 3 * S
    assert pose.translation_m.tolist() == [1, 1, 0]


def test_several_trees_are_independent():
    buffer = buffer_of(("a", "b", 1, (1, 0, 0), 0), ("c", "d", 1, (2, 0, 0), 0))

    assert buffer.lookup("a", "b", S).translation_m[0] == 1
    assert buffer.lookup("c", "d", S).translation_m[0] == 2
    with pytest.raises(TransformUnavailableError, match="no transform from 'b' to 'd'"):
        buffer.lookup("d", "b", S)
    buffer.add(serialised(transform_message("b", "c", S)), is_static=True)
    assert buffer.lookup("a", "d", S).translation_m[0] == 3


def test_only_messages_that_name_a_link_between_the_frames_are_read():
    buffer = buffer_of(("odom", "base", 1, (1, 0, 0), 0), ("base", "wheel", 1, (0, 0, 0), 0))
    buffer.lookup("odom", "base", S)

    def add(parent, child, xyz):
        message = transform_message(parent, child, 2 * S, xyz=xyz)
        buffer.add(serialised(message), is_static=False)

    add("odom", "base", (2, 0, 0))
    add("base", "wheel", (0, 5, 0))
    assert buffer.lookup("odom", "base", 2 * S).translation_m[0] == 2
    with pytest.raises(TransformUnavailableError, match="'wheel' in 'base' is known only until"):
        buffer.lookup("odom", "wheel", 2 * S)
    # From the first lookup on, messages of this frame are read.
    add("base", "wheel", (0, 5, 0))
    assert buffer.lookup("odom", "wheel", 2 * S).translation_m.tolist() == [2, 5, 0]


def test_a_frame_that_moves_to_a_parent_that_was_ignored_is_found_again():
    buffer = buffer_of(("odom", "base", 1, (1, 0, 0), 0), ("base", "camera", 1, (0, 1, 0), 0))
    buffer.lookup("odom", "camera", S)
    for parent, child, time_s in (
        ("odom", "crane", 2),  # ignored
        ("crane", "camera", 2),
        ("odom", "crane", 3),
        ("crane", "camera", 3),
    ):
        message = transform_message(parent, child, time_s * S, xyz=(0, 0, time_s))
        buffer.add(serialised(message), is_static=False)

    assert buffer.lookup("odom", "camera", 3 * S).translation_m.tolist() == [0, 0, 6]


def test_clear_keeps_only_static_transforms():
    buffer = buffer_of(
        ("odom", "base", 9, (1, 0, 0), 0), static=(("base", "camera", (0, 1, 0), 0),)
    )
    buffer.lookup("odom", "camera", 9 * S)

    buffer.clear()

    assert buffer.lookup("base", "camera", S).translation_m[1] == 1
    with pytest.raises(TransformUnavailableError):
        buffer.lookup("odom", "camera", 9 * S)
    buffer.add(serialised(transform_message("odom", "base", 2 * S)), is_static=False)
    assert buffer.lookup("odom", "camera", 2 * S).translation_m[1] == 1


def test_ten_seconds_of_the_past_can_be_looked_up():
    buffer = TransformBuffer()
    for index in range(2000):
        message = transform_message("odom", "base", S + index * S // 50, xyz=(index / 50, 0, 0))
        buffer.add(serialised(message), is_static=False)

    newest_ns = S + 1999 * S // 50
    assert buffer.lookup("odom", "base", newest_ns - 10 * S).translation_m[0] == pytest.approx(
        1999 / 50 - 10
    )


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("length", range(9))
def test_names_of_any_length_are_read_in_both_byte_orders(order, length):
    name = "/" + "n" * length + "x"
    message = transform_message("p" * (9 - length), name, 1_500_000_007, xyz=(1, 2, 3), yaw=0.4)
    message.transforms.extend(transform_message("q", "r", 8).transforms)

    first, second = transforms_of(serialised(message, order))

    assert (first.parent, first.child, first.stamp_ns) == (
        "p" * (9 - length),
        "n" * length + "x",
        1_500_000_007,
    )
    assert first.pose[0] == (1, 2, 3)
    assert first.pose[1] == pytest.approx((0, 0, math.sin(0.2), math.cos(0.2)))
    assert (second.parent, second.child, second.stamp_ns) == ("q", "r", 8)


def test_bytes_that_are_not_a_tf_message_are_refused():
    whole = serialised(transform_message("odom", "base", S))
    for data in (b"", b"\x00\x07\x00\x00" + whole[4:], whole[:-1], whole[:20]):
        with pytest.raises(ValueError, match="bytes"):
            transforms_of(data)


@pytest.mark.parametrize("parent, child", [("", "base"), ("odom", ""), ("odom", "/odom")])
def test_a_frame_without_a_name_or_in_itself_is_ignored(parent, child):
    assert transforms_of(serialised(transform_message(parent, child, S))) == []


def random_tree(rng, n_frames=12):
    """Parents of frames, static or not, and poses at times; the same for both buffers."""
    entries = []
    for frame in range(1, n_frames):
        parent = int(rng.integers(-1, frame))
        if parent < 0:
            continue  # a root of its own
        is_static = bool(rng.random() < 0.3)
        times_s = [0.0] if is_static else sorted(rng.uniform(1.0, 6.0, size=rng.integers(1, 30)))
        for time_s in times_s:
            rotation = Rotation.random(random_state=int(rng.integers(1 << 30))).as_quat()
            pose = (rng.normal(size=3), rotation)
            entries.append((f"f{parent}", f"f{frame}", round(time_s * S), pose, is_static))
    return entries


@pytest.mark.parametrize("seed", range(20))
def test_random_trees_are_looked_up_as_tf2_does(seed):
    tf2 = pytest.importorskip("tf2_py", reason="needs tf2_py: source a distribution")
    from geometry_msgs.msg import TransformStamped
    from rclpy.time import Time

    rng = np.random.default_rng(seed)
    reference, buffer = tf2.BufferCore(), TransformBuffer()
    for parent, child, stamp_ns, (xyz, quaternion), is_static in random_tree(rng):
        theirs = TransformStamped(child_frame_id=child)
        theirs.header.frame_id = parent
        theirs.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
        ours = transform_message(parent, child, stamp_ns, xyz=tuple(map(float, xyz)))
        for message in (theirs, ours.transforms[0]):
            q = message.transform.rotation
            q.x, q.y, q.z, q.w = map(float, quaternion)
            t = message.transform.translation
            t.x, t.y, t.z = map(float, xyz)
        set_transform = reference.set_transform_static if is_static else reference.set_transform
        set_transform(theirs, "test")
        buffer.add(serialised(ours), is_static=is_static)

    n_found = 0
    for _ in range(300):
        target, source = (f"f{n}" for n in rng.integers(12, size=2))
        stamp_ns = round(float(rng.uniform(0.5, 6.5)) * S)
        try:
            found = reference.lookup_transform_core(target, source, Time(nanoseconds=stamp_ns))
        except tf2.TransformException:
            found = None
        try:
            pose = buffer.lookup(target, source, stamp_ns)
        except TransformUnavailableError:
            pose = None
        if target == source:
            continue  # tf2 knows no frame without links
        assert (found is None) == (pose is None)
        if found is not None and pose is not None:
            n_found += 1
            q, t = found.transform.rotation, found.transform.translation
            rotation = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()
            np.testing.assert_allclose(pose.rotation, rotation, atol=1e-6)
            np.testing.assert_allclose(pose.translation_m, [t.x, t.y, t.z], atol=1e-6)
    assert n_found > 5
