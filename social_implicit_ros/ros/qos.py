"""Every QoS profile of the package, with its reason.

Parameters (`qos_overrides.<topic>...`) override history, depth and reliability.
"""

from __future__ import annotations

from functools import partial

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

_OVERRIDABLE = {
    "history": ("keep_last", "keep_all", "system_default"),
    "reliability": ("reliable", "best_effort", "system_default"),
}
_MAX_DEPTH = 10_000


def _keep_last(
    depth: int,
    reliability: ReliabilityPolicy,
    durability: DurabilityPolicy = DurabilityPolicy.VOLATILE,
) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=durability,
    )


# Each is a function, as rclpy changes a profile that parameters override.

#: Best effort, which matches reliable and best-effort publishers. Depth 10, so that a burst after a
#: delay still fills the histories.
tracks = partial(_keep_last, 10, ReliabilityPolicy.BEST_EFFORT)
#: Best effort as `tracks`; depth 1, as only the latest pose is used.
odometry = partial(_keep_last, 1, ReliabilityPolicy.BEST_EFFORT)
#: Best effort as `tracks`; depth 1, as only the newest plan is used.
plan = partial(_keep_last, 1, ReliabilityPolicy.BEST_EFFORT)
#: Best effort as `tracks`; depth 1000, as all publishers of a robot share the topic.
transforms = partial(_keep_last, 1000, ReliabilityPolicy.BEST_EFFORT)
#: What tf2's static broadcasters offer: reliable and transient local; depth 100, as tf2.
static_transforms = partial(
    _keep_last, 100, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL
)
#: Reliable, which matches reliable and best-effort subscribers. Depth 2, as a newer prediction
#: replaces one that was not read in time.
predictions = partial(_keep_last, 2, ReliabilityPolicy.RELIABLE)
#: Reliable and depth 5, as a lost deletion leaves a marker behind.
markers = partial(_keep_last, 5, ReliabilityPolicy.RELIABLE)
#: What Nav2's static layer requests: reliable and transient local, depth 1.
costmap = partial(_keep_last, 1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
#: What map servers offer: reliable and transient local, depth 1.
map_ = costmap
#: Reliable with depth 10, as diagnostic aggregators subscribe.
diagnostics = partial(_keep_last, 10, ReliabilityPolicy.RELIABLE)
#: Reliable, which matches reliable and best-effort subscribers; depth 10 as `tracks`.
replayed_tracks = partial(_keep_last, 10, ReliabilityPolicy.RELIABLE)
#: As rclcpp's ClockQoS: best effort with depth 1, as only the latest time is used.
clock = partial(_keep_last, 1, ReliabilityPolicy.BEST_EFFORT)
#: For subscribers that measure: reliable with depth 100, so that a delay loses no message.
every_prediction = partial(_keep_last, 100, ReliabilityPolicy.RELIABLE)


def check_override(name: str, value: object) -> None:
    """Checks a parameter `qos_overrides.<topic>...`; rclpy's own errors name no expected value.

    Raises:
        ValueError: a policy that cannot be overridden, or an invalid value.
    """
    policy = name.rpartition(".")[2]
    if policy == "depth":
        if type(value) is not int or not 1 <= value <= _MAX_DEPTH:
            raise ValueError(f"{name} is {value!r}, expected an integer from 1 to {_MAX_DEPTH}")
        return
    choices = _OVERRIDABLE.get(policy)
    if choices is None:
        raise ValueError(f"{name} cannot be set, only {', '.join(_OVERRIDABLE)} and depth can")
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(choices)}")


def overridable() -> QoSOverridingOptions:
    """Allows parameters to override history, depth and reliability."""
    return QoSOverridingOptions.with_default_policies()
