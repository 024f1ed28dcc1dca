"""The status of the node on `/diagnostics`."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from social_implicit_ros.prediction.health.findings import Finding
from social_implicit_ros.prediction.health.rules import findings_of, status_of_findings
from social_implicit_ros.prediction.health.snapshot import (
    ConditionTimer,
    Events,
    NodeState,
    Snapshot,
    Surroundings,
    added_uncertainty,
)
from social_implicit_ros.prediction.health.tracker_log import TrackerLog
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.update import Update
from social_implicit_ros.tracks.messages.decoder import DecodedMessage
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import SkipReason, Tracks

#: Ticks over which the percentiles and the maximum of the tick time are computed.
_RECENT_TICKS = 1000


def status_of(
    node: str, part: str, level: bytes, text: str, values: Mapping[str, str]
) -> DiagnosticStatus:
    """Builds a status.

    Args:
        node: fully qualified name of the node.
        part: the part of the node that the status describes.
        level: one of the levels of `DiagnosticStatus`.
        text: message of the status.
        values: values by key.
    """
    return DiagnosticStatus(
        level=level,
        name=f"{node.lstrip('/')}: {part}",
        message=text,
        hardware_id=node,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


class DiagnosticsLog:
    """Counts events, per report and in total. Time is an argument."""

    def __init__(self, trackers: Mapping[str, TrackerLog]) -> None:
        """Starts with counters of zero; the keys of `trackers` are the prefixes of their ids."""
        self.trackers = dict(trackers)
        #: State of the connections of the node.
        self.surroundings = Surroundings()
        #: Findings of the last report.
        self.findings: list[Finding] = []
        self._skipped: Counter[SkipReason] = Counter()
        # By their keys in `/diagnostics`.
        self._totals: Counter[str] = Counter(
            messages=0, messages_refused=0, resets=0, ticks=0, ticks_failed=0
        )
        self._recent_ticks_s: deque[float] = deque(maxlen=_RECENT_TICKS)
        self._now = Snapshot()
        self.begin()

    def begin(self) -> None:
        """Starts the first period, when the node is activated; its tick rate is not evaluated."""
        self._now = Snapshot(counters=self._now.counters)
        #: Events of this period.
        self.events = Events()
        self._n_tracked = 0
        # The node's clock in nanoseconds and steady time in seconds at the last report.
        self._reported: tuple[int, float] | None = None
        self._time_s = 0.0  # sum of the periods
        self._few = ConditionTimer()
        self.trackers = {
            source: TrackerLog(before.topic, before.spec)
            for source, before in self.trackers.items()
        }

    def add_arrival(self, source: str, arrived_s: float) -> None:
        """A message arrived.

        Args:
            source: the tracker, by the prefix of its ids.
            arrived_s: steady time, seconds.
        """
        self.events.n_messages += 1
        self.trackers[source].arrive(arrived_s)

    def add_decoded(self, source: str, decoded: DecodedMessage) -> None:
        """A tracker's message was decoded."""
        self._skipped.update(decoded.skipped)
        self.trackers[source].add(decoded)
        self._totals["messages"] += decoded.tracks is None

    def add_message(self, source: str, tracks: Tracks) -> None:
        """A tracker's message was accepted."""
        self._totals["messages"] += 1
        self.trackers[source].accept(tracks)

    def add_update(self, update: Update) -> None:
        """Entries of messages entered the history, or were left out."""
        self._skipped.update(update.robot_skipped)
        for source, skipped in update.skipped_of.items():
            self._skipped.update(skipped)
            self.trackers[source].add_skipped(skipped, update.examples)

    def add_refusal(self, kind: str, why: str) -> None:
        """A whole message was rejected.

        Args:
            kind: identifies the cause.
            why: the reason; a report shows the last one of its period for each kind.
        """
        self._totals["messages_refused"] += 1
        self.events.refusals[kind] = why

    def add_tick(
        self, duration_s: float, n_tracked: int, skipped: Iterable[SkipReason], n_predicted: int
    ) -> None:
        """A tick was published.

        Args:
            duration_s: time from its start to its last message.
            n_tracked: number of tracks at the tick.
            skipped: for each track that was not predicted, the reason.
            n_predicted: number of predicted tracks.
        """
        self._totals["ticks"] += 1
        self.events.n_ticks += 1
        self._recent_ticks_s.append(duration_s)
        reasons = Counter(skipped)
        self._skipped.update(reasons)
        self.events.tick_reasons.update(reasons)
        self._n_tracked, self._now.n_predicted = n_tracked, n_predicted
        # These need no prediction: tracks that are gone or merged into another one, the robot.
        not_due = SkipReason.VANISHED, SkipReason.MERGED, SkipReason.ROBOT
        self._now.n_tracked = n_tracked - sum(reasons[reason] for reason in not_due)

    def add_failed_tick(self, why: str) -> None:
        """A tick failed and predicted nobody; a report shows the last reason."""
        self._totals["ticks_failed"] += 1
        self.events.failure = why

    def add_reset(self) -> None:
        """All histories were cleared."""
        self._totals["resets"] += 1
        for tracker in self.trackers.values():
            tracker.ids.reset()

    def take_counts(self, predictor: Predictor) -> None:
        """Copies the counters of the predictor."""
        self._now.counters = predictor.counters()
        self._now.contested = predictor.contested_transforms()
        is_added = predictor.config.pipeline.add_tracker_covariance
        self._now.variance_m2, self._now.growth = added_uncertainty(
            predictor.last_tick, is_added=is_added
        )
        for source, tracker in self.trackers.items():
            tracker.take_counts(predictor, source)

    def report(self, name: str, state: NodeState, now_ns: int, now_s: float) -> DiagnosticStatus:
        """The status of the period since the last report; begins the next one.

        Args:
            name: name of the node.
            state: state of the node.
            now_ns: the node's clock, integer nanoseconds.
            now_s: steady time, seconds.
        """
        now = self._end_period(state, now_ns, now_s)
        self.findings = findings_of(now)
        level, text = status_of_findings(now, self.findings)
        age_s = min((tracker.age_s for tracker in now.trackers), default=math.inf)
        values = {
            "state": state.lifecycle,
            "model": state.model,
            "warnings": ", ".join(finding.kind for finding in self.findings),
            "tick_rate_hz": "" if now.rate_hz is None else f"{now.rate_hz:.2f}",
            "tick_ms_median": _ms_text(self._recent_ticks_s, 50.0),
            "tick_ms_p99": _ms_text(self._recent_ticks_s, 99.0),
            "tick_ms_max": _ms_text(self._recent_ticks_s, 100.0),
            "tracks_age_s": "" if age_s == math.inf else f"{age_s:.3f}",
            "agents_tracked": str(self._n_tracked),
            "agents_predicted": str(self._now.n_predicted),
            "track_timeout_s": f"{state.track_timeout_s:g}",
            **{key: str(count) for key, count in self._totals.items()},
            "connections_broken": str(len(self.surroundings.broken)),
            **{key: str(count) for key, count in now.counters.items()},
            **self._stamp_shifts(),
            **{f"skipped.{reason.value}": str(self._skipped[reason]) for reason in SkipReason},
        }
        self._reported, self.events = (now_ns, now_s), Events()
        return status_of(name, "prediction", bytes([level]), text, values)

    def _stamp_shifts(self) -> dict[str, str]:
        """Of several trackers, that of each topic."""
        if len(self.trackers) < 2:
            return {}
        trackers = self.trackers.values()
        return {f"stamp_shift_ms.{each.topic}": str(each.stamp_shift_ms) for each in trackers}

    def _end_period(self, state: NodeState, now_ns: int, now_s: float) -> Snapshot:
        # A condition that held for the whole period is dated back to its start. If simulated time
        # is slower, as in a slow or paused replay, so is everything else.
        elapsed_s, clock_s, rate_hz = 0.0, 0.0, None
        if self._reported is not None:
            elapsed_s, clock_s = now_s - self._reported[1], (now_ns - self._reported[0]) / NS_PER_S
            if clock_s >= 0.0:
                elapsed_s = min(elapsed_s, clock_s)
                rate_hz = self.events.n_ticks / clock_s if clock_s else 0.0
        period_s = began_s, self._time_s = self._time_s, self._time_s + elapsed_s
        # If messages arrived but no tick ran, nobody was predicted.
        has_tick = self.events.n_ticks > 0 or self.events.n_messages == 0
        for tracker in self.trackers.values():
            tracker.end_period(period_s, now_ns, now_s, state.track_timeout_s, has_tick=has_tick)
        n_predicted = self._now.n_predicted if has_tick else 0
        are_few = 2 * n_predicted < self._now.n_tracked
        return replace(
            self._now,
            state=state,
            surroundings=self.surroundings,
            trackers=self.trackers.values(),
            events=self.events,
            rate_hz=rate_hz,
            elapsed_s=clock_s,
            n_predicted=n_predicted,
            few_predicted_s=self._few.update(are_few, self._time_s, began_s),
        )


def _ms_text(durations_s: Collection[float], percentile: float) -> str:
    """A percentile in milliseconds; empty without data."""
    if not durations_s:
        return ""
    return f"{np.percentile(list(durations_s), percentile) * 1e3:.2f}"
