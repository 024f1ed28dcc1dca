"""Why entries of a tracker are skipped, or people are not predicted, and how to fix it."""

from __future__ import annotations

from collections.abc import Mapping

from social_implicit_ros.prediction.health.snapshot import MAX_SKIPPED, PATIENCE_S, TrackerCounts
from social_implicit_ros.types import SkipReason

#: Reason -> fix. `_filtered` writes the fixes for filters, with their values.
FIXES = {
    SkipReason.EMPTY_ID: "the tracker must give each person an id of its own; see id and no_id in "
    "the tracker mapping",
    SkipReason.DUPLICATE_ID: "the tracker must give each person an id of its own; see id in the "
    "tracker mapping",
    SkipReason.NOT_FINITE: "the tracker publishes NaN or infinite positions; correct it",
    SkipReason.OUT_OF_RANGE: "positions must be metres within 1e7 of the origin; correct the "
    "tracker or the transform",
    SkipReason.UNSET_POSITION: "the tracker must leave out people whose position it does not know; "
    "if it knows them, position in the tracker mapping names a field that it does not fill in",
    SkipReason.DUPLICATE_POSITION: "the tracker lists people twice, for example in two classes; "
    "filter one of them in the tracker mapping",
    SkipReason.REPEATED: "the tracker repeats positions with new stamps; let it publish each once, "
    "stamped with the time of measurement",
    SkipReason.EXTRAPOLATED: "the tracker extrapolates lost people in exact lines; let it publish "
    "only measured people, or filter the others by state in the tracker mapping",
    SkipReason.OTHER_STAMP: "the tracker must stamp all entries of a message with one time, and "
    "leave out people whom it no longer sees; stamps may differ by stamp_spread_s",
    SkipReason.NO_STAMP: "the tracker must set header.stamp, or set stamp_source to arrival",
    SkipReason.FUTURE_STAMP: "synchronise the clocks, or set use_sim_time in a replay",
    SkipReason.DUPLICATE_STAMP: "the tracker must set the stamp of each message to the time of its "
    "measurement, and no other node may publish the same people on its topic",
    SkipReason.OUT_OF_ORDER: "the tracker publishes messages too late; synchronise its clock, "
    "raise track_timeout_s, or stop another node that publishes on its topic, such as a replay",
    SkipReason.OUTLIER: "each person needs an id of its own, also if several publish on one topic, "
    "and positions must be in metres; otherwise max_speed_m_s may be too low",
    SkipReason.LATE_OUTLIER: "late messages contradict earlier ones; use one tracker per topic",
    SkipReason.OVER_CAPACITY: "raise max_agents",
    SkipReason.NO_TRANSFORM: "publish the transform from the tracks' frame to fixed_frame, set "
    "fixed_frame to a frame that has one, or raise transform_wait_s",
    SkipReason.TOO_FEW_OBSERVATIONS: "tracks end or jump before they have min_observations "
    "observations: the tracker must keep ids and report often enough",
    SkipReason.STALE: "the tracker must report each person more often than track_timeout_s, "
    "stamped with the time of measurement",
}
#: The same for people who are tracked, but not predicted.
_TICK_FIXES = {
    **FIXES,
    SkipReason.NOT_FINITE: "the model predicts values that are not finite; check its file with "
    "make_card",
}
#: Reason -> name of the filter, and what the entries that it may ignore are.
_FILTERS = {
    SkipReason.OTHER_CLASS: ("class", "if it is not a person"),
    SkipReason.OTHER_STATE: ("state", "if the tracker does not see such people"),
}


def main_skip_reason(tracker: TrackerCounts) -> str:
    """Main reason why most entries of a tracker are skipped; empty if most are used."""
    skipped = dict(tracker.skipped)
    if tracker.n_ignored and tracker.unpredicted_s >= PATIENCE_S:
        skipped[SkipReason.OTHER_CLASS] = skipped.get(SkipReason.OTHER_CLASS, 0) + tracker.n_ignored
    n_skipped = sum(skipped.values())
    n_entries = max(tracker.n_entries + tracker.n_ignored, n_skipped, 1)
    if n_skipped <= MAX_SKIPPED * n_entries:
        return ""
    reason = max(skipped, key=lambda each: skipped[each])
    fix = _filtered(tracker, reason) or with_example(tracker, reason)
    share = skipped[reason] / n_entries
    return f"{share:.0%} of the entries on {tracker.topic} are left out ({reason.value}): {fix}"


def _filtered(tracker: TrackerCounts, reason: SkipReason) -> str:
    """The fix for entries that a filter of the mapping skips; empty for other reasons."""
    filters, seen = tracker.spec.filters, tracker.examples.get(reason, "")
    if reason is SkipReason.LOW_SCORE:
        return f"score {seen} is not above {filters.score_above}: lower score_above"
    if reason not in _FILTERS:
        return ""
    name, ignored_if = _FILTERS[reason]
    allowed = ", ".join(map(str, getattr(filters, f"{name}_in")))
    fix = f"add it to {name}_in of the tracker mapping, or to {name}_out {ignored_if}"
    return f"{name} {seen} is not in [{allowed}]: {fix}"


def with_example(tracker: TrackerCounts, reason: SkipReason) -> str:
    """The fix for a reason, with a value seen as example."""
    seen = tracker.examples.get(reason)
    if reason is SkipReason.UNSET_POSITION and seen:
        seen = f"{seen} in {tracker.spec.position_text}"
    return f"{f'seen {seen}; ' if seen else ''}{FIXES.get(reason, reason.value)}"


def main_tick_reason(reasons: Mapping[SkipReason, int]) -> str:
    """The most frequent reason for which people are not predicted, and its fix."""
    if not reasons:
        return "see the other warnings, and the counters"
    reason = max(reasons, key=lambda each: reasons[each])
    return f"{reason.value}: {_TICK_FIXES.get(reason, 'see the counters')}"
