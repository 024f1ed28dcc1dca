"""Finds a ROS domain for nodes that must not meet others."""

from __future__ import annotations

import random
import socket
from collections import deque

#: Linux never hands out the ports of domains 1 to 101 by itself; 0 is everybody's default.
DOMAIN_IDS = range(1, 102)
#: Of the 250 ports of a domain: those on which participants listen for discovery, and one that DDS
#: leaves unused. The first participants may have ended before later ones.
_PARTICIPANTS, _RESERVATION = range(10, 250, 2), 5

#: Nodes take a moment to start. Until then nobody else may choose the same domain.
_reservations: deque[socket.socket] = deque(maxlen=10)


class NoDomainError(RuntimeError):
    """All domains are in use."""


def reserve_domain() -> int:
    """Chooses a domain in which no program on this machine takes part.

    No other process on this machine chooses it while this one runs, until this process has reserved
    ten more.

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
