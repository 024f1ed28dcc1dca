"""Numbers (uint32) and marker ids under which agents are published."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MAX_AGENT_NUMBER = 2**32 - 1
MAX_DIGITS = len(str(MAX_AGENT_NUMBER))
#: Size of the cylinder that represents a person, metres.
PERSON_HEIGHT_M = 1.7
PERSON_WIDTH_M = 0.45
LARGEST_INT32 = 2**31 - 1


def agent_number(agent_id: str) -> int:
    """The tracker's id if it is a uint32, else its CRC-32, which is the same on all machines.

    Args:
        agent_id: the tracker's id as text, such as `7` or `people/7`.
    """
    if agent_id.isascii() and agent_id.isdigit() and len(agent_id) <= MAX_DIGITS:
        number = int(agent_id)
        # `007` and `7` are different tracks.
        if number <= MAX_AGENT_NUMBER and str(number) == agent_id:
            return number
    return zlib.crc32(agent_id.encode(errors="backslashreplace"))


def marker_id(agent_id: str) -> tuple[str, int]:
    """Namespace and id of an agent's marker; agents that were read from markers keep theirs.

    `people/7` becomes (`people`, 7). Any other id becomes (`pedestrian`, `agent_number`).
    """
    namespace, _, number = agent_id.rpartition("/")
    if namespace and number == str(agent_number(number)) and int(number) <= LARGEST_INT32:
        return namespace, int(number)
    return "pedestrian", agent_number(agent_id) & LARGEST_INT32


class AgentNumbers:
    """Assigns numbers to the agents of consecutive ticks, unique within a tick.

    If two ids have the same number (a 32-bit hash: one pair in 4e9), the earlier agent keeps it.
    The other one gets the next free number and keeps that while it is predicted.
    """

    def __init__(self, largest: int = MAX_AGENT_NUMBER) -> None:
        """Starts empty; numbers above `largest` wrap around."""
        self._n_numbers = largest + 1
        self._number_of_id: dict[str, int] = {}

    def assign(self, ids: Sequence[str]) -> NDArray[np.uint32]:
        """The numbers of the agents of a tick.

        Args:
            ids: (A,) the tracker's ids, without duplicates.

        Returns:
            (A,) uint32, see `agent_number`.
        """
        before = self._number_of_id
        self._number_of_id = {i: before[i] for i in ids if i in before}
        taken = set(self._number_of_id.values())
        for agent_id in ids:
            if agent_id not in self._number_of_id:
                number = agent_number(agent_id) % self._n_numbers
                while number in taken:
                    number = (number + 1) % self._n_numbers
                taken.add(number)
                self._number_of_id[agent_id] = number
        return np.array([self._number_of_id[i] for i in ids], dtype=np.uint32)
