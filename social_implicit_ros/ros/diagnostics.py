"""The status of the node on `/diagnostics`."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import SkipReason

#: Ratio of measured to requested tick rate below which the status is WARN.
_MIN_RATE_SHARE = 0.8
#: Ticks over which the percentiles of the tick time are computed; the maximum is per report.
_RECENT_TICKS = 1000


def status_of(
    node: str, part: str, level: bytes, text: str, values: Mapping[str, str]
) -> DiagnosticStatus:
    """Builds a status.

    Args:
        node: fully qualified name of the node.
        part: of the node that the status describes.
        level: of `DiagnosticStatus`.
        text: message of the status.
        values: by key.
    """
    return DiagnosticStatus(
        level=level,
        name=f"{node.lstrip('/')}: {part}",
        message=text,
        hardware_id=node,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


@dataclass(frozen=True)
class NodeState:
    """State and configuration of the node; constant between transitions.

    Attributes:
        lifecycle: `unconfigured`, `inactive` or `active`.
        problem: why configure failed; empty if it did not.
        model: the model's name.
        tracks_topic: topic of the tracks.
        tick_rate_hz: requested ticks per second; 0 for one at every message.
        track_timeout_s: time without tracks after which the status is WARN.
    """

    lifecycle: str
    problem: str = ""
    model: str = ""
    tracks_topic: str = ""
    tick_rate_hz: float = 0.0
    track_timeout_s: float = 1.0


class DiagnosticsLog:
    """Counts events, per report and in total. Time is an argument."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Sets all counters to zero."""
        self._skipped: Counter[SkipReason] = Counter()
        self._n_messages = self._n_refused = self._n_resets = 0
        self._n_tracked = self._n_predicted = self._n_ticks = self._n_failed_ticks = 0
        #: Endpoints that do not match the node's, see `connections`.
        self.broken_connections: Sequence[str] = ()
        #: Corrections of ids in total, by kind.
        self.id_corrections: Mapping[str, int] = dict.fromkeys(
            ("stitched", "untangled", "merged"), 0
        )
        #: Corrections of a localisation that were not taken for motion, in total.
        self.n_corrections = 0
        self._last_message_s: float | None = None
        self._newest_ns: int | None = None
        self._recent_ticks_s: deque[float] = deque(maxlen=_RECENT_TICKS)
        self.begin_period(None)

    def begin_period(self, now_ns: int | None) -> None:
        """Starts the period of the next report.

        Args:
            now_ns: the node's clock, integer nanoseconds; None if the next report shall not
                evaluate the tick rate.
        """
        self._began_ns = now_ns
        self._ticks_s: list[float] = []
        self._refusal = self._failure = self._robot_lost = ""

    def add_message(self, stamp_ns: int | None, arrived_s: float) -> None:
        """A message was decoded.

        Args:
            stamp_ns: of its header; None for a message without agents.
            arrived_s: steady time of its arrival, seconds.
        """
        self._n_messages += 1
        self._last_message_s = arrived_s
        if stamp_ns is not None:
            self._newest_ns = stamp_ns

    def add_refusal(self, why: str, arrived_s: float) -> None:
        """A whole message was rejected.

        Args:
            why: reason; a report shows the last one of its period.
            arrived_s: steady time of its arrival, seconds.
        """
        self._n_refused += 1
        self._last_message_s = arrived_s
        self._refusal = why

    def add_skipped(self, reasons: Iterable[SkipReason]) -> None:
        """Agents of a message or of a tick were not predicted."""
        self._skipped.update(reasons)

    def add_tick(self, duration_s: float, n_tracked: int, n_predicted: int) -> None:
        """A tick was published; `duration_s` is the time from its start to its last message."""
        self._n_ticks += 1
        self._ticks_s.append(duration_s)
        self._recent_ticks_s.append(duration_s)
        self._n_tracked, self._n_predicted = n_tracked, n_predicted

    def add_failed_tick(self, why: str) -> None:
        """The model failed in a tick, which predicted nobody.

        Args:
            why: reason; a report shows the last one of its period.
        """
        self._n_failed_ticks += 1
        self._failure = why

    def add_lost_robot(self, source: str) -> None:
        """The robot's position was unknown in a tick.

        Args:
            source: value of the parameter `robot`.
        """
        fix = {
            "odometry": "check that ~/odometry publishes without jumps, in a frame of /tf",
            "tf": "check the transform from robot_frame to fixed_frame",
        }
        self._robot_lost = (
            f"the robot is lost: its position from {source} is unknown, and the costmap stays "
            f"where it was; {fix[source]}"
        )

    def add_reset(self) -> None:
        """All histories were cleared."""
        self._n_resets += 1

    def report(self, name: str, state: NodeState, now_ns: int, now_s: float) -> DiagnosticStatus:
        """The status of the period since the last report.

        Args:
            name: of the node.
            state: of the node.
            now_ns: the node's clock, integer nanoseconds.
            now_s: steady time, seconds.
        """
        rate_hz = self._tick_rate_hz(now_ns)
        age_s = None if self._newest_ns is None else (now_ns - self._newest_ns) / NS_PER_S
        level, text = self._level(state, rate_hz, age_s, now_s)
        values = {
            "state": state.lifecycle,
            "model": state.model,
            "tick_rate_hz": "" if rate_hz is None else f"{rate_hz:.2f}",
            "tick_ms_median": _ms_text(self._recent_ticks_s, 50.0),
            "tick_ms_p99": _ms_text(self._recent_ticks_s, 99.0),
            "tick_ms_max": f"{max(self._ticks_s) * 1e3:.2f}" if self._ticks_s else "",
            "tracks_age_s": "" if age_s is None else f"{age_s:.3f}",
            "agents_tracked": str(self._n_tracked),
            "agents_predicted": str(self._n_predicted),
            "track_timeout_s": f"{state.track_timeout_s:g}",
            **{kind: str(count) for kind, count in self.id_corrections.items()},
            "frame_corrections": str(self.n_corrections),
            "messages": str(self._n_messages),
            "messages_refused": str(self._n_refused),
            "resets": str(self._n_resets),
            "ticks": str(self._n_ticks),
            "ticks_failed": str(self._n_failed_ticks),
            "connections_broken": str(len(self.broken_connections)),
            **{f"skipped.{reason.value}": str(self._skipped[reason]) for reason in SkipReason},
        }
        self.begin_period(now_ns)
        return status_of(name, "prediction", level, text, values)

    def _tick_rate_hz(self, now_ns: int) -> float | None:
        """Ticks per second of the node's clock; None if the period is unknown."""
        if self._began_ns is None or now_ns < self._began_ns:
            return None
        if now_ns == self._began_ns:
            return 0.0
        return len(self._ticks_s) * NS_PER_S / (now_ns - self._began_ns)

    def _level(
        self, state: NodeState, rate_hz: float | None, age_s: float | None, now_s: float
    ) -> tuple[bytes, str]:
        if state.problem:
            return DiagnosticStatus.ERROR, state.problem
        if state.lifecycle != "active":
            return DiagnosticStatus.OK, state.lifecycle
        if self._failure:
            return DiagnosticStatus.ERROR, self._failure
        warning = (
            self._refusal
            or "; ".join(self.broken_connections)
            or self._silence(state, now_s)
            or self._robot_lost
            or _slow_ticks(state, rate_hz)
            or _old_tracks(state, age_s)
        )
        if warning:
            return DiagnosticStatus.WARN, warning
        return DiagnosticStatus.OK, f"predicting {self._n_predicted} of {self._n_tracked} agents"

    def _silence(self, state: NodeState, now_s: float) -> str:
        if self._last_message_s is None:
            return f"no tracks yet on {state.tracks_topic}"
        silence_s = now_s - self._last_message_s
        if silence_s <= state.track_timeout_s:
            return ""
        return f"no tracks on {state.tracks_topic} for {silence_s:.1f} s"


def _slow_ticks(state: NodeState, rate_hz: float | None) -> str:
    # A report has too few ticks of a slower rate.
    if rate_hz is None or state.tick_rate_hz < 2.0:
        return ""
    if rate_hz == 0.0:
        return "no tick: the clock does not advance; with use_sim_time, /clock must be published"
    if rate_hz >= _MIN_RATE_SHARE * state.tick_rate_hz:
        return ""
    return (
        f"{rate_hz:.1f} ticks per second instead of {state.tick_rate_hz:g}: reduce n_samples, "
        "outputs or tick_rate_hz"
    )


def _old_tracks(state: NodeState, age_s: float | None) -> str:
    # A tick at a message has new tracks by definition.
    if age_s is None or age_s <= state.track_timeout_s or state.tick_rate_hz == 0.0:
        return ""
    return (
        f"tracks arrive {age_s:.1f} s old and are dropped at once: set use_sim_time in a replay, "
        "or synchronise the tracker's clock"
    )


def _ms_text(durations_s: Collection[float], percentile: float) -> str:
    """A percentile in milliseconds; empty without data."""
    if not durations_s:
        return ""
    return f"{np.percentile(list(durations_s), percentile) * 1e3:.2f}"
