"""Options of an evaluation, and the recordings that they open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from social_implicit_ros.evaluation.faulty_tracker.tracker_faults import TrackerFaults
from social_implicit_ros.prediction.walls import FloorPlan
from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.floor_plan import floor_plan_of, load_map
from social_implicit_ros.recordings.track_source import SourceChoices, TrackSource, open_source
from social_implicit_ros.settings import PredictorConfig


@dataclass(frozen=True)
class Request:
    """Options of an evaluation, the same for all recordings.

    Attributes:
        models: names or files, in the order of the report; the first is the primary model.
        settings: settings of the predictor.
        choices: what to read in the recordings.
        faults: faults of a simulated tracker between the recording and the predictor; None for no
            simulated tracker.
        ground_truth: an independent recording of the ground truth, or a folder with one of the
            same name for each recording; None if the evaluated tracks are their own ground truth.
        ground_truth_shift_s: offset that is added to the stamps of the ground truth, seconds.
        n_moments: maximum number of ticks of each recording at which distributions are evaluated,
            see `distribution`.
        map_file: YAML file of a map server; None uses the map in the recording, if it has one.
        uses_map: whether walls of a map are used.
        is_adaptive: whether the regions of every model adapt during each recording, without stored
            state.
        start_s, duration_s: evaluated section of each recording, seconds; None for all.
    """

    models: tuple[str, ...]
    settings: PredictorConfig
    choices: SourceChoices = SourceChoices()  # noqa: RUF009 (frozen)
    n_moments: int = 0
    start_s: float = 0.0
    duration_s: float | None = None
    faults: TrackerFaults | None = None
    ground_truth: Path | None = None
    ground_truth_shift_s: float = 0.0
    map_file: Path | None = None
    uses_map: bool = True
    is_adaptive: bool = False

    def opened(self, path: Path) -> TrackSource:
        """Opens a recording; raises as `open_source`."""
        return open_source(path, self.settings, self.choices)

    def floor_plan(self, path: Path) -> FloorPlan | None:
        """The walls that predictions keep out of; raises RecordingError for an unreadable map."""
        if self.uses_map and self.map_file is not None:
            return load_map(self.map_file)
        return floor_plan_of(path) if self.uses_map else None

    @property
    def has_ground_truth(self) -> bool:
        """Whether the ground truth is independent of the evaluated tracks."""
        return self.faults is not None or self.ground_truth is not None

    def ground_truth_of(self, path: Path) -> Path | None:
        """The recording of the ground truth; raises RecordingError if a folder has none."""
        truth = self.ground_truth
        if truth is None or not truth.is_dir() or (truth / "metadata.yaml").is_file():
            return truth
        if not (truth / path.name).exists():
            raise RecordingError(f"{path}: {truth} has no ground truth named {path.name}")
        return truth / path.name
