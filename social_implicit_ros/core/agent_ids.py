"""The number under which an agent is published."""

from __future__ import annotations

import zlib

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
