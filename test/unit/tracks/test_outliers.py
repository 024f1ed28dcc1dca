"""What counts as an outlier: distances that are plausible, and held positions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from social_implicit_ros.settings import HistoryLimits
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.outliers import Reach
from social_implicit_ros.types import SkipReason, Tracks

S = 1_000_000_000


def seen(time_s: float, x_m: float) -> Tracks:
    return Tracks(round(time_s * S), ("a",), np.array([[x_m, 0.0]]))


def test_a_plausible_distance_is_the_same_in_all_directions() -> None:
    """2 m/s for 0.2 s is 0.4 m, and 0.1 m is plausible in any time."""
    angles = np.linspace(-np.pi, np.pi, 16)
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    before_m = np.full((16, 2), 3.0)
    reach = Reach(max_speed_m_s=2.0)
    assert reach.covers(before_m, before_m + 0.49 * directions, S // 5).all()
    assert not reach.covers(before_m, before_m + 0.51 * directions, S // 5).any()


def test_noise_makes_larger_distances_plausible() -> None:
    before_m, after_m = np.zeros((1, 2)), np.array([[0.0, -0.8]])
    assert not Reach(2.0, noise_m=0.0).covers(before_m, after_m, S // 5).any()
    assert Reach(2.0, noise_m=0.05).covers(before_m, after_m, S // 5).all()


@pytest.mark.parametrize(("late_s", "x_m"), [(1.05, 5.0), (1.95, 7.0)])
def test_a_late_position_out_of_reach_of_one_neighbour_is_an_outlier(
    late_s: float, x_m: float
) -> None:
    """It is plausible given the other one, from which 10 m/s suffice."""
    tracks = TrackHistory(HistoryLimits(position_noise_m=0.0, max_speed_m_s=10.0))
    for n in range(4):
        tracks.insert(seen(n, 4.0 * n))
    assert tracks.insert(seen(late_s, x_m)) == {"a": SkipReason.LATE_OUTLIER}
    assert tracks.insert(seen(late_s, 4.0 * late_s)) == {}


def test_a_message_that_arrives_twice_does_not_confirm_its_own_outlier() -> None:
    tracks = TrackHistory(HistoryLimits(position_noise_m=0.0))
    for n in range(10):
        tracks.insert(seen(0.1 * n, 0.12 * n))
    for _ in range(2):
        assert tracks.insert(seen(1.0, 6.0)) == {}
    assert tracks.insert(seen(1.1, 1.32)) == {"a": SkipReason.OUTLIER}
    assert tracks.began_ns(("a",)).tolist() == [0]
    assert not tracks.n_reassigned.total()


def test_a_new_id_does_not_inherit_the_outlier_of_a_forgotten_one() -> None:
    tracks = TrackHistory(HistoryLimits(position_noise_m=0.0, track_timeout_s=1.0))
    for n in range(10):
        tracks.insert(seen(0.1 * n, 0.12 * n))
    tracks.insert(seen(1.0, 6.0))
    tracks.window(5 * S)
    assert not len(tracks)
    assert tracks.insert(replace(seen(5.0, 1.0), ids=("b",))) == {}
    assert tracks.began_ns(("b",)).tolist() == [5 * S]


def test_an_id_reassigned_to_a_neighbour_is_found_in_a_short_track() -> None:
    """Four positions at 3 Hz, 20 m from the origin; the neighbour is 1.5 m beside."""
    tracks = TrackHistory(HistoryLimits(position_noise_m=0.0))
    for n in range(6):
        tracks.insert(seen(0.34 * n, 20.0 + (1.5 if n >= 4 else 0.0)))
    assert tracks.n_reassigned.total() == 1
    assert tracks.began_ns(("a",)).tolist() == [round(4 * 0.34 * S)]


def test_a_maximum_speed_below_a_stroll_limits_slow_positions_too() -> None:
    tracks = TrackHistory(
        HistoryLimits(position_noise_m=0.0, max_speed_m_s=0.5, track_timeout_s=5.0)
    )
    for n in range(10):
        tracks.insert(seen(0.1 * n, 0.0))
    tracks.insert(seen(2.9, 1.7))
    assert tracks.insert(seen(3.0, 0.0)) == {"a": SkipReason.OUTLIER}
