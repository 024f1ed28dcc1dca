"""The bond for Nav2's lifecycle manager: heartbeats while active, and a last message."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from support.ros import NodeUnderTest

from social_implicit_ros.ros.bond import status_class

pytest.importorskip("bond.msg", reason="needs the package bond")


def test_heartbeats_continue_while_the_node_is_active(start: Callable[..., NodeUnderTest]) -> None:
    node = start(model="constant_velocity", bond=True)
    statuses = node.peer.collect(status_class(), "/bond")
    node.wait_for(lambda: len(statuses) >= 3, "three heartbeats")
    first = statuses[0]
    assert (first.id, first.active) == ("predictor", True) and first.instance_id
    assert first.heartbeat_period < first.heartbeat_timeout
    assert node.transition("deactivate")
    node.wait_for(lambda: not statuses[-1].active, "the end of the bond")
    assert {status.instance_id for status in statuses} == {first.instance_id}


def test_without_its_messages_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bond.msg", None)
    with pytest.raises(ValueError, match=r"sudo apt install ros-\$ROS_DISTRO-bond"):
        status_class()
