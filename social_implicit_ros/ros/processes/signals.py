"""Ends a node's process on SIGINT and SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []


def catch_stop_signals() -> Callable[[], bool]:
    """Takes SIGINT and SIGTERM over from Python and rclpy, which would end a tick halfway.

    The first signal asks the process to stop. All later ones are ignored: `ros2 launch` and the
    terminal both send SIGINT for one Ctrl-C. May be called again, as early as possible and then
    where the answer is needed.

    Returns:
        A function that tells whether a signal has arrived.
    """
    if not _received:
        for number in _SIGNALS:
            signal.signal(number, _stop)
    return lambda: bool(_received)


def _stop(number: int, frame: FrameType | None) -> None:
    # An exiting interpreter resets handlers, but leaves ignored signals ignored.
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    _received.append(number)
