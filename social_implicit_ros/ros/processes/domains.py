"""Finds a ROS domain for nodes that must be isolated from others."""

from __future__ import annotations

import random
import socket
from collections import deque

#: Domains whose ports are below Linux's ephemeral range, without 0, the default of all nodes.
DOMAIN_IDS = range(1, 102)
#: Offsets within the 250 ports of a domain: discovery ports of participants, and one port that DDS
#: does not use. All participants are checked, as the first ones may have ended before later ones.
_PARTICIPANTS, _RESERVATION = range(10, 250, 2), 5

#: Held until the nodes have started, so that no other process chooses the same domain.
_reservations: deque[socket.socket] = deque(maxlen=10)


class NoDomainError(RuntimeError):
    """All domains are in use."""


def reserve_domain() -> int:
    """Chooses a domain that no program on this machine uses.

    The domain stays reserved while this process runs, until it has reserved ten more.

    Source: a domain owns 250 UDP ports from 7400 + 250 x domain on; its participants listen on the
    tenth and every second one after it (DDS-RTPS 2.5, section 9.6.2).

    Raises:
        NoDomainError: all are in use.
    """
    for domain_id in random.sample(DOMAIN_IDS, len(DOMAIN_IDS)):
        first_port = 7400 + 250 * domain_id
        reservation = _bound_socket(first_port + _RESERVATION)
        if reservation is None:
            continue
        if all(_is_free(first_port + offset) for offset in _PARTICIPANTS):
            _reservations.append(reservation)
            return domain_id
        reservation.close()
    raise NoDomainError(
        f"every ROS domain from {DOMAIN_IDS[0]} to {DOMAIN_IDS[-1]} is in use on this machine"
    )


def _is_free(port: int) -> bool:
    probe = _bound_socket(port)
    if probe is not None:
        probe.close()
    return probe is not None


def _bound_socket(port: int) -> socket.socket | None:
    """A UDP socket on the port; None where another process has it."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.bind(("", port))
    except OSError:
        bound.close()
        return None
    return bound
