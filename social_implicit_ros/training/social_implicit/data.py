"""Scenes for training and validation -> packed tensors.

A batch packs the agents of several scenes along one axis; `SceneBatch.scene` is the scene of each
agent, so that a model keeps the scenes apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from social_implicit_ros.models.features import model_input_from_observed
from social_implicit_ros.recordings.text_formats.eth_ucy import N_OBSERVED, N_PREDICTED
from social_implicit_ros.types import FloatArray, IntArray

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
