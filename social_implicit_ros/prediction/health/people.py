"""How the people of a tracker move and keep their ids, from report to report."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from statistics import fmean, median

import numpy as np

from social_implicit_ros.prediction.health.snapshot import PATIENCE_S
from social_implicit_ros.prediction.pipeline import Tick
from social_implicit_ros.tracks.identities.pairing import close_rows
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import ROBOT_ID, FloatArray, SkipReason

#: The median lifetime of ids is that of the last seconds, if at least this many ids ended.
_LIFETIMES_S, _MIN_ENDED = 10.0, 5
#: Ids that still live count from this age on, seconds; the final lifetime of younger ones is open.
_MIN_AGE_S = 1.0
#: Maximum number of ids in memory, against trackers that give every entry a new one.
_MAX_IDS = 20_000
#: A person whose newest position is older is not reported any more, seconds.
_REPORTED_S = 0.6
#: If most people have another one within this distance, they are reported twice, metres. People
#: in crowds do not walk that close.
_OVERLAP_M = 0.3
#: The same within a larger distance (metres) for at least this share of at least this many people,
#: if each has exactly one other. Couples are never that frequent.
_PAIRED_M, _PAIRED_SHARE, _MIN_PAIRED = 0.6, 0.8, 6
#: Number of reports over which motion is measured: longer than people take to bend down.
_N_PLACES = 4
#: Minimum time between the first and the last of these positions for a rate of climb, seconds.
_FOLLOWED_S = 1.5
#: People move if they are faster than this between all of these reports (metres per second), and
#: their way is nearly straight: ids that are exchanged jump to and fro.
_MOVES_M_S, _STRAIGHT = 0.5, 0.7
#: Minimum number of people who move for their median speed; one may ride a bicycle.
_MIN_MOVING = 3
#: Number of reports over which reassigned ids are counted, and the minimum count for a rate.
_N_REASSIGNED, _MIN_REASSIGNED = 10, 5


def overlapping_rows(tick: Tick | None) -> set[int]:
    """Rows of people, of all trackers, with another person at the same position."""
    if tick is None:
        return set()
    people = [row for row, agent_id in enumerate(tick.window.ids) if agent_id != ROBOT_ID]
    positions_m = tick.window.positions_m[people, -1]
    n_near = Counter(row for pair in close_rows(positions_m, _PAIRED_M) for row in pair)
    paired = [row for row, n_others in n_near.items() if n_others == 1]
    if len(paired) < max(_MIN_PAIRED, _PAIRED_SHARE * len(people)):
        paired = [row for pair in close_rows(positions_m, _OVERLAP_M) for row in pair]
    return {people[row] for row in paired}


class IdLifetimes:
    """How long a tracker reports a person under the same id."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets all ids."""
        # First and last stamp, of ids that are reported and of those that ended lately.
        self._alive: dict[str, list[int]] = {}
        self._ended: deque[list[int]] = deque(maxlen=_MAX_IDS)
        self._newest_ns = 0

    def add(self, ids: tuple[str, ...], stamp_ns: int) -> None:
        """Adds the ids of a message with this stamp, integer nanoseconds."""
        if stamp_ns < self._newest_ns - _LIFETIMES_S * NS_PER_S:
            self.reset()
        if stamp_ns < self._newest_ns or len(self._alive) > _MAX_IDS:
            return
        self._newest_ns = stamp_ns
        for agent_id in ids:
            self._alive.setdefault(agent_id, [stamp_ns, stamp_ns])[1] = stamp_ns

    def median_s(self, timeout_s: float) -> float:
        """Median lifetime, seconds; infinite if too few ids ended lately.

        Args:
            timeout_s: time after which an id that is not reported has ended.
        """
        oldest_ns = self._newest_ns - round(timeout_s * NS_PER_S)
        ended = [agent_id for agent_id, (_, last_ns) in self._alive.items() if last_ns < oldest_ns]
        self._ended.extend(self._alive.pop(agent_id) for agent_id in ended)
        while self._ended and self._ended[0][1] < self._newest_ns - _LIFETIMES_S * NS_PER_S:
            self._ended.popleft()
        if len(self._ended) < _MIN_ENDED:
            return math.inf
        youngest_ns = self._newest_ns - _MIN_AGE_S * NS_PER_S
        living = [life for life in self._alive.values() if life[0] <= youngest_ns]
        # From first to last report: 0 for an id of a single message, whatever its age.
        return median(
            (last_ns - first_ns) / NS_PER_S for first_ns, last_ns in [*self._ended, *living]
        )


class Motion:
    """Speeds of people, which are implausible if positions have wrong units or axes."""

    def __init__(self) -> None:
        self._reports: deque[Mapping[str, FloatArray]] = deque(maxlen=_N_PLACES)

    def update(self, seen: Mapping[str, FloatArray]) -> tuple[float, float]:
        """Adds a report.

        Args:
            seen: id -> stamp in seconds and x, y, z in metres of the newest observation.

        Returns:
            The median speed of people who move, and the mean vertical speed of all people, in
            metres per second; 0 if they are few.
        """
        self._reports.append(seen)
        known = [i for i in seen if all(i in each for each in self._reports)]
        if len(self._reports) < _N_PLACES or not known:
            return 0.0, 0.0
        steps = np.diff([[each[i] for i in known] for each in self._reports], axis=0)
        whole = steps.sum(axis=0)
        # Slow trackers report people in some of these periods.
        is_followed = whole[:, 0] >= _FOLLOWED_S
        climbs_m_s = np.abs(whole[is_followed, 3]) / whole[is_followed, 0]
        is_seen = (steps[..., 0] > 0.0).all(axis=0)
        steps, whole = steps[:, is_seen], whole[is_seen]
        ways_m = np.linalg.norm(steps[..., 1:3], axis=2)
        slowest_m_s = (ways_m / steps[..., 0]).min(axis=0)
        far_m = np.linalg.norm(whole[:, 1:3], axis=1)
        moves = (slowest_m_s > _MOVES_M_S) & (far_m > _STRAIGHT * ways_m.sum(axis=0))
        is_known = np.count_nonzero(moves) >= _MIN_MOVING
        return (
            float(np.median(slowest_m_s[moves])) if is_known else 0.0,
            float(climbs_m_s.mean()) if len(climbs_m_s) else 0.0,
        )


class Reassignments:
    """How often ids are reassigned to other people."""

    def __init__(self) -> None:
        # Stamp in seconds, reassignments in total, and number of people.
        self._reports: deque[tuple[float, int, int]] = deque(maxlen=_N_REASSIGNED)

    def update(self, stamp_s: float, n_reassigned: int, n_people: int) -> float:
        """Adds a report; returns the person-seconds per reassignment, infinite if that is rare."""
        if self._reports and stamp_s < self._reports[-1][0]:
            self._reports.clear()  # time jumped back
        self._reports.append((stamp_s, n_reassigned, n_people))
        began_s, n_before, _ = self._reports[0]
        n_lately = n_reassigned - n_before
        if n_lately < _MIN_REASSIGNED:
            return math.inf
        return (stamp_s - began_s) * fmean(n for *_, n in self._reports) / n_lately


class Waiting:
    """People who have been reported for some time, but not predicted."""

    def __init__(self) -> None:
        self._since_s: dict[str, float] = {}  # by id

    def update(
        self, stamp_s: float, skipped: Mapping[str, SkipReason], seen: Mapping[str, FloatArray]
    ) -> tuple[list[str], float]:
        """Adds a report.

        Args:
            stamp_s: stamp of the newest tick, seconds.
            skipped: people who are not predicted, with the reason.
            seen: as in `Motion`.

        Returns:
            Ids of people who have waited for `PATIENCE_S`, and the longest time, seconds.
        """
        reported = [
            agent_id
            for agent_id, reason in skipped.items()
            if reason is SkipReason.TOO_FEW_OBSERVATIONS
            and agent_id in seen
            and seen[agent_id][0] > stamp_s - _REPORTED_S
        ]
        self._since_s = {i: self._since_s.get(i, stamp_s) for i in reported}
        waited_s = {i: stamp_s - since_s for i, since_s in self._since_s.items()}
        ids = [i for i, waited in waited_s.items() if waited >= PATIENCE_S]
        return ids, max(waited_s.values(), default=0.0)
