"""Ends a node's process on SIGINT and SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def catch_stop_signals() -> Callable[[], bool]:
    """Takes SIGINT and SIGTERM over from Python and rclpy, which would end a tick halfway.

    The first signal asks the process to stop. All later ones are ignored: `ros2 launch` and the
    terminal both send SIGINT for one Ctrl-C.

    Returns:
        A function that tells whether a signal has arrived.
    """
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        # An exiting interpreter resets handlers, but leaves ignored signals ignored.
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        stopping = True

    for number in _SIGNALS:
        signal.signal(number, stop)
    return lambda: stopping
