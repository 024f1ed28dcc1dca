"""An independent ground truth, and the assignment of evaluated tracks to its people."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from social_implicit_ros.evaluation.faulty_tracker.people import People, Row
from social_implicit_ros.evaluation.faulty_tracker.simulated_tracker import (
    NOBODY,
    SimulatedTracks,
    simulate,
)
from social_implicit_ros.evaluation.faulty_tracker.tracker_faults import TrackerFaults
from social_implicit_ros.prediction.pipeline import Tick
from social_implicit_ros.recordings.arrivals import (
    Arrival,
    TracksArrival,
    arrivals_of,
    moved_tracks,
)
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.left_out import LeftOut
from social_implicit_ros.recordings.track_source import TrackSource
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transforms import RigidTransform
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities.pairing import assigned
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import ROBOT_ID, FloatArray, IntArray, SkipReason, Tracks

#: Largest distance between a person and their prediction in a tracker's recording, metres.
GATE_M = 1.0
#: Longest gap over which positions of the robot are interpolated, seconds.
_ROBOT_GAP_S = 2.0
#: Distances that differ by less are equal, so that the id decides, metres.
_TIE_M = 1e-6
#: Speed of the simulated robot, if the recording has no robot, metres per second.
_PATROL_M_S = 0.5

#: Function of a tick, the history of its predictor, and the pose of the ground truth's frame in the
#: history's coordinates, which corrections of the localisation do not move. Returns the (A,) person
#: of each agent of the window, or `NOBODY`. A person is present at the tick and assigned to one
#: agent at most.
PeopleOf = Callable[[Tick, TrackHistory, RigidTransform], IntArray]


@dataclass(frozen=True, eq=False)
class Reference:
    """An independent ground truth and the tracks to score against it.

    Attributes:
        people: the ground truth.
        arrivals: messages that the predictor receives; can be iterated once.
        notes: remarks for the report.
        people_of: finds the person of each agent.
        is_simulated: whether a simulated tracker with requested faults reports the tracks.
    """

    people: People
    arrivals: Iterator[Arrival]
    notes: tuple[str, ...]
    people_of: PeopleOf
    is_simulated: bool = False

    @property
    def span_ns(self) -> tuple[int, int]:
        """First and last time of the ground truth, integer nanoseconds."""
        return int(self.people.stamps_ns[0]), int(self.people.stamps_ns[-1])


def with_simulated_tracker(
    source: TrackSource, faults: TrackerFaults, settings: PredictorConfig
) -> Reference:
    """The people of a recording are the ground truth, and a simulated tracker reports them.

    Raises:
        RecordingError: the recording is damaged or contains no people.
    """
    left_out = LeftOut()
    people, robot = observed_people(source, settings, left_out)
    seen = people.at_rate(faults.rate) if faults.rate else people
    robot_m = None
    notes = left_out.notes()
    note = f"a simulated tracker reports the people of the recording: {faults}"
    if faults.needs_robot:
        stamps_ns = np.unique(seen.stamps_ns)
        robot_m = robot.positions_at(np.zeros(1, np.int64), stamps_ns)[0] if robot else None
        if robot_m is None:
            robot_m = patrol_m(seen, stamps_ns)
            note += "; it is on a simulated robot that drives back and forth among them"
    tracks = simulate(seen, faults, robot_m)
    others = (entry for entry in arrivals_of(source) if not isinstance(entry, TracksArrival))
    arrivals = heapq.merge(
        _tracks_arrivals(tracks, source.fixed_frame), others, key=lambda entry: entry.received_ns
    )
    people_of = _people_by_observation(people, tracks)
    return Reference(people, arrivals, (note, *notes), people_of, is_simulated=True)


def with_ground_truth(
    source: TrackSource, truth: TrackSource, settings: PredictorConfig, shift_s: float = 0.0
) -> Reference:
    """A tracker's recording, and a recording of the ground truth with the same clock and frame.

    Args:
        source: recording of the tracker.
        truth: recording of the ground truth.
        settings: settings of the predictor.
        shift_s: offset that is added to the stamps of the ground truth, seconds.

    Raises:
        RecordingError: a recording is damaged, or they do not overlap in time.
    """
    left_out = LeftOut()
    people, _ = observed_people(truth, settings, left_out)
    people = replace(people, stamps_ns=people.stamps_ns + round(shift_s * NS_PER_S))
    after_s = (int(people.stamps_ns[0]) - source.start_ns) / NS_PER_S
    if people.stamps_ns[-1] < source.start_ns or people.stamps_ns[0] > source.end_ns:
        order = "after" if after_s > 0.0 else "before"
        raise RecordingError(
            f"{truth.path} and {source.path} do not overlap in time: the ground truth starts "
            f"{abs(after_s):g} s {order} the tracks; use one with stamps of the same clock, or set "
            "--ground-truth-shift"
        )
    note = f"the ground truth is {truth.path}"
    if shift_s:
        note += f", with stamps shifted by {shift_s:g} s"
    notes = (f"{truth.path}: {text}" for text in (*truth.remarks, *left_out.notes()))
    return Reference(people, arrivals_of(source), (note, *notes), _people_by_position(people))


def patrol_m(people: People, stamps_ns: IntArray) -> FloatArray:
    """(M, 2) positions in metres of a robot that drives back and forth among the people."""
    start_m, end_m = np.quantile(people.positions_m, [0.25, 0.75], axis=0)
    length_m = max(float(np.hypot(*(end_m - start_m))), 1e-3)
    driven_m = (stamps_ns - stamps_ns[0]) * 1e-9 * _PATROL_M_S
    share = np.abs((driven_m / length_m + 1.0) % 2.0 - 1.0)
    return np.asarray(start_m + share[:, None] * (end_m - start_m))


def _people_by_observation(people: People, tracks: SimulatedTracks) -> PeopleOf:
    """Assigns each agent to the person of its newest observation, whatever its present id is.

    Of several agents with the same person, it is the one that was observed last.
    """
    ids = tracks.ids.astype(str)
    rows_of = dict(zip(tracks.stamps_ns.tolist(), tracks.rows, strict=True))

    def people_of(tick: Tick, history: TrackHistory, pose: RigidTransform) -> IntArray:
        newest = history.motions(tick.window.ids)
        present, _ = people.present_at(tick.stamp_ns)
        found = np.full(len(tick.window.ids), NOBODY)
        for agent in np.argsort(-newest.stamps_ns, kind="stable").tolist():
            rows = rows_of.get(int(newest.stamps_ns[agent]), slice(0))
            seen_m = pose.of_ground(tracks.positions_m[rows])
            if tick.window.ids[agent] == ROBOT_ID or not len(seen_m):
                continue
            distance_m = np.abs(seen_m - newest.positions_m[agent]).sum(axis=1)
            # Of people at the same position, the one with the agent's id.
            distance_m += _TIE_M * (ids[rows] != tick.window.ids[agent])
            person = tracks.people[rows][np.argmin(distance_m)]
            if person in present and person not in found:
                found[agent] = person
        return found

    return people_of


def _people_by_position(people: People) -> PeopleOf:
    """Assigns agents to people by their positions at the tick."""

    def people_of(tick: Tick, history: TrackHistory, pose: RigidTransform) -> IntArray:
        from scipy.spatial.distance import cdist

        present, positions_m = people.present_at(tick.stamp_ns)
        distance_m = cdist(tick.present_m, pose.of_ground(positions_m))
        is_near = distance_m <= GATE_M
        is_near[[agent == ROBOT_ID for agent in tick.window.ids]] = False
        found = np.full(len(tick.window.ids), NOBODY)
        for row, person in assigned(distance_m, is_near, GATE_M):
            found[row] = present[person]
        return found

    return people_of


def _tracks_arrivals(tracks: SimulatedTracks, frame_id: str) -> Iterator[Arrival]:
    times_ns = zip(tracks.stamps_ns.tolist(), tracks.arrivals_ns.tolist(), strict=True)
    for rows, (stamp_ns, arrival_ns) in zip(tracks.rows, times_ns, strict=True):
        ids = tuple(map(str, tracks.ids[rows].tolist()))
        reported = Tracks(stamp_ns, ids, tracks.positions_m[rows]) if ids else None
        yield TracksArrival(arrival_ns, reported, frame_id, Counter())


def observed_people(
    source: TrackSource, settings: PredictorConfig, left_out: LeftOut
) -> tuple[People, People | None]:
    """The people of a recording in its fixed frame, and the robot if the recording locates it."""
    people: dict[str, int] = {}
    rows: list[Row] = []
    robot: list[Row] = []
    for tracks in moved_tracks(source, settings, left_out):
        for agent, (x, y) in zip(tracks.ids, tracks.positions_m.tolist(), strict=True):
            if agent == ROBOT_ID:
                robot.append((tracks.stamp_ns, 0, x, y))
            elif agent and math.isfinite(x + y):
                rows.append((tracks.stamp_ns, people.setdefault(agent, len(people)), x, y))
            else:
                left_out.skip(SkipReason.NOT_FINITE if agent else SkipReason.EMPTY_ID)
    if not rows:
        why = "".join(f"; {note}" for note in left_out.notes())
        raise RecordingError(f"{source.path} contains no people to be the ground truth{why}")
    gap_s = source.longest_gap_s(settings.pipeline.track_timeout_s)
    return People.of_rows(rows, gap_s), People.of_rows(robot, _ROBOT_GAP_S) if robot else None
