"""Ends a node's process on SIGINT and SIGTERM, and on SIGHUP, when its terminal closes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

#: Windows has no SIGHUP.
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_received: list[int] = []


def catch_stop_signals() -> Callable[[], bool]:
    """Replaces the handlers of Python and rclpy, which would interrupt a tick.

    The first signal asks the process to stop. All later ones are ignored: `ros2 launch` and the
    terminal both send SIGINT for one Ctrl-C. Call it as early as possible, and again where the
    result is needed.

    Returns:
        A function that returns whether a signal has arrived.
    """
    if not _received:
        take_over(_stop)
    return lambda: bool(_received)


def take_over(handler: Callable[[int, FrameType | None], None]) -> None:
    """Installs a handler of the stop signals; SIGHUP stays ignored under `nohup`."""
    for number in STOP_SIGNALS:
        is_ignored = signal.getsignal(number) is signal.SIG_IGN
        if number in (signal.SIGINT, signal.SIGTERM) or not is_ignored:
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    # An exiting interpreter resets handlers, but leaves ignored signals ignored.
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    _received.append(number)
