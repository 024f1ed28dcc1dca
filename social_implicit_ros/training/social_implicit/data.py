"""Recordings -> scenes for training and validation -> packed tensors.

A batch packs the agents of several scenes along one axis; `SceneBatch.scene` is the scene of each
agent, so that a model keeps the scenes apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from social_implicit_ros.models.features import model_input_from_observed
from social_implicit_ros.recordings.text_formats.eth_ucy import (
    LEAVE_ONE_OUT,
    N_OBSERVED,
    N_PREDICTED,
    RECORDINGS,
    scenes,
)
from social_implicit_ros.recordings.text_formats.robot_recordings import (
    robot_recordings,
    robot_windows,
)
from social_implicit_ros.recordings.text_formats.text import Recording, load_recording
from social_implicit_ros.types import FloatArray, IntArray

#: The split for robots: every recording, the ETH one at its true rate.
ROBOT_SPLIT = "robot"
SPLITS = (*LEAVE_ONE_OUT, ROBOT_SPLIT)
#: The ETH recording at its true rate, which replaces `biwi_eth`.
TRUE_RATE_ETH = "seq_eth"
#: Folder of `robot/` whose licence permits training (THOR, CC BY 4.0), also for the robot split.
ROBOT_FOLDER = "thor"
#: Share of the frames of these recordings for training; the rest is for validation.
ROBOT_TRAIN_SHARE = 0.8

#: (scenes, generator) -> the same number of changed scenes.
Augmentation = Callable[[Sequence[FloatArray], np.random.Generator], list[FloatArray]]


@dataclass(frozen=True, eq=False)
class SceneBatch:
    """Several scenes packed along the agent axis.

    Attributes:
        observed: (A, H, 2) float32 positions in metres relative to each scene's centre, see
            `models.features.ModelInput`.
        mask: (A, H) float32, 1 where a step was observed.
        future: (A, T, 2) float32 positions in metres relative to each agent's last position.
        scene: (A,) int64 scene of each agent, ascending from 0.
    """

    observed: torch.Tensor
    mask: torch.Tensor
    future: torch.Tensor
    scene: torch.Tensor

    @property
    def n_scenes(self) -> int:
        """Number of scenes."""
        return int(self.scene[-1]) + 1


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


def pack(positions: Sequence[FloatArray], n_known: IntArray | None = None) -> SceneBatch:
    """Packs scenes, (A, 20, 2) metres, with the last (A,) `n_known` observed steps known."""
    scene = np.repeat(np.arange(len(positions)), [len(agents) for agents in positions])
    packed = np.concatenate(positions)
    last = packed[:, N_OBSERVED - 1]
    n_agents = np.bincount(scene)
    centre = np.stack([np.bincount(scene, last[:, axis]) / n_agents for axis in (0, 1)], axis=-1)
    observed = packed[:, :N_OBSERVED] - centre[scene, None]
    if n_known is not None:
        observed[np.arange(N_OBSERVED) < N_OBSERVED - n_known[:, None]] = np.nan
    tensors = model_input_from_observed(observed, N_OBSERVED)
    future = packed[:, N_OBSERVED : N_OBSERVED + N_PREDICTED] - last[:, None]
    return SceneBatch(
        torch.from_numpy(tensors.observed),
        torch.from_numpy(tensors.mask),
        torch.from_numpy(future.astype(np.float32)),
        torch.from_numpy(scene),
    )


def batches(
    positions: Sequence[FloatArray],
    scenes_per_batch: int,
    generator: np.random.Generator,
    augmentation: Augmentation | None = None,
    short_history_share: float = 0.0,
) -> Iterator[SceneBatch]:
    """Yields the batches of one epoch, in random order, from scenes of (A, 20, 2) metres.

    A share of the agents has only 2 to 7 known steps, like people who have just appeared.
    """
    order = generator.permutation(len(positions))
    for start in range(0, len(order), scenes_per_batch):
        chosen = [positions[index] for index in order[start : start + scenes_per_batch]]
        if augmentation is not None:
            chosen = augmentation(chosen, generator)
        n_known = None
        if short_history_share > 0:
            n_agents = sum(len(agents) for agents in chosen)
            short = generator.random(n_agents) < short_history_share
            n_known = np.where(short, generator.integers(2, N_OBSERVED, n_agents), N_OBSERVED)
        yield pack(chosen, n_known)


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
