"""Fine-tunes a Social-Zone model on recordings of one place.

There are few recordings of a place. Therefore the weights are regularised towards those of the
base model (L2-SP, Li et al., "Explicit Inductive Bias for Transfer Learning with Convolutional
Networks", ICML 2018), the heads of spread and shares are frozen, and the iteration with the lowest
validation loss is kept, which may be the base model itself.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from social_implicit_ros.models.card import ModelCard
from social_implicit_ros.training.calibrate import calibrate, calibrate_from
from social_implicit_ros.training.social_zone.evaluate import Accuracy, accuracy, residuals
from social_implicit_ros.training.social_zone.file import save_social_zone
from social_implicit_ros.training.social_zone.fit import Agents, FitSettings, augment, training_loss
from social_implicit_ros.training.social_zone.model import N_OBSERVED, SocialZone
from social_implicit_ros.types import IntArray
from social_implicit_ros.uncertainty.calibration import Calibration


@dataclass(frozen=True)
class TuneSettings:
    """Hyperparameters of fine-tuning, chosen on the validation parts of five recordings.

    Attributes:
        iterations: maximum number of them.
        learning_rate: initial learning rate; it falls along a half cosine.
        anchor_agents: weight of the regularisation, in training agents.
        look_every: iterations between two evaluations on the validation part.
        patience: evaluations without a lower validation loss before training stops.
        trusts: shrinkage factors of the learnt correction that are tried besides the base model's.
        augmentation: settings of the augmentation and weights of the two losses.
    """

    iterations: int
    learning_rate: float = 1e-3
    anchor_agents: float = 100.0
    look_every: int = 10
    patience: int = 10
    trusts: tuple[float, ...] = (0.6, 0.8, 1.0)
    augmentation: FitSettings = field(default_factory=FitSettings)


@dataclass(frozen=True)
class Evaluation:
    """Evaluation on the validation part after some iterations."""

    iteration: int
    loss: float
    accuracy: Accuracy


@dataclass(frozen=True, eq=False)
class Tuned:
    """A fine-tuned model, its evaluations in order, the base model's first, and the best one."""

    model: SocialZone
    settings: TuneSettings
    curve: tuple[Evaluation, ...]
    best: Evaluation


def fine_tune(
    base: SocialZone,
    training: Agents,
    validation: Agents,
    seed: int,
    settings: TuneSettings,
    on_evaluation: Callable[[Evaluation], None] = lambda evaluation: None,
) -> Tuned:
    """Fine-tunes a copy; the validation part selects iteration and trust.

    `on_evaluation` is called for each evaluation, first for the base model (iteration 0).
    """
    torch.manual_seed(seed)
    model = copy.deepcopy(base).train()
    model.trust = 1.0  # in training
    # Rare events cannot be learnt from few people: if all standing people of a recording stay, the
    # model would no longer expect anybody to start walking. Calibration adapts the spread instead.
    model.spread.requires_grad_(False)
    model.shares.requires_grad_(False)
    anchor = [weights.detach().clone() for weights in model.parameters()]
    pull = settings.anchor_agents / len(training)
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    curve = [_evaluate(0, model, base.trust, validation, settings)]
    on_evaluation(curve[0])
    best, weights = curve[0], copy.deepcopy(model.state_dict())
    for iteration in range(1, settings.iterations + 1):
        progress = iteration / settings.iterations
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
        index = torch.randint(len(training), (settings.augmentation.batch,))
        batch, mask = augment(training.take(index), settings.augmentation)
        loss = _loss(model, batch, mask, settings)
        for now, before in zip(model.parameters(), anchor, strict=True):
            loss = loss + pull * ((now - before) ** 2).sum()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if iteration % settings.look_every == 0:
            curve.append(_evaluate(iteration, model, base.trust, validation, settings))
            on_evaluation(curve[-1])
            if curve[-1].loss < best.loss:
                best, weights = curve[-1], copy.deepcopy(model.state_dict())
            elif iteration - best.iteration >= settings.patience * settings.look_every:
                break
    model.load_state_dict(weights)
    model.requires_grad_(True)
    model.trust = base.trust
    if best.iteration:
        model.trust = _best_trust(model, (base.trust, *settings.trusts), validation)
    return Tuned(model.eval(), settings, tuple(curve), best)


def _loss(
    model: SocialZone, agents: Agents, mask: torch.Tensor, settings: TuneSettings
) -> torch.Tensor:
    """The loss at the end of the training of the base model."""
    fit = settings.augmentation
    mixture = model(agents.observed, mask, agents.neighbours)
    return training_loss(model, mixture, agents.future, fit, fit.softness_end_m)


@torch.no_grad()
def _evaluate(
    iteration: int, model: SocialZone, trust: float, validation: Agents, settings: TuneSettings
) -> Evaluation:
    loss = float(_loss(model, validation, torch.ones(len(validation), N_OBSERVED), settings))
    if not math.isfinite(loss):
        raise FloatingPointError(f"the validation loss is {loss} after {iteration} iterations")
    model.trust = trust
    found = accuracy(model, validation)
    model.trust = 1.0
    return Evaluation(iteration, loss, found)


def _best_trust(model: SocialZone, trusts: tuple[float, ...], validation: Agents) -> float:
    """The trust with the lowest error of the mean trajectory; the first of equals."""

    def error_m(trust: float) -> float:
        model.trust = trust
        return accuracy(model, validation).mean_ade_m

    return min(trusts, key=error_m)


def save_tuned(
    tuned: Tuned,
    path: Path,
    *,
    validation: Agents,
    people: IntArray,
    base: ModelCard,
    provenance: dict[str, Any],
) -> ModelCard:
    """Calibrates a model for (A,) people of the validation part and writes its file and card."""
    model = tuned.model
    found = residuals(model, validation)
    calibration = (
        calibrate_from(Calibration.from_dict(base.calibration), found, people)
        if base.calibration
        else calibrate(found)
    )
    return save_social_zone(
        model,
        path,
        validation=validation,
        calibration=calibration,
        training={
            **provenance,
            "base": {"name": base.name, "sha256": base.sha256},
            "weights": (
                f"of iteration {tuned.best.iteration}"
                if tuned.best.iteration
                else "of the base model: no iteration was better on the validation part"
            ),
            "settings": {**dataclasses.asdict(tuned.settings), "trust": model.trust},
            "validation_curve": [[entry.iteration, round(entry.loss, 5)] for entry in tuned.curve],
        },
        description=f"{base.name}, fine-tuned and calibrated on own recordings.",
        noise_sequence=base.noise_sequence,
        coupling=base.coupling,
    )
