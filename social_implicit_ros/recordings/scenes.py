"""Windows of a recording for training and evaluation: positions interpolated to model steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import numpy as np

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.scoring.online_evaluation import PendingPredictions
from social_implicit_ros.prediction.update import Update
from social_implicit_ros.recordings.arrivals import delivered, predictor_config
from social_implicit_ros.recordings.left_out import LeftOut
from social_implicit_ros.recordings.text_formats.eth_ucy import (
    N_OBSERVED,
    N_PREDICTED,
    STEP_S,
    Scene,
)
from social_implicit_ros.recordings.track_source import TrackSource
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import IntArray

_STEP_NS = round(STEP_S * NS_PER_S)
N_STEPS = N_OBSERVED + N_PREDICTED
#: Time from the first to the last position of a window, integer nanoseconds.
WINDOW_NS = (N_STEPS - 1) * _STEP_NS


def bag_scenes(
    source: TrackSource,
    settings: PredictorConfig,
    advance: Callable[[int], None] = lambda n_messages: None,
    left_out: LeftOut | None = None,
) -> list[Scene]:
    """Slides a window over a recording, a step of 0.4 s at a time.

    Args:
        source: the recording.
        settings: settings of a node.
        advance: called with the number of messages that were read since the last call.
        left_out: counts what is left out.

    Returns:
        A scene for each window with at least one complete track, in order of time. `frame` is the
        stamp of the first position, integer nanoseconds. `ids` number unbroken tracks, so that a
        reused id is a different person.

    Raises:
        RecordingError: the recording is damaged.
    """
    source, transforms = replace(source, robot=None), TransformBuffer()
    # The predictor checks stamps, transforms tracks and keeps the history; its predictions are not
    # used. A tick rate of 0 makes it use stamps instead of receive times.
    config = replace(predictor_config(source, settings), robot="none", tick_rate_hz=0.0)
    predictor = Predictor(ConstantVelocity(), config, transforms)
    slider = _Slider(source, predictor)
    found: list[Scene] = []
    for update in delivered(source, predictor, transforms, left_out or LeftOut(), advance):
        found.extend(slider.take(update))
    found.extend(slider.rest())
    # A looped recording repeats the same times. After sorting, repetitions are neighbours and do
    # not fall into both training and test set.
    return sorted(found, key=lambda scene: scene.frame)


class _Slider:
    """Slides over the history of a predictor; returns windows once all positions are known."""

    def __init__(self, source: TrackSource, predictor: Predictor) -> None:
        self._name, self._predictor = str(source.path), predictor
        timeout_s = predictor.config.pipeline.track_timeout_s
        #: Windows with pending positions; their content is the track numbers.
        self._windows: PendingPredictions[IntArray] = PendingPredictions(
            predictor.history,
            np.asarray(np.arange(N_STEPS) * STEP_S),
            max_gap_s=source.longest_gap_s(timeout_s),
            reads_forgotten=True,
        )
        self._timeout_ns = round(timeout_s * NS_PER_S)
        #: (id, first stamp) -> track number; the numbering continues when a recording loops.
        self._numbers: defaultdict[tuple[str, int], int] = defaultdict(count().__next__)
        self._next_ns: int | None = None

    def take(self, update: Update) -> Iterator[Scene]:
        """The windows completed by a message."""
        if update.jumped_back:
            yield from self.rest()
            self._next_ns = None
            self._numbers.clear()
        newest_ns = self._predictor.newest_ns
        if newest_ns is not None:
            self._begin_windows(newest_ns)
            self._windows.update(newest_ns)
        yield from self._complete()

    def rest(self) -> Iterator[Scene]:
        """The remaining windows, when time jumps back and at the end of the recording."""
        self._windows.finish()
        yield from self._complete()

    def _begin_windows(self, newest_ns: int) -> None:
        """Adds the windows that start up to now, one step apart."""
        if self._next_ns is None:
            self._next_ns = newest_ns
        # No window spans a gap longer than the timeout, as all tracks end there.
        silent_ns = newest_ns - self._timeout_ns - self._next_ns
        self._next_ns += max(silent_ns // _STEP_NS, 0) * _STEP_NS
        while self._next_ns <= newest_ns:
            ids = self._predictor.history.ids
            began_ns = self._predictor.history.began_ns(ids).tolist()
            numbers = [self._numbers[track] for track in zip(ids, began_ns, strict=True)]
            self._windows.add(self._next_ns, self._next_ns, ids, np.array(numbers, dtype=np.int64))
            self._predictor.tick(newest_ns)  # drops agents that left
            self._next_ns += _STEP_NS

    def _complete(self) -> Iterator[Scene]:
        for window in self._windows.pop_complete():
            rows = np.flatnonzero(np.isfinite(window.ground_truth_m).all(axis=(1, 2)))
            if len(rows):
                numbers, positions_m = window.content[rows], window.ground_truth_m[rows]
                yield Scene(self._name, window.stamp_ns, numbers, positions_m)
