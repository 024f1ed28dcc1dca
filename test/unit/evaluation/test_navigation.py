"""A robot in closed loop among people whose paths are known."""

import numpy as np
import pytest

from social_implicit_ros.evaluation.faulty_tracker.people import People
from social_implicit_ros.evaluation.navigation.crowd import SUBSTEPS, Belief, Crowd, oracle
from social_implicit_ros.evaluation.navigation.drive import (
    Drives,
    Episodes,
    RecordedCrowd,
    draw_episodes,
    drive,
    episode_metrics,
)
from social_implicit_ros.evaluation.navigation.planners import (
    CHANCE,
    COSTMAP,
    EXPECTED,
    Setting,
    contact_form,
    region_form,
)
from social_implicit_ros.evaluation.navigation.robot import DT_S, N_STEPS, Robot, Rollouts
from social_implicit_ros.evaluation.navigation.study import (
    chosen,
    frontier,
    interval,
    rate_interval,
)
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.uncertainty.ellipses import confidence_to_sigmas

PERIOD_S, RADIUS_M = 0.4, 0.3
S = 1_000_000_000


def crowd_of_people(people, beliefs):
    """A crowd at 280 ticks, whose predictors are not needed."""
    return Crowd(people, 0, round(PERIOD_S * S), 280, beliefs, {}, None)


def nobody():
    nothing = np.empty(0, dtype=np.int64)
    return crowd_of_people(People(nothing, nothing, np.empty((0, 2)), 0.5), {})


@pytest.fixture(scope="module")
def crossing():
    """Sixteen people walk back and forth on parallel lines, for two minutes."""
    rng = np.random.default_rng(1)
    times_s = np.arange(0.0, 120.0, 0.1)
    phase, y_m = rng.uniform(0, 24, 16), rng.uniform(0, 12, 16)
    way_m = np.abs((phase[:, None] + 1.2 * times_s) % 24 - 12)
    positions = np.stack([way_m, np.broadcast_to(y_m[:, None], way_m.shape)], axis=-1)
    stamps_ns = np.repeat((times_s * S).round().astype(np.int64), 16)
    people = People(
        stamps_ns,
        np.tile(np.arange(16), len(times_s)),
        positions.swapaxes(0, 1).reshape(-1, 2),
        0.5,
    )
    ticks_ns = np.arange(280) * round(PERIOD_S * S)
    truth = oracle(people, ticks_ns.tolist())
    return crowd_of_people(people, {"oracle": truth, "nobody moves": truth.standing()})


def drive_among(crowd, belief, episodes, robot, setting):
    contact_m = robot.radius_m + RADIUS_M
    return drive(RecordedCrowd(crowd, belief, episodes, setting, contact_m), robot)


@pytest.mark.slow
@pytest.mark.parametrize("planner", [CHANCE, EXPECTED])
@pytest.mark.parametrize("is_holonomic", [False, True])
def test_an_oracle_collides_less_than_a_static_prediction(crossing, planner, is_holonomic):
    robot = Robot(is_holonomic=is_holonomic)
    episodes = draw_episodes(crossing, robot, RADIUS_M, 20, seed=0)
    setting = Setting(planner, 4.8, None, 0.1, weight_m=5.0)

    collisions = {}
    for name, belief in crossing.beliefs.items():
        drives = drive_among(crossing, belief, episodes, robot, setting)
        metrics = episode_metrics(drives, episodes, robot, PERIOD_S)
        collisions[name] = metrics["collision"].mean()

    assert collisions["oracle"] < 0.5 * collisions["nobody moves"]


def test_a_robot_without_a_feasible_motion_evades_or_brakes():
    """A person walks towards the robot and is too near for it to keep the distance."""
    path_m = np.stack([1.0 - 0.24 * np.arange(1, N_STEPS + 1), np.zeros(N_STEPS)], axis=1)
    person = Belief(
        np.zeros((60, 1), dtype=np.int64),
        np.array([[1.0, 0.0]]),
        path_m[None, None],
        np.ones((1, 1)),
    )
    episodes = Episodes(np.array([0]), np.zeros((1, 2)), np.array([[6.0, 0.0]]), 3)

    moved_m = {}
    for brakes in (False, True):
        setting = Setting(CHANCE, 4.8, None, 0.4, brakes=brakes)
        drives = drive_among(nobody(), person, episodes, Robot(is_holonomic=True), setting)
        moved_m[brakes] = np.abs(drives.states[0, 1:, 1]).max()

    assert moved_m[True] == 0.0 and moved_m[False] > 0.2


def test_the_same_seed_gives_the_same_episodes(crossing):
    first, same, other = (
        draw_episodes(crossing, Robot(), RADIUS_M, 10, seed=seed) for seed in (3, 3, 4)
    )

    assert (first.start_m == same.start_m).all() and (first.ticks == same.ticks).all()
    assert (first.start_m != other.start_m).any()


def test_parts_do_not_overlap(crossing):
    tuning, test = (
        draw_episodes(crossing, Robot(), RADIUS_M, 30, seed=0, part=part)
        for part in ((0.0, 0.5), (0.5, 1.0))
    )

    assert (tuning.ticks + tuning.n_ticks).max() <= test.ticks.min()


def test_nobody_is_near_a_start(crossing):
    episodes = draw_episodes(crossing, Robot(), RADIUS_M, 30, seed=0)

    people_m = crossing.present_m[episodes.ticks * SUBSTEPS]
    away_m = np.linalg.norm(people_m - episodes.start_m[:, None], axis=2)
    assert np.nanmin(away_m) > 2 * RADIUS_M


def test_a_short_recording_is_refused_with_the_needed_length(crossing):
    with pytest.raises(RecordingError, match="too short for episodes: half of it is 6 s long"):
        draw_episodes(crossing, Robot(), RADIUS_M, 10, seed=0, part=(0.0, 0.05))


def test_a_standing_robot_counts_as_frozen():
    episodes = Episodes(np.array([0, 0]), np.zeros((2, 2)), np.array([[4.0, 0], [4.0, 0]]), 10)
    states = np.zeros((2, 11, 4))
    states[1, :, 0] = 0.4 * np.arange(11)  # the second one drives
    drives = Drives(states, np.array([10, 10]), np.array([False, True]), np.full((2, 10), 2.0))

    metrics = episode_metrics(drives, episodes, Robot(), PERIOD_S)

    assert metrics["frozen"].tolist() == [1.0, 0.0]
    assert metrics["success"].tolist() == [0.0, 1.0]
    assert metrics["jerk_m_s3"] == pytest.approx([0.0, 0.0])
    assert metrics["collision"].tolist() == [0.0, 0.0]


def test_a_collision_while_the_robot_stands_is_a_standing_hit():
    episodes = Episodes(np.array([0]), np.zeros((1, 2)), np.array([[4.0, 0]]), 4)
    gap_m = np.array([[1.0, 0.2, -0.1, 0.2]])
    drives = Drives(np.zeros((1, 5, 4)), np.array([4]), np.array([False]), gap_m)

    metrics = episode_metrics(drives, episodes, Robot(), PERIOD_S)

    assert metrics["collision"] == metrics["standing_hit"] == [1.0]
    assert metrics["intrusion"] == [0.75] and metrics["least_m"] == [-0.1]


@pytest.mark.parametrize("angle", [0.0, 0.4, 2.0])
@pytest.mark.parametrize("sigma_m", [0.0, 0.3])
def test_an_isotropic_region_is_a_circle_enlarged_by_the_contact_distance(sigma_m, angle):
    radius = confidence_to_sigmas(0.95)
    xx, xy, yy = region_form(sigma_m**2 * np.eye(2), np.array(radius), 0.6)

    x, y = (0.6 + radius * sigma_m) * np.array([np.cos(angle), np.sin(angle)])
    assert xx * x * x + 2 * xy * x * y + yy * y * y == pytest.approx(1.0)


def test_both_semi_axes_of_an_ellipse_are_enlarged_by_the_contact_distance():
    turn = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    covariance = turn @ np.diag([0.5**2, 0.1**2]) @ turn.T
    xx, xy, yy = region_form(covariance, np.array(2.0), 0.6)

    form = np.array([[xx, xy], [xy, yy]])
    for axis, reach_m in ((turn[:, 0], 2.0 * 0.5 + 0.6), (turn[:, 1], 2.0 * 0.1 + 0.6)):
        assert axis @ form @ axis == pytest.approx(1.0 / reach_m**2)


def test_the_expected_contact_equals_the_mean_over_samples():
    covariance, scale_m, at = np.array([[0.2, 0.05], [0.05, 0.1]]), 0.5, np.array([0.3, -0.4])
    (xx, xy, yy), peak = contact_form(covariance, scale_m)

    samples = np.random.default_rng(0).multivariate_normal([0, 0], covariance, 200_000)
    expected = np.exp(-0.5 * ((at - samples) ** 2).sum(axis=1) / scale_m**2).mean()
    form = at @ np.array([[xx, xy], [xy, yy]]) @ at
    assert peak * np.exp(-0.5 * form) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("robot", [Robot(), Robot(is_holonomic=True)])
def test_a_robot_keeps_its_limits(robot):
    state = np.array([[0.0], [0.0], [0.0], [1.2]])
    states = Rollouts.of(robot, state, np.array([[-5.0, 3.0]])).states[:, :, 0]

    path = np.concatenate([np.broadcast_to(state, (1, *states.shape[1:])), states])
    velocity = np.diff(path[:, :2], axis=0) / DT_S
    speed, acceleration = (
        np.linalg.norm(v, axis=1) for v in (velocity, np.diff(velocity, axis=0) / DT_S)
    )
    assert speed.max() <= 1.2 + 1e-4
    assert np.abs(np.diff(speed, axis=0)).max() <= 1.5 * DT_S + 1e-4
    if robot.is_holonomic:
        assert acceleration.max() <= 1.5 + 1e-4
    else:
        assert np.abs(np.diff(path[:, 2], axis=0)).max() <= 1.5 * DT_S + 1e-4


def test_without_people_the_robot_drives_straight():
    empty = Belief(
        np.full((60, 1), -1),
        np.zeros((1, 2)),
        np.zeros((1, 1, N_STEPS, 2)),
        np.ones((1, 1)),
    )
    episodes = Episodes(np.array([0]), np.zeros((1, 2)), np.array([[6.0, 4.0]]), 40)

    drives = drive_among(nobody(), empty, episodes, Robot(), Setting(CHANCE, 4.8))

    metrics = episode_metrics(drives, episodes, Robot(), PERIOD_S)
    assert metrics["success"] == [1.0] and metrics["path"][0] == pytest.approx(1.0, abs=0.06)


def test_an_interval_of_equal_episodes_has_no_width():
    assert interval(np.full(12, 0.5), np.arange(12) // 3) == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("n_episodes", [1, 10, 250])
def test_no_collision_in_few_episodes_does_not_mean_that_there_are_none(n_episodes):
    mean, low, high = rate_interval(np.zeros(n_episodes), np.arange(n_episodes) // 3)

    assert (mean, low) == (0.0, 0.0)
    # At the upper end, no collision in all episodes has a probability of 2.5 %.
    assert (1.0 - high) ** n_episodes == pytest.approx(0.025)
    assert rate_interval(np.ones(n_episodes), np.zeros(n_episodes, int)) == pytest.approx(
        [1.0, 1.0 - high, 1.0]
    )


def test_an_interval_of_independent_episodes_is_1_96_standard_errors_wide():
    values = np.random.default_rng(0).normal(2.0, 1.0, 400)

    mean, low, high = interval(values, np.arange(400))

    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)
    assert low < mean < high


def test_a_costmap_blocks_a_way_that_is_free_when_the_robot_arrives():
    """A person has crossed the robot's way before it arrives there."""
    path_m = np.stack([np.full(N_STEPS, 3.0), 1.6 + 0.3 * np.arange(N_STEPS) - 3.0], axis=1)
    crossing = Belief(
        np.zeros((60, 1), dtype=np.int64),
        np.array([[3.0, -1.7]]),
        path_m[None, None],
        np.ones((1, 1)),
    )
    episodes = Episodes(np.array([0]), np.zeros((1, 2)), np.array([[6.0, 0.0]]), 1)

    speed = {}
    for planner in (EXPECTED, COSTMAP):
        setting = Setting(planner, 4.8, None, weight_m=30.0)
        drives = drive_among(nobody(), crossing, episodes, Robot(), setting)
        speed[planner] = drives.states[0, 1, 3] * np.cos(drives.states[0, 1, 2])

    assert speed[COSTMAP] < 0.9 * speed[EXPECTED]


def test_the_frontier_takes_the_fewest_collisions_within_each_time():
    settings = [Setting(CHANCE, horizon_s) for horizon_s in (1.2, 2.4, 4.8)]
    rows = zip(settings, (0.3, 0.1, 0.0), (1.1, 1.24, 1.5), strict=True)
    tuned = {
        setting: {"collision": np.full(4, collision), "time": np.full(4, time)}
        for setting, collision, time in rows
    }

    found = frontier(tuned)

    assert found == {1.15: settings[0], 1.25: settings[1], 1.4: settings[1], 1.6: settings[2]}
    assert chosen(tuned, np.arange(4)) == settings[2]


def test_the_fastest_setting_within_one_standard_error_of_the_safest_is_chosen():
    settings = [Setting(CHANCE, horizon_s) for horizon_s in (1.2, 2.4, 4.8)]
    collisions = np.zeros((3, 100))
    collisions[0, :20] = 1.0  # the fastest: far more than chance explains
    collisions[1, :5] = 1.0
    collisions[2, 3:7] = 1.0  # the slowest: one fewer, on partly other episodes
    tuned = {
        setting: {"collision": hit, "time": np.full(100, time)}
        for setting, hit, time in zip(settings, collisions, (1.1, 1.2, 1.5), strict=True)
    }

    assert chosen(tuned, np.arange(100)) == settings[1]
