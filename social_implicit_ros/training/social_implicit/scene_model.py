"""What trainer and tests want of every model here."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn


class SceneModel(nn.Module, ABC):
    """Predicts the futures of the agents of one scene, or of several packed ones.

    Attributes:
        noise_dimension: length of the noise vector of one sample and scene.
    """

    noise_dimension: int

    @abstractmethod
    def forward(
        self,
        observed: torch.Tensor,
        mask: torch.Tensor,
        noise: torch.Tensor,
        scene: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Predicts positions.

        Args:
            observed: (A, H, 2) positions in metres relative to each scene's centre, unknown
                leading steps filled in, see `core.features.ModelInput`.
            mask: (A, H) 1 where a step was observed.
            noise: (K, D) standard normal noise of one scene, or (K, A, D), equal within a scene.
            scene: (A,) scene of each agent, ascending from 0; one scene where left out. Scenes
                must not influence each other.

        Returns:
            (K, A, T, 2) positions in metres relative to each agent's last position.
        """
