"""Input of the health rules: state of the node, its surroundings and recent statistics."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from social_implicit_ros.prediction.pipeline import Tick
from social_implicit_ros.prediction.state_uncertainty import unestimated
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.tracks.messages.spec import TrackerSpec
from social_implicit_ros.types import SkipReason

#: Time that a problem must last before most rules warn of it, seconds; a start takes about that.
PATIENCE_S = 2.0
#: Time after which a track whose position is exactly constant is reported, seconds.
FROZEN_S = 3.0
#: Share of skipped entries above which the status is WARN.
MAX_SKIPPED = 0.5
#: Number of characters after which a value of a message is truncated in a text.
_MAX_EXAMPLE = 40


@dataclass(frozen=True)
class NodeState:
    """State and configuration of the node.

    Attributes:
        lifecycle: `unconfigured`, `inactive` or `active`.
        problem: why configure failed; empty otherwise.
        model: name of the model.
        track_timeout_s: time without tracks after which the status is WARN.
        config: the parameters.
    """

    lifecycle: str
    problem: str = ""
    model: str = ""
    track_timeout_s: float = 1.0
    config: NodeConfig = field(default_factory=NodeConfig)

    def with_config(self, config: NodeConfig) -> NodeState:
        """The state with other parameters."""
        timeout_s = config.predictor.pipeline.track_timeout_s
        return replace(self, track_timeout_s=timeout_s, config=config)


@dataclass(frozen=True)
class Endpoint:
    """A subscription of the node in the graph.

    Attributes:
        topic: resolved name.
        message_type: `package/msg/Type`.
        hint: that nobody publishes there, and where others do; empty if somebody does.
    """

    topic: str
    message_type: str
    hint: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What the node finds in the ROS graph, and how it is run.

    Attributes:
        endpoints: the node's subscriptions by topic.
        broken: endpoints of other nodes that do not match this node's, a line each.
        clocks: nodes that publish `/clock`.
        lacks_clock: simulated time is used and nobody publishes `/clock`.
        waits_for_manager: the parameter `autostart` is false.
        n_namesakes: other nodes of the same name and namespace.
    """

    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    clocks: tuple[str, ...] = ()
    lacks_clock: bool = False
    waits_for_manager: bool = False
    n_namesakes: int = 0

    def hint_on(self, topic: str) -> str:
        """The hint of the subscription to a topic; empty if it is unknown."""
        return self.endpoints[topic].hint if topic in self.endpoints else ""

    def endpoint_of(self, message_type: str, topic: str) -> Endpoint:
        """The first subscription of a type; one to `topic` if none is known."""
        endpoints = self.endpoints.values()
        default = Endpoint(topic, message_type)
        return next((each for each in endpoints if each.message_type == message_type), default)


@dataclass
class TrackerCounts:
    """Recent statistics of one tracker; `TrackerLog` updates them.

    Attributes:
        topic: resolved name.
        spec: the tracker's mapping.
        silent_s: time since the last message, seconds; infinite before the first.
        n_entries: entries of its messages, without those filtered out on purpose.
        n_ignored: entries of classes that are filtered out on purpose.
        skipped: number of skipped entries by reason.
        examples: a value seen, by reason.
        id_lifetime_s: median lifetime of ids, seconds; infinite if unknown.
        needed_timeout_s: timeout that tracks need at this period and latency, seconds.
        latency_s: median time from stamp to arrival, seconds; negative for stamps in the future.
        stamp_step_s: time by which stamps of a person advance in most messages, seconds.
        mean_step_s: the same on average, seconds; 0 if unknown.
        skipping_s: time for which more than half of the entries have been skipped, seconds.
        unpredicted_s: time for which entries have arrived, but nobody was predicted, seconds.
        tick_reasons: number of people not predicted in the newest tick, by reason.
        n_waiting: people who have been reported, but not predicted, for `PATIENCE_S`.
        waiting_s: the longest of these times, seconds.
        overlapping_s: time for which most people have had another person at the same position,
            seconds.
        n_doubles: people who are listed twice, and predicted once.
        climb_m_s: mean vertical speed of people, metres per second.
        speed_m_s: median speed of people who move, metres per second; 0 if these are few.
        reassigned_s: mean time after which an id is reassigned to another person, seconds; infinite
            if that is rare.
        has_wrong_velocities: the reported velocities do not fit the positions.
        cell_m: to which its positions are rounded, metres; 0 if to no grid.
        to_and_fro_m: distance by which positions jump to and fro, metres; 0 if they do not.
        only_axis: the one coordinate in which people differ, `x`, `y` or `z`; empty if several.
        in_walls_s: time for which most of its people have been inside walls, seconds.
        stamp_shift_ms: time by which its stamps are late for the transforms, milliseconds.
        hold_s: time for which each position is repeated, seconds; 0 if every message has new ones.
        frozen: ids of people whose positions have been exactly constant for `FROZEN_S`.
        age_s: age of the newest tracks, seconds; infinite before the first.
    """

    topic: str
    spec: TrackerSpec
    silent_s: float = math.inf
    n_entries: int = 0
    n_ignored: int = 0
    skipped: Mapping[SkipReason, int] = field(default_factory=dict)
    examples: dict[SkipReason, str] = field(default_factory=dict)
    id_lifetime_s: float = math.inf
    needed_timeout_s: float = 0.0
    latency_s: float = 0.0
    stamp_step_s: float = 0.0
    mean_step_s: float = 0.0
    skipping_s: float = 0.0
    unpredicted_s: float = 0.0
    tick_reasons: Mapping[SkipReason, int] = field(default_factory=dict)
    n_waiting: int = 0
    waiting_s: float = 0.0
    overlapping_s: float = 0.0
    n_doubles: int = 0
    climb_m_s: float = 0.0
    speed_m_s: float = 0.0
    reassigned_s: float = math.inf
    has_wrong_velocities: bool = False
    cell_m: float = 0.0
    to_and_fro_m: float = 0.0
    only_axis: str = ""
    in_walls_s: float = 0.0
    stamp_shift_ms: int = 0
    hold_s: float = 0.0
    frozen: tuple[str, ...] = ()
    age_s: float = math.inf

    def share_skipped(self, reason: SkipReason) -> float:
        """Share of entries that are skipped for a reason."""
        return self.skipped.get(reason, 0) / max(self.n_entries, 1)


@dataclass
class Events:
    """What happened since the last report.

    Attributes:
        n_messages: messages of trackers.
        n_ticks: published ticks.
        refusals: kind -> text of refused messages, the last one of each kind.
        failure: why the last tick failed; empty if none did.
        robot_lost: the robot's position was unknown in a tick.
        n_jumps_back: jumps of the clock back.
        tick_reasons: number of people not predicted, by reason.
    """

    n_messages: int = 0
    n_ticks: int = 0
    refusals: dict[str, str] = field(default_factory=dict)
    failure: str = ""
    robot_lost: bool = False
    n_jumps_back: int = 0
    tick_reasons: Counter[SkipReason] = field(default_factory=Counter)


@dataclass
class Snapshot:
    """Input of all rules; `DiagnosticsLog` updates it.

    Attributes:
        state: state of the node.
        surroundings: surroundings of the node.
        trackers: statistics of each tracker.
        events: what happened since the last report.
        counters: totals of the predictor.
        contested: a text for each transform that two nodes seem to publish.
        variance_m2: variance of the trackers' positions along x or y, the larger one, median over
            people, square metres.
        growth: ratio of the areas of ellipses at the horizon with the trackers' covariance and
            without, median over people.
        rate_hz: measured ticks per second; None if unknown.
        elapsed_s: time since the last report by the node's clock, seconds.
        n_tracked: tracked people in the newest tick.
        n_predicted: predicted people in the newest tick.
        few_predicted_s: time for which less than half of the people have been predicted, seconds.
    """

    state: NodeState = NodeState("unconfigured")
    surroundings: Surroundings = field(default_factory=Surroundings)
    trackers: Collection[TrackerCounts] = ()
    events: Events = field(default_factory=Events)
    counters: Mapping[str, int] = field(default_factory=dict)
    contested: Collection[str] = ()
    variance_m2: float = 0.0
    growth: float = 1.0
    rate_hz: float | None = None
    elapsed_s: float = 1.0
    n_tracked: int = 0
    n_predicted: int = 0
    few_predicted_s: float = 0.0

    @property
    def patience_s(self) -> float:
        """Time for which people may be tracked and not predicted: two messages of slow trackers."""
        return max(PATIENCE_S, self.state.track_timeout_s)

    @property
    def waits_for(self) -> str:
        """Why the node is not active, and what activates it."""
        label = "activate" if self.state.lifecycle == "inactive" else "configure"
        if self.surroundings.waits_for_manager:
            cause = f"it waits for its lifecycle manager to {label} it (autostart is false)"
        else:
            cause = f"a lifecycle transition stopped it; ros2 lifecycle set NODE {label} starts it"
        return f"{self.state.lifecycle}, nobody is predicted: {cause}"


def quoted(text: str) -> str:
    """A value of a message in quotes, ASCII only and truncated, for texts."""
    return ascii(text[:_MAX_EXAMPLE])


class ConditionTimer:
    """Measures for how long a condition has held."""

    def __init__(self) -> None:
        self._began: float | None = None

    def update(self, holds: bool, now: float, began: float | None = None) -> float:
        """Time for which the condition has held; 0 if it does not hold.

        Args:
            holds: whether the condition holds now.
            now: the current time, in any unit.
            began: time at which it began to hold, if it did not at the last call; None for now.
        """
        if not holds:
            self._began = None
            return 0.0
        if self._began is None or self._began > now:  # time jumped back
            self._began = now if began is None else began
        return now - self._began


def added_uncertainty(tick: Tick | None, *, is_added: bool) -> tuple[float, float]:
    """Uncertainty that trackers add to a tick: `variance_m2` and `growth` of a `Snapshot`.

    Args:
        tick: the newest tick; None before the first.
        is_added: whether the trackers' covariances are added to the predicted ones.
    """
    if tick is None or not tick.window.ids:
        return 0.0, 1.0
    tracker_m2 = tick.window.covariances_m2
    variance_m2 = float(np.median(tracker_m2[:, [0, 1], [0, 1]].max(axis=1)))
    if not is_added:
        return variance_m2, 1.0
    with_m2 = tick.base.covariance[:, -1].astype(np.float64)
    added_m2 = unestimated(tracker_m2, tick.window.state_covariances)
    areas, areas_without = (np.linalg.det(m2) for m2 in (with_m2, with_m2 - added_m2))
    growth = np.sqrt(np.maximum(areas, 1e-12) / np.maximum(areas_without, 1e-12))
    return variance_m2, float(np.median(growth))
