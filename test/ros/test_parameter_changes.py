"""A changed parameter never stops the ticks: what it needs is prepared in the background."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
from support.parameter_changes import N_PEOPLE
from support.ticking import Messages, TickingNode, stamps_from, ticking_node

from social_implicit_ros.ros.outputs.base import Output
from social_implicit_ros.settings import NodeConfig

TESTS = Path(__file__).parents[1]


def test_no_change_of_a_parameter_imports_anything_in_a_tick(tmp_path: Path) -> None:
    # A new process takes 5 s: only there is nothing imported yet.
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)]),
        "ROS_HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "support.parameter_changes"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120.0,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert {"n_samples", "seed", "confidence_levels", "costmap.size_m"} <= set(found["changed"])
    assert found["imports"] == []
    assert set(found["predicted"]) == {N_PEOPLE}


class Changing:
    """A ticking node whose preparations wait until they are released."""

    def __init__(self, ticking: TickingNode) -> None:
        self.released = Event()
        self.node = ticking.node
        self.set = ticking.set
        self._messages = Messages(N_PEOPLE, stamps_from(ticking._begin_ns))
        self._callback = ticking._subscription.callback
        preparation = self.node._configured().preparation
        prepare = preparation._prepare

        def wait(config: NodeConfig) -> dict[str, Output]:
            assert self.released.wait(60.0)
            return prepare(config)

        preparation._prepare = wait

    def tick(self) -> int:
        """Ticks once; returns the number of samples of the prediction."""
        self._callback(next(self._messages))
        newest = self.node._configured().predictor.last_tick
        assert newest is not None
        return len(newest.prediction.samples)

    def take(self) -> None:
        """Releases the preparation and waits for it."""
        self.released.set()
        self.node._configured().apply_changed_parameters(wait=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Changing]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_HOME", str(tmp_path_factory.mktemp("node")))
        with ticking_node(model="sampled_constant_velocity") as ticking:
            yield Changing(ticking)


@pytest.fixture
def changing(shared: Changing) -> Iterator[Changing]:
    shared.set(n_samples=20)
    for _ in range(3):
        shared.tick()
    shared.take()
    shared.released.clear()
    yield shared
    shared.released.set()


def test_ticks_go_on_with_the_old_value_until_the_new_one_is_prepared(changing: Changing) -> None:
    changing.set(n_samples=33)
    assert [changing.tick() for _ in range(20)] == [20] * 20
    changing.take()
    assert changing.tick() == 33


def test_of_several_changes_the_last_one_counts(changing: Changing) -> None:
    for n_samples in (30, 31, 32):
        changing.set(n_samples=n_samples)
        changing.tick()
    changing.set(self_evaluation_window_s=5.0)
    assert changing.tick() == 20
    changing.take()
    assert changing.tick() == 32
    assert changing.node._configured().config.predictor.self_evaluation_window_s == 5.0


def test_what_cannot_be_prepared_is_reported_and_changes_nothing(
    changing: Changing, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(config: NodeConfig) -> dict[str, Output]:
        raise MemoryError("no room")

    preparation = changing.node._configured().preparation
    prepare: Callable[[NodeConfig], dict[str, Output]] = preparation._prepare
    preparation._prepare = fail
    changing.set(n_samples=40)
    changing.tick()
    changing.take()
    assert changing.tick() == 20
    assert "changed parameters cannot take effect: not enough memory" in capfd.readouterr().err
    preparation._prepare = prepare
    changing.set(n_samples=41)
    changing.tick()
    changing.take()
    assert changing.tick() == 41
