"""Trackers whose stamps do not fit the transforms: people seem to move when the robot turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from social_implicit_ros.tracks.entries import are_valid, points_of
from social_implicit_ros.tracks.frames.transforms import RigidTransform
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray, Tracks

#: The velocity of the frame at a stamp is its mean from this time before to this time after it,
#: nanoseconds.
_STEP_NS = 25_000_000
#: Shortest and longest time between two messages that are compared, nanoseconds: over a shorter one
#: noise dominates, over a longer one people turn.
_MIN_PERIOD_NS, _MAX_PERIOD_NS = 800_000_000, 1_600_000_000
#: Nobody changes their way by more than this between two messages, metres; smaller changes of the
#: velocity of the frame say nothing, metres per second.
_MAX_CHANGE_M, _MIN_CHANGE_M_S = 3.0, 0.1
#: Fewest people whose common motion can be subtracted.
_MIN_PEOPLE = 3
#: Messages after which an old one counts half, and before a shift is known.
_HALF_LIFE, _MIN_MESSAGES = 50.0, 10.0
#: Range of shifts that are corrected, seconds: smaller ones cost little, larger ones are errors.
_MIN_SHIFT_S, _MAX_SHIFT_S = 0.02, 0.5
#: A shift is corrected once it exceeds this many of its standard errors, until it falls below the
#: second number of them.
_ERRORS_FROM, _ERRORS_UNTIL = 5.0, 2.5


@dataclass(frozen=True, eq=False)
class _Seen:
    """People at a stamp: their positions and the velocities of the frame there, in x and y."""

    stamp_ns: int
    ids: tuple[str, ...]
    states: FloatArray  # (A, 4)
    rates: FloatArray  # (A, 4) changes per second, NaN if unknown


class StampShift:
    """Finds out by how much the stamps of one tracker are late for the transforms of its frame.

    If a position is transformed at a time that is late by a shift, it is off by the shift times
    the velocity of the frame at that place. So whenever that velocity changes, as when the robot
    begins to turn, all people seem to jump by the shift times that change: the shift is the slope
    of the changes of their ways over the changes of that velocity.

    Attributes:
        shift_ns: the time, integer nanoseconds; negative if the stamps are early, 0 if unknown.
    """

    def __init__(self) -> None:
        self.shift_ns = 0
        self._waiting: Tracks | None = None  # until the transforms after its stamp are known
        self._seen: _Seen | None = None
        # Number of messages, then sums over them: `of_both`, `of_frame`, the squares of each, and
        # their product.
        self._sums = np.zeros(6)

    def observe(self, tracks: Tracks, pose_at: Callable[[int], RigidTransform | None]) -> None:
        """Learns from a message.

        Args:
            tracks: in the tracker's frame.
            pose_at: stamp -> the pose of that frame, None if it is not known yet.
        """
        newest = self._waiting or self._seen
        elapsed_ns = _MAX_PERIOD_NS if newest is None else tracks.stamp_ns - newest.stamp_ns
        if self._waiting is not None and not 0 <= elapsed_ns < _MAX_PERIOD_NS:
            self._waiting = None
        if self._waiting is None:
            if 0 <= elapsed_ns < _MIN_PERIOD_NS:
                return
            self._waiting = tracks
        stamp_ns = self._waiting.stamp_ns
        poses = [pose_at(stamp_ns + step_ns) for step_ns in (-_STEP_NS, 0, _STEP_NS)]
        if all(poses):
            self._learn(self._waiting, poses)
            self._waiting = None

    def _learn(self, tracks: Tracks, poses: Iterable[RigidTransform | None]) -> None:
        """Compares a message with the one before, by three poses of their frame."""
        tracks = tracks.of_agents(are_valid(tracks.positions_m))
        points_m, ids = points_of(tracks), tracks.ids
        before_m, seen_m, after_m = (
            (points_m @ each.rotation.T + each.translation_m)[:, :2]
            for each in poses
            if each is not None
        )
        frame_m_s = (after_m - before_m) * (0.5 * NS_PER_S / _STEP_NS)
        states = np.concatenate([seen_m, frame_m_s], axis=1)
        rates = np.full_like(states, np.nan)
        if self._seen is not None:
            period_ns = tracks.stamp_ns - self._seen.stamp_ns
            if 0 < period_ns <= _MAX_PERIOD_NS:
                self._compare(self._seen, ids, states, rates, period_ns / NS_PER_S)
        self._seen = _Seen(tracks.stamp_ns, ids, states, rates)

    def _compare(
        self,
        seen: _Seen,
        ids: tuple[str, ...],
        states: FloatArray,
        rates: FloatArray,
        period_s: float,
    ) -> None:
        """Fills in the rates, and learns from those that differ from the ones before."""
        row_of = {agent_id: row for row, agent_id in enumerate(seen.ids)}
        pairs = [(row, row_of[i]) for row, i in enumerate(ids) if i in row_of]
        if not pairs:
            return
        rows, rows_before = np.array(pairs).T
        rates[rows] = (states[rows] - seen.states[rows_before]) / period_s
        changes = (rates[rows] - seen.rates[rows_before]) * period_s
        largest = np.abs(changes.reshape(-1, 2, 2)).max(axis=2)
        # False for NaN, too.
        changes = changes[(largest[:, 0] <= _MAX_CHANGE_M) & (largest[:, 1] >= _MIN_CHANGE_M_S)]
        if len(changes) >= _MIN_PEOPLE:
            # People and a robot may start, stop and turn together.
            changes -= changes.mean(axis=0)
            people_m, frame_m_s = changes[:, :2], changes[:, 2:]
            # An error of the pose is one of all people: a message tells one thing of the shift.
            of_both = float((people_m * frame_m_s).sum())
            of_frame = float(np.square(frame_m_s).sum())
            self._sums *= 0.5 ** (1.0 / _HALF_LIFE)
            self._sums += [1, of_both, of_frame, of_both**2, of_frame**2, of_both * of_frame]
            self._find_shift()

    def _find_shift(self) -> None:
        n_messages, of_both, of_frame, of_both_2, of_frame_2, product = self._sums.tolist()
        if n_messages < _MIN_MESSAGES or of_frame == 0.0:
            return
        shift_s = of_both / of_frame
        unexplained = of_both_2 - 2.0 * shift_s * product + shift_s * shift_s * of_frame_2
        n_errors = _ERRORS_UNTIL if self.shift_ns else _ERRORS_FROM
        least_s = max(_MIN_SHIFT_S, n_errors * float(np.sqrt(max(unexplained, 0.0))) / of_frame)
        is_known = least_s <= abs(shift_s) <= _MAX_SHIFT_S
        self.shift_ns = round(shift_s * NS_PER_S) if is_known else 0
