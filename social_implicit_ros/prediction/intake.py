"""From messages to histories: stamps, transforms, corrections of the localisation, identities.

It depends neither on ROS nor on files. Time is an argument; nothing here reads a clock. Skipped
entries are returned with their reason.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

from social_implicit_ros.prediction.localisation.frames import HistoryFrame, TransformQueue
from social_implicit_ros.prediction.localisation.robot_gate import RobotGate
from social_implicit_ros.prediction.update import REFUSED_STAMPS, Refusal, Update
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.entries import are_valid
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.tracks.identities.identities import Identities
from social_implicit_ros.tracks.known_tracker import KnownTracker
from social_implicit_ros.tracks.stamp_guard import StampGuard
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import ROBOT_ID, SkipReason, Tracks, plain_frame

#: Time with an exactly constant position after which a track is ignored in learning, seconds.
_FROZEN_S = 0.3


class TrackIntake:
    """Messages of trackers and of the robot -> stamp guard -> transform -> identities -> history.

    Attributes:
        config: the options.
        history: the history of all tracks.
        newest_ns: stamp of the newest tracks in the history, integer nanoseconds; None without any.
    """

    def __init__(
        self, config: PredictorConfig, lookup: TransformBuffer, history: TrackHistory
    ) -> None:
        self.config, self.history = config, history
        self.newest_ns: int | None = None
        self._lookup = lookup
        self._trackers: dict[str, KnownTracker] = {}  # by source
        self._queue = TransformQueue(lookup, config.transform_wait_s)
        self._frame = HistoryFrame(lookup, config.fixed_frame, config.publish_frame)
        self._robot = RobotGate(history, config)
        self._identities = Identities(config.pipeline)

    def add_tracks(self, tracks: Tracks, frame_id: str, now_ns: int, *, source: str = "") -> Update:
        """Adds a tracker message.

        Args:
            tracks: in the frame `frame_id`.
            frame_id: of the message's header.
            now_ns: current time, integer nanoseconds; 0 if the clock does not run.
            source: prefix of the ids of this tracker, which identifies it. Stamps are compared only
                with those of the same source.
        """
        update = Update()
        if source not in self._trackers:
            guard = StampGuard(self.config.pipeline.track_timeout_s)
            self._trackers[source] = KnownTracker(guard, self._identities.counts)
        tracker = self._trackers[source]
        oldest_ns = 0
        if self.config.tick_rate_hz > 0.0:
            longest_s = max(self.track_timeout_s, self.config.pipeline.max_track_timeout_s)
            oldest_ns = now_ns - round(longest_s * NS_PER_S)
        reason = tracker.guard.check(tracks.stamp_ns, now_ns, oldest_ns)
        if reason is not None:
            update.skip(source, reason, len(tracks.ids))
            times = (
                f"(header.stamp {tracks.stamp_ns / NS_PER_S:.3f} s, now {now_ns / NS_PER_S:.3f} s)"
            )
            update.refusals.append(
                Refusal(reason.value, f"tracks {REFUSED_STAMPS[reason]} {times}")
            )
            return update
        if tracker.guard.has_jumped_back:
            self._jump_back(source, update)
        update.is_accepted = True
        # Forecasts at the stamp of each message do not depend on latency.
        arrived_ns = tracks.stamp_ns if self.config.tick_rate_hz == 0 else now_ns
        tracker.timing.add(tracks.stamp_ns, arrived_ns)
        tracks, skipped = tracker.observations(
            tracks, self.history.noise_m(source), self.config.pipeline.max_speed_m_s
        )
        for reason, n_entries in skipped.items():
            update.skip(source, reason, n_entries)
            if reason is SkipReason.UNSET_POSITION and n_entries:
                update.examples[reason] = str(tracker.reported.placeholders.newest_m)
        self._follow_trackers()
        if tracks.source != source:
            tracks = replace(tracks, source=source)
        self._place(tracks, frame_id, now_ns, update)
        return update

    def add_robot(self, robot: Tracks, frame_id: str, now_ns: int) -> Update:
        """Adds the robot's position from odometry; arguments as for `add_tracks`."""
        update = Update()
        refusal = self._robot.stamp_problem(robot, now_ns, "odometry", "odometry")
        if refusal is not None:
            update.refusals.append(refusal)
            return update
        update.is_accepted = True
        self._place(robot, frame_id, now_ns, update)
        return update

    def poll(self, now_ns: int) -> Update:
        """Adds waiting tracks whose transform is known by now; drops those that timed out."""
        update = Update()
        self._move_waiting(now_ns, update)
        return update

    def reset(self) -> None:
        """Resets all histories; the next message may have any stamp."""
        self._trackers.clear()
        self._forget()

    def reconfigure(self, config: PredictorConfig) -> None:
        """Applies the options that may change at run time; histories are kept."""
        self.config = self._robot.config = config
        self._identities.config = config.pipeline
        self.history.reconfigure(config.pipeline)
        self._follow_trackers()
        for guard in (*(known.guard for known in self._trackers.values()), self._robot.guard):
            guard.tolerance_s = config.pipeline.track_timeout_s

    def clock_jumped_back(self, now_ns: int) -> bool:
        """Whether the clock jumped back to `now_ns`, so that the history lies in its future."""
        return any(known.guard.clock_jumped_back(now_ns) for known in self._trackers.values())

    @property
    def track_timeout_s(self) -> float:
        """Time after which tracks are dropped, long enough for the slowest tracker, seconds."""
        return self.history.config.track_timeout_s

    def counters(self) -> dict[str, int]:
        """Further counters for `/diagnostics` and the health rules, by key."""
        shifts_ns = map(self.stamp_shift_ns, self._trackers)
        return {
            **self._identities.counts,
            "frame_corrections": self._frame.n_corrections,
            "heights_unknown": self.history.n_unknown_heights,
            "stamp_shift_ms": round(max(shifts_ns, key=abs, default=0) / 1e6),
        }

    def contested_transforms(self) -> list[str]:
        """A text for each transform that two nodes seem to publish."""
        return self._lookup.contested()

    def stamp_shift_ns(self, source: str) -> int:
        """Time by which stamps of a tracker are late for the transforms, nanoseconds."""
        return self._queue.shift_ns(source)

    @property
    def n_tracked(self) -> int:
        """Number of people in the history, without the robot."""
        return len(self.history) - (not self.history.unknown((ROBOT_ID,)))

    def tracker(self, source: str) -> KnownTracker:
        """The statistics of a tracker; empty ones for an unknown tracker."""
        return self._trackers.get(source) or KnownTracker(StampGuard(0.0), Counter())

    @property
    def n_waiting(self) -> int:
        """Number of messages that wait for a transform."""
        return len(self._queue)

    def _place(self, tracks: Tracks, frame_id: str, now_ns: int, update: Update) -> None:
        """Adds tracks to the history now, or once their transform is known."""
        frame_id = plain_frame(frame_id)
        self._choose_frame({frame_id})
        if frame_id == self._frame.frame_id:
            self._enter(tracks, now_ns, update)
            return
        lead_ns = self.tracker(tracks.source).timing.lead_ns
        self._queue.add(tracks, frame_id, now_ns, lead_ns)
        self._move_waiting(now_ns, update)

    def _move_waiting(self, now_ns: int, update: Update) -> None:
        self._choose_frame(self._queue.frame_ids)
        moved, timed_out = self._queue.take(self._frame.frame_id, now_ns)
        for tracks in moved:
            self._enter(tracks, now_ns, update)
        for tracks, reason in timed_out:
            kind, what = SkipReason.NO_TRANSFORM.value, "tracks without a transform are skipped"
            if ROBOT_ID in tracks.ids:
                kind, what = f"odometry.{kind}", "odometry without a transform is skipped"
                update.robot_skipped[SkipReason.NO_TRANSFORM] += 1
            else:
                update.skip(tracks.source, SkipReason.NO_TRANSFORM, len(tracks.ids))
            update.refusals.append(Refusal(kind, f"{what}: {reason}"))

    def _choose_frame(self, frame_ids: set[str]) -> None:
        """Chooses the frame of the histories; if it changes, resets them."""
        if self._frame.choose(frame_ids):
            self._forget_histories()

    def _enter(self, tracks: Tracks, now_ns: int, update: Update) -> None:
        if ROBOT_ID in tracks.ids:
            refusal = self._robot.enter(self._frame.moved_back(tracks), update.robot_skipped)
            update.refusals += [refusal] if refusal else []
            return
        known, config = self.tracker(tracks.source), self.config.pipeline
        if known.timing.lead_ns:
            tracks = replace(tracks, stamp_ns=tracks.stamp_ns - known.timing.lead_ns)
        is_usable = are_valid(tracks.positions_m)
        if not is_usable.all():
            # The history refuses them with a reason; identities are not matched by them.
            self._enter_as(tracks.of_agents(~is_usable), update)
            tracks = tracks.of_agents(is_usable)
        if len(self._trackers) > 1:
            # Jumps are recognised only in messages with all people, here no message has them.
            tracks = self._frame.moved_back(tracks)
        else:
            is_shift = self._queue.has_shifted(tracks.source, tracks.stamp_ns)
            tracks, text = self._frame.take_out_jump(tracks, self.history, is_shift=is_shift)
            update.corrections += [text] if text else []
        *held, tracks = known.rename(tracks, self.history, config)
        for first in held:
            self._enter_as(first, update)
        self._enter_as(tracks, update)
        known.follow(tracks, self.history, config)
        vanished = [i for each in self._trackers.values() for i in each.coasting.vanished]
        update.corrections += self._identities.follow(
            tracks, self.history, vanished, known.doubles.found, now_ns
        )
        self.history.hidden = self._identities.hidden
        self.history.frozen = frozenset(
            agent_id
            for source, each in self._trackers.items()
            for agent_id in each.known_as(each.frozen(_FROZEN_S, self.history.noise_m(source)))
        )

    def _enter_as(self, tracks: Tracks, update: Update) -> None:
        rejected = self.history.insert(tracks)
        n_entries = Counter(tracks.ids) if rejected else {}
        n_entered = len(tracks.ids)
        for agent_id, reason in rejected.items():
            # Not counted: tracks removed in favour of nearer people, which are not in this message,
            # and the first of several entries with one id, which is used.
            n_skipped = n_entries[agent_id] - (reason is SkipReason.DUPLICATE_ID)
            update.skip(tracks.source, reason, n_skipped)
            update.examples[reason] = agent_id
            n_entered -= n_skipped
        update.n_entered += n_entered
        if self.newest_ns is None or tracks.stamp_ns >= self.newest_ns:
            self.newest_ns = tracks.stamp_ns
            if self.config.tick_rate_hz == 0:
                update.tick_ns = tracks.stamp_ns

    def _follow_trackers(self) -> None:
        """Adapts the timeout of tracks to the slowest tracker, within the configured limits."""
        config = self.config.pipeline
        needed_s = max((known.needed_timeout_s for known in self._trackers.values()), default=0.0)
        # Rounded up to 0.1 s, so that it does not change at every message.
        needed_s = min(math.ceil(needed_s * 10.0) / 10.0, config.max_track_timeout_s)
        timeout_s = max(config.track_timeout_s, needed_s)
        if timeout_s != self.track_timeout_s:
            self.history.reconfigure(replace(config, track_timeout_s=timeout_s))

    def _jump_back(self, source: str, update: Update) -> None:
        """Forgets tracks after the stamps of a source jumped back.

        If another source is still ahead, only the clock of this source jumped: only its tracks are
        forgotten. Otherwise time jumped, as when a recording starts again: everything is reset.
        """
        tracker = self._trackers[source]
        assert tracker.guard.newest_ns is not None
        # After a jump of time, sources that jumped before are ahead by their latency only.
        latest_ns = tracker.guard.newest_ns + round(0.5 * tracker.guard.tolerance_s * NS_PER_S)
        others = [known.guard for name, known in self._trackers.items() if name != source]
        if any(other.newest_ns and other.newest_ns > latest_ns for other in others):
            self.history.forget([i for i in self.history.ids if i.startswith(source)])
            tracker.forget()
            self.newest_ns = None
            text = f"the stamps of tracker {source} jumped back: its tracks are forgotten"
            update.refusals.append(Refusal("jumped_back", text))
            return
        self._trackers = {source: tracker}
        self._forget()
        self._lookup.clear()
        update.jumped_back = True

    def _forget(self) -> None:
        self._robot.guard.reset()
        self._queue.clear()
        self._forget_histories()

    def _forget_histories(self) -> None:
        self._frame.reset()
        self._robot.reset()
        self.history.reset()
        for known in self._trackers.values():
            known.forget()
        self._identities.reset()
        self.history.hidden = {}
        self._follow_trackers()
        self.newest_ns = None
