"""A simulated tracker: observed people in, tracks with the faults of real trackers out.

Everything is drawn from one seed, each fault from a stream of its own: switching one fault on does
not change the others. Nothing here reads files or asks a clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from social_implicit_ros.evaluation.faulty_tracker.people import People
from social_implicit_ros.evaluation.faulty_tracker.tracker_faults import TrackerFaults
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import BoolArray, FloatArray, IntArray, require_shape

#: The person of a false track.
NOBODY = -1
#: A false track appears at most this far from somebody, in each component, metres.
_GHOST_DISTANCE_M = 3.0
#: A robot's heading is known again after this way, metres.
_MOVED_M = 0.1


@dataclass(frozen=True, eq=False)
class SimulatedTracks:
    """Output of a simulated tracker, sorted by time.

    Attributes:
        stamps_ns: (M,) stamps of the messages, ascending, integer nanoseconds. A message
            may be empty.
        arrivals_ns: (M,) times of their arrival, ascending.
        messages: (N,) the message of each entry, ascending.
        ids: (N,) track of each entry.
        people: (N,) its person; `NOBODY` for a false track.
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
        return _rows_of_messages(self.messages, len(self.stamps_ns))


def simulate(
    people: People, faults: TrackerFaults, robot_m: FloatArray | None = None
) -> SimulatedTracks:
    """Tracks people as a tracker with these faults does.

    Args:
        people: the ground truth; with `faults.rate`, at the times of the messages already.
        faults: of the tracker.
        robot_m: (M, 2) positions of the robot at each of the M stamps of `people`, metres; needed
            if `faults.needs_robot`.

    Raises:
        ValueError: a fault needs the robot, and its positions are missing.
    """
    seeds = np.random.SeedSequence(faults.seed).spawn(7)
    miss, cut, swap, white, drift, ghost, late = (np.random.default_rng(seed) for seed in seeds)
    stamps_ns, messages = np.unique(people.stamps_ns, return_inverse=True)
    of_person = np.lexsort((people.stamps_ns, people.people))
    is_seen = ~missed(people, of_person, faults, miss)
    if faults.needs_robot:
        if robot_m is None:
            raise ValueError("occlusion, range and fov need the positions of the robot")
        is_seen &= _seen_by_robot(people, messages, faults, robot_m)
    ids, is_lost = track_ids(people, of_person, is_seen, faults, cut)
    is_seen &= ~is_lost
    if faults.swaps:
        ids = swapped_ids(people, messages, ids, is_seen, faults, swap)
    positions_m = people.positions_m + faults.noise * white.standard_normal((len(ids), 2))
    positions_m += faults.drift * ornstein_uhlenbeck(people, of_person, faults.drift_s, drift)
    false_in, false_ids, false_m = false_tracks(people, messages, faults, ghost)
    in_messages = np.concatenate([messages[is_seen], false_in])
    order = np.argsort(in_messages, kind="stable")
    positions_m = np.concatenate([positions_m[is_seen], false_m])[order]
    if faults.quantum:
        positions_m = np.round(positions_m / faults.quantum) * faults.quantum
    return SimulatedTracks(
        stamps_ns,
        arrivals_ns(stamps_ns, faults, late),
        in_messages[order],
        np.concatenate([ids[is_seen], false_ids + ids.max(initial=0) + 1])[order],
        np.concatenate([people.people[is_seen], np.full(len(false_ids), NOBODY)])[order],
        positions_m,
    )


def missed(
    people: People, of_person: IntArray, faults: TrackerFaults, generator: np.random.Generator
) -> BoolArray:
    """(N,) observations that are missing, in bursts: a Markov chain of each person.

    Args:
        people: N observations.
        of_person: (N,) their order by person, then by time.
        faults: `misses` is the share, `burst` the mean duration.
        generator: of random numbers.
    """
    share = faults.misses
    draws = generator.random(len(of_person))
    decay = np.zeros(len(of_person))
    if faults.burst:
        decay = np.exp(-_elapsed_s(people, of_person) / (faults.burst * (1.0 - share)))
    is_missed = np.zeros(len(of_person), dtype=bool)
    before = 0.0
    for at, weight, draw in zip(of_person.tolist(), decay.tolist(), draws.tolist(), strict=True):
        before = float(draw < share + (before - share) * weight)
        is_missed[at] = before
    return is_missed


def ornstein_uhlenbeck(
    people: People, of_person: IntArray, time_s: float, generator: np.random.Generator
) -> FloatArray:
    """(N, 2) noise of unit variance that is correlated over `time_s`, independent by person."""
    decay = np.exp(-_elapsed_s(people, of_person) / time_s)
    kicks = generator.standard_normal((len(of_person), 2))
    kicks *= np.sqrt(1.0 - decay**2)[:, None]
    noise = np.zeros((len(of_person), 2))
    before = np.zeros(2)
    for at, weight, kick in zip(of_person.tolist(), decay.tolist(), kicks, strict=True):
        before = weight * before + kick
        noise[at] = before
    return noise


def track_ids(
    people: People,
    of_person: IntArray,
    is_seen: BoolArray,
    faults: TrackerFaults,
    generator: np.random.Generator,
) -> tuple[IntArray, BoolArray]:
    """Numbers the tracks: every person's first, and a new one after each cut or long absence.

    Args:
        people: N observations.
        of_person: (N,) their order by person, then by time.
        is_seen: (N,) whether the tracker has the observation.
        faults: `cuts`, `gap` and `forget`.
        generator: of random numbers.

    Returns:
        (N,) ids from 0, and (N,) observations that are lost in a gap.
    """
    ids, is_lost = np.zeros(len(of_person), dtype=np.int64), np.zeros(len(of_person), dtype=bool)
    cut_ns, gap_ns, forget_ns = (
        round(value * NS_PER_S) for value in (faults.cuts, faults.gap, faults.forget)
    )
    track, person = -1, NOBODY
    since_ns = seen_ns = lost_until_ns = 0
    for at in of_person.tolist():
        stamp_ns = int(people.stamps_ns[at])
        if people.people[at] != person:
            person, track, seen_ns, lost_until_ns = int(people.people[at]), track + 1, stamp_ns, 0
            since_ns = stamp_ns - round(generator.random() * cut_ns)
        elif cut_ns and stamp_ns - since_ns >= cut_ns:
            track, since_ns, lost_until_ns = track + 1, stamp_ns, stamp_ns + gap_ns
        elif forget_ns and is_seen[at] and stamp_ns - seen_ns > forget_ns:
            track += 1
        ids[at], is_lost[at] = track, stamp_ns < lost_until_ns
        if is_seen[at] and not is_lost[at]:
            seen_ns = stamp_ns
    return ids, is_lost


def swapped_ids(
    people: People,
    messages: IntArray,
    ids: IntArray,
    is_seen: BoolArray,
    faults: TrackerFaults,
    generator: np.random.Generator,
) -> IntArray:
    """(N,) ids after exchanges between people who are near each other.

    Args:
        people: N observations, sorted by time.
        messages: (N,) message of each.
        ids: (N,) before any exchange.
        is_seen: (N,) whether the tracker has the observation; others exchange nothing.
        faults: `swaps` and `swap_rate`.
        generator: of random numbers.
    """
    swapped = ids.copy()
    label_of: dict[int, int] = {}
    before_ns = int(people.stamps_ns[0]) if len(ids) else 0
    for rows in _rows_of_messages(messages, messages.max(initial=-1) + 1):
        stamp_ns = int(people.stamps_ns[rows.start])
        share = -np.expm1(-faults.swap_rate * (stamp_ns - before_ns) / NS_PER_S)
        before_ns = stamp_ns
        seen = rows.start + np.flatnonzero(is_seen[rows])
        if len(seen) > 1:
            pairs = cKDTree(people.positions_m[seen]).query_pairs(faults.swaps)
            for pair in sorted(pairs):
                if generator.random() < share:
                    one, other = (int(ids[seen[row]]) for row in pair)
                    labels = label_of.get(one, one), label_of.get(other, other)
                    label_of[other], label_of[one] = labels
        if label_of:
            swapped[rows] = [label_of.get(track, track) for track in ids[rows].tolist()]
    return swapped


def is_in_view(
    positions_m: FloatArray, robot_m: FloatArray, heading_rad: float, faults: TrackerFaults
) -> BoolArray:
    """(A,) people whom a robot sees at one time.

    Args:
        positions_m: (A, 2) of people, metres.
        robot_m: (2,) of the robot.
        heading_rad: of the robot.
        faults: `range`, `fov` and `occlusion`.
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
        # Rows hide columns: distance of each person from the line of sight to each other one.
        sight = relative_m / np.maximum(distance_m, 1e-9)[:, None]
        along_m = relative_m @ sight.T
        beside_m = np.abs(
            np.outer(relative_m[:, 0], sight[:, 1]) - np.outer(relative_m[:, 1], sight[:, 0])
        )
        is_nearer = distance_m[:, None] < distance_m
        is_visible &= ~((beside_m < faults.occlusion) & (along_m > 0) & is_nearer).any(axis=0)
    return is_visible


def headings_rad(robot_m: FloatArray) -> FloatArray:
    """(M,) directions in which a robot moves, from its (M, 2) positions; kept while it stands."""
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


def arrivals_ns(
    stamps_ns: IntArray, faults: TrackerFaults, generator: np.random.Generator
) -> IntArray:
    """(M,) times at which messages arrive, in their order, integer nanoseconds."""
    delays_s = faults.latency + faults.jitter * generator.random(len(stamps_ns))
    delays_ns = np.round(delays_s * NS_PER_S).astype(np.int64)
    return np.asarray(np.maximum.accumulate(stamps_ns + delays_ns), dtype=np.int64)


def _seen_by_robot(
    people: People, messages: IntArray, faults: TrackerFaults, robot_m: FloatArray
) -> BoolArray:
    is_seen = np.zeros(len(messages), dtype=bool)
    headings = headings_rad(robot_m)
    for message, rows in enumerate(_rows_of_messages(messages, len(robot_m))):
        is_seen[rows] = is_in_view(
            people.positions_m[rows], robot_m[message], headings[message], faults
        )
    return is_seen


def false_tracks(
    people: People, messages: IntArray, faults: TrackerFaults, generator: np.random.Generator
) -> tuple[IntArray, IntArray, FloatArray]:
    """Tracks of nobody: each stands near where somebody is when it appears.

    Args:
        people: N observations, sorted by time.
        messages: (N,) message of each.
        faults: `ghosts`, `ghost_s` and `noise`.
        generator: of random numbers.

    Returns:
        Of each of their entries the message (G,), the track (G,) from 0, and (G, 2) metres.
    """
    stamps_ns = np.unique(people.stamps_ns)
    duration_s = float(np.ptp(stamps_ns)) / NS_PER_S if len(stamps_ns) else 0.0
    parts = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty((0, 2)))]
    for track in range(generator.poisson(faults.ghosts * duration_s / 60.0)):
        row = int(generator.integers(len(messages)))
        end_ns = people.stamps_ns[row] + round(generator.exponential(faults.ghost_s) * NS_PER_S)
        last = int(np.searchsorted(stamps_ns, end_ns, side="right"))
        alive = np.arange(messages[row], last)
        offset_m = generator.uniform(-_GHOST_DISTANCE_M, _GHOST_DISTANCE_M, 2)
        shaken_m = faults.noise * generator.standard_normal((len(alive), 2))
        parts.append(
            (alive, np.full(len(alive), track), people.positions_m[row] + offset_m + shaken_m)
        )
    in_messages, tracks, positions_m = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    return in_messages, tracks, positions_m


def _elapsed_s(people: People, of_person: IntArray) -> FloatArray:
    """(N,) seconds since the person's observation before, in that order; infinite for the first."""
    stamps_ns, persons = people.stamps_ns[of_person], people.people[of_person]
    elapsed_s = np.full(len(of_person), np.inf)
    is_next = persons[1:] == persons[:-1]
    elapsed_s[1:][is_next] = np.diff(stamps_ns)[is_next] / NS_PER_S
    return elapsed_s


def _rows_of_messages(messages: IntArray, n_messages: int) -> list[slice]:
    """The rows of each message, from the (N,) ascending messages of the rows."""
    ends = np.searchsorted(messages, np.arange(n_messages + 1)).tolist()
    return list(map(slice, ends[:-1], ends[1:]))
