"""Every quality of service, each with its reason.

Users may override history, depth and reliability by parameters (`qos_overrides.<topic>...`).
"""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

_OVERRIDABLE = {
    "history": ("keep_last", "keep_all", "system_default"),
    "reliability": ("reliable", "best_effort", "system_default"),
}
_MAX_DEPTH = 10_000


def odometry() -> QoSProfile:
    """As `tracks`; only the latest pose counts."""
    return _keep_last(1, ReliabilityPolicy.BEST_EFFORT)


def tracks() -> QoSProfile:
    """Best effort, as that connects to reliable and best-effort trackers alike.

    Ten deep, so that a burst after a busy moment still fills the histories.
    """
    return _keep_last(10, ReliabilityPolicy.BEST_EFFORT)


def predictions() -> QoSProfile:
    """Reliable, as that serves reliable and best-effort subscribers alike.

    Two deep: a prediction that was not read in time is worth less than the next one.
    """
    return _keep_last(2, ReliabilityPolicy.RELIABLE)


def markers() -> QoSProfile:
    """Reliable, as a lost deletion leaves a ghost; a little deeper for the same reason."""
    return _keep_last(5, ReliabilityPolicy.RELIABLE)


def costmap() -> QoSProfile:
    """What Nav2's static layer asks for: reliable, and the last one for who comes late."""
    profile = _keep_last(1, ReliabilityPolicy.RELIABLE)
    profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
    return profile


def diagnostics() -> QoSProfile:
    """What aggregators subscribe with: reliable, ten deep."""
    return _keep_last(10, ReliabilityPolicy.RELIABLE)


def replayed_tracks() -> QoSProfile:
    """Reliable, as that serves reliable and best-effort subscribers alike; ten deep as `tracks`."""
    return _keep_last(10, ReliabilityPolicy.RELIABLE)


def clock() -> QoSProfile:
    """What rclcpp's ClockQoS is: only the latest time counts."""
    return _keep_last(1, ReliabilityPolicy.BEST_EFFORT)


def every_prediction() -> QoSProfile:
    """For listeners that measure: reliable and deep, so that a busy moment loses nothing."""
    return _keep_last(100, ReliabilityPolicy.RELIABLE)


def check_override(name: str, value: object) -> None:
    """Checks a parameter `qos_overrides.<topic>...`, of which rclpy says little when it fails.

    Raises:
        ValueError: a policy that cannot be overridden, or a value that it does not have.
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
    """Lets a parameter override history, depth and reliability."""
    return QoSOverridingOptions.with_default_policies()


def _keep_last(depth: int, reliability: ReliabilityPolicy) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=DurabilityPolicy.VOLATILE,
    )
