"""Nodes of different processes get different domains."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from social_implicit_ros.ros.processes import domains
from social_implicit_ros.ros.processes.domains import NoDomainError, reserve_domain


@pytest.fixture(autouse=True)
def two_domains(monkeypatch: pytest.MonkeyPatch) -> range:
    """Makes the choice small: two domains that no other test uses."""
    first = random.randrange(102, 230)
    monkeypatch.setattr(domains, "DOMAIN_IDS", range(first, first + 2))
    monkeypatch.setattr(domains, "_reservations", [])
    return range(first, first + 2)


@pytest.fixture
def participate() -> Iterator[Callable[[int, int], None]]:
    """Takes the port of a participant of a domain; the first one has index 0."""
    with ExitStack() as stack:

        def bind(domain_id: int, index: int) -> None:
            participant = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            participant.bind(("127.0.0.1", 7410 + 250 * domain_id + 2 * index))

        yield bind


@pytest.mark.parametrize("index", [0, 1, 18, 119], ids="participant {}".format)
def test_a_domain_with_a_participant_is_not_chosen(
    index: int, two_domains: range, participate: Callable[[int, int], None]
) -> None:
    taken, free = two_domains
    participate(taken, index)

    assert reserve_domain() == free


def test_a_domain_is_chosen_once(two_domains: range) -> None:
    assert {reserve_domain(), reserve_domain()} == set(two_domains)

    with pytest.raises(NoDomainError, match=r"every ROS domain from .* is in use"):
        reserve_domain()


def test_another_process_does_not_choose_a_reserved_domain(two_domains: range) -> None:
    (other,) = set(two_domains) - {reserve_domain()}

    printed = subprocess.run(
        [
            sys.executable,
            "-c",
            "from social_implicit_ros.ros.processes import domains\n"
            f"domains.DOMAIN_IDS = {two_domains}\n"
            "print(domains.reserve_domain())",
        ],
        capture_output=True,
        check=True,
        text=True,
    ).stdout

    assert int(printed) == other


def test_a_domain_is_free_again_after_its_reservation(two_domains: range) -> None:
    for _ in two_domains:
        reserve_domain()
    domains._reservations.pop().close()

    assert reserve_domain() in two_domains
