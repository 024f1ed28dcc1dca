"""A recording of any tracker as the windows that models are trained and measured on.

The windows of text recordings are defined by their video frames (`core.recordings.scenes`); a
tracker's messages come when they come. Here positions are interpolated at a model's step, as the
truth of an evaluation is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from social_implicit_ros.evaluation.replay import longest_gap_s
from social_implicit_ros.evaluation.truth_window import TruthWindow
from social_implicit_ros.prediction.replay_settings import ReplaySettings
from social_implicit_ros.recordings.eth_ucy import N_OBSERVED, N_PREDICTED, STEP_S, Scene
from social_implicit_ros.recordings.track_source import TrackSource
from social_implicit_ros.tracks.stamp_guard import StampGuard, StampVerdict
from social_implicit_ros.types import Tracks

_NS_PER_S = 1_000_000_000
_STEP_NS = round(STEP_S * _NS_PER_S)
N_STEPS = N_OBSERVED + N_PREDICTED
#: From the first position of a window to its last, integer nanoseconds.
WINDOW_NS = (N_STEPS - 1) * _STEP_NS


def bag_scenes(
    source: TrackSource,
    settings: ReplaySettings,
    advance: Callable[[int], None] = lambda n_messages: None,
) -> list[Scene]:
    """Slides a window over a recording, a step of 0.4 s at a time.

    Args:
        source: the recording.
        settings: as the node's parameters: how long tracks may pause, how fast people may be.
        advance: called with the number of messages whenever some were read.

    Returns:
        A scene for each window in which somebody was seen throughout, in the order of their
        times. `frame` is the stamp of the first position, integer nanoseconds; `ids` number
        unbroken tracks, so that nobody is taken for another under a recycled id.

    Raises:
        RecordingError: the recording turns out to be damaged.
    """
    slider = _Slider(source, settings)
    found: list[Scene] = []
    for arrival in source.arrivals(transform_wait_s=settings.transform_wait_s):
        advance(1)
        if arrival.tracks is not None:
            found.extend(slider.take(arrival.tracks, arrival.received_ns))
    found.extend(slider.rest())
    # Where a recording was made of a loop, the same moments come again: side by side they cannot
    # be trained on and tested on.
    return sorted(found, key=lambda scene: scene.frame)


@dataclass
class _Track:
    """An unbroken track: its number, and when it was seen first and last."""

    number: int
    began_ns: int
    seen_ns: int


class _Slider:
    """Takes messages, gives windows as soon as all of their positions are known."""

    def __init__(self, source: TrackSource, settings: ReplaySettings) -> None:
        timeout_s = settings.pipeline.track_timeout_s
        gap_s = longest_gap_s(source, timeout_s)
        self._name = str(source.path)
        self._gap_ns = round(gap_s * _NS_PER_S)
        self._guard = StampGuard(timeout_s)
        self._truth = TruthWindow(
            max_gap_s=gap_s,
            max_pause_s=timeout_s,
            max_speed_m_s=settings.pipeline.max_speed_m_s,
        )
        self._n_tracks = 0
        self._column_of_agent: dict[str, int] = {}
        self._tracks: dict[int, _Track] = {}  # by their columns of the truth
        self._next_ns: int | None = None
        self._newest_ns = 0

    def take(self, tracks: Tracks, received_ns: int) -> Iterator[Scene]:
        """What a message completes."""
        verdict = self._guard.judge(tracks.stamp_ns, received_ns)
        if verdict is StampVerdict.JUMPED_BACK:
            yield from self.rest()
            self._restart()
        elif verdict is not StampVerdict.IN_TIME:
            return
        self._remember(tracks)
        if self._next_ns is None:
            self._next_ns = tracks.stamp_ns
        self._newest_ns = max(self._newest_ns, tracks.stamp_ns)
        yield from self._until(self._newest_ns - WINDOW_NS - self._gap_ns)

    def rest(self) -> Iterator[Scene]:
        """The windows that no further message can complete."""
        yield from self._until(self._newest_ns - WINDOW_NS)

    def _restart(self) -> None:
        self._truth.clear()
        self._column_of_agent.clear()
        self._tracks.clear()
        self._next_ns, self._newest_ns = None, 0

    def _remember(self, tracks: Tracks) -> None:
        columns = self._truth.add(tracks).tolist()
        stamp_ns = tracks.stamp_ns
        for agent, column in zip(tracks.ids, columns, strict=True):
            if column < 0:
                continue
            if self._column_of_agent.get(agent) != column or column not in self._tracks:
                self._column_of_agent[agent] = column
                self._tracks[column] = _Track(self._n_tracks, stamp_ns, stamp_ns)
                self._n_tracks += 1
            self._tracks[column].seen_ns = max(stamp_ns, self._tracks[column].seen_ns)

    def _until(self, last_start_ns: int) -> Iterator[Scene]:
        while self._next_ns is not None and self._next_ns <= last_start_ns:
            scene = self._scene(self._next_ns)
            if scene is not None:
                yield scene
            self._next_ns = self._start_after(self._next_ns)
        if self._next_ns is not None:
            self._forget_before(self._next_ns - self._gap_ns)

    def _start_after(self, start_ns: int) -> int:
        """A step later, or more steps where nobody is there until then."""
        tracks = self._tracks.values()
        if any(track.began_ns <= start_ns <= track.seen_ns for track in tracks):
            return start_ns + _STEP_NS
        next_ns = min((t.began_ns for t in tracks if t.began_ns > start_ns), default=start_ns)
        return start_ns + max(1, -((start_ns - next_ns) // _STEP_NS)) * _STEP_NS

    def _scene(self, start_ns: int) -> Scene | None:
        end_ns = start_ns + WINDOW_NS
        seen = {
            c: t for c, t in self._tracks.items() if t.began_ns <= start_ns and t.seen_ns >= end_ns
        }
        columns = np.array(sorted(seen), dtype=np.int64)
        stamps_ns = start_ns + _STEP_NS * np.arange(N_STEPS)
        positions_m = self._truth.positions_m(columns, stamps_ns)
        complete = np.flatnonzero(~np.isnan(positions_m[..., 0]).any(axis=1))
        if len(complete) == 0:
            return None
        numbers = [seen[column].number for column in columns[complete].tolist()]
        return Scene(self._name, start_ns, np.array(numbers, dtype=np.int64), positions_m[complete])

    def _forget_before(self, stamp_ns: int) -> None:
        self._truth.forget_before(stamp_ns)
        self._tracks = {c: t for c, t in self._tracks.items() if t.seen_ns >= stamp_ns}
