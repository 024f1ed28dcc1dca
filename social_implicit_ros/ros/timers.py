"""Timers of the node: steady unless time is simulated, as the system clock may be set back."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.clock import Clock, ClockType, ROSClock
from rclpy.node import Node
from rclpy.timer import Timer


def is_time_simulated(node: Node) -> bool:
    """Whether the node takes its time from `/clock`."""
    clock = node.get_clock()
    return isinstance(clock, ROSClock) and clock.ros_time_is_active


def steady_timer(node: Node, period_s: float, callback: Callable[[], None]) -> Timer:
    """A timer that continues while simulated time is paused."""
    return node.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))


class TickTimer:
    """The timer of the ticks; it uses simulated time if the node does."""

    def __init__(self, node: Node, callback: Callable[[], None]) -> None:
        """Creates no timer yet.

        Args:
            node: owns the timer.
            callback: called at each tick.
        """
        self._node = node
        self._callback = callback
        self._timer: Timer | None = None

    @property
    def is_running(self) -> bool:
        """Whether ticks come from a timer."""
        return self._timer is not None

    def restart(self, rate_hz: float) -> None:
        """Ticks at this rate from now on; 0 stops the ticks."""
        self.stop()
        if rate_hz == 0.0:
            return
        if is_time_simulated(self._node):
            self._timer = self._node.create_timer(1.0 / rate_hz, self._callback)
        else:
            self._timer = steady_timer(self._node, 1.0 / rate_hz, self._callback)

    def stop(self) -> None:
        """Stops the ticks."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
