"""Nodes under test, each in a domain of its own on this machine only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.ros import NodeUnderTest, Peer, free_domain, ros_arguments, running


@pytest.fixture(scope="session", autouse=True)
def this_machine_only() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        patch.setenv("PYTHONUNBUFFERED", "1")
        yield


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., NodeUnderTest]]:
    """Starts the predictor with parameters, in a domain that no one else uses."""
    with ExitStack() as stack:

        def start_node(*extra: str, **parameters: Any) -> NodeUnderTest:
            return enter_node(stack, tmp_path, list(extra), parameters)

        yield start_node


@pytest.fixture(scope="module")
def on_message(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeUnderTest]:
    """One node for a module's tests: it predicts at every message and has default outputs."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("node")
        yield enter_node(stack, folder, [], {"tick_rate_hz": 0.0, "model": "constant_velocity"})


def enter_node(
    stack: ExitStack, folder: Path, extra: list[str], parameters: dict[str, Any]
) -> NodeUnderTest:
    domain = free_domain()
    arguments = [*ros_arguments(**parameters), *extra]
    process = stack.enter_context(
        running("predictor_node", arguments, domain=domain, folder=folder)
    )
    peer = Peer(domain)
    stack.callback(peer.close)
    return NodeUnderTest(process, peer)
