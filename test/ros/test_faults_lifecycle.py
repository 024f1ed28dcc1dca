"""Transitions in every order leak nothing; signals end the process."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from sensor_msgs.msg import PointCloud2
from support.processes import n_file_descriptors, n_threads, resident_bytes
from support.ros import STOP_SIGNALS, NodeUnderTest, start_predictor
from support.tracks import S, walkers_at
from visualization_msgs.msg import MarkerArray

#: State and transition -> the next state; every other transition is refused.
NEXT_STATE = {
    ("unconfigured", "configure"): "inactive",
    ("inactive", "activate"): "active",
    ("active", "deactivate"): "inactive",
    ("inactive", "cleanup"): "unconfigured",
}
TRANSITIONS = ("configure", "activate", "deactivate", "cleanup")
#: Python and the middleware allocate memory at first that they do not free.
ROUNDS_TO_WARM_UP = 30
#: For as many rounds; a leaked session takes several megabytes.
MAX_GROWTH_BYTES = 10e6


def test_all_transitions_in_every_order_many_times(
    start: Callable[..., NodeUnderTest],
) -> None:
    node = start(autostart=False, outputs="[pointcloud,samples,markers]")
    pid = node.process.process.pid
    drawn = random.Random(5)
    state, seen, n_configured = "unconfigured", set(), 0

    def footprint() -> tuple[int, int]:
        return n_file_descriptors(pid), n_threads(pid)

    before, before_bytes = footprint(), 0
    while n_configured < 2 * ROUNDS_TO_WARM_UP or state != "unconfigured":
        label = drawn.choice(TRANSITIONS)
        seen.add((state, label))
        expected = NEXT_STATE.get((state, label))
        assert node.transition(label) == (expected is not None), (state, label)
        if label == "configure" and expected:
            n_configured += 1
        if state == "unconfigured" and n_configured == ROUNDS_TO_WARM_UP and not before_bytes:
            before, before_bytes = footprint(), resident_bytes(pid)
        state = expected or state
    assert len(seen) == 3 * len(TRANSITIONS)
    assert node.state() == "unconfigured"
    assert footprint() == before
    assert resident_bytes(pid) - before_bytes < MAX_GROWTH_BYTES
    assert node.transition("shutdown")
    assert node.process.stop() == 0
    assert "Traceback" not in node.process.output


def test_signals_that_follow_the_first_are_ignored(start: Callable[..., NodeUnderTest]) -> None:
    node = start()
    node.wait_for(lambda: node.state() == "active", "activation")
    process = node.process.process
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.001)
    assert process.returncode == 0, node.process.output
    assert "Traceback" not in node.process.output


# SIGINT is that of the test before.
@pytest.mark.parametrize("number", STOP_SIGNALS[1:])
def test_a_signal_during_a_tick_ends_the_process_without_output(
    tmp_path: Path, number: signal.Signals
) -> None:
    with ExitStack() as stack:
        node = start_predictor(stack, tmp_path, "--log-level", "warn", tick_rate_hz=0.0)
        tracks = node.publisher(MarkerArray, "/predictor/tracks")
        clouds: list[PointCloud2] = node.collect(PointCloud2, "/predictor/predictions")
        # A metre apart after 10 s, as people who stay together are reported as listed twice.
        crowd = {f"people/{n}": (0.1 * (n % 20), 0.1 * (n // 20)) for n in range(200)}
        for n in range(40):
            tracks.publish(walkers_at(10 * S + n * S // 10, crowd))
        node.wait_for(lambda: len(clouds) > 1, "ticks")
        before = node.process.output  # a warning that no tracks arrive, on a slow machine
        assert node.process.stop(number) == 0
        assert node.process.output.removeprefix(before) == ""
