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

    def __init__(self) -> None:
        self.reset({})

    def reset(self, trackers: Mapping[str, TrackerLog]) -> None:
        """Sets all counters to zero; the keys of `trackers` are the prefixes of their ids."""
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
        self.begin(None)

    def begin(self, now_ns: int | None) -> None:
        """Starts the first period, when the node is activated.

        Args:
            now_ns: the node's clock, integer nanoseconds; None if the next report must not
                evaluate the tick rate.
        """
        self._now = Snapshot(counters=self._now.counters)
        self._n_tracked = self._n_predicted = 0
        self._reported_s: float | None = None
        self._time_s = 0.0  # sum of the periods, seconds
        self._few = ConditionTimer()
        self.trackers = {
            source: TrackerLog(before.topic, before.spec)
            for source, before in self.trackers.items()
        }
        self._begin_period(now_ns)

    def _begin_period(self, now_ns: int | None) -> None:
        """Starts the period of the next report."""
        self._began_ns = now_ns
        self._ticks_s: list[float] = []
        self._now = replace(
            self._now,
            tick_reasons=Counter(),
            refusals={},
            failure="",
            robot_lost=False,
            n_jumps_back=0,
        )
        self._n_period_messages = 0

    def add_arrival(self, source: str, arrived_s: float) -> None:
        """A message arrived.

        Args:
            source: the tracker, by the prefix of its ids.
            arrived_s: steady time, seconds.
        """
        self._n_period_messages += 1
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
        self._now.refusals[kind] = why

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
        self._ticks_s.append(duration_s)
        self._recent_ticks_s.append(duration_s)
        reasons = Counter(skipped)
        self._skipped.update(reasons)
        self._now.tick_reasons.update(reasons)
        self._n_tracked, self._n_predicted = n_tracked, n_predicted
        # These need no prediction: tracks that are gone or merged into another one, the robot.
        not_due = SkipReason.VANISHED, SkipReason.MERGED, SkipReason.ROBOT
        self._now.n_tracked = n_tracked - sum(reasons[reason] for reason in not_due)

    def add_failed_tick(self, why: str) -> None:
        """A tick failed and predicted nobody; a report shows the last reason."""
        self._totals["ticks_failed"] += 1
        self._now.failure = why

    def add_lost_robot(self) -> None:
        """The robot's position was unknown in a tick."""
        self._now.robot_lost = True

    def add_jump_back(self) -> None:
        """The clock jumped back."""
        self._now.n_jumps_back += 1

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
            "agents_predicted": str(self._n_predicted),
            "track_timeout_s": f"{state.track_timeout_s:g}",
            **{key: str(count) for key, count in self._totals.items()},
            "connections_broken": str(len(self.surroundings.broken)),
            **{key: str(count) for key, count in now.counters.items()},
            **self._stamp_shifts(),
            **{f"skipped.{reason.value}": str(self._skipped[reason]) for reason in SkipReason},
        }
        self._reported_s = now_s
        self._begin_period(now_ns)
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
        elapsed_s = 0.0 if self._reported_s is None else now_s - self._reported_s
        if self._began_ns is not None and now_ns >= self._began_ns:
            elapsed_s = min(elapsed_s, (now_ns - self._began_ns) / NS_PER_S)
        began_s, ended_s = self._time_s, self._time_s + elapsed_s
        self._time_s = ended_s
        # If messages arrived but no tick ran, nobody was predicted.
        has_tick = bool(self._ticks_s) or not self._n_period_messages
        for tracker in self.trackers.values():
            tracker.end_period(
                (began_s, ended_s), now_ns, now_s, state.track_timeout_s, has_tick=has_tick
            )
        n_predicted = self._n_predicted if has_tick else 0
        are_few = 2 * n_predicted < self._now.n_tracked
        return replace(
            self._now,
            state=state,
            surroundings=self.surroundings,
            trackers=self.trackers.values(),
            rate_hz=self._tick_rate_hz(now_ns),
            elapsed_s=0.0 if self._began_ns is None else (now_ns - self._began_ns) / NS_PER_S,
            n_predicted=n_predicted,
            few_predicted_s=self._few.update(are_few, ended_s, began_s),
        )

    def _tick_rate_hz(self, now_ns: int) -> float | None:
        """Ticks per second of the node's clock; None if the period is unknown."""
        if self._began_ns is None or now_ns < self._began_ns:
            return None
        if now_ns == self._began_ns:
            return 0.0
        return len(self._ticks_s) * NS_PER_S / (now_ns - self._began_ns)


def _ms_text(durations_s: Collection[float], percentile: float) -> str:
    """A percentile in milliseconds; empty without data."""
    if not durations_s:
        return ""
    return f"{np.percentile(list(durations_s), percentile) * 1e3:.2f}"
