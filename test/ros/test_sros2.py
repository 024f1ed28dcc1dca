"""The endpoints of the node are in its namespace, except those that all nodes of a robot share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.outputs import installed_outputs
from support.ros import NodeUnderTest

from social_implicit_ros.ros.outputs.registry import OUTPUTS

POLICY = Path(__file__).resolve().parents[2] / "config" / "sros2_policy.xml"
#: Topics that every node shares.
SHARED = {"/bond", "/diagnostics", "/clock", "/tf", "/tf_static", "/parameter_events", "/rosout"}
#: Subscribed to only if transforms are needed and tf2 is installed.
TRANSFORMS = {"/tf", "/tf_static"}
#: Services of some distributions only.
SOME_DISTRIBUTIONS = {"/predictor/get_type_description"}


@pytest.fixture(scope="module")
def outputs() -> list[str]:
    return installed_outputs()


@pytest.fixture(scope="module")
def opened(start_once: Callable[..., NodeUnderTest], outputs: list[str]) -> dict[str, set[str]]:
    """Names that the node publishes, subscribes to and answers, with every output."""
    node = start_once(
        model="constant_velocity",
        use_sim_time=True,
        robot="odometry",
        bond=True,
        use_map=True,
        outputs=f"[{','.join(outputs)}]",
    )
    node.wait_for(lambda: node.state() == "active", "activation")
    peer = node.peer.node
    node.wait_for(lambda: "predictor" in peer.get_node_names(), "discovery of the node")
    ways = {
        "publish": peer.get_publisher_names_and_types_by_node,
        "subscribe": peer.get_subscriber_names_and_types_by_node,
        "reply": peer.get_service_names_and_types_by_node,
        "request": peer.get_client_names_and_types_by_node,
    }

    def names(way: str) -> set[str]:
        return {name for name, _ in ways[way]("predictor", "/")}

    def complete() -> bool:
        return all(needed <= names(way) for way, needed in needed_names(outputs).items())

    # Endpoints of another process become known one after another.
    node.wait_for(complete, "discovery of every endpoint that the policy allows")
    return {way: names(way) for way in ways}


def allowed() -> dict[str, set[str]]:
    """What the policy file allows, by way, with full names."""
    rights: dict[str, set[str]] = {way: set() for way in ("publish", "subscribe", "reply")}
    for profile in ElementTree.parse(POLICY).iter("profile"):
        own = f"{profile.get('ns')}{profile.get('node')}"
        for names in profile:
            for way in names.attrib:
                rights[way] |= {str(name.text).replace("~", own, 1) for name in names}
    return rights


def needed_names(outputs: list[str]) -> dict[str, set[str]]:
    """What the policy file allows and this node, with these outputs, opens."""
    not_installed = {f"/predictor/{name}" for name in OUTPUTS if name not in outputs}
    not_now = TRANSFORMS | SOME_DISTRIBUTIONS | not_installed
    return {way: names - not_now for way, names in allowed().items()}


def test_nothing_is_opened_outside_of_the_nodes_namespace(opened: dict[str, set[str]]) -> None:
    for names in opened.values():
        assert {name for name in names if not name.startswith("/predictor/")} <= SHARED


def test_the_node_calls_no_service(opened: dict[str, set[str]]) -> None:
    assert opened["request"] == set()


def test_the_policy_allows_what_the_node_needs_and_no_more(
    opened: dict[str, set[str]], outputs: list[str]
) -> None:
    for way, names in needed_names(outputs).items():
        assert opened[way] - allowed()[way] == set(), "needed, and not allowed"
        assert names - opened[way] == set(), "allowed, and not needed"
