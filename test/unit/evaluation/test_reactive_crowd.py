"""A crowd that reacts to the robot."""

from dataclasses import replace

import numpy as np
import pytest

from social_implicit_ros.evaluation.faulty_tracker.people import People
from social_implicit_ros.evaluation.navigation.crowd import VELOCITY, Crowd, predictors_of
from social_implicit_ros.evaluation.navigation.drive import Episodes, drive
from social_implicit_ros.evaluation.navigation.planners import CHANCE, Setting
from social_implicit_ros.evaluation.navigation.reactive import ReactiveCrowd, avoidance
from social_implicit_ros.evaluation.navigation.robot import Robot
from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer

S = 1_000_000_000
PERIOD_NS = 400_000_000
RADII_M = (0.3, 0.25)
CONFIG = PredictorConfig(fixed_frame="map", tick_rate_hz=2.5, time_step_s=0.2)


@pytest.fixture
def crowd():
    """One person walks along x at 1 m/s, another waits far away."""
    stamps_ns = np.arange(0, 30 * S, PERIOD_NS)
    walking = np.stack([stamps_ns / S - 10.0, np.zeros(len(stamps_ns))], axis=1)
    waiting = np.broadcast_to([0.0, 20.0], walking.shape)
    people = People(
        np.repeat(stamps_ns, 2),
        np.tile([0, 1], len(stamps_ns)),
        np.stack([walking, waiting], axis=1).reshape(-1, 2),
        0.5,
    )

    def new_predictor(model):
        return Predictor(load_model("constant_velocity"), CONFIG, TransformBuffer())

    return Crowd(people, 0, PERIOD_NS, 75, {}, predictors_of([]), new_predictor)


def standing_robot(crowd, at_m, **options):
    """Smallest distance of centres, and path of the walking person, while the robot stands."""
    episodes = Episodes(np.array([10]), np.array([at_m]), np.array([at_m]), 40)
    world = ReactiveCrowd(crowd, VELOCITY, episodes, Setting(CHANCE, 4.8), RADII_M, **options)
    path_m = np.broadcast_to(at_m, (1, 3, 2))
    least_m, walked_m = [], []
    for step in range(episodes.n_ticks):
        least_m.append(world.advance(np.array([0]), step, path_m)[0])
        walked_m.append(world.walkers.positions_m[0, 0].copy())
    return min(least_m), np.array(walked_m)


def test_people_walk_round_a_robot_and_return_to_their_path(crowd):
    least_m, walked_m = standing_robot(crowd, [0.0, 0.05])

    assert least_m > sum(RADII_M)
    assert np.abs(walked_m[:, 1]).max() > 0.3 and np.abs(walked_m[-1, 1]) < 0.15


def test_people_who_do_not_see_the_robot_walk_into_it(crowd):
    least_m, _ = standing_robot(crowd, [0.0, 0.05], attentive=0.0)

    assert least_m < 0.1


def test_a_robot_out_of_the_way_changes_nothing(crowd):
    _, walked_m = standing_robot(crowd, [0.0, 5.0])

    recorded_m = np.stack([0.4 * np.arange(11, 51) - 10.0, np.zeros(40)], axis=1)
    assert walked_m == pytest.approx(recorded_m, abs=1e-6)


def test_a_robot_passes_people_who_react_and_equal_episodes_give_equal_drives(crowd):
    episodes = Episodes(np.array([18]), np.array([[2.0, 0.1]]), np.array([[-6.0, 0.1]]), 40)
    setting = Setting(CHANCE, 4.8, None, 0.1)
    drives = []
    for _ in range(2):
        world = ReactiveCrowd(crowd, VELOCITY, episodes, setting, RADII_M)
        drives.append(drive(world, Robot()))

    assert drives[0].is_arrived.all() and drives[0].gap_m.min() > 0.0
    assert (drives[0].states == drives[1].states).all()


def test_a_robot_drives_although_nobody_is_predicted(crowd):
    episodes = Episodes(np.array([-50]), np.zeros((1, 2)), np.array([[6.0, 0.0]]), 20)
    setting = Setting(CHANCE, 4.8)
    world = ReactiveCrowd(crowd, VELOCITY, episodes, setting, RADII_M)

    drives = drive(world, Robot())

    assert drives.is_arrived.all() and np.isinf(drives.gap_m).all()


@pytest.mark.parametrize("shows_plan", [False, True])
def test_a_predictor_knows_the_last_plan(crowd, shows_plan):
    predictors = []

    def new_predictor(model):
        predictors.append(crowd.new_predictor(model))
        return predictors[-1]

    episodes = Episodes(np.array([10]), np.array([[0.0, 5.0]]), np.array([[6.0, 5.0]]), 40)
    world = ReactiveCrowd(
        replace(crowd, new_predictor=new_predictor),
        VELOCITY,
        episodes,
        Setting(CHANCE, 4.8),
        RADII_M,
        shows_plan=shows_plan,
    )
    planned_m = np.stack([0.2 * np.arange(25), np.full(25, 5.0)], axis=1)
    world.advance(np.array([0]), 3, planned_m[None])

    (predictor,) = predictors
    if not shows_plan:
        assert predictor.robot_plan is None
        return
    now_ns = 14 * PERIOD_NS  # the next tick
    ahead_m = predictor.robot_plan.ahead(planned_m[2], np.zeros(2), now_ns, np.array([0.4, 2.0]))
    assert ahead_m == pytest.approx(planned_m[[4, 12]])


def test_the_seed_selects_the_attentive_people(crowd):
    least_m = [standing_robot(crowd, [0.0, 0.05], attentive=0.5, seed=s)[0] for s in range(8)]

    assert min(least_m) < 0.1 and max(least_m) > sum(RADII_M)


def pair(first_m, second_m, first_m_s, second_m_s, reach_m=0.6):
    at_m, velocity = np.array([[first_m, second_m]]), np.array([[first_m_s, second_m_s]])
    return avoidance(at_m, velocity, at_m, velocity, np.array([[[reach_m]]]))[0]


def test_avoidance_of_two_is_opposite_and_pushes_apart():
    first, second = pair([0.0, 0.0], [3.0, 0.2], [1.0, 0.0], [-1.0, 0.0])

    assert first == pytest.approx(-second)
    assert first[0] < 0.0 and first[1] < 0.0  # slower, and away from the other's side


@pytest.mark.parametrize(
    ("second_m", "second_m_s", "reach_m"),
    [
        ([3.0, 2.0], [-1.0, 0.0], 0.6),  # passes at a distance
        ([-3.0, 0.2], [-1.0, 0.0], 0.6),  # has passed
        ([3.0, 0.2], [1.0, 0.0], 0.6),  # walks ahead
        ([3.0, 0.2], [-1.0, 0.0], 0.0),  # is ignored
        ([np.nan, np.nan], [np.nan, np.nan], 0.6),  # is not there
    ],
)
def test_only_people_on_a_collision_course_are_avoided(second_m, second_m_s, reach_m):
    assert pair([0.0, 0.0], second_m, [1.0, 0.0], second_m_s, reach_m)[0].tolist() == [0.0, 0.0]
