"""Tracks of another frame wait for their transform, and no longer than allowed."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.prediction.frames import TransformQueue
from social_implicit_ros.tracks.transforms import RigidTransform, TransformUnavailableError
from social_implicit_ros.types import Tracks

S = 1_000_000_000


class Poses:
    """A lookup with known transforms: each stamp shifts by its own number of metres."""

    def __init__(self) -> None:
        self.known_ns: set[int] = set()
        self.may_come = True

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        if stamp_ns not in self.known_ns:
            raise TransformUnavailableError(
                f"no {source} in {target} at {stamp_ns}", may_come=self.may_come
            )
        return RigidTransform(np.eye(3), np.array([float(stamp_ns), 0.0, 0.0]))

    def latest(self, target: str, source: str) -> tuple[RigidTransform, int]:
        raise AssertionError("not asked for here")


def tracks(stamp_ns: int) -> Tracks:
    return Tracks(stamp_ns, ("a",), np.array([[1.0, 2.0]]))


def test_each_message_is_moved_by_the_transform_of_its_own_stamp() -> None:
    poses = Poses()
    poses.known_ns = {1, 2}
    queue = TransformQueue(poses, wait_s=0.2)
    queue.add(tracks(1), "camera", 10 * S)
    queue.add(tracks(2), "camera", 10 * S)
    moved, timed_out = queue.take("odom", 10 * S)
    assert [entry.positions_m.tolist() for entry in moved] == [[[2.0, 2.0]], [[3.0, 2.0]]]
    assert timed_out == []
    assert len(queue) == 0


def test_what_has_no_transform_waits_then_is_timed_out_with_the_reason() -> None:
    poses = Poses()
    queue = TransformQueue(poses, wait_s=0.2)
    queue.add(tracks(1), "camera", 10 * S)
    queue.add(tracks(2), "camera", 10 * S + S // 10)
    assert queue.take("odom", 10 * S + S // 10) == ([], [])
    poses.known_ns = {2}
    moved, timed_out = queue.take("odom", 10 * S + S // 5)
    assert [entry.stamp_ns for entry in moved] == [2]
    assert [(entry.stamp_ns, why) for entry, why in timed_out] == [(1, "no camera in odom at 1")]
    assert len(queue) == 0


def test_a_flood_without_transform_is_bounded_and_the_oldest_go_first() -> None:
    queue = TransformQueue(Poses(), wait_s=100.0)
    timed_out = []
    for n in range(200):
        queue.add(tracks(n), "camera", 0)
        timed_out += queue.take("odom", 0)[1]
    assert len(queue) + len(timed_out) == 200
    assert len(queue) <= 64
    assert [entry.stamp_ns for entry, _ in timed_out] == list(range(len(timed_out)))


def test_what_no_later_transform_can_help_does_not_wait() -> None:
    poses = Poses()
    poses.may_come = False
    queue = TransformQueue(poses, wait_s=10.0)
    queue.add(tracks(1), "camera", 0)
    moved, timed_out = queue.take("odom", 0)
    assert moved == [] and len(timed_out) == 1
    assert len(queue) == 0


def test_clearing_drops_what_waits() -> None:
    queue = TransformQueue(Poses(), wait_s=1.0)
    queue.add(tracks(1), "camera", 0)
    queue.clear()
    assert queue.take("odom", 5 * S) == ([], [])
