"""Finds tracks of the robot itself, which for example ceiling cameras report."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.messages.agent_ids import ROBOT_ID
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import Tracks

#: A track within this distance of the robot's centre for this time is the robot, as people cannot
#: stand there.
_NEAR_M, _CONFIRM_NS = 0.3, NS_PER_S
#: Distance beyond which such a track counts as a person again, metres.
_APART_M = 0.5
#: Longest time over which the robot's motion is extrapolated for a comparison, seconds.
_MAX_GAP_S = 1.0


class RobotTracks:
    """Finds tracks that stay at the position of the robot."""

    def __init__(self) -> None:
        self._near_since_ns: dict[str, int] = {}  # by id
        #: Tracks that are the robot.
        self.ids: tuple[str, ...] = ()

    def observe(self, tracks: Tracks, history: TrackHistory) -> list[str]:
        """Compares the tracks of a message with the robot, unless its position is unknown.

        Args:
            tracks: a renamed message.
            history: the history after the message was added.

        Returns:
            A log text for each track that is newly recognised as the robot.
        """
        unknown = set(history.unknown((ROBOT_ID, *tracks.ids, *self._near_since_ns)))
        self._near_since_ns = {i: ns for i, ns in self._near_since_ns.items() if i not in unknown}
        seen = tuple(i for i in dict.fromkeys(tracks.ids) if i not in unknown)
        if ROBOT_ID not in unknown and seen:
            stamps_ns, states_m = history.newest(seen)
            robot = history.motions((ROBOT_ID,))
            gaps_s = (stamps_ns - robot.stamps_ns) / NS_PER_S
            distances_m = np.hypot(*(states_m[:, :2] - robot.extrapolated_m(gaps_s)).T)
            # Only tracks that are near now, or were before, need a comparison.
            matters = (distances_m <= _NEAR_M) | [i in self._near_since_ns for i in seen]
            for row in np.flatnonzero(matters & (np.abs(gaps_s) <= _MAX_GAP_S)).tolist():
                self._compare(seen[row], float(distances_m[row]), int(stamps_ns[row]))
        before = self.ids
        self.ids = tuple(i for i in self._near_since_ns if self._is_robot(i, tracks.stamp_ns))
        return [
            f"track {agent_id[:40]!a} stays within {_NEAR_M} m of the robot's position: it is the "
            "robot itself and is not predicted"
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
