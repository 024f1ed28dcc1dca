"""The rules that find problems of tracks and predictions.

A rule is a function from a snapshot to findings: those of `node_rules`, and an `_OfTracker` for
each problem that a tracker may have, with its limit, reason and fix. To add a rule, append it to
`RULES`. A value that it needs is a field of `TrackerCounts`, or a key of `Predictor.counters`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from social_implicit_ros.prediction.health import node_rules
from social_implicit_ros.prediction.health.findings import Finding, Level
from social_implicit_ros.prediction.health.skip_reasons import (
    main_skip_reason,
    main_tick_reason,
    with_example,
)
from social_implicit_ros.prediction.health.snapshot import (
    MAX_SKIPPED,
    PATIENCE_S,
    NodeState,
    Snapshot,
    TrackerCounts,
    quoted,
)
from social_implicit_ros.types import SkipReason

_Text = str | Callable[[TrackerCounts, Snapshot], str]

#: Maximum number of ids in a text.
_MAX_NAMES = 3
#: Longest cell of a grid without a warning, metres: less than half the width of a person.
_MAX_CELL_M = 0.15
#: Rules that apply to recordings, too.
_OF_POSITIONS = {
    *("speed", "doubled", "listed_twice", "repeated", "grid", "frozen", "heights", "velocities"),
    *("given_away", "stamp_steps", "line", "to_and_fro"),
}
#: Maximum number of findings in the message of a status; its value `warnings` lists all kinds.
_MAX_TEXTS = 3


def findings_of(snapshot: Snapshot) -> list[Finding]:
    """Findings of all rules, the most severe first. Most rules apply to active nodes only."""
    rules = RULES if snapshot.state.lifecycle == "active" else (node_rules.lifecycle,)
    found = [finding for rule in rules for finding in rule(snapshot)]
    return sorted(found, key=lambda finding: -finding.level)


def findings_of_positions(tracker: TrackerCounts) -> list[Finding]:
    """Findings on the positions of a tracker, which recordings may have as well."""
    now = Snapshot(NodeState("active"), trackers=(tracker,))
    return [
        finding
        for rule in RULES
        if isinstance(rule, _OfTracker) and rule.kind in _OF_POSITIONS
        for finding in rule(now)
    ]


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


@dataclass(frozen=True)
class _OfTracker:
    """A rule that is applied to each tracker.

    Attributes:
        kind: kind of the findings; the topic is appended.
        holds: whether a tracker has the problem.
        reason: a text in which `{t.NAME}` is a value of the tracker and `{now.NAME}` one of the
            snapshot, or a function of both.
        fix: likewise.
        log_after_s: as in `Finding`.
    """

    kind: str
    holds: Callable[[TrackerCounts, Snapshot], bool]
    reason: _Text
    fix: _Text = ""
    log_after_s: float = 0.0

    def __call__(self, now: Snapshot) -> Iterable[Finding]:
        """A finding for each tracker that has the problem."""
        for t in now.trackers:
            if self.holds(t, now):
                reason, fix = _filled(self.reason, t, now), _filled(self.fix, t, now)
                yield Finding(f"{self.kind}.{t.topic}", reason, fix, log_after_s=self.log_after_s)


def _filled(text: _Text, t: TrackerCounts, now: Snapshot) -> str:
    return text.format(t=t, now=now) if isinstance(text, str) else text(t, now)


def _wrong_entries(kind: str, reason: SkipReason, text: str) -> _OfTracker:
    """A rule for entries skipped for `reason`: few are normal; if most are, rule `lost` warns."""
    return _OfTracker(
        kind,
        lambda t, now: 0.1 < t.share_skipped(reason) <= MAX_SKIPPED,
        lambda t, now: f"{t.share_skipped(reason):.0%} of the entries on {t.topic} {text}",
        lambda t, now: with_example(t, reason),
    )


def _frozen_people(t: TrackerCounts, now: Snapshot) -> str:
    names = ", ".join(map(quoted, t.frozen[:_MAX_NAMES]))
    n_more = len(t.frozen) - _MAX_NAMES
    if n_more > 0:
        names += f" and {n_more} more"
    return (
        f"positions of {names} on {t.topic} do not change at all, although positions of this "
        "tracker have noise: these people are predicted to stand still"
    )


def _silent_tracker(t: TrackerCounts, now: Snapshot) -> str:
    if t.silent_s == math.inf:
        return f"no tracks yet on {t.topic}"
    return f"no tracks on {t.topic} for {t.silent_s:.1f} s"


def _old_tracks(t: TrackerCounts, now: Snapshot) -> str:
    is_lost = t.latency_s > now.state.track_timeout_s
    fate = "dropped at once" if is_lost else "extrapolated over that time"
    return f"tracks on {t.topic} arrive {t.latency_s:.1f} s old and are {fate}"


def _is_too_fast(t: TrackerCounts) -> bool:
    """Whether most people are faster than people: positions or stamps have other units.

    Few people run or ride. If most do, tracks break, which has no other cause.
    """
    return t.speed_m_s > 3.0


def _why_nobody(t: TrackerCounts, now: Snapshot) -> str:
    why = main_skip_reason(t) or main_tick_reason(t.tick_reasons)
    return "they are implausibly fast" if _is_too_fast(t) else why


#: In the order of the texts in a status.
RULES: tuple[Callable[[Snapshot], Iterable[Finding]], ...] = (
    node_rules.reported,
    node_rules.around,
    node_rules.moving_frame,
    node_rules.contested_transforms,
    _OfTracker(
        "silent",
        lambda t, now: t.silent_s > now.state.track_timeout_s,
        _silent_tracker,
        lambda t, now: now.surroundings.hint_on(t.topic),
        log_after_s=PATIENCE_S,
    ),
    _OfTracker(
        "speed",
        lambda t, now: _is_too_fast(t),
        "people on {t.topic} move at {t.speed_m_s:.3g} m/s",
        lambda t, now: (
            f"unless they run or ride, {t.spec.position_text} must be in metres, and stamps in "
            "seconds and nanoseconds of one clock; see position in the tracker mapping, and filter "
            "vehicles there"
        ),
    ),
    _OfTracker(
        "nobody",
        lambda t, now: t.unpredicted_s >= now.patience_s,
        "nobody on {t.topic} has been predicted for {t.unpredicted_s:.0f} s",
        _why_nobody,
    ),
    _OfTracker(
        "lost",
        lambda t, now: t.skipping_s >= now.patience_s > t.unpredicted_s,
        lambda t, now: main_skip_reason(t),
    ),
    node_rules.few_predicted,
    _OfTracker(
        "waiting",
        lambda t, now: t.n_waiting > 0 and now.n_predicted > 0 and not _is_too_fast(t),
        "{t.n_waiting} of the people on {t.topic} are tracked, but have not been predicted for "
        "{t.waiting_s:.0f} s",
        lambda t, now: with_example(t, SkipReason.TOO_FEW_OBSERVATIONS),
    ),
    _wrong_entries("duplicates", SkipReason.DUPLICATE_ID, "have the id of another entry"),
    _wrong_entries("stamps", SkipReason.OTHER_STAMP, "have another stamp than their message"),
    _wrong_entries(
        "same_stamp", SkipReason.DUPLICATE_STAMP, "have the stamp of the message before"
    ),
    _wrong_entries("outliers", SkipReason.OUTLIER, "are implausibly far from their track"),
    _wrong_entries("unset", SkipReason.UNSET_POSITION, "have a placeholder as position"),
    _wrong_entries("doubles", SkipReason.DUPLICATE_POSITION, "have the position of another entry"),
    _wrong_entries("extrapolated", SkipReason.EXTRAPOLATED, "are extrapolated, not measured"),
    _OfTracker(
        "doubled",
        lambda t, now: t.overlapping_s >= PATIENCE_S,
        "most people on {t.topic} have had another person at the same position for "
        "{t.overlapping_s:.0f} s",
        "if they are reported twice, filter one of the two in the tracker mapping, or set "
        "merge_distance_m for several trackers; otherwise check that positions are in metres",
    ),
    _OfTracker(
        "listed_twice",
        lambda t, now: t.n_doubles > 0,
        "{t.n_doubles} of the people on {t.topic} are listed twice, under two ids and within the "
        "noise of their positions: each is predicted once",
        "let the tracker merge its detections, or filter a second class or camera in the tracker "
        "mapping; if these are most people, check that {t.spec.position_text} is in metres; "
        "merge_doubles: false keeps all tracks",
        log_after_s=PATIENCE_S,
    ),
    _OfTracker(
        "repeated",
        lambda t, now: t.hold_s > 0.25,  # detectors below 4 Hz cost accuracy
        "positions on {t.topic} are repeated with new stamps for {t.hold_s:.2f} s",
        "publish each detection once, stamped with the time of measurement; repetitions are not "
        "used",
        log_after_s=PATIENCE_S,
    ),
    _OfTracker(
        "grid",
        lambda t, now: t.cell_m > _MAX_CELL_M,
        "positions on {t.topic} are rounded to {t.cell_m:.2g} m: nobody seems to move within a "
        "cell, and velocities are inaccurate",
        "let the tracker publish positions that are not rounded, such as the centre of each person "
        "in place of that of a grid cell",
        log_after_s=PATIENCE_S,
    ),
    _OfTracker(
        "to_and_fro",
        lambda t, now: t.to_and_fro_m > 0.0 and t.cell_m <= _MAX_CELL_M,
        "people on {t.topic} jump to and fro by {t.to_and_fro_m:.2f} m, and are predicted between "
        "both positions",
        "two nodes publish the same people under the same ids, such as raw and filtered ones or in "
        "two frames; let one publish there, or give each its own topic (parameter tracker)",
        log_after_s=PATIENCE_S,
    ),
    _OfTracker(
        "line",
        lambda t, now: bool(t.only_axis),
        "people on {t.topic} differ in {t.only_axis} only, so that all are on one line",
        "the tracker does not fill in the other coordinates of {t.spec.position_text}; see "
        "position in the tracker mapping",
        log_after_s=PATIENCE_S,
    ),
    _OfTracker(
        "in_walls",
        lambda t, now: t.in_walls_s >= 5.0,  # people lean at one, or pass a door
        "most people on {t.topic} have been inside walls of the map for {t.in_walls_s:.0f} s, and "
        "are predicted as without a map",
        lambda t, now: (
            f"the map on {node_rules.map_endpoint(now).topic} and the tracks do not fit: check the "
            "frame of both, and resolution, origin, negate and thresholds of the map"
        ),
    ),
    _OfTracker(
        "frozen",
        lambda t, now: bool(t.frozen),
        _frozen_people,
        "the tracker must not publish people whom it no longer sees; if these are all people, it "
        "has stopped measuring",
    ),
    _OfTracker(
        "heights",
        lambda t, now: t.climb_m_s > 0.2,  # mean of all people, most of whom are on level ground
        "people on {t.topic} rise or sink by {t.climb_m_s:.1f} m/s on average",
        "z must point upwards in fixed_frame, and header.frame_id must name the frame of the "
        "positions; for a camera this is often the optical frame",
        log_after_s=PATIENCE_S,
    ),
    _OfTracker(
        "velocities",
        # Of positions on a grid the velocities are wrong, not those of the tracker.
        lambda t, now: t.has_wrong_velocities and t.cell_m <= _MAX_CELL_M,
        "velocities on {t.topic} do not fit the positions and are not used",
        "they must be relative to the ground, in m/s and in the axes of header.frame_id; see "
        "velocity in the tracker mapping",
        log_after_s=PATIENCE_S,
    ),
    _OfTracker(
        "ids",
        lambda t, now: t.id_lifetime_s < 1.0,
        "the median lifetime of an id on {t.topic} is {t.id_lifetime_s:.1f} s",
        "the tracker must keep the id of a person from message to message; see id in the tracker "
        "mapping",
    ),
    _OfTracker(
        "given_away",
        lambda t, now: t.reassigned_s < 12.0 and not _is_too_fast(t),
        "ids on {t.topic} are reassigned to another person after {t.reassigned_s:.1f} s on average",
        "the tracker must keep the id of a person; an index in a list is not an id; see id in the "
        "tracker mapping",
        log_after_s=PATIENCE_S,  # until the speed is known
    ),
    node_rules.over_capacity,
    node_rules.lost_robot,
    node_rules.no_map,
    _OfTracker(
        "slow",
        lambda t, now: t.needed_timeout_s > 1.01 * now.state.track_timeout_s >= t.latency_s,
        "tracks on {t.topic} need a timeout of {t.needed_timeout_s:.1f} s by their period and "
        "latency, but are dropped after {now.state.track_timeout_s:g} s",
        "raise max_track_timeout_s, or the rate of the tracker",
    ),
    node_rules.large_covariances,
    node_rules.slow_ticks,
    _OfTracker(
        "old",
        # Above a second, a wrong clock of the tracker is the more likely cause.
        lambda t, now: (
            t.silent_s <= now.state.track_timeout_s
            and t.latency_s > min(1.0, now.state.track_timeout_s)
        ),
        _old_tracks,
        "set use_sim_time in a replay, synchronise the tracker's clock, or raise "
        "max_track_timeout_s",
    ),
    _OfTracker(
        "ahead",
        # People walk 0.15 m in that time; `TrackerTiming.lead_ns` corrects larger leads.
        lambda t, now: t.latency_s < -0.1,
        lambda t, now: (
            f"tracks on {t.topic} are stamped {-t.latency_s:.2f} s ahead of this node's "
            "clock; the newest are treated as measured on arrival"
        ),
        "synchronise the clocks, or let the tracker stamp the time of measurement",
    ),
    _OfTracker(
        "stamp_steps",
        lambda t, now: t.stamp_step_s < 0.1 * t.mean_step_s,
        "stamps on {t.topic} advance by {t.stamp_step_s:.2g} s in most messages, and by "
        "{t.mean_step_s:.2g} s on average, as they jump now and then: velocities are inaccurate",
        "header.stamp must be the time of measurement in seconds and nanoseconds; nanosec often "
        "has microseconds or milliseconds by mistake, and messages that arrive in bursts must not "
        "be stamped on arrival (stamp_source)",
        log_after_s=PATIENCE_S,
    ),
    _OfTracker(
        "stamp_shift",
        lambda t, now: t.stamp_shift_ms != 0,
        lambda t, now: (
            f"tracks on {t.topic} are stamped {abs(t.stamp_shift_ms)} ms too "
            f"{'late' if t.stamp_shift_ms > 0 else 'early'} for the transforms, so that people "
            "seem to move when the robot turns; the stamps are corrected by this time"
        ),
        "let the tracker stamp the time of measurement, and synchronise the clocks",
    ),
)
