"""Trains Social-Implicit by IMLE and keeps the epoch with the lowest validation error."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from social_implicit_ros.metrics.displacement import best_of_n
from social_implicit_ros.models.noise import standard_normal
from social_implicit_ros.training.social_implicit.augmentation import augment
from social_implicit_ros.training.social_implicit.data import SceneBatch, batches, pack
from social_implicit_ros.training.social_implicit.losses import (
    rank_samples,
    social_implicit_losses,
    total_loss,
)
from social_implicit_ros.training.social_implicit.model import SocialImplicit
from social_implicit_ros.types import FloatArray

#: Samples of best-of-K errors, as in the benchmark.
ACCURACY_SAMPLES = 20
#: Scenes that are evaluated at once; limits the memory.
_SCENES_PER_BATCH = 256


@dataclass(frozen=True)
class Settings:
    """Hyperparameters of the training.

    Attributes:
        learning_rate: maximum learning rate of Adam; it rises over the first tenth of the steps,
            then falls along a cosine (one cycle).
        n_samples: samples of which the nearest is trained (K).
        short_history_share: share of agents with fewer than 8 known steps.
    """

    seed: int = 0
    epochs: int = 40
    learning_rate: float = 0.01
    scenes_per_batch: int = 32
    n_samples: int = 40
    short_history_share: float = 0.0


@dataclass(frozen=True)
class Accuracy:
    """Average and final displacement error, best of 20, averaged over agents, metres."""

    ade_m: float
    fde_m: float

    @property
    def total_m(self) -> float:
        """ADE plus FDE, metres, by which the epoch is chosen."""
        return self.ade_m + self.fde_m


@dataclass(frozen=True)
class Epoch:
    """A finished epoch, counted from 1: mean loss of its batches, accuracy in validation."""

    number: int
    training_loss: float
    validation: Accuracy


def train(
    model: SocialImplicit,
    training: Sequence[FloatArray],
    validation: Sequence[FloatArray],
    settings: Settings,
    *,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Epoch:
    """Trains a model in place; it ends with the weights of the epoch it returns.

    Equal seed, scenes and number of threads give equal weights. The epoch has the lowest ADE plus
    FDE in validation. Scenes are (A, 20, 2) positions in metres.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    generator = np.random.default_rng(settings.seed)
    noise_generator = torch.Generator().manual_seed(settings.seed)
    n_batches = math.ceil(len(training) / settings.scenes_per_batch)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.epochs * n_batches, pct_start=0.1
    )
    best: Epoch | None = None
    best_state = model.state_dict()
    for number in range(1, settings.epochs + 1):
        model.train()
        losses = []
        share, n_scenes = settings.short_history_share, settings.scenes_per_batch
        for batch in batches(training, n_scenes, generator, augment, share):
            shape = settings.n_samples, batch.n_scenes, model.noise_dimension
            noise = torch.randn(*shape, generator=noise_generator)
            predicted = _predict(model, batch, decisive_noise(model, batch, noise))
            value = total_loss(social_implicit_losses(predicted, batch.future, batch.scene))
            if not torch.isfinite(value):
                raise FloatingPointError(
                    f"the loss is {value.item()} in epoch {number}; lower the learning rate"
                )
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            losses.append(value.item())
        epoch = Epoch(number, float(np.mean(losses)), accuracy(model, validation))
        if best is None or epoch.validation.total_m < best.validation.total_m:
            best, best_state = epoch, copy.deepcopy(model.state_dict())
        on_epoch(epoch)
    model.load_state_dict(best_state)
    assert best is not None
    return best


def decisive_noise(model: SocialImplicit, batch: SceneBatch, noise: torch.Tensor) -> torch.Tensor:
    """(K, scenes, D) noise -> (3, scenes, D), that of the nearest, second and farthest sample.

    The losses use only these samples, so only these are predicted with a gradient.
    """
    with torch.no_grad():
        rank = rank_samples(_predict(model, batch, noise), batch.future, batch.scene)
    return noise[rank[:, [0, 1, -1]].T, torch.arange(batch.n_scenes)]


def accuracy(
    model: SocialImplicit,
    scenes: Sequence[FloatArray],
    *,
    noise_sequence: str = "independent",
    seed: int = 0,
    n_known: int | None = None,
) -> Accuracy:
    """Best-of-20 errors of a model on scenes, each with its own draws.

    Args:
        model: the model.
        scenes: (A, 20, 2) positions in metres of each scene.
        noise_sequence: see `models.noise`.
        seed: random seed of the draws.
        n_known: number of known observed steps, 2 to 8; all if left out.
    """
    model.eval()
    seeds = np.random.SeedSequence(seed).generate_state(len(scenes))
    errors = []
    for start in range(0, len(scenes), _SCENES_PER_BATCH):
        chosen = scenes[start : start + _SCENES_PER_BATCH]
        n_agents = sum(len(agents) for agents in chosen)
        batch = pack(chosen, None if n_known is None else np.full(n_agents, n_known))
        draws = [
            standard_normal(ACCURACY_SAMPLES, model.noise_dimension, int(one), noise_sequence)
            for one in seeds[start : start + len(chosen)]
        ]
        with torch.no_grad():
            predicted = _predict(model, batch, torch.from_numpy(np.stack(draws, axis=1)))
        errors.append(best_of_n(predicted.double().numpy(), batch.future.double().numpy()))
    ade, fde = (np.concatenate(parts) for parts in zip(*errors, strict=True))
    return Accuracy(float(ade.mean()), float(fde.mean()))


def _predict(model: SocialImplicit, batch: SceneBatch, noise: torch.Tensor) -> torch.Tensor:
    """Predicts with (K, scenes, D) noise."""
    predicted: torch.Tensor = model(batch.observed, batch.mask, noise[:, batch.scene], batch.scene)
    return predicted
