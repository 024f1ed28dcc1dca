"""What the rules of `health` look at: the node, its surroundings, and what it counted lately."""

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

#: Time for which nobody, less than half, or one who is reported, may not be predicted, seconds.
PATIENCE_S = 2.0
#: Time after which a track whose position does not change at all is named, seconds.
FROZEN_S = 3.0
#: Share of lost entries above which the status is WARN.
MAX_LOST = 0.5
#: Length to which a value of a message is cut in a text.
_MAX_EXAMPLE = 40


@dataclass(frozen=True)
class NodeState:
    """State and configuration of the node; constant between transitions.

    Attributes:
        lifecycle: `unconfigured`, `inactive` or `active`.
        problem: why configure failed; empty if it did not.
        model: the model's name.
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
        n_publishers: publishers of this type on the topic.
        elsewhere: other topics on which other nodes publish this type.
    """

    topic: str
    message_type: str
    n_publishers: int
    elsewhere: tuple[str, ...] = ()


@dataclass(frozen=True)
class Surroundings:
    """What the node sees around it.

    Attributes:
        endpoints: its subscriptions by topic.
        broken: endpoints of others that do not match the node's, a line each.
        lacks_clock: simulated time is used and nobody publishes `/clock`.
        waits_for_manager: the parameter `autostart` is false.
        n_namesakes: other nodes of the same name and namespace.
    """

    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    lacks_clock: bool = False
    waits_for_manager: bool = False
    n_namesakes: int = 0


@dataclass
class TrackerCounts:
    """What one tracker sent during the last reports; `TrackerLog` keeps it up to date.

    Attributes:
        topic: resolved name.
        spec: the tracker's mapping.
        silent_s: time since its last message, seconds; infinite without any.
        n_entries: entries of its messages, without those that are left out on purpose.
        n_ignored: entries of a class that is left out on purpose.
        lost: entries that were left out, by reason.
        examples: a value seen by reason.
        id_lifetime_s: median lifetime of its ids, seconds; infinite if unknown.
        needed_timeout_s: time after which its tracks can be dropped, by its period and latency.
        latency_s: median time from stamp to arrival, seconds; negative if the stamp is later.
        losing_s: time for which more than half of its entries are left out, seconds.
        unpredicted_s: time for which its entries arrive and none of them is predicted, seconds.
        tick_reasons: why people of it were not predicted in the newest tick.
        n_waiting: people whom it reports, but who were not predicted for `PATIENCE_S`.
        waiting_s: time for which the first of them was not, seconds.
        doubled_s: time for which most of its people have somebody else at the same place, seconds.
        n_doubles: people whom it lists twice, who are predicted once.
        climb_m_s: mean speed at which its people rise or sink, metres per second.
        given_away_s: mean time for which a person keeps an id before it goes to somebody elsewhere,
            seconds; infinite if it hardly ever does.
        has_wrong_velocities: the velocities that it reports do not fit its positions.
        hold_s: time for which it repeats positions, seconds; 0 if messages have new ones.
        frozen: ids of people whose positions did not change at all for `FROZEN_S`.
        age_s: age of its newest tracks, seconds; infinite without any.
    """

    topic: str
    spec: TrackerSpec
    silent_s: float = math.inf
    n_entries: int = 0
    n_ignored: int = 0
    lost: Mapping[SkipReason, int] = field(default_factory=dict)
    examples: dict[SkipReason, str] = field(default_factory=dict)
    id_lifetime_s: float = math.inf
    needed_timeout_s: float = 0.0
    latency_s: float = 0.0
    losing_s: float = 0.0
    unpredicted_s: float = 0.0
    tick_reasons: Mapping[SkipReason, int] = field(default_factory=dict)
    n_waiting: int = 0
    waiting_s: float = 0.0
    doubled_s: float = 0.0
    n_doubles: int = 0
    climb_m_s: float = 0.0
    given_away_s: float = math.inf
    has_wrong_velocities: bool = False
    hold_s: float = 0.0
    frozen: tuple[str, ...] = ()
    age_s: float = math.inf

    def share_lost(self, reason: SkipReason) -> float:
        """Share of its entries that are left out for a reason."""
        return self.lost.get(reason, 0) / max(self.n_entries, 1)


@dataclass
class Snapshot:
    """All that the rules look at; `DiagnosticsLog` keeps it up to date.

    Attributes:
        state: of the node.
        surroundings: of the node.
        trackers: what each tracker sent.
        counters: of the predictor, in total.
        variance_m2: median over the people of the larger variance of the trackers' positions.
        growth: median ratio of the areas of the last ellipse with that and without.
        refusals: kind -> text of messages that were rejected since the last report.
        failure: why the last tick failed since the last report; empty if none did.
        robot_lost: the robot's position was unknown in a tick since the last report.
        rate_hz: measured ticks per second; None if unknown.
        n_tracked: people in the newest tick.
        n_predicted: those that were predicted.
        few_predicted_s: time for which less than half of the people are predicted, seconds.
        tick_reasons: why people were not predicted since the last report.
    """

    state: NodeState = NodeState("unconfigured")
    surroundings: Surroundings = field(default_factory=Surroundings)
    trackers: Collection[TrackerCounts] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    variance_m2: float = 0.0
    growth: float = 1.0
    refusals: dict[str, str] = field(default_factory=dict)
    failure: str = ""
    robot_lost: bool = False
    rate_hz: float | None = None
    n_tracked: int = 0
    n_predicted: int = 0
    few_predicted_s: float = 0.0
    tick_reasons: Counter[SkipReason] = field(default_factory=Counter)

    @property
    def waits_for(self) -> str:
        """What a node that is not active waits for."""
        label = "activate" if self.state.lifecycle == "inactive" else "configure"
        if self.surroundings.waits_for_manager:
            cause = f"it waits for its lifecycle manager to {label} it (autostart is false)"
        else:
            cause = f"a lifecycle transition stopped it; ros2 lifecycle set NODE {label} starts it"
        return f"{self.state.lifecycle}, nobody is predicted: {cause}"


def quoted(text: str) -> str:
    """A value of a message, as a text shows it."""
    return ascii(text[:_MAX_EXAMPLE])


class Lasting:
    """For how long something has been so."""

    def __init__(self) -> None:
        self._began: float | None = None

    def follow(self, is_so: bool, began: float, now: float) -> float:
        """The time for which it is so, 0 if it is not.

        Args:
            is_so: whether it is so now.
            began: when it began, if it was not so at the last call.
            now: the present time, in the same unit.
        """
        if not is_so:
            self._began = None
            return 0.0
        if self._began is None:
            self._began = began
        return now - self._began


def added_uncertainty(tick: Tick | None, *, is_added: bool) -> tuple[float, float]:
    """Uncertainty that trackers add to a tick: `variance_m2` and `growth` of a `Snapshot`.

    Args:
        tick: the newest one; None without any.
        is_added: the tracker's covariance is added to the predicted ones.
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
