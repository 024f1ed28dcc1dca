"""Tracks as `visualization_msgs/Marker`: namespace, id and size of a person's marker."""

from __future__ import annotations

from social_implicit_ros.tracks.messages.agent_ids import agent_number

#: `visualization_msgs/Marker.ADD`, also MODIFY; other actions delete markers.
MARKER_ADD = 0
#: Size of the cylinder that represents a person, metres.
PERSON_HEIGHT_M = 1.7
PERSON_WIDTH_M = 0.45
_LARGEST_INT32 = 2**31 - 1


def marker_id(agent_id: str) -> tuple[str, int]:
    """Namespace and id of an agent's marker; agents that were read from markers keep theirs.

    `people/7` becomes (`people`, 7). Any other id becomes (`pedestrian`, `agent_number`).
    """
    namespace, _, number = agent_id.rpartition("/")
    if namespace and number == str(agent_number(number)) and int(number) <= _LARGEST_INT32:
        return namespace, int(number)
    return "pedestrian", agent_number(agent_id) & _LARGEST_INT32
