"""Frames: that of the histories, that of forecasts, and messages that wait for transforms."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.localisation.shared_jumps import SharedJumps
from social_implicit_ros.prediction.localisation.stamp_shift import StampShift
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.frames.transforms import (
    RigidTransform,
    TransformUnavailableError,
    transform_tracks,
)
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import ROBOT_ID, FloatArray, Tracks, plain_frame

#: Maximum number of messages that wait for a transform, about one second at 60 Hz.
_MAX_WAITING = 64
#: Age beyond which a transform is not late, but its publisher stopped, seconds: the maximum of
#: `transform_wait_s`.
_MAX_DELAY_S = 10.0
#: Time by which a stamp may be ahead of the clock, seconds.
_MAX_AHEAD_S = 0.02
#: Time for which positions may jump as a shift of stamps begins or ends, nanoseconds.
_SHIFTING_NS = NS_PER_S
#: Minimum correction of the published frame between two ticks that is counted, metres.
_MIN_CORRECTION_M = 0.1
#: Frames that move smoothly by REP 105, such as odom, robot1/odom and odom_combined.
_SMOOTH = re.compile(r"(?:^|[/_])odom(?:$|[/_])")


class HistoryFrame:
    """The frame in which histories are kept, and its pose in the published frame.

    A localisation corrects the pose of `odom` in `map`. In `map`, each correction would look like
    motion of all people. So histories are kept in the odometry frame if the transforms of all
    tracks pass through the same one, and forecasts are transformed when they are published.

    If tracks arrive in the corrected frame itself, jumps that all people share are removed.

    Attributes:
        n_corrections: total number of corrections that were recognised, and not taken for motion.
    """

    def __init__(self, lookup: TransformBuffer, fixed_frame: str, publish_frame: str = "") -> None:
        """Starts with the fixed frame.

        Args:
            lookup: source of transforms.
            fixed_frame: frame of the histories, unless transforms to it pass an odometry frame.
            publish_frame: frame of the published forecasts; empty for the fixed frame. If it is
                set, histories are always kept in the fixed frame.
        """
        self._lookup, self._fixed_frame = lookup, fixed_frame
        self._is_chosen = bool(publish_frame or _SMOOTH.search(fixed_frame))
        self.frame_id = fixed_frame
        self.published_id = publish_frame or fixed_frame
        self.n_corrections = 0
        self._jumps = SharedJumps()
        self._published_pose: RigidTransform | None = None  # at the newest tick
        self._smooth_of: dict[str, str | None] = {}  # frame of a message -> its odometry frame
        if self.published_id != fixed_frame:
            self._path(fixed_frame)  # so that the lookup begins to store these transforms

    def choose(self, frame_ids: Iterable[str]) -> bool:
        """Chooses the frame of the histories by the paths from the messages' frames.

        Returns:
            Whether the frame of the histories has changed.
        """
        if self._is_chosen:
            return False
        for frame_id in frame_ids:
            if frame_id in self._smooth_of:
                continue
            is_fixed = frame_id == self._fixed_frame
            path = [] if is_fixed else self._path(frame_id)
            if path is not None:
                smooth = (frame for frame in path[:-1] if _SMOOTH.search(frame))
                self._smooth_of[frame_id] = next(smooth, None)
        before, smooth_frames = self.frame_id, set(self._smooth_of.values())
        only = next(iter(smooth_frames)) if len(smooth_frames) == 1 else None
        self.frame_id = only or self._fixed_frame
        return self.frame_id != before

    def reset(self) -> None:
        """Forgets all jumps; histories must be reset with it."""
        self._jumps.reset()
        self._published_pose = None

    def take_out_jump(
        self, tracks: Tracks, history: TrackHistory, *, is_shift: bool = False
    ) -> tuple[Tracks, str]:
        """Tracks with jumps removed, in the histories' frame; log text on a new jump, or empty.

        With `is_shift` a jump is that of a corrected stamp: it is no correction of a localisation.
        """
        tracks, text = self._jumps.take_out(tracks, history)
        if is_shift:
            return tracks, ""
        self.n_corrections += bool(text)
        return tracks, text

    def moved_back(self, tracks: Tracks) -> Tracks:
        """Tracks in the histories' frame, with earlier jumps removed; finds no new ones."""
        return self._jumps.moved_back(tracks)

    def published(self, forecast: Forecast, max_age_s: float) -> tuple[Forecast, list[str]]:
        """A forecast in the published frame, and log texts on corrections of that frame.

        Args:
            forecast: in the frame of the histories.
            max_age_s: maximum age of the transform that is used, seconds.

        Raises:
            TransformUnavailableError: there is no such transform.
        """
        pose = None
        if self.frame_id != self.published_id:
            pose = self._newest(self.published_id, self.frame_id, forecast.stamp_ns, max_age_s)
        before, self._published_pose = self._published_pose, pose
        texts = []
        if before is not None and pose is not None and forecast.ids:
            distance_m = _moved_m(before, pose, forecast.present_m.mean(axis=0))
            if distance_m > _MIN_CORRECTION_M:
                self.n_corrections += 1
                texts = [
                    f"frame {self.frame_id} was corrected by {distance_m:.2f} m in "
                    f"{self.published_id}: predictions moved with it, histories did not"
                ]
        for move in (self._jumps.pose, pose):
            if move is not None:
                forecast = forecast.in_frame(move, self.published_id)
        return forecast, texts

    def pose_of(self, frame_id: str, now_ns: int, max_age_s: float) -> RigidTransform | None:
        """The pose of another frame in the histories' frame; None if they are the same.

        Args:
            frame_id: such as that of a map.
            now_ns: current time, integer nanoseconds.
            max_age_s: maximum age of the transform that is used, seconds.

        Raises:
            TransformUnavailableError: there is no such transform.
        """
        pose = None
        if frame_id != self.frame_id:
            pose = self._newest(self.frame_id, frame_id, now_ns, max_age_s)
        jump = self._jumps.pose
        if jump is None:
            return pose
        return jump.inverse() if pose is None else jump.inverse().after(pose)

    def _newest(self, target: str, source: str, now_ns: int, max_age_s: float) -> RigidTransform:
        """The pose of `source` in `target` at a time, or the newest one if it is not too old."""
        try:
            return self._lookup.lookup(target, source, now_ns)
        except TransformUnavailableError as error:
            if error.newest_ns is None:
                raise
            pose, stamp_ns = self._lookup.latest(target, source)
            if now_ns - stamp_ns > max_age_s * NS_PER_S:
                raise
            return pose

    def _path(self, frame_id: str) -> list[str] | None:
        try:
            return self._lookup.path(self.published_id, frame_id)
        except TransformUnavailableError:
            return None


def _moved_m(before: RigidTransform, after: RigidTransform, at_m: FloatArray) -> float:
    """Distance between the positions of a point of the plane under two poses, metres."""
    place = np.array([*at_m, 0.0])
    moved = (after.rotation - before.rotation) @ place
    return float(np.linalg.norm(moved + after.translation_m - before.translation_m))


@dataclass(frozen=True, eq=False)
class _Waiting:
    tracks: Tracks
    frame_id: str
    deadline_ns: int
    lead_ns: int


class TransformQueue:
    """Messages that wait, up to a timeout, for the transform into the histories' frame."""

    def __init__(self, lookup: TransformBuffer, wait_s: float) -> None:
        self._lookup = lookup
        self._wait_s = wait_s
        self._waiting: deque[_Waiting] = deque()
        # By tracker and frame.
        self._shifts: defaultdict[tuple[str, str], StampShift] = defaultdict(StampShift)

    def __len__(self) -> int:
        """Number of waiting messages."""
        return len(self._waiting)

    @property
    def frame_ids(self) -> set[str]:
        """Frames of the waiting messages."""
        return {entry.frame_id for entry in self._waiting}

    def has_shifted(self, source: str, stamp_ns: int) -> bool:
        """Whether a shift of a tracker began or ended shortly before a stamp."""
        changes_ns = (each.changed_ns for (name, _), each in self._shifts.items() if name == source)
        return any(0 <= stamp_ns - changed_ns <= _SHIFTING_NS for changed_ns in changes_ns)

    def shift_ns(self, source: str) -> int:
        """Largest delay of a tracker's stamps relative to transforms; negative for early stamps.

        Integer nanoseconds, which are subtracted from stamps to look up transforms.
        """
        shifts = (each.shift_ns for (name, _), each in self._shifts.items() if name == source)
        return max(shifts, key=abs, default=0)

    def add(self, tracks: Tracks, frame_id: str, now_ns: int, lead_ns: int = 0) -> None:
        """Queues tracks of another frame; `take` returns them once they are transformed.

        Args:
            tracks: tracks of the message.
            frame_id: frame of the message's header.
            now_ns: current time, integer nanoseconds.
            lead_ns: time by which the tracker's clock is ahead. The transforms may have the same
                clock.
        """
        if len(self._shifts) > _MAX_WAITING:
            self._shifts.clear()  # bounds memory; no real system has so many frames
        deadline_ns = now_ns + round(self._wait_s * NS_PER_S)
        self._waiting.append(_Waiting(tracks, plain_frame(frame_id), deadline_ns, lead_ns))

    def take(self, target: str, now_ns: int) -> tuple[list[Tracks], list[tuple[Tracks, str]]]:
        """Removes the tracks that can be transformed, and those that have timed out.

        Args:
            target: the frame to transform into.
            now_ns: current time, integer nanoseconds.

        Returns:
            Tracks in the target frame in order of arrival; and tracks without a transform, with the
            reason.
        """
        moved: list[Tracks] = []
        timed_out: list[tuple[Tracks, str]] = []
        still: deque[_Waiting] = deque()
        too_many = len(self._waiting) - _MAX_WAITING
        for n, entry in enumerate(self._waiting):
            shift = self._shifts[entry.tracks.source, entry.frame_id]
            stamp_ns = entry.tracks.stamp_ns - shift.shift_ns
            try:
                transform = self._lookup.lookup(target, entry.frame_id, stamp_ns)
            except TransformUnavailableError as error:
                if error.may_come and now_ns < entry.deadline_ns and n >= too_many:
                    still.append(entry)
                    continue
                pose = self._pose_by_other_stamp(target, entry)
                if pose is None:
                    timed_out.append((entry.tracks, self._reason(error, now_ns, entry)))
                    continue
                transform = pose
            if ROBOT_ID not in entry.tracks.ids:
                shift.observe(entry.tracks, partial(self._pose_at, target, entry.frame_id))
            moved.append(transform_tracks(entry.tracks, transform))
        self._waiting = still
        return moved, timed_out

    def clear(self) -> None:
        """Drops all waiting messages."""
        self._waiting.clear()
        self._shifts.clear()

    def _pose_by_other_stamp(self, target: str, entry: _Waiting) -> RigidTransform | None:
        """The pose at the uncorrected stamp, or else at the stamp minus the tracker's lead."""
        stamp_ns, shift = entry.tracks.stamp_ns, self._shifts[entry.tracks.source, entry.frame_id]
        pose = self._pose_at(target, entry.frame_id, stamp_ns) if shift.shift_ns else None
        if pose is None and entry.lead_ns:
            pose = self._pose_at(target, entry.frame_id, stamp_ns - entry.lead_ns)
        return pose

    def _pose_at(self, target: str, frame_id: str, stamp_ns: int) -> RigidTransform | None:
        try:
            return self._lookup.lookup(target, frame_id, stamp_ns)
        except TransformUnavailableError:
            return None

    def _reason(self, error: TransformUnavailableError, now_ns: int, entry: _Waiting) -> str:
        if error.newest_ns is None:
            return str(error)
        age_s = (now_ns - error.newest_ns) / NS_PER_S
        if age_s > _MAX_DELAY_S:
            return (
                f"{error}: its publisher has stopped, or has another clock, such as that of a "
                "replay or simulation (use_sim_time)"
            )
        arrived_ns = entry.deadline_ns - round(self._wait_s * NS_PER_S)
        ahead_s = (entry.tracks.stamp_ns - arrived_ns) / NS_PER_S
        if now_ns and ahead_s > _MAX_AHEAD_S:
            return (
                f"{error}; the tracks are stamped {ahead_s:.2f} s ahead of this node's clock, and "
                f"wait {self._wait_s:g} s: let the tracker stamp the time of measurement, and "
                "synchronise the clocks"
            )
        return (
            f"{error}; its newest transform is {age_s:.2f} s old, "
            f"and tracks wait {self._wait_s:g} s: increase transform_wait_s, or reduce that delay; "
            "if it grows, the publisher of the transform has stopped"
        )
