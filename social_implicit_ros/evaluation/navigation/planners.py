"""Planners: chance constraints on ellipses, expected cost, and costs without time.

All choose among `Rollouts`. The constraint or cost of a person at a step is a quadratic form of the
robot's position, so that one matrix product evaluates all candidates of all robots. Shapes: E
robots, M people near each, P modes of a person, T steps, K candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from social_implicit_ros.evaluation.navigation.crowd import Belief
from social_implicit_ros.evaluation.navigation.robot import DT_S, N_STEPS, Robot, Rollouts, braking
from social_implicit_ros.types import FloatArray, IntArray
from social_implicit_ros.uncertainty.ellipses import ellipse_axes

#: Number of nearest people that a planner considers, as max_obstacles of mpc_planner.
MAX_PEOPLE = 10
#: The expected cost decreases with distance like a Gaussian, whose standard deviation is half the
#: contact distance plus this, metres.
_COMFORT_M = 0.2
#: Number of robots whose candidates are evaluated in one batch; bounds memory.
_ROBOTS_AT_ONCE = 32
#: Number of steps that a planner with a costmap looks ahead: 2.4 s.
_COSTMAP_STEPS = 12
#: Cost of a violated constraint, in metres of distance to the goal. Without a feasible motion the
#: smallest violation is chosen.
_VIOLATION_M = 1e3
#: Time constant with which the cost of violations decays, seconds: later ones may still be avoided.
_URGENT_S = 1.0
CHANCE, EXPECTED, COSTMAP = "chance", "expected", "costmap"


@dataclass(frozen=True)
class Setting:
    """A planner and its parameters.

    Attributes:
        planner: `chance`, `expected` or `costmap`.
        horizon_s: horizon in seconds. `chance` keeps out of regions up to it, and away from the
            mean later; `expected` ignores later steps; `costmap` ends its window there.
        confidence: confidence level of the regions for `chance`, and of the covariance for the
            others. `chance` ignores modes less probable than 1 - confidence, but never the most
            probable one. None for predictions without uncertainty.
        margin_m: margin that is added to the radii, metres.
        weight_m: cost of certain contact for a second, in metres of distance to the goal.
        brakes: whether a robot without a feasible motion brakes; otherwise it takes the motion
            with the smallest violation of the constraints.
    """

    planner: str
    horizon_s: float
    confidence: float | None = None
    margin_m: float = 0.0
    weight_m: float = 0.0
    brakes: bool = False

    def __str__(self) -> str:
        """Text for tables: only the parameters that the planner uses."""
        if self.planner != CHANCE:
            return f"{self.planner}, weight {self.weight_m:g}, {self.horizon_s:g} s"
        if self.confidence is None:
            return f"{self.planner}, margin {self.margin_m:g} m"
        return f"{self.planner}, {self.confidence:.0%}, {self.horizon_s:g} s, {self.margin_m:g} m"


@dataclass(frozen=True, eq=False)
class Obstacles:
    """Quadratic forms of all predicted positions, for a planner.

    Attributes:
        setting: the planner and its parameters.
        mean_m: (N, P, T, 2) centres, metres.
        form: (N, P, T, 3) xx, xy, yy of the symmetric form, per square metre.
        weight: (N, P, T) cost at the centre; for `chance` 1, or 0 where ignored.

    The steps of `costmap` begin with the present.
    """

    setting: Setting
    mean_m: FloatArray
    form: FloatArray
    weight: FloatArray


def obstacles_of(belief: Belief, setting: Setting, contact_m: float) -> Obstacles:
    """Converts predictions into the obstacles of a planner.

    Args:
        belief: N predictions.
        setting: the planner and its parameters.
        contact_m: sum of the radii of robot and person, metres.
    """
    n_steps = round(setting.horizon_s / DT_S)
    if setting.planner == CHANCE:
        radii = belief.radius_at(setting.confidence)
        radii = np.where(np.arange(N_STEPS) < n_steps, radii, 0.0)
        form = region_form(belief.covariance_m2, radii, contact_m + setting.margin_m)
        least = np.minimum(1.0 - (setting.confidence or 0.0), belief.weights.max(axis=1))
        weight = np.broadcast_to(
            (belief.weights >= least[:, None])[..., None], belief.mean_m.shape[:3]
        )
        form = _of_modes(form, weight)
        return Obstacles(setting, belief.mean_m, form, weight.astype(np.float64))
    mean_m = belief.mean_m[:, :, :n_steps]
    scale = belief.scale_at(setting.confidence)[:, :n_steps, None, None]
    covariance_m2 = belief.covariance_m2[:, :n_steps] * scale
    if setting.planner == COSTMAP:
        present_m = np.broadcast_to(belief.present_m[:, None, None], (*mean_m.shape[:2], 1, 2))
        mean_m = np.concatenate([present_m, mean_m], axis=2)
        covariance_m2 = np.concatenate([np.zeros((len(mean_m), 1, 2, 2)), covariance_m2], axis=1)
    form, peak = contact_form(covariance_m2, 0.5 * contact_m + _COMFORT_M)
    weight = setting.weight_m * belief.weights[:, :, None] * peak[:, None]
    return Obstacles(setting, mean_m, _of_modes(form, weight), weight)


def _of_modes(form: FloatArray, weight: FloatArray) -> FloatArray:
    """Repeats (N, T, 3) forms of people for their modes; `weight` is (N, P, T)."""
    return np.broadcast_to(form[:, None], (*weight.shape, 3))


def region_form(covariance_m2: FloatArray, radii: FloatArray, contact_m: float) -> FloatArray:
    """The quadratic form whose value is 1 on a region's ellipse that is enlarged by `contact_m`.

    This is the ellipsoid constraint of tud-amr/mpc_planner: its semi-axes are those of the region
    at the planner's confidence plus the radii of robot and person.

    Args:
        covariance_m2: (..., 2, 2) covariances, square metres.
        radii: (...,) Mahalanobis radii of the regions.
        contact_m: sum of the radii of robot and person and a margin, metres.

    Returns:
        (..., 3) xx, xy, yy of the form, per square metre.
    """
    major_m, minor_m, yaw = ellipse_axes(covariance_m2)
    along = 1.0 / (radii * major_m + contact_m) ** 2
    across = 1.0 / (radii * minor_m + contact_m) ** 2
    cos, sin = np.cos(yaw), np.sin(yaw)
    xx, yy = along * cos**2 + across * sin**2, along * sin**2 + across * cos**2
    return np.stack([xx, (along - across) * cos * sin, yy], axis=-1)


def contact_form(covariance_m2: FloatArray, scale_m: float) -> tuple[FloatArray, FloatArray]:
    """The expectation of exp(-d^2 / 2 s^2) over a Gaussian, which is peak * exp(-form / 2).

    Args:
        covariance_m2: (..., 2, 2) covariances, square metres.
        scale_m: s, metres.

    Returns:
        (..., 3) xx, xy, yy of the form, per square metre, and (...,) peak.
    """
    xx, xy = covariance_m2[..., 0, 0] + scale_m**2, covariance_m2[..., 0, 1]
    yy = covariance_m2[..., 1, 1] + scale_m**2
    determinant = xx * yy - xy * xy
    form = np.stack([yy, -xy, xx], axis=-1) / determinant[..., None]
    return form, scale_m**2 / np.sqrt(determinant)


def plan(
    robot: Robot, state: FloatArray, goal_m: FloatArray, obstacles: Obstacles, rows: IntArray
) -> FloatArray:
    """Plans the motions of robots.

    Args:
        robot: size and limits of all robots.
        state: (4, E) present states, as in `Robot.moved`.
        goal_m: (E, 2) goals, metres.
        obstacles: obstacles of all predictions.
        rows: (E, M) rows of the obstacles near each robot; negative for none.

    Returns:
        (T, 4, E) planned states.
    """
    rollouts = Rollouts.of(robot, state, goal_m)
    cost = rollouts.cost_m.copy()
    for first in range(0, len(cost) if (rows >= 0).any() else 0, _ROBOTS_AT_ONCE):
        part = slice(first, first + _ROBOTS_AT_ONCE)
        origin_m = state[:2, part].T
        cost[part] += _cost_of_people(obstacles, rollouts, origin_m, rows[part], part)
    best = cost.argmin(axis=1)
    chosen = rollouts.states[:, :, np.arange(len(best)), best].astype(np.float64)
    chosen[:, :2] += state[:2]
    stops = obstacles.setting.brakes & (cost.min(axis=1) >= _VIOLATION_M)
    if stops.any():
        chosen[:, :, stops] = braking(robot, state[:, stops])
    return chosen


def _cost_of_people(
    obstacles: Obstacles, rollouts: Rollouts, origin_m: FloatArray, rows: IntArray, part: slice
) -> FloatArray:
    """(E, K) expected cost of each candidate, or cost of its violated constraints, metres."""
    planner = obstacles.setting.planner
    is_costmap = planner == COSTMAP
    n_steps = _COSTMAP_STEPS if is_costmap else obstacles.mean_m.shape[2]
    # (T, E, K), (E, T, M P, ...): relative to each robot, so that single precision is enough.
    x, y = (rollouts.states[:n_steps, axis, part] for axis in (0, 1))
    mean_m = obstacles.mean_m[rows] - origin_m[:, None, None, None]
    mean_m, form = (_by_step(values) for values in (mean_m, obstacles.form[rows]))
    weight = _by_step(obstacles.weight[rows] * (rows >= 0)[:, :, None, None]).astype(np.float32)
    features = np.empty((*x.swapaxes(0, 1).shape, 6), dtype=np.float32)
    for column, values in enumerate((x * x, x * y, y * y, x, y, 1.0)):
        features[..., column].swapaxes(0, 1)[...] = values
    coefficients = _coefficients(mean_m, form).astype(np.float32)
    is_driving = rollouts.is_driving[:n_steps, part].swapaxes(0, 1)
    if is_costmap:
        # Without time, each mode of a person counts with its maximum over all steps.
        occupied = np.zeros((*is_driving.shape, weight.shape[2]), dtype=np.float32)
        for step in range(weight.shape[1]):
            values = np.exp(-0.5 * (features @ coefficients[:, step, None]))
            occupied = np.maximum(occupied, values * weight[:, step, None, None])
        expected = occupied.sum(axis=3)
    else:
        values = features @ coefficients
        if planner == CHANCE:
            values += np.where(weight > 0.0, 0.0, 4.0).astype(np.float32)[:, :, None]
            depth = 1.0 - np.sqrt(np.clip(values.min(axis=3, initial=4.0), 0.0, 1.0))
            depth *= is_driving * np.exp(-DT_S / _URGENT_S * np.arange(n_steps))[:, None]
            is_violated = (depth > 0.0).any(axis=1)
            return np.asarray(_VIOLATION_M * (is_violated + depth.sum(axis=1)))
        expected = (np.exp(-0.5 * values) @ weight[..., None])[..., 0]
    return np.asarray((expected * is_driving).sum(axis=1) * DT_S)


def _by_step(values: FloatArray) -> FloatArray:
    """(E, M, P, T, ...) -> (E, T, M P, ...)."""
    moved = np.moveaxis(values, 3, 1)
    return moved.reshape(*moved.shape[:2], -1, *moved.shape[4:])


def _coefficients(mean_m: FloatArray, form: FloatArray) -> FloatArray:
    """(E, T, 6, M) coefficients of xx, xy, yy, x, y, 1 in (p - mean)^T form (p - mean)."""
    (x, y), (xx, xy, yy) = np.moveaxis(mean_m, -1, 0), np.moveaxis(form, -1, 0)
    along, across = xx * x + xy * y, xy * x + yy * y
    constant = along * x + across * y
    return np.stack([xx, 2.0 * xy, yy, -2.0 * along, -2.0 * across, constant], axis=2)
