"""What to train and how, per architecture; everything here was chosen on the validation scenes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import onnx
import torch

from social_implicit_ros.training.augmentation import augment
from social_implicit_ros.training.data import Augmentation, SceneBatch
from social_implicit_ros.training.losses import LossWeights, social_implicit_losses
from social_implicit_ros.training.scene_model import SceneModel
from social_implicit_ros.training.social_implicit import SocialImplicit, used_parameters
from social_implicit_ros.training.social_implicit_graph import social_implicit_graph
from social_implicit_ros.training.trainer import Loss, Settings


@dataclass(frozen=True)
class Recipe:
    """One architecture.

    Attributes:
        architecture: name, and stem of the model files.
        description: one sentence for people.
        model: makes an untrained model.
        graph: makes the ONNX graph of a trained one.
        parameters: counts the parameters that can change the output.
        loss: what to minimise.
        settings: how to train, for the benchmark.
        robot_short_history_share: instead of the settings' for the robot model, since robots also
            meet people who have just come into view.
        augmentation: changes the training scenes.
        noise_sequence: draws of the model file, see `core.noise`.
        notes: goes into the model card, for whoever wants to make the file again.
    """

    architecture: str
    description: str
    model: Callable[[], SceneModel]
    graph: Callable[[Any], onnx.ModelProto]
    parameters: Callable[[Any], int]
    loss: Loss
    settings: Settings
    robot_short_history_share: float
    augmentation: Augmentation | None = None
    noise_sequence: str = "independent"
    notes: dict[str, Any] = field(default_factory=dict)


_WEIGHTS = LossWeights()


def _social_implicit_loss(predicted: torch.Tensor, batch: SceneBatch) -> torch.Tensor:
    return social_implicit_losses(predicted, batch.future, batch.scene).total(_WEIGHTS)


SOCIAL_IMPLICIT = Recipe(
    architecture="social_implicit",
    description="Social-Implicit as in Mohamed et al., ECCV 2022; zones by maximum observed speed.",
    model=SocialImplicit,
    graph=social_implicit_graph,
    parameters=used_parameters,
    loss=_social_implicit_loss,
    settings=Settings(),
    robot_short_history_share=0.2,
    augmentation=augment,
    notes={
        "loss": "nearest of K samples of a scene (IMLE), plus Social-Loss",
        "loss_weights": vars(_WEIGHTS),
        "augmentation": "one of seven per scene, as in the paper",
    },
)

RECIPES = {recipe.architecture: recipe for recipe in (SOCIAL_IMPLICIT,)}
