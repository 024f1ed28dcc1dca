"""Times taken side by side, on one core, so that what disturbs one disturbs the other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

#: A block of calls takes at least so long, and has so many calls.
_BLOCK_S = 0.02
_N_CALLS = 5


def times_s(functions: Sequence[Callable[[], object]], *, n_rounds: int) -> list[float]:
    """Seconds of its core's time that a call of each function takes, the median over blocks.

    The functions take turns, a block of calls each. What the core does for other processes
    meanwhile does not count.
    """
    blocks: list[list[float]] = [[] for _ in functions]
    for _ in range(n_rounds):
        for function, times in zip(functions, blocks, strict=True):
            times.append(_block(function, _BLOCK_S))
    return [float(np.median(times)) for times in blocks]


def rate_hz(function: Callable[[], object], *, duration_s: float = 2.0) -> float:
    """Calls per second of the core's time, kept up for so long."""
    return 1.0 / _block(function, duration_s)


def _block(function: Callable[[], object], block_s: float) -> float:
    function()  # finds the caches cold
    n_calls, end_s, started_s = 0, time.perf_counter() + block_s, time.thread_time()
    while n_calls < _N_CALLS or time.perf_counter() < end_s:
        function()
        n_calls += 1
    return (time.thread_time() - started_s) / n_calls


@contextmanager
def on_core(place: int) -> Iterator[None]:
    """Keeps this thread, and threads and processes that it starts, on one of its cores."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[place % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
