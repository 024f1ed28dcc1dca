"""The ETH/UCY recordings, and a data folder of simulated recordings with the same names."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT

#: The folder of the ETH/UCY recordings.
DATA = Path(os.environ.get("SOCIAL_IMPLICIT_DATA", Path(__file__).parents[3] / "shared/data"))
needs_recordings = pytest.mark.skipif(
    not (DATA / "eth_ucy/all_data").is_dir(),
    reason=f"no ETH/UCY recordings in {DATA}; set SOCIAL_IMPLICIT_DATA to their folder",
)


def write_walks(folder: Path, *, turn_rad: float = 0.0, n_frames: int = 23) -> Path:
    """Writes all test recordings: three people, 1 m apart, walk 0.5 m per step and turn.

    The third person is missing in the last frame, so the last window has two people.
    """
    recordings = folder / "eth_ucy" / "all_data"
    recordings.mkdir(parents=True)
    heading = turn_rad * np.arange(n_frames)
    steps = 0.5 * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    path = np.cumsum(steps, axis=0)
    for name in (name for names in LEAVE_ONE_OUT.values() for name in names):
        lines = [
            f"{10 * frame}\t{person}\t{path[frame, 0]}\t{path[frame, 1] + person}"
            for frame in range(n_frames)
            for person in ((1, 2, 3) if frame < n_frames - 1 else (1, 2))
        ]
        (recordings / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder
