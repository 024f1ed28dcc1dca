"""Times taken side by side, on one core, so that what disturbs one disturbs the other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

#: A block of calls is at least so long.
_BLOCK_S = 0.02
_N_CALLS = 5


def times_s(functions: Sequence[Callable[[], object]], *, n_rounds: int) -> list[float]:
    """Seconds that a call of each function takes.

    The functions take turns, a block of calls each. Of a block the fastest call counts, as other
    processes only ever make it slower, and of all blocks the median.
    """
    blocks: list[list[float]] = [[] for _ in functions]
    for _ in range(n_rounds):
        for function, fastest in zip(functions, blocks, strict=True):
            fastest.append(min(_block(function)))
    return [float(np.median(fastest)) for fastest in blocks]


def rate_hz(function: Callable[[], object], *, n_blocks: int = 10, block_s: float = 0.25) -> float:
    """Calls per second, kept up through a block; the best block, as others had less of the core."""
    blocks = (_block(function, block_s) for _ in range(n_blocks))
    return max(len(times) / sum(times) for times in blocks)


def _block(function: Callable[[], object], block_s: float = _BLOCK_S) -> list[float]:
    times: list[float] = []
    end_s = time.perf_counter() + block_s
    while len(times) < _N_CALLS or time.perf_counter() < end_s:
        started_s = time.perf_counter()
        function()
        times.append(time.perf_counter() - started_s)
    return times


@contextmanager
def on_core(place: int) -> Iterator[None]:
    """Keeps this thread, and threads and processes that it starts, on one of its cores."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[place % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
