"""Rules on the node and its surroundings, each a function from a snapshot to findings."""

from __future__ import annotations

from collections.abc import Iterable

from social_implicit_ros.prediction.health.findings import Finding, Level
from social_implicit_ros.prediction.health.skip_reasons import FIXES, main_tick_reason
from social_implicit_ros.prediction.health.snapshot import PATIENCE_S, Endpoint, Snapshot
from social_implicit_ros.prediction.walls import OCCUPANCY_GRID
from social_implicit_ros.tracks.messages.decoder import ODOMETRY
from social_implicit_ros.types import SkipReason

#: Names of the robot's frame by REP 105.
_ROBOT_FRAMES = {"base_link", "base_footprint"}
#: Largest plausible variance of a tracked position: 5 m of standard deviation.
_MAX_VARIANCE_M2 = 25.0
#: Largest ratio of the areas of the ellipses with the tracker's covariance and without.
_MAX_GROWTH = 4.0
#: Ratio of measured to requested tick rate below which the status is WARN.
_MIN_RATE_SHARE = 0.8
#: Jumps of the clock back within a report from which on it jumps to and fro. A replay that starts
#: again and a reset of a simulator are one jump.
_MIN_JUMPS_BACK = 2
#: Number of ticks by which a report may have fewer than are due by chance: one at its edges, which
#: may be in the next report, and jitter.
_EDGE_TICKS = 1.2
#: Time for which a killed node may stay in the graph, seconds; the default lease of DDS is 20 s.
_GHOST_S = 25.0


def lifecycle(now: Snapshot) -> Iterable[Finding]:
    """The node is not configured or not active."""
    if now.state.problem:
        problem = now.state.problem
        reminder = (
            "still not configured, nobody is predicted; correct the problem, then start again or "
            f"run ros2 lifecycle set NODE configure: {problem}"
        )
        yield Finding("configure", problem, level=Level.ERROR, is_logged=True, reminder=reminder)
    elif not now.surroundings.waits_for_manager:
        yield Finding("lifecycle", now.waits_for, log_after_s=PATIENCE_S)


def reported(now: Snapshot) -> Iterable[Finding]:
    """A tick failed, or messages were refused."""
    if now.events.failure:
        yield Finding("tick", now.events.failure, level=Level.ERROR, is_logged=True)
    for kind, text in now.events.refusals.items():
        yield Finding(kind, text, is_logged=True)


def around(now: Snapshot) -> Iterable[Finding]:
    """Another node has the same name, `/clock` is missing, or endpoints do not match."""
    if now.surroundings.n_namesakes:
        n_others = now.surroundings.n_namesakes
        yield Finding(
            "name",
            f"{n_others} other {'node has' if n_others == 1 else 'nodes have'} this node's name: "
            "their predictions mix on the same topics, and a service call may reach any of them",
            "stop all but one, or start each in a namespace of its own (-r __ns:=/NAME)",
            log_after_s=_GHOST_S,
        )
    if now.surroundings.lacks_clock and now.state.config.predictor.tick_rate_hz > 0:
        yield Finding(
            "clock",
            "no tick: use_sim_time is true and nobody publishes /clock",
            "publish it (ros2 bag play --clock), or set use_sim_time to false",
            log_after_s=PATIENCE_S,
        )
    if now.events.n_jumps_back >= _MIN_JUMPS_BACK:
        yield Finding(
            "clock",
            f"the clock jumped back {now.events.n_jumps_back} times within a second; /clock is "
            f"published by {', '.join(now.surroundings.clocks) or 'nobody'}",
            "one node alone may publish it, such as one simulator or one ros2 bag play --clock",
            log_after_s=PATIENCE_S,
        )
    if now.surroundings.broken:
        yield Finding("connection", "; ".join(now.surroundings.broken))


def moving_frame(now: Snapshot) -> Iterable[Finding]:
    """`fixed_frame` moves with the robot."""
    config = now.state.config.predictor
    if config.fixed_frame.rpartition("/")[2] in _ROBOT_FRAMES | {config.robot_frame}:
        yield Finding(
            "fixed_frame",
            f"fixed_frame {config.fixed_frame} moves with the robot: while it drives, people who "
            "stand are predicted to walk",
            "set fixed_frame to a frame that does not move, such as odom",
        )


def contested_transforms(now: Snapshot) -> Iterable[Finding]:
    """Two nodes publish the same transform."""
    if now.contested:
        yield Finding(
            "contested",
            f"{'; '.join(sorted(now.contested))}: people are predicted between both positions",
            "two nodes publish this transform, such as two localisations, or a filter and the "
            "driver of the wheels; stop one of them",
            log_after_s=PATIENCE_S,
        )


def few_predicted(now: Snapshot) -> Iterable[Finding]:
    """Fewer people are predicted than are tracked."""
    is_named = any(tracker.unpredicted_s >= now.patience_s for tracker in now.trackers)
    if now.few_predicted_s >= now.patience_s and not is_named:
        yield Finding(
            "few_predicted",
            f"only {now.n_predicted} of {now.n_tracked} agents are predicted",
            main_tick_reason(now.events.tick_reasons),
        )


def over_capacity(now: Snapshot) -> Iterable[Finding]:
    """There are more people than `max_agents`."""
    n_skipped = sum(tracker.skipped.get(SkipReason.OVER_CAPACITY, 0) for tracker in now.trackers)
    if n_skipped:
        max_agents = now.state.config.predictor.pipeline.max_agents
        yield Finding(
            "capacity",
            f"more people than max_agents, {max_agents}; the nearest are kept, "
            f"{n_skipped} entries are left out",
            FIXES[SkipReason.OVER_CAPACITY],
        )


def large_covariances(now: Snapshot) -> Iterable[Finding]:
    """The covariances of the trackers are implausibly large."""
    fix = "correct the tracker's covariance; 0 means unknown"
    if now.growth > _MAX_GROWTH:
        yield Finding(
            "covariance",
            f"the tracker's variance of {now.variance_m2:.3g} m^2 makes the ellipses "
            f"{now.growth:.0f} times as large as the model says",
            f"{fix}, or set add_tracker_covariance to false",
        )
    elif now.variance_m2 > _MAX_VARIANCE_M2:
        text = f"the tracker's positions have a variance of {now.variance_m2:.3g} m^2"
        yield Finding("covariance", text, fix)


def lost_robot(now: Snapshot) -> Iterable[Finding]:
    """The robot's position is unknown."""
    if not now.events.robot_lost:
        return
    config = now.state.config
    source = config.predictor.robot
    fix = "check the transform from robot_frame to fixed_frame"
    if source == "odometry":
        fix = "check that ~/odometry publishes without jumps, in a frame of /tf"
        endpoint = now.surroundings.endpoint_of(ODOMETRY, "~/odometry")
        if endpoint.hint:
            fix = f"{endpoint.topic}: {endpoint.hint}"
    costmap = ", and the costmap keeps its last position" if "costmap" in config.outputs else ""
    yield Finding(
        "robot_lost",
        f"the robot is lost: its position from {source} is unknown{costmap}",
        fix,
        log_after_s=PATIENCE_S,
    )


def slow_ticks(now: Snapshot) -> Iterable[Finding]:
    """There are fewer ticks than requested."""
    wanted_hz = now.state.config.predictor.tick_rate_hz
    explained = (
        now.events.failure or now.surroundings.lacks_clock or "publish_frame" in now.events.refusals
    )
    if now.rate_hz is None or wanted_hz == 0.0 or explained:
        return
    if now.elapsed_s == 0.0:
        text = "no tick: the clock does not advance; with use_sim_time, /clock must be published"
        yield Finding("rate", text, log_after_s=PATIENCE_S)
    elif now.rate_hz < min(_MIN_RATE_SHARE * wanted_hz, wanted_hz - _EDGE_TICKS / now.elapsed_s):
        yield Finding(
            "rate",
            f"{now.rate_hz:.1f} ticks per second instead of {wanted_hz:g}",
            "reduce n_samples, outputs, tick_rate_hz or the machine's load, or publish /clock more "
            "often",
            log_after_s=PATIENCE_S,  # a clock that jumps forward causes one such report
        )


def map_endpoint(now: Snapshot) -> Endpoint:
    """The subscription to the map."""
    return now.surroundings.endpoint_of(OCCUPANCY_GRID, "~/map")


def no_map(now: Snapshot) -> Iterable[Finding]:
    """`use_map` is true and there is no map."""
    if now.state.config.use_map and now.counters.get("map_cells") == 0:
        endpoint = map_endpoint(now)
        text = f"no usable map yet on {endpoint.topic}: people are predicted through walls"
        yield Finding("map", text, endpoint.hint, log_after_s=PATIENCE_S)
