"""How much faster than real time a recording is evaluated (`make bench`)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.bags import START_NS, S, people_messages, write_bag

from social_implicit_ros.commands import evaluate_bag
from social_implicit_ros.types import Tracks

pytest.importorskip("pytest_benchmark", reason="needs pytest-benchmark (make bench)")

DURATION_S, RATE_HZ, N_PEOPLE, HALL_M = 600, 10, 30, 24.0
#: Duration in `make test`, which measures nothing and only checks that the command runs.
UNMEASURED_S = 10


def crowd(duration_s: int) -> list[Tracks]:
    """People who wander through a hall, seen with two centimetres of noise."""
    generator = np.random.default_rng(0)
    n_steps = duration_s * RATE_HZ + 1
    turns = generator.normal(0, 0.08, (n_steps, N_PEOPLE))
    heading = generator.uniform(0, 2 * np.pi, N_PEOPLE) + turns.cumsum(axis=0)
    steps_m = 1.2 / RATE_HZ * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    places_m = generator.uniform(0, HALL_M, (N_PEOPLE, 2)) + steps_m.cumsum(axis=0)
    # People turn back at the walls.
    places_m = HALL_M - np.abs(places_m % (2 * HALL_M) - HALL_M)
    places_m += generator.normal(0, 0.02, places_m.shape)
    ids = tuple(str(person) for person in range(N_PEOPLE))
    return [
        Tracks(START_NS + index * S // RATE_HZ, ids, places_m[index]) for index in range(n_steps)
    ]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    duration_s = UNMEASURED_S if pytestconfig.getoption("benchmark_disable") else DURATION_S
    return write_bag(tmp_path_factory.mktemp("bags") / "crowd", people_messages(crowd(duration_s)))


# Processor time, so that other programs on the machine have less effect.
@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("option", ["--adaptive", "--no-adaptive"])
def test_ten_minutes_of_thirty_people_at_ten_hertz(
    benchmark: Any, tables: Any, bag: Path, tmp_path: Path, option: str
) -> None:
    """The command as it is called, default models, one process, report and all."""
    arguments = [str(bag), "--out", str(tmp_path), "--jobs", "1", option]

    assert benchmark.pedantic(evaluate_bag.main, args=(arguments,), rounds=3, iterations=1) == 0

    if benchmark.stats is not None:  # with --benchmark-disable nothing is measured
        ratio = DURATION_S / benchmark.stats.stats.min
        tables.add_row("Recordings", figure=f"times faster than real time, {option}", value=ratio)
