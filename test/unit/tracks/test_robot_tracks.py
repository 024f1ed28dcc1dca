"""A track that stays at the position of the robot is the robot, as ceiling cameras report it."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.settings import HistoryLimits, PipelineConfig
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities.identities import Identities
from social_implicit_ros.types import ROBOT_ID, SkipReason, Tracks

S = 1_000_000_000


class Scene:
    """A robot that drives along x, and a camera at 10 Hz."""

    def __init__(self, speed_m_s: float = 0.5, n_per_odometry: int = 1) -> None:
        self.speed_m_s, self.n_per_odometry = speed_m_s, n_per_odometry
        self.history = TrackHistory(HistoryLimits(track_timeout_s=2.0))
        self.identities = Identities(PipelineConfig())
        self.texts: list[str] = []
        self.n = 0

    def watch(self, n_messages: int, *, has_robot: bool = True, **beside_m: float) -> set[str]:
        """Ids that are hidden as the robot, after messages of tracks at some y beside it."""
        for _ in range(n_messages):
            self.n += 1
            stamp_ns, x_m = self.n * S // 10, self.speed_m_s * self.n / 10
            if has_robot and self.n % self.n_per_odometry == 0:
                self.history.insert(Tracks(stamp_ns, (ROBOT_ID,), np.array([[x_m, 0.0]])))
            positions_m = np.array([[x_m, y_m] for y_m in beside_m.values()]).reshape(-1, 2)
            tracks = Tracks(stamp_ns, tuple(beside_m), positions_m)
            self.history.insert(tracks)
            self.history.window(stamp_ns)
            self.texts += self.identities.follow(tracks, self.history, (), (), stamp_ns)
        hidden = self.identities.hidden
        assert set(hidden.values()) <= {SkipReason.ROBOT}
        return set(hidden)


def test_a_track_at_the_robot_is_hidden_after_a_second_and_logged_once() -> None:
    scene = Scene()
    assert scene.watch(10, camera=0.2, person=1.0) == set()
    assert scene.watch(20, camera=0.2, person=1.0) == {"camera"}
    assert len(scene.texts) == 1 and "'camera'" in scene.texts[0]


def test_a_person_close_to_the_robot_is_predicted() -> None:
    scene = Scene()
    for side_m in (0.4, 0.2, -0.4, -0.2) * 10:
        assert scene.watch(1, person=side_m) == set()


def test_the_track_of_the_robot_may_deviate_more_until_it_is_a_person_again() -> None:
    scene = Scene()
    scene.watch(20, camera=0.2)
    assert scene.watch(10, camera=0.4) == {"camera"}
    assert scene.watch(1, camera=0.6) == set()
    assert scene.watch(10, camera=0.2) == set()
    assert scene.watch(1, camera=0.2) == {"camera"}


def test_an_id_that_was_forgotten_at_the_robot_is_a_new_track() -> None:
    scene = Scene()
    scene.watch(5, camera=0.2)
    scene.watch(30)
    assert scene.watch(9, camera=0.2) == set()


def test_between_two_messages_of_odometry_the_robot_drives_on() -> None:
    assert Scene(2.0, n_per_odometry=4).watch(40, camera=0.1) == {"camera"}


def test_without_the_position_of_the_robot_nobody_is_hidden() -> None:
    assert Scene().watch(20, has_robot=False, person=0.0) == set()


@pytest.mark.parametrize("n_before", [9, 5])
def test_who_is_near_only_when_odometry_ends_is_not_hidden(n_before: int) -> None:
    """The motion of the robot is extrapolated for a second, too short to confirm it."""
    scene = Scene()
    scene.watch(10, person=2.0)
    scene.watch(n_before, has_robot=False, person=2.0)
    assert scene.watch(30, has_robot=False, person=2.0, newcomer=0.0) == set()


def test_the_track_of_the_robot_stays_hidden_when_odometry_ends() -> None:
    scene = Scene()
    scene.watch(20, camera=0.2)
    assert scene.watch(40, has_robot=False, camera=0.2) == {"camera"}
