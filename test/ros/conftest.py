"""Nodes under test, each in a domain of its own, on this machine only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.ros import NodeUnderTest, start_predictor


@pytest.fixture(scope="session", autouse=True)
def this_machine_only() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        patch.setenv("PYTHONUNBUFFERED", "1")
        yield


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., NodeUnderTest]]:
    """Starts the predictor with parameters, in a domain of its own."""
    with ExitStack() as stack:

        def start_node(*extra: str, **parameters: Any) -> NodeUnderTest:
            return start_predictor(stack, tmp_path, *extra, **parameters)

        yield start_node


@pytest.fixture(scope="module")
def start_once(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., NodeUnderTest]]:
    """As `start`, for a node that all tests of a module share."""
    with ExitStack() as stack:

        def start_node(*extra: str, **parameters: Any) -> NodeUnderTest:
            folder = tmp_path_factory.mktemp("node")
            return start_predictor(stack, folder, *extra, **parameters)

        yield start_node


@pytest.fixture(scope="module")
def shared_node(start_once: Callable[..., NodeUnderTest]) -> NodeUnderTest:
    """A node that ticks at every message, for all tests of a module."""
    return start_once(autostart=False, tick_rate_hz=0.0, model="constant_velocity")


@pytest.fixture
def restart(shared_node: NodeUnderTest) -> Iterator[Callable[..., NodeUnderTest]]:
    """As `start`, for what needs no process of its own: the shared node with other parameters."""
    yield shared_node.restart
    assert "Traceback" not in shared_node.process.output
