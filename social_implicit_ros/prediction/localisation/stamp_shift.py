"""Estimates the delay of stamps relative to transforms, from apparent motion of people.

With such a delay, people seem to move whenever the robot turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from social_implicit_ros.tracks.entries import are_valid, points_of
from social_implicit_ros.tracks.frames.transforms import RigidTransform
from social_implicit_ros.tracks.stamps import NEVER_NS, NS_PER_S
from social_implicit_ros.types import FloatArray, Tracks

#: The velocity of the frame is a central difference over this time before and after a stamp,
#: nanoseconds.
_STEP_NS = 25_000_000
#: Range of the time between two messages that are compared, nanoseconds: over shorter times noise
#: dominates, over longer ones people turn.
_MIN_PERIOD_NS, _MAX_PERIOD_NS = 800_000_000, 1_600_000_000
#: Maximum plausible change of a displacement between messages, metres; and minimum change of the
#: frame's velocity from which a shift can be measured, metres per second.
_MAX_CHANGE_M, _MIN_CHANGE_M_S = 3.0, 0.1
#: Minimum number of people, as their common motion is subtracted.
_MIN_PEOPLE = 3
#: Half-life of evidence and minimum evidence for a shift, in messages.
_HALF_LIFE, _MIN_MESSAGES = 50.0, 10.0
#: Range of shifts that are corrected, seconds: smaller ones cost little, larger ones are errors.
_MIN_SHIFT_S, _MAX_SHIFT_S = 0.02, 0.5
#: The correction begins when a shift exceeds the first number of its standard errors, and ends when
#: it falls below the second one.
_ERRORS_FROM, _ERRORS_UNTIL = 5.0, 2.5


@dataclass(frozen=True, eq=False)
class _Seen:
    """People at a stamp: positions, and velocities of the frame at these points, in x and y."""

    stamp_ns: int
    ids: tuple[str, ...]
    states: FloatArray  # (A, 4)
    rates: FloatArray  # (A, 4) changes per second, NaN if unknown


class StampShift:
    """Estimates by how much the stamps of one tracker are late for the transforms of its frame.

    A position that is transformed too late by a shift has an error of the shift times the velocity
    of the frame at this point. Whenever that velocity changes, as when the robot begins to turn,
    all people seem to jump by the shift times the change. So the shift is the regression slope of
    changes of people's displacements on changes of the frame's velocity.

    Attributes:
        shift_ns: delay of the stamps, integer nanoseconds; negative if they are early, 0 if
            unknown.
        changed_ns: stamp of the message at which the shift was found, or was lost.
    """

    def __init__(self) -> None:
        self.shift_ns, self.changed_ns = 0, -NEVER_NS
        self._waiting: Tracks | None = None  # waits for the transforms after its stamp
        self._seen: _Seen | None = None
        # Over messages: their number, and sums of `of_both`, `of_frame`, their squares and their
        # product.
        self._sums = np.zeros(6)

    def observe(self, tracks: Tracks, pose_at: Callable[[int], RigidTransform | None]) -> None:
        """Learns from a message.

        Args:
            tracks: in the tracker's frame.
            pose_at: stamp -> pose of that frame; None if it is not known yet.
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
            was_known = self.shift_ns != 0
            self._learn(self._waiting, poses)
            self._waiting = None
            if was_known != (self.shift_ns != 0):
                self.changed_ns = tracks.stamp_ns

    def _learn(self, tracks: Tracks, poses: Iterable[RigidTransform | None]) -> None:
        """Compares a message with the one before, by poses before, at and after its stamp."""
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
        """Fills in the rates, and learns from their changes since the message before."""
        row_of = {agent_id: row for row, agent_id in enumerate(seen.ids)}
        pairs = [(row, row_of[i]) for row, i in enumerate(ids) if i in row_of]
        if not pairs:
            return
        rows, rows_before = np.array(pairs).T
        rates[rows] = (states[rows] - seen.states[rows_before]) / period_s
        changes = (rates[rows] - seen.rates[rows_before]) * period_s
        largest = np.abs(changes.reshape(-1, 2, 2)).max(axis=2)
        # The conditions are False for NaN.
        changes = changes[(largest[:, 0] <= _MAX_CHANGE_M) & (largest[:, 1] >= _MIN_CHANGE_M_S)]
        if len(changes) >= _MIN_PEOPLE:
            # People may start, stop and turn together with the robot.
            changes -= changes.mean(axis=0)
            people_m, frame_m_s = changes[:, :2], changes[:, 2:]
            # Errors of the pose affect all people, so that each message is one observation.
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
