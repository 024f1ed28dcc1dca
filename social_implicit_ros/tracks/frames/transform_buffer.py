"""A transform buffer with tf2's semantics, filled from serialised messages.

tf2's own buffer takes message objects, which are costly to create in Python for each joint of the
robot. This one searches the bytes for the few frames that matter and ignores other messages.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from social_implicit_ros.tracks.frames.transform_messages import StampedPose, transforms_of
from social_implicit_ros.tracks.frames.transforms import (
    IDENTITY,
    Pose,
    RigidTransform,
    TransformUnavailableError,
    between,
    compose,
    differ,
    inverse,
)
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.tracks.to_and_fro import JUMP_M, ToAndFro
from social_implicit_ros.types import plain_frame

#: Length of the buffer, seconds; the default of tf2.
BUFFER_S = 10.0
_BUFFER_NS = round(BUFFER_S * NS_PER_S)
#: Maximum number of messages that are kept unread before the first lookup.
_MAX_UNREAD = 4096
#: Maximum number of frames of similar names in a text.
_MAX_NAMESAKES = 3
#: Maximum number of pairs of frames that are followed; beyond it the oldest is forgotten.
_MAX_PAIRS = 32

#: Number of messages with known stamps from which on a publisher repeats stamps, such as zeros, and
#: minimum age of these, integer nanoseconds: localisations repeat the stamp of the newest scan.
_MIN_REPEATS, _REPEATED_NS = 8, NS_PER_S
#: A frame jumps to and fro, as two nodes publish its pose, if at least this many of its newest
#: poses are far from the one before, and most of these steps undo the one before.
_MAX_JUDGED, _MIN_CONTESTED = 128, 8
#: The point of a frame that is compared, metres.
_AHEAD_M = (2.0, 0.0, 0.0)


@dataclass
class _Link:
    """Poses of a frame in its parents, oldest first; of a static link the newest is valid always.

    Attributes:
        n_repeats: messages since the newest pose with a stamp that was known already.
    """

    is_static: bool
    stamps_ns: list[int] = field(default_factory=list)
    poses: list[tuple[str, Pose]] = field(default_factory=list)
    n_repeats: int = 0

    @property
    def parent(self) -> str:
        """The newest parent."""
        return self.poses[-1][0]

    def at(self, frame: str, stamp_ns: int) -> tuple[str, Pose]:
        """Parent and pose at a time; raises TransformUnavailableError."""
        if self.is_static:
            return self.poses[-1]
        stamps_ns, poses = self.stamps_ns, self.poses
        after = bisect_left(stamps_ns, stamp_ns)
        if after < len(stamps_ns) and stamps_ns[after] == stamp_ns:
            return poses[after]
        # No interpolation up to a pose that is stamped far in the future.
        is_gap = 0 < after < len(stamps_ns) and stamps_ns[after] - stamps_ns[after - 1] > _BUFFER_NS
        if after == len(stamps_ns) or is_gap:
            newest_ns = stamps_ns[after - 1]
            if self.n_repeats >= _MIN_REPEATS and stamp_ns - newest_ns >= _REPEATED_NS:
                raise TransformUnavailableError(
                    f"{frame!r} in {self.parent!r} is published again and again with the stamp "
                    f"{_time(newest_ns)}: its publisher must stamp each transform with the current "
                    "time, or use /tf_static",
                    may_come=True,
                )
            raise TransformUnavailableError(
                f"{frame!r} in {self.parent!r} is known only until {_time(newest_ns)}, "
                f"{(stamp_ns - newest_ns) / NS_PER_S:.3f} s before",
                may_come=True,
                newest_ns=newest_ns,
            )
        if after == 0:
            raise TransformUnavailableError(
                f"{frame!r} in {poses[0][0]!r} is known only from {_time(stamps_ns[0])} on, "
                f"{(stamps_ns[0] - stamp_ns) / NS_PER_S:.3f} s after",
                may_come=False,
            )
        (parent, earlier), (next_parent, later) = poses[after - 1 : after + 1]
        if parent != next_parent:
            return parent, earlier
        earlier_ns, later_ns = stamps_ns[after - 1], stamps_ns[after]
        share = (stamp_ns - earlier_ns) / (later_ns - earlier_ns)
        return parent, between(earlier, later, share)

    def insert(self, stamp_ns: int, parent: str, pose: Pose) -> None:
        """Adds a pose; a stamp that is known already is ignored."""
        if self.is_static:
            self.poses.append((parent, pose))
            del self.poses[:-_MAX_JUDGED]
            return
        at = bisect_left(self.stamps_ns, stamp_ns)
        if at < len(self.stamps_ns) and self.stamps_ns[at] == stamp_ns:
            self.n_repeats += 1
            return
        self.n_repeats = 0
        self.stamps_ns.insert(at, stamp_ns)
        self.poses.insert(at, (parent, pose))
        oldest_ns = self.stamps_ns[-1] - _BUFFER_NS
        # Dropped in bulk, as each deletion moves the whole list. One older pose is kept, so that
        # the whole length can be interpolated.
        if self.stamps_ns[len(self.stamps_ns) // 2] < oldest_ns:
            n_old = bisect_left(self.stamps_ns, oldest_ns) - 1
            del self.stamps_ns[:n_old], self.poses[:n_old]

    @property
    def parents(self) -> set[str]:
        """All parents of the frame within the length of the buffer."""
        return {parent for parent, _ in self.poses}

    @property
    def contested_m(self) -> float:
        """Distance by which the frame jumps to and fro, metres; 0 if it does not.

        Of a point in front of it, so that turns count, too.
        """
        poses = [pose for parent, pose in self.poses[-_MAX_JUDGED:] if parent == self.parent]
        if len(poses) < _MIN_CONTESTED:
            return 0.0
        points_m = np.array([compose(pose, (_AHEAD_M, IDENTITY[1]))[0] for pose in poses])
        motion_m = (points_m[2:] - points_m[:-2]).mean(axis=0) / 2.0
        steps_m = np.diff(points_m, axis=0) - motion_m
        jumps_m = steps_m[np.linalg.norm(steps_m, axis=1) > JUMP_M]
        to_and_fro = ToAndFro(_MAX_JUDGED, _MIN_CONTESTED)
        to_and_fro.learn(jumps_m[:-1], jumps_m[1:])
        return to_and_fro.distance_m

    @property
    def moves(self) -> bool:
        """Whether its poses differ; those of a static link replace each other."""
        return not self.is_static and any(
            parent == self.parent and differ(pose, self.poses[-1][1]) for parent, pose in self.poses
        )


class TransformBuffer:
    """Stores transforms and looks up `RigidTransform`s, as tf2's buffer.

    Between two stamps of a link translations are interpolated linearly and rotations spherically;
    nothing is extrapolated. Frames may form several trees, and a frame may change its parent.
    """

    def __init__(self, before_lookup: Callable[[str, str], None] | None = None) -> None:
        """Creates an empty buffer.

        Args:
            before_lookup: called with target and source to add messages that have arrived. May
                raise TransformUnavailableError.
        """
        #: Total number of messages that cannot be read.
        self.n_unreadable = 0
        self._before_lookup = before_lookup
        self._links: dict[str, _Link] = {}
        self._pairs: dict[tuple[str, str], None] = {}  # (target, source) that were looked up
        self._unread: deque[bytes] = deque(maxlen=_MAX_UNREAD)
        self._invalid: dict[str, str] = {}  # frame -> parent in its newest transform, if invalid
        # Children of the links between these frames; None while a pair is not connected.
        self._watched: frozenset[str] | None = None
        self._watched_bytes: tuple[bytes, ...] = ()

    def add(self, data: bytes, *, is_static: bool) -> None:
        """Adds a serialised `tf2_msgs/TFMessage`; invalid transforms are ignored.

        Raises:
            ValueError: the bytes are not such a message.
        """
        if not is_static:
            if not self._pairs:
                self._unread.append(data)
                return
            # Takes a few microseconds, and most messages contain only other frames.
            if self._watched is not None and not any(name in data for name in self._watched_bytes):
                return
        if self._insert(data, is_static):
            self._watch()

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        """The pose of the frame `source` in the frame `target` at a time.

        Raises:
            TransformUnavailableError: the frames are not connected at that time.
        """
        target, source = self._wanted(target, source)
        up, up_error = self._climb(source, stamp_ns)
        down, down_error = self._climb(target, stamp_ns)
        shared = next((frame for frame in up if frame in down), None)
        if shared is None:
            raise self._unavailable(target, source, stamp_ns, up_error, down_error)
        translation, rotation = compose(inverse(down[shared]), up[shared])
        return RigidTransform.from_quaternion(np.array(rotation), np.array(translation))

    def latest(self, target: str, source: str) -> tuple[RigidTransform, int]:
        """The newest pose of `source` in `target` at a time common to all links, and its stamp.

        The stamp is 0 if all links are static.

        Raises:
            TransformUnavailableError: the frames are not connected at a common time.
        """
        path = self.path(target, source) or []
        newest_ns = [
            link.stamps_ns[-1]
            for frame in path
            if (link := self._links.get(frame)) and not link.is_static and link.parent in path
        ]
        stamp_ns = min(newest_ns, default=0)
        return self.lookup(target, source, stamp_ns), stamp_ns

    def path(self, target: str, source: str) -> list[str] | None:
        """The frames from `source` to `target`, both included; None while unconnected."""
        return self._path(*self._wanted(target, source))

    def ancestors(self, frame: str) -> list[str]:
        """The frame itself, its newest parent, and so on up to the root."""
        self._read_unread()
        chain = [plain_frame(frame)]
        while chain[-1] in self._links and self._links[chain[-1]].parent not in chain:
            chain.append(self._links[chain[-1]].parent)
        return chain

    def moving(self) -> list[tuple[str, str]]:
        """The frames that move in their parents: pairs of frame and parent."""
        self._read_unread()
        return [(frame, link.parent) for frame, link in self._links.items() if link.moves]

    def contested(self) -> list[str]:
        """A text for each transform in use that two nodes seem to publish."""
        return [
            f"{frame!r} in {link.parent!r} jumps to and fro by {distance_m:.2f} m"
            for frame in self._watched or ()
            if (link := self._links.get(frame)) and (distance_m := link.contested_m)
        ]

    def clear(self) -> None:
        """Forgets all transforms except static ones, after time jumped back."""
        self._unread.clear()
        self._links = {frame: link for frame, link in self._links.items() if link.is_static}
        self._watch()

    def _wanted(self, target: str, source: str) -> tuple[str, str]:
        """Adds a pair of frames to follow; returns their names without leading slashes."""
        pair = plain_frame(target), plain_frame(source)
        if self._before_lookup is not None:
            self._before_lookup(*pair)
        if pair not in self._pairs:
            if len(self._pairs) == _MAX_PAIRS:
                del self._pairs[next(iter(self._pairs))]
            self._pairs[pair] = None
            self._read_unread()
            self._watch()
        return pair

    def _read_unread(self) -> None:
        while self._unread:
            with suppress(ValueError):  # counted in `n_unreadable`
                self._insert(self._unread.popleft(), is_static=False)

    def _watch(self) -> None:
        """Determines which links matter; messages of other links are ignored from now on."""
        watched: set[str] = set()
        self._watched = None
        if not self._pairs:
            return
        for pair in self._pairs:
            path = self._path(*pair)
            if path is None:
                return
            watched.update(frame for frame in path if self._parent(frame) in path)
        self._watched = frozenset(watched)
        # The end of a name in a message; a leading slash does not matter.
        self._watched_bytes = tuple(frame.encode() + b"\0" for frame in watched)

    def _path(self, target: str, source: str) -> list[str] | None:
        up, down = self.ancestors(source), self.ancestors(target)
        shared = next((frame for frame in up if frame in down), None)
        if shared is None:
            return None
        return up[: up.index(shared) + 1] + down[: down.index(shared)][::-1]

    def _parent(self, frame: str) -> str | None:
        return self._links[frame].parent if frame in self._links else None

    def _insert(self, data: bytes, is_static: bool) -> bool:
        """Stores the transforms that matter; returns whether a frame has a new parent."""
        has_changed = False
        try:
            entries = transforms_of(data)
        except ValueError:
            self.n_unreadable += 1
            raise
        for entry in entries:
            if is_static or self._watched is None or entry.child in self._watched:
                parent = self._parent(entry.child)
                self._store(entry, is_static)
                has_changed |= self._parent(entry.child) != parent
        return has_changed

    def _store(self, entry: StampedPose, is_static: bool) -> None:
        if entry.pose is None:
            self._invalid[entry.child] = entry.parent
            if len(self._invalid) > _MAX_PAIRS:
                del self._invalid[next(iter(self._invalid))]
            return
        self._invalid.pop(entry.child, None)
        link = self._links.get(entry.child)
        if (
            link is None
            or is_static != link.is_static
            # Time jumped back.
            or (not is_static and entry.stamp_ns < link.stamps_ns[-1] - _BUFFER_NS)
        ):
            link = self._links[entry.child] = _Link(is_static)
        link.insert(entry.stamp_ns, entry.parent, entry.pose)

    def _climb(
        self, frame: str, stamp_ns: int
    ) -> tuple[dict[str, Pose], TransformUnavailableError | None]:
        """The poses of a frame in itself and in its ancestors; the error where the chain breaks."""
        poses = {frame: IDENTITY}
        while frame in self._links:
            try:
                parent, in_parent = self._links[frame].at(frame, stamp_ns)
            except TransformUnavailableError as error:
                return poses, error
            if parent in poses:
                raise TransformUnavailableError(
                    f"the transforms of {parent!r} and {frame!r} form a loop: each frame must have "
                    "one parent, stop one of their publishers",
                    may_come=True,
                )
            poses[parent] = compose(in_parent, poses[frame])
            frame = parent
        return poses, None

    def _unavailable(
        self,
        target: str,
        source: str,
        stamp_ns: int,
        *errors: TransformUnavailableError | None,
    ) -> TransformUnavailableError:
        """The reason why two frames are not connected at a time."""
        if not source:
            text = "the message names no frame: its publisher must set header.frame_id"
            return TransformUnavailableError(text, may_come=False)
        chain = (*self.ancestors(source), *self.ancestors(target))
        for frame in chain:
            if frame in self._invalid:
                text = (
                    f"the newest transform of {frame!r} in {self._invalid[frame]!r} is not valid: "
                    "it has NaN, infinity or a quaternion of zeros"
                )
                return TransformUnavailableError(text, may_come=True)
        known = [error for error in errors if error is not None]
        # A transform that can never come explains more than one that may come later.
        first = min(known, key=lambda error: error.may_come, default=None)
        text = f"no transform from {source!r} to {target!r}"
        if first is None:
            missing = [frame for frame in (source, target) if not self._is_known(frame)]
            why = f": nothing publishes {' or '.join(map(repr, missing))}" if missing else ""
            why += self._namesakes(missing, {source, target})
            why += "".join(
                f"; {frame!r} has two parents, {' and '.join(map(repr, sorted(parents)))}: publish "
                "one of them only"
                for frame in chain
                if frame in self._links and len(parents := self._links[frame].parents) > 1
            )
            return TransformUnavailableError(f"{text}{why}", may_come=True)
        return TransformUnavailableError(
            f"{text} at {_time(stamp_ns)}: {first}",
            may_come=first.may_come,
            newest_ns=first.newest_ns,
        )

    def _is_known(self, frame: str) -> bool:
        return frame in self._frames()

    def _frames(self) -> set[str]:
        return {*self._links, *(each for link in self._links.values() for each in link.parents)}

    def _namesakes(self, missing: list[str], asked: set[str]) -> str:
        """Frames with the name of a missing one in other letters, or with another prefix."""
        for frame in missing:
            others = (self._frames() | asked) - {frame}
            names = sorted(repr(each) for each in others if _bare(each) == _bare(frame))
            if names:
                text = " or ".join(names[:_MAX_NAMESAKES])
                return f"; {frame!r} is not {text}: use one name for each frame"
        return ""


def _bare(frame: str) -> str:
    return frame.strip(" /").rpartition("/")[2].casefold()


def _time(stamp_ns: int) -> str:
    return f"{stamp_ns / NS_PER_S:.3f} s"
