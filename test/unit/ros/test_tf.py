"""Tracks of another frame wait for their transform, and no longer than allowed."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.ros.tf import FrameMover, TransformMissingError
from social_implicit_ros.tracks.transforms import RigidTransform
from social_implicit_ros.types import Tracks


class Poses:
    """A lookup that knows what it was told: each stamp shifts by its own number of metres."""

    def __init__(self) -> None:
        self.known_ns: set[int] = set()

    def at(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        if stamp_ns not in self.known_ns:
            raise TransformMissingError(f"no {source} in {target} at {stamp_ns}")
        return RigidTransform(np.eye(3), np.array([float(stamp_ns), 0.0, 0.0]))

    def latest(self, target: str, source: str) -> tuple[RigidTransform, int]:
        raise TransformMissingError("not asked for here")


def tracks(stamp_ns: int) -> Tracks:
    return Tracks(stamp_ns, ("a",), np.array([[1.0, 2.0]]))


def test_each_message_is_moved_by_the_transform_of_its_own_stamp() -> None:
    poses = Poses()
    poses.known_ns = {1, 2}
    mover = FrameMover(poses, "odom", wait_s=0.2)
    mover.add(tracks(1), "camera", 10.0)
    mover.add(tracks(2), "camera", 10.0)
    moved, given_up = mover.take(10.0)
    assert [entry.positions_m.tolist() for entry in moved] == [[[2.0, 2.0]], [[3.0, 2.0]]]
    assert given_up == []
    assert len(mover) == 0


def test_what_has_no_transform_waits_then_is_given_up_with_the_reason() -> None:
    poses = Poses()
    mover = FrameMover(poses, "odom", wait_s=0.2)
    mover.add(tracks(1), "camera", 10.0)
    mover.add(tracks(2), "camera", 10.1)
    assert mover.take(10.1) == ([], [])
    poses.known_ns = {2}
    moved, given_up = mover.take(10.2)
    assert [entry.stamp_ns for entry in moved] == [2]
    assert [(entry.stamp_ns, why) for entry, why in given_up] == [(1, "no camera in odom at 1")]
    assert len(mover) == 0


def test_a_flood_without_transform_is_bounded_and_the_oldest_go_first() -> None:
    mover = FrameMover(Poses(), "odom", wait_s=100.0)
    given_up = []
    for n in range(200):
        mover.add(tracks(n), "camera", 0.0)
        given_up += mover.take(0.0)[1]
    assert len(mover) + len(given_up) == 200
    assert len(mover) <= 64
    assert [entry.stamp_ns for entry, _ in given_up] == list(range(len(given_up)))


def test_reset_lets_go_of_what_waits() -> None:
    mover = FrameMover(Poses(), "odom", wait_s=1.0)
    mover.add(tracks(1), "camera", 0.0)
    mover.reset()
    assert mover.take(5.0) == ([], [])
