"""The ETH/UCY recordings: the leave-one-out splits and the windows of the benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from social_implicit_ros.recordings.bag import RecordingError
from social_implicit_ros.recordings.text_formats.text import Recording, load_recording
from social_implicit_ros.types import FloatArray, IntArray

#: Observed and predicted steps of the benchmark.
N_OBSERVED = 8
N_PREDICTED = 12
STEP_S = 0.4

#: Split -> its test recordings, which are not used for its training.
LEAVE_ONE_OUT: dict[str, tuple[str, ...]] = {
    "eth": ("biwi_eth",),
    "hotel": ("biwi_hotel",),
    "univ": ("students001", "students003"),
    "zara1": ("crowds_zara01",),
    "zara2": ("crowds_zara02",),
}
RECORDINGS = (
    *("biwi_eth", "biwi_hotel", "crowds_zara01", "crowds_zara02", "crowds_zara03"),
    *("students001", "students003", "uni_examples"),
)


@dataclass(frozen=True, eq=False)
class Scene:
    """The agents that are present in every step of one benchmark window.

    Attributes:
        recording: name of the recording.
        frame: the first frame of the window.
        ids: (A,) ids of the pedestrians.
        positions_m: (A, 20, 2) positions in metres, oldest first.
    """

    recording: str
    frame: int
    ids: IntArray
    positions_m: FloatArray

    @property
    def observed(self) -> FloatArray:
        """(A, 8, 2) observed positions, metres."""
        return self.positions_m[:, :N_OBSERVED]

    @property
    def future(self) -> FloatArray:
        """(A, 12, 2) ground truth, metres."""
        return self.positions_m[:, N_OBSERVED:]


def scenes(
    recording: Recording, *, n_steps: int = N_OBSERVED + N_PREDICTED, min_agents: int = 2
) -> Iterator[Scene]:
    """Windows of `n_steps` successive annotated frames, with the agents present in all of them."""
    frames = np.unique(recording.frames)
    ids, agent_of_row = np.unique(recording.ids, return_inverse=True)
    frame_of_row = np.searchsorted(frames, recording.frames)
    grid = np.full((len(ids), len(frames), 2), np.nan)
    grid[agent_of_row, frame_of_row] = recording.positions_m
    for first in range(len(frames) - n_steps + 1):
        window = grid[:, first : first + n_steps]
        present = np.flatnonzero(~np.isnan(window[..., 0]).any(axis=1))
        if len(present) >= min_agents:
            yield Scene(recording.name, int(frames[first]), ids[present], window[present])


def split_scenes(data: Path, split: str, *, min_agents: int = 2) -> list[Scene]:
    """Every test window of a split; raises RecordingError for an unknown split or data."""
    if split not in LEAVE_ONE_OUT:
        raise RecordingError(f"unknown split {split!r}: expected one of {', '.join(LEAVE_ONE_OUT)}")
    folder = data / "eth_ucy" / "all_data"
    if not folder.is_dir():
        raise RecordingError(
            f"{data} is not the data folder: it has no eth_ucy/all_data; "
            "give the folder with the ETH/UCY recordings; docs/data.md says where to get them"
        )
    found: list[Scene] = []
    for name in LEAVE_ONE_OUT[split]:
        file = folder / f"{name}.txt"
        if not file.is_file():
            raise RecordingError(f"{folder} lacks {name}.txt, which split {split!r} is tested on")
        found.extend(scenes(load_recording(file), min_agents=min_agents))
    if not found:
        raise RecordingError(f"split {split!r} of {data} has no window with {min_agents} agents")
    return found
