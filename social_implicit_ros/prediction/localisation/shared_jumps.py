"""Removes corrections of a localisation: displacements that all people share between two messages.

If tracks arrive in a frame that a localisation corrects, such as `map`, a correction moves all
people at once. Without this, histories would contain it as a high speed.
"""

from __future__ import annotations

import math
from itertools import compress

import numpy as np

from social_implicit_ros.tracks.frames.transforms import RigidTransform, transform_tracks
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import ROBOT_ID, FloatArray, Tracks

#: Minimum number of people with the same jump, and their minimum share of people with known motion.
_MIN_PEOPLE, _MIN_SHARE = 2, 0.75
#: Longest time between two observations over which motion is extrapolated, seconds.
_MAX_GAP_S = 0.6
#: Smallest jump, metres. Added is the distance by which a group may start (metres per second) or
#: change its speed (share of the speed) together in the time between two messages.
_MIN_JUMP_M, _START_M_S, _STOP_SHARE = 0.2, 1.3, 0.25
#: A jump is larger than `_NOISE_FACTOR` usual residuals, divided by the root of the number of
#: people. Jumps of people are the same within `_SPREAD_FACTOR` usual residuals, at least
#: `_MIN_SPREAD_M` metres.
_NOISE_FACTOR, _SPREAD_FACTOR, _MIN_SPREAD_M = 5.0, 2.0, 0.1
#: Messages until the usual residual is known, and minimum weight of a new residual in its mean.
_MIN_MESSAGES, _WEIGHT = 5, 0.1
#: Residuals are clipped to this value before they are averaged, metres.
_MAX_NOISE_M = 0.5
#: Usual residual above which jumps cannot be distinguished from noise, metres.
_MAX_USUAL_M = 0.4
#: Largest rotation of a correction, and minimum number of people to estimate a rotation.
_MAX_TURN_RAD, _MIN_TURNING = math.radians(20.0), 3


class SharedJumps:
    """Removes shared jumps from tracks, so that histories remain continuous.

    The inverse of all jumps so far is applied to tracks, the jumps themselves to forecasts.

    Attributes:
        pose: pose of the histories' frame in the tracks' frame; None before the first jump.
    """

    def __init__(self) -> None:
        self._usual_m, self._n_messages = 0.0, 0
        self.reset()

    def reset(self) -> None:
        """Forgets all jumps; histories must be reset with it."""
        self.pose: RigidTransform | None = None
        self._earlier: RigidTransform | None = None  # `pose` before the newest jump
        self._jumped_ns: int | None = None
        # The newest tracks and those before them, without jumps.
        self._before: Tracks | None = None
        self._before_last: Tracks | None = None

    def take_out(self, tracks: Tracks, history: TrackHistory) -> tuple[Tracks, str]:
        """Removes all jumps so far from tracks, and a new one if they show it.

        Args:
            tracks: tracks of one message, with valid positions.
            history: history of earlier tracks, without jumps.

        Returns:
            The tracks; and a log text if they show a new jump, else an empty text.
        """
        moved = self.moved_back(tracks)
        if self._jumped_ns is not None and tracks.stamp_ns < self._jumped_ns:
            return moved, ""
        before, self._before = self._before, moved
        before_last, self._before_last = self._before_last, before
        if before is not None and (step_m := _step_m(before, moved)) <= _MIN_JUMP_M:
            self._learn(step_m)
            return moved, ""
        found = self._find(moved, history, before_last)
        if found is None:
            return moved, ""
        self._before = self._before_last = None
        by, text = found
        self._earlier = self.pose
        self.pose = by if self.pose is None else self.pose.after(by)
        self._jumped_ns = tracks.stamp_ns
        return self.moved_back(tracks), text

    def moved_back(self, tracks: Tracks) -> Tracks:
        """Tracks without the jumps before their stamp."""
        is_earlier = self._jumped_ns is not None and tracks.stamp_ns < self._jumped_ns
        pose = self._earlier if is_earlier else self.pose
        return tracks if pose is None else transform_tracks(tracks, pose.inverse())

    def _find(
        self, tracks: Tracks, history: TrackHistory, before_last: Tracks | None
    ) -> tuple[RigidTransform, str] | None:
        known = set(history.ids) - {ROBOT_ID}
        rows = np.array([i in known for i in tracks.ids], dtype=bool)
        if rows.sum() < _MIN_PEOPLE:
            return None
        ids = tuple(i for i, row in zip(tracks.ids, rows, strict=True) if row)
        motions = history.motions(ids)
        gaps_s = motions.gaps_s(tracks.stamp_ns)
        usable = (gaps_s > 0.0) & (gaps_s <= _MAX_GAP_S) & (motions.intervals_ns > 0)
        if usable.sum() < _MIN_PEOPLE:
            return None
        expected_m = motions.extrapolated_m(gaps_s)[usable]
        seen_m = tracks.positions_m[rows][usable]
        speeds = motions.velocities_m_s[usable]
        gap_s = float(np.median(gaps_s[usable]))
        speed_m_s = float(np.median(_length_m(speeds)))
        residuals_m = _length_m(seen_m - expected_m)
        residual_m = float(np.median(residuals_m))
        least_m = _MIN_JUMP_M + (_START_M_S + _STOP_SHARE * speed_m_s) * gap_s
        least_m = max(least_m, _NOISE_FACTOR * self._usual_m / math.sqrt(len(seen_m)))
        if before_last is not None:
            # People who return from an outlier in the last message do not share a jump.
            places_m = dict(zip(before_last.ids, before_last.positions_m, strict=True))
            earlier_m = np.array([places_m.get(i, (np.inf, np.inf)) for i in compress(ids, usable)])
            earlier_m += speeds * ((tracks.stamp_ns - before_last.stamp_ns) / NS_PER_S)
            is_back = _length_m(seen_m - earlier_m) < residuals_m
            expected_m = np.where(is_back[:, None], earlier_m, expected_m)
            residuals_m = _length_m(seen_m - expected_m)
        found = None
        # With this much noise, a few people have the same displacement by chance.
        is_blind = self._usual_m > _MAX_USUAL_M
        if np.median(residuals_m) > least_m and self._n_messages >= _MIN_MESSAGES and not is_blind:
            found = self._common(expected_m, seen_m, least_m)
        if found is None:
            self._learn(residual_m)
        return found

    def _learn(self, residual_m: float) -> None:
        self._n_messages += 1
        weight = max(1.0 / self._n_messages, _WEIGHT)
        self._usual_m += weight * (min(residual_m, _MAX_NOISE_M) - self._usual_m)

    def _common(
        self, expected_m: FloatArray, seen_m: FloatArray, least_m: float
    ) -> tuple[RigidTransform, str] | None:
        """The rigid motion that most people share, if it is large enough, with its log text."""
        tolerance_m = max(_MIN_SPREAD_M, _SPREAD_FACTOR * self._usual_m)
        needed = max(_MIN_PEOPLE, math.ceil(_MIN_SHARE * len(seen_m)))
        for pose in _candidates(expected_m, seen_m, tolerance_m):
            moved_m = pose.of_ground(expected_m)
            alike = _length_m(moved_m - seen_m) <= tolerance_m
            distances_m = _length_m(moved_m - expected_m)[alike]
            distance_m = float(np.median(distances_m)) if alike.any() else 0.0
            if alike.sum() >= needed and distance_m > least_m:
                return pose, (
                    f"{alike.sum()} people moved by the same {distance_m:.2f} m between two "
                    "messages: treated as a correction of the localisation, not as motion; let the "
                    "tracker publish in a frame that moves smoothly, such as odom, and set "
                    "publish_frame"
                )
        return None


def _step_m(before: Tracks, now: Tracks) -> float:
    """Median displacement of people between two messages, metres; infinite for other people.

    At 10 Hz, walking people stay below the smallest jump, so that nothing else is computed.
    """
    if before.ids != now.ids or now.stamp_ns < before.stamp_ns or len(now.ids) < _MIN_PEOPLE:
        return math.inf
    distances_m = np.sort(_length_m(now.positions_m - before.positions_m))
    return float(distances_m[len(distances_m) // 2])


def _candidates(
    expected_m: FloatArray, seen_m: FloatArray, tolerance_m: float
) -> list[RigidTransform]:
    """Rigid motions in the plane, the simplest first."""
    shifts_m = seen_m - expected_m
    shift_m = np.median(shifts_m, axis=0)
    alike = _length_m(shifts_m - shift_m) <= tolerance_m
    if alike.sum() >= _MIN_PEOPLE:
        shift_m = shifts_m[alike].mean(axis=0)
    candidates = [_planar(0.0, shift_m)]
    if len(seen_m) >= _MIN_TURNING:
        pose = _fit(expected_m, seen_m)
        # Fitted again without outliers.
        errors_m = _length_m(pose.of_ground(expected_m) - seen_m)
        near = errors_m <= max(tolerance_m, float(np.median(errors_m)))
        if near.sum() >= _MIN_TURNING:
            pose = _fit(expected_m[near], seen_m[near])
        if abs(math.atan2(pose.rotation[1, 0], pose.rotation[0, 0])) <= _MAX_TURN_RAD:
            candidates.append(pose)
    return candidates


def _fit(expected_m: FloatArray, seen_m: FloatArray) -> RigidTransform:
    """The least-squares rigid motion in the plane (Umeyama 1991)."""
    before, after = expected_m.mean(axis=0), seen_m.mean(axis=0)
    a, b = expected_m - before, seen_m - after
    turn_rad = math.atan2(
        float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()), float((a * b).sum())
    )
    return _planar(turn_rad, after - _planar(turn_rad, np.zeros(2)).of_ground(before))


def _planar(turn_rad: float, shift_m: FloatArray) -> RigidTransform:
    sine, cosine = math.sin(turn_rad), math.cos(turn_rad)
    rotation = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return RigidTransform(rotation, np.array([*shift_m, 0.0]))


def _length_m(offsets_m: FloatArray) -> FloatArray:
    """(A,) lengths of (A, 2) vectors."""
    return np.asarray(np.hypot(*offsets_m.T))
