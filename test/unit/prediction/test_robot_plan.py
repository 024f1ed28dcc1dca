"""The robot's plan: where the robot is on it, and what it does to people."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.typestore import STORE

from social_implicit_ros.models.registry import load_model
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.robot_plan import PATH, PlanDecoder, PlanNotUsedError, RobotPlan
from social_implicit_ros.recordings.definitions import definitions_of
from social_implicit_ros.settings import PipelineConfig, PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.frames.transforms import RigidTransform
from social_implicit_ros.tracks.stamps import NS_PER_S as S
from social_implicit_ros.types import ROBOT_ID, FloatArray, Tracks

NOW_NS = 100 * S
TIMES_S = np.array([1.0, 2.0, 3.0])
#: 2 m along x, then along y.
CORNER_M = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 3.0]])


def ahead(
    plan: RobotPlan, at_m: tuple[float, float], velocity_m_s: tuple[float, float] = (1.0, 0.0)
) -> FloatArray | None:
    return plan.ahead(np.array(at_m), np.array(velocity_m_s), NOW_NS, TIMES_S)


def test_the_robot_follows_its_path_at_its_speed_and_stops_at_the_end() -> None:
    plan = RobotPlan(0, NOW_NS, "map", CORNER_M)
    np.testing.assert_allclose(ahead(plan, (1.0, 0.2)), [[2, 0], [2, 1], [2, 2]])
    np.testing.assert_allclose(ahead(plan, (1.0, 0.2), (2.0, 0.0)), [[2, 1], [2, 3], [2, 3]])
    np.testing.assert_allclose(ahead(plan, (2.1, 2.5), (0.0, 0.0)), [[2, 2.5]] * 3)
    only_goal = RobotPlan(0, NOW_NS, "map", CORNER_M[-1:])
    np.testing.assert_allclose(ahead(only_goal, (2.0, 2.5)), [[2, 3]] * 3)


@pytest.mark.parametrize("at_m", [(-0.02, 0.01), (0.01, 0.05), (0.05, -0.01)])
def test_a_path_that_returns_to_its_start_begins_there(at_m: tuple[float, float]) -> None:
    loop_m = np.concatenate([CORNER_M, [[0.0, 3.0], [0.0, 0.0]]])
    plan = RobotPlan(0, NOW_NS, "map", loop_m)
    np.testing.assert_allclose(ahead(plan, at_m), [[1, 0], [2, 0], [2, 1]], atol=0.06)


def test_stamped_poses_say_when_the_robot_is_there() -> None:
    stamps_ns = NOW_NS + np.array([-1, 1, 4]) * S
    plan = RobotPlan(0, NOW_NS, "map", CORNER_M, stamps_ns)
    np.testing.assert_allclose(ahead(plan, (1.0, 0.0), (0.0, 0.0)), [[2, 0], [2, 1], [2, 2]])


def test_a_plan_elsewhere_is_not_used() -> None:
    plan = RobotPlan(0, NOW_NS, "map", CORNER_M)
    with pytest.raises(PlanNotUsedError, match=r"3\.0 m away from its plan"):
        ahead(plan, (1.0, -3.0))
    stamped = RobotPlan(0, NOW_NS, "map", CORNER_M, NOW_NS + np.array([0, 2, 5]) * S)
    with pytest.raises(PlanNotUsedError, match=r"2\.0 m away"):
        ahead(stamped, (2.0, 0.0))


def test_a_robot_is_on_the_pass_of_its_direction() -> None:
    there_and_back_m = np.array([[0.0, 0.0], [6.0, 0.0], [6.0, 0.2], [0.0, 0.2]])
    plan = RobotPlan(0, NOW_NS, "map", there_and_back_m)
    np.testing.assert_allclose(ahead(plan, (3.0, 0.1))[:, 0], [4, 5, 6])
    back_m = ahead(plan, (3.0, 0.1), (-1.0, 0.1))
    np.testing.assert_allclose(back_m, [[2, 0.2], [1, 0.2], [0, 0.2]], atol=0.02)
    angle = np.linspace(0.0, 2.0 * np.pi, 400)
    eight_m = np.stack([5.0 * np.sin(angle), 2.5 * np.sin(2.0 * angle)], axis=1)
    second_m = ahead(RobotPlan(0, NOW_NS, "map", eight_m), (0.0, 0.0), (-0.7, 0.7))
    assert second_m is not None and (second_m[:, 0] < -0.6).all() and (second_m[:, 1] > 0.6).all()


@pytest.mark.parametrize(
    ("stamp_s", "received_s", "velocity_m_s", "is_used", "is_missed"),
    [
        (0, 97, (1.0, 0.0), True, False),
        (97, 0, (1.0, 0.0), True, False),  # stamps of another clock than the node's
        (0, 97, (-1.0, 0.0), True, False),  # a new plan, for which the robot turns
        (0, 90, (0.9, 0.3), True, False),  # published once, and the robot drives along it
        (0, 20, (1.0, 0.0), True, False),
        (0, 90, (-1.0, 0.0), False, True),
        (0, 90, (0.2, 0.9), False, True),
        (0, 90, (0.0, 0.0), False, False),  # the robot stands
        (0, 20, (-1.0, 0.0), False, False),  # its goal was reached long ago
    ],
)
def test_an_old_plan_is_used_while_the_robot_drives_along_it(
    stamp_s: int,
    received_s: int,
    velocity_m_s: tuple[float, float],
    is_used: bool,
    is_missed: bool,
) -> None:
    plan = RobotPlan(stamp_s * S, received_s * S, "map", CORNER_M)
    if is_missed:
        with pytest.raises(PlanNotUsedError, match="which is 10 s old"):
            ahead(plan, (1.0, 0.0), velocity_m_s)
    else:
        assert (ahead(plan, (1.0, 0.0), velocity_m_s) is not None) == is_used


def test_an_old_plan_ends_with_its_times_and_where_the_robot_leaves_it() -> None:
    old = RobotPlan(0, NOW_NS - 10 * S, "map", CORNER_M)
    stamped = RobotPlan(0, NOW_NS - 10 * S, "map", CORNER_M, NOW_NS + np.array([-9, -7, -4]) * S)
    for plan, at_m, velocity_m_s in (
        (old, (1.0, -1.5), (1.0, 0.0)),
        (old, (2.0, 4.1), (0.0, 1.0)),
        (stamped, (1.0, 0.0), (1.0, 0.0)),
    ):
        with pytest.raises(PlanNotUsedError, match="drives without its plan"):
            ahead(plan, at_m, velocity_m_s)


def test_a_robot_that_arrives_misses_no_plan() -> None:
    """Its velocity is that of the last step, also when it has stopped a little past the goal."""
    for positions_m, at_m in ((CORNER_M, (2.0, 3.1)), (CORNER_M[-1:], (2.0, 2.8))):
        old = RobotPlan(0, NOW_NS - 10 * S, "map", positions_m)
        assert ahead(old, at_m, (0.0, 0.5)) is None


def decoded(positions_m: FloatArray, times_s: list[float]) -> RobotPlan | None:
    """The plan in a serialised `nav_msgs/Path` that is received at 7 ns."""

    def header(time_s: float) -> Any:
        second, nanosecond = divmod(round(time_s * S), S)
        stamp = STORE.types["builtin_interfaces/msg/Time"](second, nanosecond)
        return STORE.types["std_msgs/msg/Header"](stamp, "/map")

    point, pose, stamped, path = (
        STORE.types[f"{package}/msg/{name}"]
        for package, name in (
            ("geometry_msgs", "Point"),
            ("geometry_msgs", "Pose"),
            ("geometry_msgs", "PoseStamped"),
            ("nav_msgs", "Path"),
        )
    )
    level = STORE.types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
    poses = [
        stamped(header(time_s), pose(point(x, y, 0.0), level))
        for (x, y), time_s in zip(positions_m.tolist(), times_s, strict=True)
    ]
    data = bytes(STORE.serialize_cdr(path(header(5.0), poses), PATH))
    return PlanDecoder(definitions_of(STORE, PATH)).decode(data, 7)


@pytest.mark.parametrize(
    ("times_s", "is_stamped"), [([5.0, 6.0, 7.5], True), ([5.0] * 3, False), ([0.0] * 3, False)]
)
def test_a_path_is_stamped_if_its_stamps_increase(times_s: list[float], is_stamped: bool) -> None:
    plan = decoded(CORNER_M, times_s)
    assert plan is not None
    assert (plan.stamp_ns, plan.received_ns, plan.frame_id) == (5 * S, 7, "map")
    np.testing.assert_array_equal(plan.positions_m, CORNER_M)
    if is_stamped:
        np.testing.assert_array_equal(plan.stamps_ns, [5 * S, 6 * S, 7.5 * S])
    else:
        assert plan.stamps_ns is None


def test_an_empty_path_is_no_plan_and_nan_is_refused() -> None:
    assert decoded(np.empty((0, 2)), []) is None
    with pytest.raises(ValueError, match="not finite"):
        decoded(np.array([[0.0, np.nan]]), [0.0])


class Poses(TransformBuffer):
    """`site` is turned by 90 degrees in `map`, and elsewhere; the others are unknown."""

    POSE = RigidTransform(
        np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.ones(3)
    )

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        if (target, source) != ("map", "site"):
            return super().lookup(target, source, stamp_ns)
        return self.POSE


def in_site(positions_m: FloatArray) -> FloatArray:
    """Positions in `map` -> in `site`."""
    points_m = np.column_stack([positions_m, np.zeros(len(positions_m))])
    return np.asarray(((points_m - Poses.POSE.translation_m) @ Poses.POSE.rotation)[:, :2])


#: The robot drives along y, as far as anybody sees, but plans to turn towards the person.
PLAN_M = np.array([[4.0, -1.0], [4.0, 0.0], [0.0, 0.0]])


def predicted(plan: RobotPlan | None, robot: str = "odometry") -> tuple[FloatArray, Predictor]:
    """(12, 2) mean of a person who walks along x at 1 m/s and is at the origin now."""
    pipeline = PipelineConfig(position_noise_m=0.0)
    config = PredictorConfig(robot=robot, fixed_frame="map", pipeline=pipeline)
    predictor = Predictor(load_model("default"), config, Poses())
    predictor.robot_plan = plan
    for n in range(-32, 1):
        time_s, stamp_ns = n / 10, NOW_NS + n * S // 10
        person = Tracks(stamp_ns, ("a",), np.array([[time_s, 0.0]]))
        predictor.add_tracks(person, "map", stamp_ns)
        if robot != "none":
            at_m = np.array([[4.0, -1.0 + 0.8 * time_s]])
            predictor.add_robot(Tracks(stamp_ns, (ROBOT_ID,), at_m), "map", stamp_ns)
    mean = predictor.tick(NOW_NS).prediction.mean[0]
    return mean, predictor


def clearance_m(mean: FloatArray) -> float:
    """Least distance from where the robot is going to be, metres."""
    robot_m = RobotPlan(0, NOW_NS, "map", PLAN_M).ahead(
        PLAN_M[0], np.array([0.8, 0.0]), NOW_NS, 0.4 * np.arange(1, 13)
    )
    return float(np.linalg.norm(mean - robot_m, axis=1).min())


@pytest.mark.parametrize("frame_id", ["map", "site", ""])
def test_a_person_keeps_clear_of_where_the_robot_is_going_to_be(frame_id: str) -> None:
    positions_m = in_site(PLAN_M) if frame_id == "site" else PLAN_M
    mean, predictor = predicted(RobotPlan(0, NOW_NS, frame_id, positions_m))
    assert predictor.refusals == []
    assert clearance_m(mean) > clearance_m(predicted(None)[0]) + 0.1


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (RobotPlan(0, NOW_NS, "map", PLAN_M + 5.0), "away from its plan"),
        (RobotPlan(0, NOW_NS - 9 * S, "map", np.array([[0.0, -1.0], [8.0, -1.0]])), "9 s old"),
        (
            RobotPlan(0, NOW_NS, "elsewhere", PLAN_M),
            "people are predicted without the robot's plan",
        ),
    ],
)
def test_a_plan_that_cannot_be_used_changes_nothing_and_says_why(
    plan: RobotPlan, reason: str
) -> None:
    mean, predictor = predicted(plan)
    np.testing.assert_array_equal(mean, predicted(None)[0])
    [refusal] = predictor.refusals
    assert refusal.kind == "plan" and reason in refusal.text


def test_a_plan_of_an_unknown_robot_changes_nothing() -> None:
    mean, _ = predicted(RobotPlan(0, NOW_NS, "map", PLAN_M), robot="none")
    np.testing.assert_array_equal(mean, predicted(None, robot="none")[0])


def test_a_reset_forgets_the_plan() -> None:
    predictor = predicted(RobotPlan(0, NOW_NS, "map", PLAN_M))[1]
    predictor.reset()
    assert predictor.robot_plan is None
