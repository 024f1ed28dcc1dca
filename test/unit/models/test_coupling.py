from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.metrics.collision import collision_rate
from social_implicit_ros.metrics.situations import passing_distances
from social_implicit_ros.models import coupling
from social_implicit_ros.models.coupling import Coupling
from social_implicit_ros.types import FloatArray

COUPLING = Coupling(passing_m=0.45, apart_m=0.3)
PAIR = np.array([[0, 1]])
STEPS = np.arange(1.0, 13.0)[:, None]


def straight(last_m: FloatArray, velocity: FloatArray) -> FloatArray:
    """(A, 12, 2) positions at constant velocities in metres per step."""
    return last_m[:, None] + velocity[:, None] * STEPS


def meeting(lateral_m: float) -> tuple[FloatArray, FloatArray]:
    """(2, 12, 2) mean paths of two people who walk towards each other, and (2, 2) positions."""
    last_m = np.array([[0.0, 0.0], [4.0, lateral_m]])
    return straight(last_m, np.array([[0.5, 0.0], [-0.5, 0.0]])), last_m


def given_way(mean: FloatArray, last_m: FloatArray) -> FloatArray:
    """(A, T, 2) offsets of mean paths; checks that samples have the same offsets."""
    moved, samples = COUPLING.made_way(mean, mean[None] + 0.1, last_m)
    np.testing.assert_allclose(samples[0], moved + 0.1)
    return moved - mean


def coupled(mean: FloatArray, samples: FloatArray, last_m: FloatArray) -> tuple[FloatArray, ...]:
    """Mean paths and samples after both steps of the coupling."""
    mean, samples = COUPLING.made_way(mean, samples, last_m)
    return mean, COUPLING.kept_apart(samples, last_m)


def crowd(n_agents: int, seed: int = 0) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean paths, (20, A, 12, 2) samples about them, and positions, in a dense crowd."""
    rng = np.random.default_rng(seed)
    last_m = rng.uniform(0.0, 6.0, (n_agents, 2))
    mean = straight(last_m, rng.normal(0.0, 0.4, (n_agents, 2)))
    return mean, mean + rng.normal(0.0, 0.05, (20, n_agents, 1, 2)) * STEPS, last_m


@pytest.mark.parametrize("lateral_m", [0.0, 0.1, -0.2, 0.4])
def test_people_who_meet_pass_at_the_distance_and_share_the_offset(lateral_m: float) -> None:
    mean, last_m = meeting(lateral_m)
    given = given_way(mean, last_m)
    assert passing_distances(mean + given, PAIR) == pytest.approx([0.45], abs=0.02)
    np.testing.assert_allclose(given[0], -given[1], atol=1e-9)
    assert np.abs(given[0, 0]).max() < 0.1  # nobody jumps aside
    assert np.sign(given[1, -1, 1]) == (-1.0 if lateral_m < 0 else 1.0)


def test_people_who_pass_far_away_or_walk_together_keep_their_paths() -> None:
    assert not given_way(*meeting(1.2)).any()
    last_m = np.array([[0.0, 0.0], [0.0, 0.3]])
    along = straight(last_m, np.array([[0.5, 0.0], [0.5, 0.0]]))
    assert not given_way(along, last_m).any()


@pytest.mark.parametrize(
    ("degrees", "least_m", "most_m"),
    [(180, 0.43, 0.47), (140, 0.43, 0.47), (120, 0.15, 0.35), (100, 0.0, 1e-9), (60, 0.0, 1e-9)],
)
def test_people_meet_if_their_headings_are_nearly_opposite(
    degrees: float, least_m: float, most_m: float
) -> None:
    """They would be at the same point at the same time; in between the offset is scaled."""
    heading = np.radians(degrees)
    velocity = 0.5 * np.array([[1.0, 0.0], [np.cos(heading), np.sin(heading)]])
    last_m = -4.0 * velocity
    mean = straight(last_m, velocity)
    passing_m = passing_distances(mean + given_way(mean, last_m), PAIR)[0]
    assert least_m <= passing_m <= most_m


@pytest.mark.parametrize("fixed", [[False, True], [True, False]])
def test_in_samples_too_who_has_a_plan_keeps_it(fixed: list[bool]) -> None:
    mean, last_m = meeting(0.1)
    apart = COUPLING.kept_apart(mean[None], last_m, np.array(fixed))[0]
    np.testing.assert_array_equal(apart[fixed], mean[fixed])
    assert passing_distances(apart, PAIR) == pytest.approx([0.3], abs=0.02)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_people_who_come_close_in_the_last_step_are_kept_apart(side: float) -> None:
    last_m = np.array([[0.0, 0.0], [5.0 * side, 0.0]])
    samples = last_m[None, :, None].repeat(12, axis=2)
    samples[0, 1, -1] = 0.1 * side, 0.0
    apart = COUPLING.kept_apart(samples, last_m)
    assert np.hypot(*(apart[0, 0, -1] - apart[0, 1, -1])) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_standing_person_stays_and_others_walk_around(side: float) -> None:
    """Wherever they come from."""
    mean, last_m = (side * each for each in meeting(0.1))
    mean[1] = last_m[1]
    given = given_way(mean, last_m)
    np.testing.assert_allclose(given[1], 0.0, atol=1e-9)
    assert passing_distances(mean + given, PAIR) == pytest.approx([0.45], abs=0.02)


def test_samples_of_a_dense_crowd_hardly_collide_and_hardly_change() -> None:
    _, samples, last_m = crowd(15)
    apart = COUPLING.kept_apart(samples, last_m)
    assert collision_rate(samples) > 0.2
    assert collision_rate(apart) < 0.2 * collision_rate(samples)
    moved_m = np.linalg.norm(apart - samples, axis=-1)
    assert np.median(moved_m) < 0.02
    # No offset exceeds the sum of those for each of the 14 others.
    assert moved_m.max() < 0.15 * 14


def test_many_pairs_are_kept_apart_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pairs at once took gigabytes for a thousand people."""
    _, samples, last_m = crowd(30)
    at_once = COUPLING.kept_apart(samples, last_m)
    sizes, closest = [], coupling._closest
    monkeypatch.setattr(coupling, "_BLOCK", 10)
    monkeypatch.setattr(
        coupling,
        "_closest",
        lambda relative: (sizes.append(relative.shape[1]), closest(relative))[1],
    )

    np.testing.assert_allclose(COUPLING.kept_apart(samples, last_m), at_once, atol=1e-12)
    assert len(sizes) > 3 and max(sizes) <= 10 * len(samples)


def test_people_alone_or_far_apart_are_unchanged() -> None:
    mean, samples, last_m = crowd(15)
    far_m = 100.0 * np.arange(15)[:, None] * np.ones(2)
    unchanged = coupled(mean + far_m[:, None], samples + far_m[:, None], last_m + far_m)
    np.testing.assert_array_equal(unchanged[0], mean + far_m[:, None])
    np.testing.assert_array_equal(unchanged[1], samples + far_m[:, None])
    alone = coupled(mean[:1], samples[:, :1], last_m[:1])
    np.testing.assert_array_equal(alone[1], samples[:, :1])


def test_the_coupling_is_equivariant_and_ignores_the_order() -> None:
    mean, samples, last_m = crowd(12)
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    expected_mean, expected = coupled(mean, samples, last_m)
    moved = coupled(mean @ turn + 7.0, samples @ turn + 7.0, last_m @ turn + 7.0)
    np.testing.assert_allclose(moved[0], expected_mean @ turn + 7.0, atol=1e-6)
    np.testing.assert_allclose(moved[1], expected @ turn + 7.0, atol=1e-6)
    order = np.random.default_rng(1).permutation(12)
    shuffled = coupled(mean[order], samples[:, order], last_m[order])
    np.testing.assert_allclose(shuffled[0], expected_mean[order], atol=1e-6)
    np.testing.assert_allclose(shuffled[1], expected[:, order], atol=1e-6)
    assert np.abs(expected_mean - mean).max() > 0.05


def test_paths_do_not_jump_when_somebody_turns_or_slows_down() -> None:
    last_m = np.array([[0.0, 0.0], [4.0, 0.1]])

    def given(angle_rad: float, speed_m: float) -> FloatArray:
        other = -speed_m * np.array([np.cos(angle_rad), np.sin(angle_rad)])
        return given_way(straight(last_m, np.array([[0.5, 0.0], other])), last_m)

    sweeps = (
        [given(angle_rad, 0.4) for angle_rad in np.linspace(0.0, -np.pi / 2, 900)],
        [given(0.0, speed_m) for speed_m in np.linspace(0.0, 0.5, 900)],
    )
    for sweep in sweeps:
        assert np.abs(np.diff(sweep, axis=0)).max() < 0.01
        assert np.abs(sweep).max() > 0.1


def turning_plan(last_m: FloatArray) -> FloatArray:
    """(12, 2) a robot drives along y for 6 steps of 0.4 m, then along -x."""
    along = np.minimum(STEPS, 6.0) * [0.0, 0.4]
    return last_m + along + np.maximum(STEPS - 6.0, 0.0) * [-0.4, 0.0]


def with_plan(start_m: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(2, 12, 2) a person along x and a robot with a plan, (2, 2) positions, (2,) who has one."""
    last_m = np.array([start_m, [4.0, -2.5]])
    mean = straight(last_m, np.array([[0.3, 0.0], [0.0, 0.0]]))
    mean[1] = turning_plan(last_m[1])
    return mean, last_m, np.array([False, True])


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_person_makes_way_for_a_plan_and_the_plan_stays(order: list[int]) -> None:
    """The plan turns towards the person after a while, which its chord does not show."""
    mean, last_m, fixed = with_plan(np.array([0.0, 0.0]))
    samples = mean[None] + np.array([0.0, 0.05, -0.05])[:, None, None, None] * [0.0, 1.0]
    samples[:, 1] = mean[1]
    before_m = passing_distances(mean, PAIR)[0]
    mean, samples, last_m, fixed = mean[order], samples[:, order], last_m[order], fixed[order]
    moved, moved_samples = COUPLING.made_way(mean, samples, last_m, fixed)
    moved_samples = COUPLING.kept_apart(moved_samples, last_m, fixed)
    assert before_m < 0.15
    assert passing_distances(moved, PAIR)[0] > before_m + 0.2
    assert min(passing_distances(one, PAIR)[0] for one in moved_samples) > before_m + 0.15
    np.testing.assert_array_equal(moved[fixed], mean[fixed])
    np.testing.assert_array_equal(moved_samples[:, fixed], samples[:, fixed])


def test_nobody_makes_way_for_a_plan_that_comes_from_behind_or_has_passed() -> None:
    mean, last_m, fixed = with_plan(np.array([9.0, 0.0]))
    np.testing.assert_array_equal(COUPLING.made_way(mean, mean[None], last_m, fixed)[0], mean)
    mean[1] = straight(last_m[1:], np.array([[0.5, 0.0]]))[0]
    last_m[0] = 4.5, -2.5
    mean[0] = straight(last_m[:1], np.array([[0.3, 0.0]]))[0]
    np.testing.assert_array_equal(COUPLING.made_way(mean, mean[None], last_m, fixed)[0], mean)


def test_a_standing_person_is_not_pushed_by_a_plan() -> None:
    mean, last_m, fixed = with_plan(np.array([2.0, 0.1]))
    mean[0] = last_m[0]
    np.testing.assert_allclose(COUPLING.made_way(mean, mean[None], last_m, fixed)[0], mean)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"passing_m": 0.4}, "fields"),
        ({"passing_m": 0.4, "apart_m": 0.2, "x": 1}, "fields"),
        ({"passing_m": "wide", "apart_m": 0.2}, "passing_m is"),
        ({"passing_m": 0.4, "apart_m": -1.0}, "expected 0 to 2 m"),
    ],
)
def test_wrong_fields_of_a_card_are_named(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Coupling.from_dict(values)
