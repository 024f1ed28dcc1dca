"""The recordings of each split of the benchmark, and of the model for robots, as scenes.

Without torch, as commands name the splits in their help.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT, RECORDINGS, scenes
from social_implicit_ros.recordings.text_formats.robot_recordings import (
    robot_recordings,
    robot_windows,
)
from social_implicit_ros.recordings.text_formats.text import Recording, load_recording
from social_implicit_ros.types import FloatArray

#: The split for robots: every recording, the ETH one at its true rate.
ROBOT_SPLIT = "robot"
SPLITS = (*LEAVE_ONE_OUT, ROBOT_SPLIT)
#: The ETH recording at its true rate, which replaces `biwi_eth`.
TRUE_RATE_ETH = "seq_eth"
#: Folder of `robot/` whose licence permits training (THOR, CC BY 4.0), also for the robot split.
ROBOT_FOLDER = "thor"
#: Share of the frames of these recordings for training; the rest is for validation.
ROBOT_TRAIN_SHARE = 0.8


def split_recordings(split: str) -> tuple[str, ...]:
    """Names of a split's recordings for training and validation; ValueError: unknown split."""
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}, expected one of {', '.join(SPLITS)}")
    if split == ROBOT_SPLIT:
        return (TRUE_RATE_ETH, *(name for name in RECORDINGS if name != "biwi_eth"))
    return tuple(name for name in RECORDINGS if name not in LEAVE_ONE_OUT[split])


def load_split(data: Path, split: str) -> tuple[list[FloatArray], list[FloatArray]]:
    """Scenes for training and validation: two lists of (A, 20, 2) positions in metres.

    Raises:
        ValueError: unknown split, see `split_recordings`.
        FileNotFoundError: a recording is missing in `eth_ucy/` or `eth_true_rate/`.
    """
    parts = load_recordings(data, split).values()
    training, validation = ([scene for part in parts for scene in part[i]] for i in (0, 1))
    return training, validation


def load_recordings(data: Path, split: str) -> dict[str, tuple[list[FloatArray], list[FloatArray]]]:
    """As `load_split`, by recording; the true-rate ETH recording is the last one."""
    parts = {}
    for name in sorted(split_recordings(split), key=TRUE_RATE_ETH.__eq__):
        if name == TRUE_RATE_ETH:
            training, validation = _cut(_load(data, f"eth_true_rate/{name}"))
        else:
            training, validation = (
                _load(data, f"eth_ucy/{part}/{name}_{part}") for part in ("train", "val")
            )
        parts[name] = _positions([training]), _positions([validation])
    return parts


def load_robot_recordings(data: Path) -> tuple[list[FloatArray], list[FloatArray]]:
    """Scenes of `ROBOT_FOLDER` for training and validation, single agents included."""
    recordings = robot_recordings(data).get(ROBOT_FOLDER, [])
    if not recordings:
        raise FileNotFoundError(f"no recordings in {data / 'robot' / ROBOT_FOLDER}")
    training, validation = (
        [scene.positions_m for cut in cuts for scene, _ in robot_windows(cut)]
        for cuts in zip(*map(_cut, recordings), strict=True)
    )
    return training, validation


def load_test(data: Path, split: str) -> list[FloatArray]:
    """Scenes of the test recordings of a leave-one-out split: (A, 20, 2) metres each."""
    return _positions([_load(data, f"eth_ucy/all_data/{name}") for name in LEAVE_ONE_OUT[split]])


def _load(data: Path, name: str) -> Recording:
    path = data / f"{name}.txt"
    if not path.is_file():
        raise FileNotFoundError(
            f"no recording {path}; give the folder that contains eth_ucy/ and eth_true_rate/ "
            "(docs/data.md)"
        )
    return load_recording(path)


def _cut(recording: Recording) -> tuple[Recording, Recording]:
    """Splits a recording in time, by `ROBOT_TRAIN_SHARE`."""
    frames = np.unique(recording.frames)
    early = recording.frames < frames[int(ROBOT_TRAIN_SHARE * len(frames))]
    columns = recording.frames, recording.ids, recording.positions_m
    first, second = (
        Recording(recording.name, *(column[rows] for column in columns)) for rows in (early, ~early)
    )
    return first, second


def _positions(recordings: Sequence[Recording]) -> list[FloatArray]:
    return [scene.positions_m for recording in recordings for scene in scenes(recording)]
