"""Chooses which agents are kept if there are more than `max_agents`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import ROBOT_ID, FloatArray, IntArray, Tracks

#: A new agent replaces a remembered one only if it is nearer by more than this, metres. Otherwise
#: two people at the same distance would replace each other at every message.
_NEARER_M = 1.0
#: A track that was not reported for longer may be replaced by any reported one, seconds.
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
    """Remembered or new agents beyond `max_agents`: all but the nearest to the robot.

    Tracks that are no longer reported are removed first, so that a new id in every message does not
    keep others out. A track with a single observation counts as no longer reported if the next
    message lacks it. The robot does not count: it replaces nobody, and is never replaced.

    Args:
        ids: (A,) remembered agents.
        newest_ns: (A,) stamps of their newest observations, integer nanoseconds.
        newest_m: (A, 3) states of these observations, metres.
        began_ns: (A,) stamps of their first observations, integer nanoseconds.
        trackers: (A,) numbers of their trackers, from 0.
        tracks: the message.
        columns: id -> column in `tracks`, of the agents of the message.
        centre_m: (2,) position of the robot if it is not remembered, metres.
        max_agents: maximum number of agents.
    """
    known = set(ids)
    new = [name for name in columns if name not in known]
    if ROBOT_ID in known:
        centre_m = newest_m[ids.index(ROBOT_ID), :2]
    is_of_source = np.array([name.startswith(tracks.source) for name in ids], dtype=np.bool_)
    is_reported = np.array([name in columns for name in ids], dtype=np.bool_)
    # The newest stamp of each tracker; this message may be late.
    latest_ns = np.zeros(trackers.max(initial=0) + 1, dtype=np.int64)
    np.maximum.at(latest_ns, trackers, newest_ns)
    latest_ns = latest_ns[trackers]
    latest_ns[is_of_source] = np.maximum(latest_ns[is_of_source], tracks.stamp_ns)
    unseen_ns = latest_ns - newest_ns
    # Not for messages with one entry, as some trackers send each person in a separate message.
    once = (began_ns == newest_ns) & (len(columns) > 1) & is_of_source
    missed = (unseen_ns > 0) & (once | (unseen_ns > _MISSED_S * NS_PER_S)) & ~is_reported
    new_m = tracks.positions_m[[columns[name] for name in new]]
    distances_m = np.hypot(*(np.concatenate([newest_m[:, :2], new_m]) - centre_m).T)
    distances_m[len(ids) :] += _NEARER_M
    is_last = np.concatenate([missed, np.zeros(len(new), dtype=np.bool_)])
    names = [*ids, *new]
    by_priority = (names[at] for at in np.lexsort([distances_m, is_last]).tolist())
    return [name for name in by_priority if name != ROBOT_ID][max_agents:]
