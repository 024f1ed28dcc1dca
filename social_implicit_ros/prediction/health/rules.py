"""What is wrong with the tracks and the predictions: one list of rules over one snapshot.

A rule is a function of the snapshot that returns its findings. To add one, write it and append it
to `RULES`; a number that it needs is a key of `Predictor.counters`, which the snapshot holds and
`/diagnostics` shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from social_implicit_ros.prediction.health.findings import Finding, Level
from social_implicit_ros.prediction.health.losses import (
    FIXES,
    main_loss,
    main_tick_reason,
    with_example,
)
from social_implicit_ros.prediction.health.snapshot import MAX_LOST, PATIENCE_S, Endpoint, Snapshot
from social_implicit_ros.types import SkipReason

#: Names of the robot's frame by REP 105.
_ROBOT_FRAMES = {"base_link", "base_footprint"}
#: Share of the entries left out for one of these reasons above which the status is WARN, and what
#: it calls them.
_MAX_WRONG = 0.1
_WRONG = {
    SkipReason.DUPLICATE_ID: ("duplicates", "have an id that another entry has"),
    SkipReason.OUTLIER: ("outliers", "are where the person of that id cannot be"),
    SkipReason.UNSET_POSITION: ("unset", "have a position that stands for none"),
    SkipReason.DUPLICATE_POSITION: ("doubles", "are exactly where another entry is"),
}
#: Time for which positions may be repeated, seconds: detectors slower than 4 Hz cost accuracy.
_MAX_HOLD_S = 0.25
#: Ids that a text names.
_MAX_NAMES = 3
#: Median lifetime of an id below which a tracker does not track, seconds.
_MIN_LIFETIME_S = 1.0
#: Mean time for which people keep an id below which ids are no ids, seconds.
_MIN_KEPT_S = 12.0
#: Largest plausible variance of a tracked position: 5 m of standard deviation.
_MAX_VARIANCE_M2 = 25.0
#: Largest ratio of the areas of the ellipses with the tracker's covariance and without.
_MAX_GROWTH = 4.0
#: Ratio of measured to requested tick rate below which the status is WARN.
_MIN_RATE_SHARE = 0.8
#: Time by which stamps may be ahead of the clock, seconds: people walk 0.15 m in it. Of larger ones
#: `TrackerTiming.lead_ns` is taken off.
_MAX_AHEAD_S = 0.1
#: Latency of a tracker above which its clock is more likely to be wrong, seconds.
_MAX_LATENCY_S = 1.0
#: Time for which a node that was killed still stands in the graph, seconds; DDS's default is 20.
_GHOST_S = 25.0
#: Mean speed above which people do not rise and sink on level ground, metres per second.
_MAX_CLIMB_M_S = 0.2
#: Findings in the message of a status; its value `warnings` lists all of them.
_MAX_TEXTS = 3


def findings_of(snapshot: Snapshot) -> list[Finding]:
    """What is wrong, the worst first; of the rules of an active node only if it is."""
    rules = RULES if snapshot.state.lifecycle == "active" else (_lifecycle,)
    found = [finding for rule in rules for finding in rule(snapshot)]
    return sorted(found, key=lambda finding: -finding.level)


def status_of_findings(snapshot: Snapshot, findings: list[Finding]) -> tuple[Level, str]:
    """Level and message of a status."""
    if not findings:
        if snapshot.state.lifecycle != "active":
            return Level.OK, snapshot.waits_for
        return Level.OK, f"predicting {snapshot.n_predicted} of {snapshot.n_tracked} agents"
    texts = [finding.text for finding in findings[:_MAX_TEXTS]]
    if len(findings) > _MAX_TEXTS:
        texts.append(f"and {len(findings) - _MAX_TEXTS} more, see warnings")
    return findings[0].level, "; ".join(texts)


def _lifecycle(now: Snapshot) -> Iterable[Finding]:
    if now.state.problem:
        problem = now.state.problem
        reminder = (
            "still not configured, nobody is predicted; correct the problem, then start again or "
            f"run ros2 lifecycle set NODE configure: {problem}"
        )
        yield Finding("configure", problem, level=Level.ERROR, is_logged=True, reminder=reminder)
    elif not now.surroundings.waits_for_manager:
        yield Finding("lifecycle", now.waits_for, log_after_s=PATIENCE_S)


def _reported(now: Snapshot) -> Iterable[Finding]:
    if now.failure:
        yield Finding("tick", now.failure, level=Level.ERROR, is_logged=True)
    for kind, text in now.refusals.items():
        yield Finding(kind, text, is_logged=True)


def _around(now: Snapshot) -> Iterable[Finding]:
    if now.surroundings.n_namesakes:
        yield Finding(
            "name",
            f"{now.surroundings.n_namesakes} more node has this node's name: predictions of both "
            "mix on the same topics, and services reach either",
            "stop one of them, or start it in another namespace (-r __ns:=/NAME)",
            log_after_s=_GHOST_S,
        )
    if now.surroundings.lacks_clock and now.state.config.predictor.tick_rate_hz > 0:
        yield Finding(
            "clock",
            "no tick: use_sim_time is true and nobody publishes /clock",
            "publish it (ros2 bag play --clock), or set use_sim_time to false",
            log_after_s=PATIENCE_S,
        )
    if now.surroundings.broken:
        yield Finding("connection", "; ".join(now.surroundings.broken))


def _moving_frame(now: Snapshot) -> Iterable[Finding]:
    config = now.state.config.predictor
    if config.fixed_frame.rpartition("/")[2] in _ROBOT_FRAMES | {config.robot_frame}:
        yield Finding(
            "fixed_frame",
            f"fixed_frame {config.fixed_frame} moves with the robot: while it drives, people who "
            "stand are predicted to walk",
            "set fixed_frame to a frame that does not move, such as odom",
        )


def _silent_trackers(now: Snapshot) -> Iterable[Finding]:
    for tracker in now.trackers:
        if not tracker.is_silent(now.state.track_timeout_s):
            continue
        reason = f"no tracks yet on {tracker.topic}"
        if tracker.silent_s is not None:
            reason = f"no tracks on {tracker.topic} for {tracker.silent_s:.1f} s"
        fix = _where_to_find(now.surroundings.endpoints.get(tracker.topic))
        yield Finding(f"silent.{tracker.topic}", reason, fix, log_after_s=PATIENCE_S)


def _where_to_find(endpoint: Endpoint | None) -> str:
    """What the graph says about a topic without messages; empty if nothing."""
    if endpoint is None:
        return ""
    hints = [] if endpoint.n_publishers else [f"nobody publishes {endpoint.message_type} there"]
    if endpoint.elsewhere:
        topics = ", ".join(endpoint.elsewhere)
        hints.append(f"{endpoint.message_type} is published on {topics}, remap the topic")
    return "; ".join(hints)


def _nobody(now: Snapshot) -> Iterable[Finding]:
    for tracker in now.trackers:
        if tracker.unpredicted_s >= PATIENCE_S:
            yield Finding(
                f"nobody.{tracker.topic}",
                f"nobody on {tracker.topic} is predicted for {tracker.unpredicted_s:.0f} s",
                main_loss(tracker) or main_tick_reason(tracker.tick_reasons),
            )


def _lost_entries(now: Snapshot) -> Iterable[Finding]:
    for tracker in now.trackers:
        if tracker.losing_s >= PATIENCE_S > tracker.unpredicted_s:
            yield Finding(f"lost.{tracker.topic}", main_loss(tracker))


def _wrong_entries(now: Snapshot) -> Iterable[Finding]:
    for tracker in now.trackers:
        for reason, (kind, text) in _WRONG.items():
            share = tracker.lost.get(reason, 0) / max(tracker.n_entries, 1)
            if _MAX_WRONG < share <= MAX_LOST:
                yield Finding(
                    f"{kind}.{tracker.topic}",
                    f"{share:.0%} of the entries on {tracker.topic} {text}",
                    with_example(tracker, reason),
                )


def _doubled_people(now: Snapshot) -> Iterable[Finding]:
    for tracker in now.trackers:
        if tracker.doubled_s >= PATIENCE_S:
            yield Finding(
                f"doubled.{tracker.topic}",
                f"most people on {tracker.topic} have somebody else at the same place for "
                f"{tracker.doubled_s:.0f} s",
                "they are reported twice; filter the others in the tracker mapping, or set "
                "merge_distance_m for several trackers; if not, check that positions are in metres",
            )


def _held_positions(now: Snapshot) -> Iterable[Finding]:
    for tracker in now.trackers:
        if tracker.hold_s > _MAX_HOLD_S:
            yield Finding(
                f"repeated.{tracker.topic}",
                f"positions on {tracker.topic} are repeated with new stamps for "
                f"{tracker.hold_s:.2f} s",
                "publish each detection once, stamped with the time of measurement; repetitions "
                "are left out",
                log_after_s=PATIENCE_S,
            )


def _frozen_people(now: Snapshot) -> Iterable[Finding]:
    for tracker in now.trackers:
        if tracker.frozen:
            names = ", ".join(tracker.frozen[:_MAX_NAMES])
            more = len(tracker.frozen) - _MAX_NAMES
            yield Finding(
                f"frozen.{tracker.topic}",
                f"positions of {names}{f' and {more} more' if more > 0 else ''} on {tracker.topic} "
                "do not change at all, and those of others do: they are predicted to stand there",
                "the tracker must not publish people whom it does not see any more",
            )


def _climbing_people(now: Snapshot) -> Iterable[Finding]:
    for tracker in now.trackers:
        if tracker.climb_m_s > _MAX_CLIMB_M_S:
            yield Finding(
                f"heights.{tracker.topic}",
                f"people on {tracker.topic} rise or sink by {tracker.climb_m_s:.1f} m/s on average",
                "z must point upwards in fixed_frame, and header.frame_id must be the frame whose "
                "axes the positions have: of a camera often the optical one",
                log_after_s=PATIENCE_S,
            )


def _few_predicted(now: Snapshot) -> Iterable[Finding]:
    is_named = any(tracker.unpredicted_s >= PATIENCE_S for tracker in now.trackers)
    if now.few_predicted_s >= PATIENCE_S and not is_named:
        yield Finding(
            "few_predicted",
            f"only {now.n_predicted} of {now.n_tracked} agents are predicted",
            main_tick_reason(now.tick_reasons),
        )


def _waiting_people(now: Snapshot) -> Iterable[Finding]:
    for tracker in now.trackers:
        if tracker.n_waiting and now.n_predicted:
            yield Finding(
                f"waiting.{tracker.topic}",
                f"{tracker.n_waiting} of the people on {tracker.topic} are tracked, but not "
                f"predicted for {tracker.waiting_s:.0f} s",
                with_example(tracker, SkipReason.TOO_FEW_OBSERVATIONS),
            )


def _over_capacity(now: Snapshot) -> Iterable[Finding]:
    n_lost = sum(tracker.lost.get(SkipReason.OVER_CAPACITY, 0) for tracker in now.trackers)
    if n_lost:
        max_agents = now.state.config.predictor.pipeline.max_agents
        yield Finding(
            "capacity",
            f"more people than max_agents, {max_agents}; the nearest are kept, "
            f"{n_lost} entries are left out",
            FIXES[SkipReason.OVER_CAPACITY],
        )


def _short_ids(now: Snapshot) -> Iterable[Finding]:
    for tracker in now.trackers:
        if tracker.id_lifetime_s is not None and tracker.id_lifetime_s < _MIN_LIFETIME_S:
            yield Finding(
                f"ids.{tracker.topic}",
                f"the median lifetime of an id on {tracker.topic} is {tracker.id_lifetime_s:.1f} s",
                "the tracker must keep the id of a person from message to message; see id in the "
                "tracker mapping",
            )


def _given_away(now: Snapshot) -> Iterable[Finding]:
    for tracker in now.trackers:
        if tracker.given_away_s is not None and tracker.given_away_s < _MIN_KEPT_S:
            yield Finding(
                f"given_away.{tracker.topic}",
                f"ids on {tracker.topic} go to somebody elsewhere after {tracker.given_away_s:.1f} "
                "s on average",
                "the tracker must keep the id of a person; a place in a list is none; see id in "
                "the tracker mapping",
            )


def _slow_tracker(now: Snapshot) -> Iterable[Finding]:
    for tracker in now.trackers:
        limit_s = now.state.track_timeout_s
        if tracker.needed_timeout_s > 1.01 * limit_s >= tracker.latency_s:
            yield Finding(
                f"slow.{tracker.topic}",
                f"tracks on {tracker.topic} need a timeout of {tracker.needed_timeout_s:.1f} s by "
                f"their period and latency, but are dropped after {limit_s:g} s",
                "raise max_track_timeout_s, or the rate of the tracker",
            )


def _large_covariances(now: Snapshot) -> Iterable[Finding]:
    ellipses = now.ellipses
    fix = "correct the tracker's covariance; 0 means unknown"
    if ellipses.growth > _MAX_GROWTH:
        yield Finding(
            "covariance",
            f"the tracker's variance of {ellipses.variance_m2:.3g} m^2 makes the ellipses "
            f"{ellipses.growth:.0f} times as large as the model says",
            f"{fix}, or set add_tracker_covariance to false",
        )
    elif ellipses.variance_m2 > _MAX_VARIANCE_M2:
        text = f"the tracker's positions have a variance of {ellipses.variance_m2:.3g} m^2"
        yield Finding("covariance", text, fix)


def _lost_robot(now: Snapshot) -> Iterable[Finding]:
    if not now.robot_lost:
        return
    source = now.state.config.predictor.robot
    fix = "check the transform from robot_frame to fixed_frame"
    if source == "odometry":
        odometry = [
            endpoint
            for endpoint in now.surroundings.endpoints.values()
            if endpoint.message_type == "nav_msgs/msg/Odometry" and not endpoint.n_publishers
        ]
        hint = f" ({_where_to_find(odometry[0])})" if odometry else ""
        fix = f"check that ~/odometry{hint} publishes without jumps, in a frame of /tf"
    yield Finding(
        "robot_lost",
        f"the robot is lost: its position from {source} is unknown, and the costmap stays where "
        f"it was; {fix}",
        log_after_s=PATIENCE_S,
    )


def _slow_ticks(now: Snapshot) -> Iterable[Finding]:
    # A report has too few ticks of a slower rate.
    wanted_hz = now.state.config.predictor.tick_rate_hz
    explained = now.failure or now.surroundings.lacks_clock or "publish_frame" in now.refusals
    if now.rate_hz is None or wanted_hz < 2.0 or explained:
        return
    if now.rate_hz == 0.0:
        text = "no tick: the clock does not advance; with use_sim_time, /clock must be published"
        yield Finding("rate", text)
    elif now.rate_hz < _MIN_RATE_SHARE * wanted_hz:
        yield Finding(
            "rate",
            f"{now.rate_hz:.1f} ticks per second instead of {wanted_hz:g}",
            "reduce n_samples, outputs or tick_rate_hz; or publish /clock more often",
            log_after_s=PATIENCE_S,  # a clock that is set forth looks so for a moment
        )


def _old_tracks(now: Snapshot) -> Iterable[Finding]:
    limit_s = now.state.track_timeout_s
    for tracker in now.trackers:
        if tracker.latency_s > min(_MAX_LATENCY_S, limit_s) and not tracker.is_silent(limit_s):
            is_lost = tracker.latency_s > limit_s
            yield Finding(
                f"old.{tracker.topic}",
                f"tracks on {tracker.topic} arrive {tracker.latency_s:.1f} s old and are "
                + ("dropped at once" if is_lost else "extrapolated over that time"),
                "set use_sim_time in a replay, synchronise the tracker's clock, or raise "
                "max_track_timeout_s",
            )


def _early_tracks(now: Snapshot) -> Iterable[Finding]:
    for tracker in now.trackers:
        if tracker.latency_s < -_MAX_AHEAD_S:
            yield Finding(
                f"ahead.{tracker.topic}",
                f"tracks on {tracker.topic} are stamped {-tracker.latency_s:.2f} s ahead of this "
                "node's clock, and taken for measured on arrival",
                "synchronise the clocks, or let the tracker stamp the time of measurement",
            )


def _shifted_stamps(now: Snapshot) -> Iterable[Finding]:
    if shift_ms := now.counters.get("stamp_shift_ms", 0):
        yield Finding(
            "stamp_shift",
            f"tracks are stamped {abs(shift_ms)} ms too {'late' if shift_ms > 0 else 'early'} for "
            "the transforms: people seem to move when the robot turns; this is taken off",
            "let the tracker stamp the time of measurement, and synchronise the clocks",
        )


def _no_map(now: Snapshot) -> Iterable[Finding]:
    if now.state.config.use_map and now.counters.get("map_cells") == 0:
        kind, endpoints = "nav_msgs/msg/OccupancyGrid", now.surroundings.endpoints.values()
        maps = [endpoint for endpoint in endpoints if endpoint.message_type == kind]
        yield Finding(
            "map",
            f"no usable map yet on {maps[0].topic if maps else '~/map'}: people are predicted "
            "through walls",
            _where_to_find(maps[0]) if maps else "",
            log_after_s=PATIENCE_S,
        )


#: In the order in which a status names them.
RULES: tuple[Callable[[Snapshot], Iterable[Finding]], ...] = (
    _reported,
    _around,
    _moving_frame,
    _silent_trackers,
    _nobody,
    _lost_entries,
    _few_predicted,
    _waiting_people,
    _wrong_entries,
    _doubled_people,
    _held_positions,
    _frozen_people,
    _climbing_people,
    _short_ids,
    _given_away,
    _over_capacity,
    _lost_robot,
    _no_map,
    _slow_tracker,
    _large_covariances,
    _slow_ticks,
    _old_tracks,
    _early_tracks,
    _shifted_stamps,
)
