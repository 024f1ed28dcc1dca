"""A simulated tracker: converts observed people into tracks with the faults of real trackers.

Each fault has its own random generator, and all are derived from one seed: enabling one fault does
not change the others. Nothing here reads files or a clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from social_implicit_ros.evaluation.faulty_tracker.people import People
from social_implicit_ros.evaluation.faulty_tracker.tracker_faults import TrackerFaults
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import BoolArray, FloatArray, IntArray, require_shape

#: The person of a false track.
NOBODY = -1
#: Largest distance between a false track and the person near whom it appears, per axis, metres.
_GHOST_DISTANCE_M = 3.0
#: Distance after which the heading of a robot is updated, metres.
_MOVED_M = 0.1


@dataclass(frozen=True, eq=False)
class SimulatedTracks:
    """Output of a simulated tracker, sorted by time.

    Attributes:
        stamps_ns: (M,) stamps of the messages, ascending, integer nanoseconds. A message
            may be empty.
        arrivals_ns: (M,) times of their arrival, ascending.
        messages: (N,) index of the message of each entry, ascending.
        ids: (N,) track id of each entry.
        people: (N,) person of each entry; `NOBODY` for a false track.
        positions_m: (N, 2) reported positions, metres.
    """

    stamps_ns: IntArray
    arrivals_ns: IntArray
    messages: IntArray
    ids: IntArray
    people: IntArray
    positions_m: FloatArray

    def __post_init__(self) -> None:
        for name in ("ids", "people"):
            require_shape("SimulatedTracks", name, getattr(self, name), self.messages.shape)
        shape = (*self.messages.shape, 2)
        require_shape("SimulatedTracks", "positions_m", self.positions_m, shape)

    @property
    def rows(self) -> list[slice]:
        """The entries of each message."""
        ends = np.searchsorted(self.messages, np.arange(len(self.stamps_ns) + 1)).tolist()
        return list(map(slice, ends[:-1], ends[1:]))


def simulate(
    people: People, faults: TrackerFaults, robot_m: FloatArray | None = None
) -> SimulatedTracks:
    """Tracks people as a tracker with these faults does.

    Args:
        people: the ground truth, at the stamps of the messages (`faults.rate` is not applied).
        faults: faults of the tracker.
        robot_m: (M, 2) positions of the robot at each of the M stamps of `people`, metres; needed
            if `faults.needs_robot`.

    Raises:
        ValueError: a fault needs the robot, and its positions are missing.
    """
    return _Tracker(people, faults, robot_m).tracks()


class _Tracker:
    """A tracker with faults that receives N observations of people in M messages.

    Each fault has its own random generator. Numbers are drawn in order of person, then time, or in
    order of messages.
    """

    def __init__(self, people: People, faults: TrackerFaults, robot_m: FloatArray | None) -> None:
        if faults.needs_robot and robot_m is None:
            raise ValueError("occlusion, range and fov need the positions of the robot")
        self._people, self._faults, self._robot_m = people, faults, robot_m
        seeds = np.random.SeedSequence(faults.seed).spawn(7)
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        self._stamps_ns, self._messages = np.unique(people.stamps_ns, return_inverse=True)
        # Order by person, then time. In that order: seconds since the person's last observation.
        self._by_person = np.lexsort((people.stamps_ns, people.people))
        persons = people.people[self._by_person]
        self._elapsed_s = np.full(len(persons), np.inf)
        is_next = persons[1:] == persons[:-1]
        steps_ns = np.diff(people.stamps_ns[self._by_person])
        self._elapsed_s[1:][is_next] = steps_ns[is_next] / NS_PER_S

    def tracks(self) -> SimulatedTracks:
        """Simulates all messages."""
        people, faults = self._people, self._faults
        misses, cuts, swaps, noise, drift, ghosts, jitter = self._generators
        is_seen = ~self._missed(misses)
        if faults.needs_robot:
            is_seen &= self._in_view()
        ids, is_lost = self._ids(is_seen, cuts)
        is_seen &= ~is_lost
        if faults.swaps:
            ids = self._swapped(ids, is_seen, swaps)
        positions_m = people.positions_m + faults.noise * noise.standard_normal((len(ids), 2))
        positions_m += faults.drift * self._drift(drift)
        false_in, false_ids, false_m = self._false_tracks(ghosts)
        in_messages = np.concatenate([self._messages[is_seen], false_in])
        order = np.argsort(in_messages, kind="stable")
        positions_m = np.concatenate([positions_m[is_seen], false_m])[order]
        if faults.quantum:
            positions_m = np.round(positions_m / faults.quantum) * faults.quantum
        delays_s = faults.latency + faults.jitter * jitter.random(len(self._stamps_ns))
        arrivals_ns = self._stamps_ns + np.round(delays_s * NS_PER_S).astype(np.int64)
        return SimulatedTracks(
            self._stamps_ns,
            np.maximum.accumulate(arrivals_ns),  # messages keep their order
            in_messages[order],
            np.concatenate([ids[is_seen], false_ids + ids.max(initial=0) + 1])[order],
            np.concatenate([people.people[is_seen], np.full(len(false_ids), NOBODY)])[order],
            positions_m,
        )

    def _missed(self, generator: np.random.Generator) -> BoolArray:
        """(N,) whether an observation is missing; a Markov chain per person causes bursts."""
        share, burst_s = self._faults.misses, self._faults.burst
        draws = generator.random(len(self._by_person))
        decay = np.zeros(len(draws))
        if burst_s:
            decay = np.exp(-self._elapsed_s / (burst_s * (1.0 - share)))
        is_missed = np.zeros(len(draws), dtype=bool)
        before = 0.0
        for at, weight, draw in zip(
            self._by_person.tolist(), decay.tolist(), draws.tolist(), strict=True
        ):
            before = float(draw < share + (before - share) * weight)
            is_missed[at] = before
        return is_missed

    def _drift(self, generator: np.random.Generator) -> FloatArray:
        """(N, 2) Ornstein-Uhlenbeck noise of unit variance, independent by person."""
        decay = np.exp(-self._elapsed_s / self._faults.drift_s)
        kicks = generator.standard_normal((len(decay), 2)) * np.sqrt(1.0 - decay**2)[:, None]
        noise = np.zeros_like(kicks)
        before = np.zeros(2)
        for at, weight, kick in zip(self._by_person.tolist(), decay.tolist(), kicks, strict=True):
            before = weight * before + kick
            noise[at] = before
        return noise

    def _ids(
        self, is_seen: BoolArray, generator: np.random.Generator
    ) -> tuple[IntArray, BoolArray]:
        """Assigns track ids. A person gets a new one after each cut and each long absence.

        Returns (N,) ids from 0, and (N,) whether an observation is lost in the gap of a cut.
        """
        people, faults = self._people, self._faults
        ids, is_lost = np.zeros(len(is_seen), dtype=np.int64), np.zeros(len(is_seen), dtype=bool)
        cut_ns, gap_ns, forget_ns = (
            round(value * NS_PER_S) for value in (faults.cuts, faults.gap, faults.forget)
        )
        track, person = -1, NOBODY
        since_ns = seen_ns = lost_until_ns = 0
        for at in self._by_person.tolist():
            stamp_ns = int(people.stamps_ns[at])
            if people.people[at] != person:
                person, track = int(people.people[at]), track + 1
                seen_ns, lost_until_ns = stamp_ns, 0
                since_ns = stamp_ns - round(generator.random() * cut_ns)
            elif cut_ns and stamp_ns - since_ns >= cut_ns:
                track, since_ns, lost_until_ns = track + 1, stamp_ns, stamp_ns + gap_ns
            elif forget_ns and is_seen[at] and stamp_ns - seen_ns > forget_ns:
                track += 1
            ids[at], is_lost[at] = track, stamp_ns < lost_until_ns
            if is_seen[at] and not is_lost[at]:
                seen_ns = stamp_ns
        return ids, is_lost

    def _swapped(
        self, ids: IntArray, is_seen: BoolArray, generator: np.random.Generator
    ) -> IntArray:
        """(N,) ids after swaps between people who are observed near each other."""
        from scipy.spatial import cKDTree

        people, faults = self._people, self._faults
        swapped = ids.copy()
        label_of: dict[int, int] = {}
        elapsed_s = np.diff(self._stamps_ns, prepend=self._stamps_ns[:1]) / NS_PER_S
        probabilities = -np.expm1(-faults.swap_rate * elapsed_s)
        for rows, probability in zip(self._rows(), probabilities, strict=True):
            seen = rows[is_seen[rows]]
            if len(seen) > 1:
                for pair in sorted(cKDTree(people.positions_m[seen]).query_pairs(faults.swaps)):
                    if generator.random() < probability:
                        one, other = (int(ids[seen[row]]) for row in pair)
                        labels = label_of.get(one, one), label_of.get(other, other)
                        label_of[other], label_of[one] = labels
            if label_of:
                swapped[rows] = [label_of.get(track, track) for track in ids[rows].tolist()]
        return swapped

    def _in_view(self) -> BoolArray:
        """(N,) whether the person is in the robot's view."""
        assert self._robot_m is not None
        positions_m = self._people.positions_m
        seen = [
            is_in_view(positions_m[rows], robot_m, heading_rad, self._faults)
            for rows, robot_m, heading_rad in zip(
                self._rows(), self._robot_m, headings_rad(self._robot_m), strict=True
            )
        ]
        return np.concatenate(seen)

    def _false_tracks(
        self, generator: np.random.Generator
    ) -> tuple[IntArray, IntArray, FloatArray]:
        """False tracks: each stands still, near the position of a person when it appears.

        Returns (G,) message and (G,) track (from 0) of each entry, and (G, 2) positions, metres.
        """
        people, faults, stamps_ns = self._people, self._faults, self._stamps_ns
        duration_s = float(np.ptp(stamps_ns)) / NS_PER_S if len(stamps_ns) else 0.0
        parts = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty((0, 2)))]
        for track in range(generator.poisson(faults.ghosts * duration_s / 60.0)):
            row = int(generator.integers(len(self._messages)))
            end_ns = people.stamps_ns[row] + round(generator.exponential(faults.ghost_s) * NS_PER_S)
            alive = np.arange(self._messages[row], np.searchsorted(stamps_ns, end_ns, side="right"))
            offset_m = generator.uniform(-_GHOST_DISTANCE_M, _GHOST_DISTANCE_M, 2)
            shaken_m = faults.noise * generator.standard_normal((len(alive), 2))
            positions_m = people.positions_m[row] + offset_m + shaken_m
            parts.append((alive, np.full(len(alive), track), positions_m))
        in_messages, tracks, positions = (np.concatenate(part) for part in zip(*parts, strict=True))
        return in_messages, tracks, positions

    def _rows(self) -> list[IntArray]:
        """Indices of the observations in each message."""
        first = np.searchsorted(self._messages, np.arange(1, len(self._stamps_ns)))
        return np.split(np.arange(len(self._messages)), first)


def is_in_view(
    positions_m: FloatArray, robot_m: FloatArray, heading_rad: float, faults: TrackerFaults
) -> BoolArray:
    """(A,) whether a robot sees each person at one time.

    Args:
        positions_m: (A, 2) positions of people, metres.
        robot_m: (2,) position of the robot, metres.
        heading_rad: heading of the robot, radians.
        faults: only `range`, `fov` and `occlusion` are used.
    """
    relative_m = positions_m - robot_m
    distance_m = np.hypot(*relative_m.T)
    is_visible = np.ones(len(distance_m), dtype=bool)
    if faults.range:
        is_visible &= distance_m <= faults.range
    if faults.fov:
        angle_rad = np.arctan2(relative_m[:, 1], relative_m[:, 0]) - heading_rad
        is_visible &= np.cos(angle_rad) >= np.cos(np.radians(faults.fov) / 2.0)
    if faults.occlusion:
        # Row i, column j: position of person i relative to the line of sight to person j.
        sight = relative_m / np.maximum(distance_m, 1e-9)[:, None]
        along_m = relative_m @ sight.T
        beside_m = np.abs(
            np.outer(relative_m[:, 0], sight[:, 1]) - np.outer(relative_m[:, 1], sight[:, 0])
        )
        is_nearer = distance_m[:, None] < distance_m
        is_visible &= ~((beside_m < faults.occlusion) & (along_m > 0) & is_nearer).any(axis=0)
    return is_visible


def headings_rad(robot_m: FloatArray) -> FloatArray:
    """(M,) directions of travel of a robot from its (M, 2) positions; constant while it stands."""
    heading = np.full(len(robot_m), np.nan)
    anchor, known = 0, np.nan
    for at, step_m in enumerate(robot_m):
        moved_m = step_m - robot_m[anchor]
        if np.hypot(*moved_m) > _MOVED_M or np.isnan(robot_m[anchor]).any():
            known = np.arctan2(moved_m[1], moved_m[0])
            anchor = at
        heading[at] = known
    first = heading[~np.isnan(heading)]
    heading[np.isnan(heading)] = first[0] if len(first) else 0.0
    return heading
