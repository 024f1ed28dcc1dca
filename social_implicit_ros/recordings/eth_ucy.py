"""Text recordings of pedestrians (ETH/UCY format) and the leave-one-out benchmark on them.

A line holds `frame  pedestrian_id  x_m  y_m`, separated by white space.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from social_implicit_ros.types import FloatArray, IntArray, require_shape

#: Steps observed and predicted in the benchmark, 0.4 s each.
N_OBSERVED = 8
N_PREDICTED = 12
STEP_S = 0.4

#: From here on not every integer has a number of its own in double precision.
_TOO_LARGE = 2.0**53

#: Split -> the recordings it is tested on and that its training leaves out.
LEAVE_ONE_OUT: dict[str, tuple[str, ...]] = {
    "eth": ("biwi_eth",),
    "hotel": ("biwi_hotel",),
    "univ": ("students001", "students003"),
    "zara1": ("crowds_zara01",),
    "zara2": ("crowds_zara02",),
}
RECORDINGS = (
    "biwi_eth",
    "biwi_hotel",
    "crowds_zara01",
    "crowds_zara02",
    "crowds_zara03",
    "students001",
    "students003",
    "uni_examples",
)


@dataclass(frozen=True, eq=False)
class Recording:
    """A text recording, sorted by frame, then by id.

    Attributes:
        name: the file's stem.
        frames: (N,) video frame of each observation.
        ids: (N,) pedestrian of each observation.
        positions_m: (N, 2) in metres, world frame.
    """

    name: str
    frames: IntArray
    ids: IntArray
    positions_m: FloatArray

    def __post_init__(self) -> None:
        """Checks the shapes; raises ValueError naming the field."""
        require_shape("Recording", "ids", self.ids, self.frames.shape)
        require_shape("Recording", "positions_m", self.positions_m, (*self.frames.shape, 2))


def load_recording(path: Path | str) -> Recording:
    """Reads an ETH/UCY text file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line that is not four numbers, a position that is not finite, or no line.
    """
    path = Path(path)
    path.stat()  # older versions of numpy do not tell that there is no file
    try:
        with warnings.catch_warnings():
            # An empty file is refused below, with what is expected.
            warnings.simplefilter("ignore", UserWarning)
            rows = np.loadtxt(path, dtype=np.float64, ndmin=2)
    except ValueError as error:
        raise ValueError(
            f"{path}: {error}; every line must hold four numbers: frame id x_m y_m"
        ) from error
    if rows.size == 0 or rows.shape[1] != 4:
        raise ValueError(
            f"{path}: found an array of shape {rows.shape}, expected lines of four numbers: "
            "frame id x_m y_m"
        )
    not_finite = ~np.isfinite(rows).all(axis=1)
    if not_finite.any():
        line = int(not_finite.argmax()) + 1
        raise ValueError(f"{path}: observation {line} is not finite; remove or mend it")
    too_large = (np.abs(rows[:, :2]) >= _TOO_LARGE).any(axis=1)
    if too_large.any():
        line = int(too_large.argmax()) + 1
        raise ValueError(f"{path}: frame or id of observation {line} is beyond 2^53; number anew")
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    return Recording(
        path.stem, rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), rows[:, 2:]
    )


@dataclass(frozen=True, eq=False)
class Scene:
    """The agents present in every step of one benchmark window.

    Attributes:
        recording: the recording's name.
        frame: the first frame of the window.
        ids: (A,) pedestrians.
        positions_m: (A, 20, 2) positions in metres, oldest first.
    """

    recording: str
    frame: int
    ids: IntArray
    positions_m: FloatArray

    @property
    def observed(self) -> FloatArray:
        """(A, 8, 2) the observed part, metres."""
        return self.positions_m[:, :N_OBSERVED]

    @property
    def future(self) -> FloatArray:
        """(A, 12, 2) what came to pass, metres."""
        return self.positions_m[:, N_OBSERVED:]


def scenes(
    recording: Recording,
    *,
    n_steps: int = N_OBSERVED + N_PREDICTED,
    min_agents: int = 2,
) -> Iterator[Scene]:
    """Slides a window over a recording, as the protocol of the benchmark does.

    A window holds `n_steps` successive annotated frames; an agent counts when it is present in
    every one of them, a window when it holds at least `min_agents` such agents.

    Args:
        recording: what to slide over.
        n_steps: steps of a window.
        min_agents: windows with fewer complete agents are left out.
    """
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
