"""Timing of functions in turns on one core, so that disturbances affect all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

#: Minimum duration of a block of calls, and minimum number of calls.
_BLOCK_S = 0.02
_N_CALLS = 5


def times_s(functions: Sequence[Callable[[], object]], *, n_rounds: int) -> list[float]:
    """CPU time per call of each function in seconds, median over blocks.

    The functions take turns, a block of calls each. Time of other processes does not count.
    """
    blocks: list[list[float]] = [[] for _ in functions]
    for _ in range(n_rounds):
        for function, times in zip(functions, blocks, strict=True):
            times.append(_block(function, _BLOCK_S))
    return [float(np.median(times)) for times in blocks]


def rate_hz(function: Callable[[], object], *, duration_s: float = 2.0) -> float:
    """Calls per second of CPU time, over the given duration."""
    return 1.0 / _block(function, duration_s)


def _block(function: Callable[[], object], block_s: float) -> float:
    function()  # warms the caches
    n_calls, end_s, started_s = 0, time.perf_counter() + block_s, time.thread_time()
    while n_calls < _N_CALLS or time.perf_counter() < end_s:
        function()
        n_calls += 1
    return (time.thread_time() - started_s) / n_calls


@contextmanager
def on_core(place: int) -> Iterator[None]:
    """Pins this thread, and the threads and processes that it starts, to one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[place % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
