"""A Dask cluster gives the results of one process, even if a worker is killed."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet
from support.bags import people_messages, walkers, write_bag

from social_implicit_ros.commands import evaluate_bag
from social_implicit_ros.evaluation import runner as bag_runner

FAST = ("--model", "constant_velocity", "--moments", "2")
#: Columns that depend on the speed of the machine.
MEASURED = {"window_ms", "model_ms"}


@pytest.fixture
def distributed() -> Any:
    """Imported only here, so that not every process that runs tests imports it."""
    return pytest.importorskip("distributed", reason="the extra fleet is not installed")


@pytest.fixture
def cluster(distributed: Any) -> Iterator[Any]:
    """Two worker processes on this machine, which cannot be reached from outside."""
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
    ) as cluster:
        yield cluster


@pytest.fixture
def bags(tmp_path: Path) -> Path:
    for index in range(6):
        recording = walkers(duration_s=7.0, n_agents=2 + index % 3, speed_m_s=1.0 + 0.1 * index)
        write_bag(tmp_path / "bags" / f"bag_{index}", people_messages(recording))
    return tmp_path / "bags"


def results_in(folder: Path) -> Any:
    """Results without values that depend on the speed of the machine."""
    return _without_times(json.loads((folder / "results.json").read_text()))


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if not k.startswith("latency")}
    return [_without_times(v) for v in value] if isinstance(value, list) else value


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_gives_the_results_of_one_process(
    distributed, cluster, bags, tmp_path
):
    here, fleet = tmp_path / "here", tmp_path / "fleet"
    assert evaluate_bag.main([str(bags), "--out", str(here), *FAST, "--jobs", "1"]) == 0
    with distributed.Client(cluster.scheduler_address) as client:
        victim = next(iter(client.run(os.getpid).values()))
    codes: list[int] = []
    arguments = [str(bags), "--out", str(fleet), *FAST, "--backend", "dask"]
    evaluation = threading.Thread(
        target=lambda: codes.append(
            evaluate_bag.main([*arguments, "--scheduler", cluster.scheduler_address])
        )
    )

    evaluation.start()
    finished_a_part = threading.Event()
    while evaluation.is_alive() and not finished_a_part.wait(0.02):
        if any((fleet / "parts").glob("*.parquet")):
            finished_a_part.set()
    os.kill(victim, signal.SIGKILL)
    evaluation.join()

    assert codes == [0]
    assert results_in(fleet) == results_in(here)
    one, other = (parquet.read_table(out / "per_tick.parquet") for out in (here, fleet))
    assert one.num_rows > 100 and one.schema == other.schema
    for name in set(one.column_names) - MEASURED:
        np.testing.assert_array_equal(one[name].to_numpy(), other[name].to_numpy(), name)
    assert {file.suffix for file in (fleet / "parts").iterdir()} == {".parquet"}


@pytest.mark.usefixtures("distributed")
def test_a_scheduler_that_does_not_answer_is_reported(bags, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bag_runner, "SCHEDULER_PATIENCE_S", 0.5)
    arguments = [str(bags), "--out", str(tmp_path / "out"), *FAST, "--backend", "dask"]

    assert evaluate_bag.main([*arguments, "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in capsys.readouterr().err
