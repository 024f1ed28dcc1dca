"""Which agents are kept if there are more than `max_agents`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from social_implicit_ros.tracks.messages.agent_ids import ROBOT_ID
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, IntArray, Tracks

#: A new agent replaces a remembered one only if it is nearer by more than this, metres. Otherwise
#: two people at the same distance would replace each other at every message.
_NEARER_M = 1.0
#: A track that is not reported for longer gives its place to one that is, seconds.
_MISSED_S = 0.25


def beyond_capacity(
    ids: tuple[str, ...],
    newest_ns: IntArray,
    newest_m: FloatArray,
    began_ns: IntArray,
    trackers: IntArray,
    tracks: Tracks,
    columns: Mapping[str, int],
    *,
    centre_m: FloatArray,
    max_agents: int,
) -> list[str]:
    """Agents, remembered or of a message, that are too many: all but the nearest to the robot.

    Tracks that the tracker does not report any more come last, so that ids that change at every
    message do not keep others out. A track that was reported once is missed at the next message.
    The robot is no pedestrian: it replaces nobody, and nobody replaces it.

    Args:
        ids: (A,) remembered agents.
        newest_ns: (A,) their newest observations, integer nanoseconds.
        newest_m: (A, 3) these, metres.
        began_ns: (A,) their first observations, integer nanoseconds.
        trackers: (A,) number of each one's tracker, from 0.
        tracks: the message.
        columns: of the agents of the message in `tracks`.
        centre_m: (2,) position of the robot if it is not remembered, metres.
        max_agents: that are kept.
    """
    known = set(ids)
    new = [name for name in columns if name not in known]
    if ROBOT_ID in known:
        centre_m = newest_m[ids.index(ROBOT_ID), :2]
    is_mine = np.array([name.startswith(tracks.source) for name in ids], dtype=np.bool_)
    is_reported = np.array([name in columns for name in ids], dtype=np.bool_)
    # A late message does not make others recent.
    latest_ns = np.zeros(trackers.max(initial=0) + 1, dtype=np.int64)
    np.maximum.at(latest_ns, trackers, newest_ns)
    latest_ns = latest_ns[trackers]
    latest_ns[is_mine] = np.maximum(latest_ns[is_mine], tracks.stamp_ns)
    unseen_ns = latest_ns - newest_ns
    # A tracker may send each person in a message of its own.
    once = (began_ns == newest_ns) & (len(columns) > 1) & is_mine
    missed = (unseen_ns > 0) & (once | (unseen_ns > _MISSED_S * NS_PER_S)) & ~is_reported
    new_m = tracks.positions_m[[columns[name] for name in new]]
    distances_m = np.hypot(*(np.concatenate([newest_m[:, :2], new_m]) - centre_m).T)
    distances_m[len(ids) :] += _NEARER_M
    is_last = np.concatenate([missed, np.zeros(len(new), dtype=np.bool_)])
    names = [*ids, *new]
    by_priority = (names[at] for at in np.lexsort([distances_m, is_last]).tolist())
    return [name for name in by_priority if name != ROBOT_ID][max_agents:]
