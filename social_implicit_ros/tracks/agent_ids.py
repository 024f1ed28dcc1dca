"""The number under which an agent is published."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: The robot's own id in the histories, which no tracker's text can be.
ROBOT_ID = "\0robot"
MAX_AGENT_NUMBER = 2**32 - 1
MAX_DIGITS = len(str(MAX_AGENT_NUMBER))


def agent_number(agent_id: str) -> int:
    """The tracker's own id where it is a uint32, else a stable hash of it.

    Args:
        agent_id: the tracker's id as text, such as `7` or `people/7`.

    Returns:
        A uint32; for ids that are no such number their CRC-32, the same in every process and on
        every machine.
    """
    if agent_id.isascii() and agent_id.isdigit() and len(agent_id) <= MAX_DIGITS:
        number = int(agent_id)
        # `007` is another track than `7`.
        if number <= MAX_AGENT_NUMBER and str(number) == agent_id:
            return number
    return zlib.crc32(agent_id.encode(errors="backslashreplace"))


class AgentNumbers:
    """Numbers of the agents of one tick after another, no two of a tick alike.

    Where two ids meet in one number (a hash of 32 bits: one pair in 4e9), the one that came first
    keeps it and the other takes the next free number, as long as it stays.
    """

    def __init__(self, largest: int = MAX_AGENT_NUMBER) -> None:
        """Takes the largest number there may be; larger ones begin again at 0."""
        self._n_numbers = largest + 1
        self._number_of_id: dict[str, int] = {}

    def assign(self, ids: Sequence[str]) -> NDArray[np.uint32]:
        """The numbers of a tick's agents.

        Args:
            ids: (A,) the tracker's ids, all different.

        Returns:
            (A,) uint32, see `agent_number`.
        """
        before = self._number_of_id
        self._number_of_id = {i: before[i] for i in ids if i in before}
        if len(self._number_of_id) < len(ids):
            taken = set(self._number_of_id.values())
            for agent_id in ids:
                if agent_id in self._number_of_id:
                    continue
                number = agent_number(agent_id) % self._n_numbers
                while number in taken:
                    number = (number + 1) % self._n_numbers
                taken.add(number)
                self._number_of_id[agent_id] = number
        return np.array([self._number_of_id[i] for i in ids], dtype=np.uint32)
