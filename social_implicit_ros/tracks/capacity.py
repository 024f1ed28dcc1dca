"""Which agents are kept if there are more than `max_agents`."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import BoolArray, FloatArray, IntArray

#: A new agent replaces a remembered one only if it is nearer by more than this, metres. Otherwise
#: two people at the same distance would replace each other at every message.
_NEARER_M = 1.0
#: A track that is not reported for longer gives its place to one that is, seconds.
_MISSED_S = 0.25


def by_priority(
    remembered_m: FloatArray, new_m: FloatArray, centre_m: FloatArray, missed: BoolArray
) -> list[int]:
    """Order in which agents are kept: the nearest first.

    Tracks that the tracker does not report any more come last, so that ids that change at every
    message do not keep others out.

    Args:
        remembered_m: (A, 2) newest positions, metres.
        new_m: (N, 2) positions of agents that are not remembered, metres.
        centre_m: (2,) position of the robot, metres.
        missed: (A,) whether remembered agents are not reported any more.

    Returns:
        (A + N,) indices, first of the remembered, then of the new agents.
    """
    distances_m = np.hypot(*(np.concatenate([remembered_m, new_m]) - centre_m).T)
    distances_m[len(remembered_m) :] += _NEARER_M
    is_last = np.concatenate([missed, np.zeros(len(new_m), dtype=np.bool_)])
    order: list[int] = np.lexsort([distances_m, is_last]).tolist()
    return order


def is_missed(
    newest_ns: IntArray,
    began_ns: IntArray,
    trackers: IntArray,
    *,
    is_mine: BoolArray,
    is_reported: BoolArray,
    n_reported: int,
    stamp_ns: int,
) -> BoolArray:
    """(A,) whether remembered agents are not reported by their trackers any more.

    A track that was reported once is missed at the next message; a tracker may send each person
    in a message of its own, though.

    Args:
        newest_ns: (A,) newest observations, integer nanoseconds.
        began_ns: (A,) first observations, integer nanoseconds.
        trackers: (A,) number of each agent's tracker, from 0.
        is_mine: (A,) whether agents are of the tracker whose message arrived.
        is_reported: (A,) whether agents are in that message.
        n_reported: all agents in that message.
        stamp_ns: of that message, integer nanoseconds.
    """
    # A late message does not make others recent.
    latest_ns = np.zeros(trackers.max(initial=0) + 1, dtype=np.int64)
    np.maximum.at(latest_ns, trackers, newest_ns)
    latest_ns = latest_ns[trackers]
    latest_ns[is_mine] = np.maximum(latest_ns[is_mine], stamp_ns)
    unseen_ns = latest_ns - newest_ns
    once = (began_ns == newest_ns) & (n_reported > 1) & is_mine
    missed: BoolArray = (unseen_ns > 0) & (once | (unseen_ns > _MISSED_S * NS_PER_S))
    return missed & ~is_reported
