"""Tracks that are the robot itself: cameras at the ceiling see it, too."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.messages.agent_ids import ROBOT_ID
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import Tracks

#: A track nearer than this to the robot's centre for this time is the robot: nobody stands there.
_NEAR_M, _CONFIRM_NS = 0.3, NS_PER_S
#: Such a track is somebody again once it is farther away than this, metres.
_APART_M = 0.5
#: Longest time over which the robot's motion is extrapolated for a comparison, seconds.
_MAX_GAP_S = 1.0


class RobotTracks:
    """Finds the tracks that stay where the robot is."""

    def __init__(self) -> None:
        self._near_since_ns: dict[str, int] = {}  # by id
        #: Tracks that are the robot.
        self.ids: tuple[str, ...] = ()

    def observe(self, tracks: Tracks, history: TrackHistory) -> list[str]:
        """Compares the tracks of a message with the robot; while it is lost, nothing changes.

        Args:
            tracks: a renamed message.
            history: after the message was added.

        Returns:
            A text for each track that is the robot from now on.
        """
        unknown = set(history.unknown((ROBOT_ID, *tracks.ids, *self._near_since_ns)))
        self._near_since_ns = {i: ns for i, ns in self._near_since_ns.items() if i not in unknown}
        seen = tuple(i for i in dict.fromkeys(tracks.ids) if i not in unknown)
        if ROBOT_ID not in unknown and seen:
            stamps_ns, states_m = history.newest(seen)
            robot = history.motions((ROBOT_ID,))
            gaps_s = (stamps_ns - robot.stamps_ns) / NS_PER_S
            distances_m = np.hypot(*(states_m[:, :2] - robot.extrapolated_m(gaps_s)).T)
            # Nothing changes for people who are far away, and were before.
            matters = (distances_m <= _NEAR_M) | [i in self._near_since_ns for i in seen]
            for row in np.flatnonzero(matters & (np.abs(gaps_s) <= _MAX_GAP_S)).tolist():
                self._compare(seen[row], float(distances_m[row]), int(stamps_ns[row]))
        before = self.ids
        self.ids = tuple(i for i in self._near_since_ns if self._is_robot(i, tracks.stamp_ns))
        return [
            f"track {agent_id[:40]!a} stays within {_NEAR_M} m of the robot: it is the robot, and "
            "not predicted"
            for agent_id in self.ids
            if agent_id not in before
        ]

    def _compare(self, agent_id: str, distance_m: float, stamp_ns: int) -> None:
        limit_m = _APART_M if self._is_robot(agent_id, stamp_ns) else _NEAR_M
        if distance_m > limit_m:
            self._near_since_ns.pop(agent_id, None)
        else:
            self._near_since_ns.setdefault(agent_id, stamp_ns)

    def _is_robot(self, agent_id: str, stamp_ns: int) -> bool:
        return stamp_ns - self._near_since_ns.get(agent_id, stamp_ns) >= _CONFIRM_NS
