"""Trains a model of the default's architecture further on the people of one place.

A place has few recordings, so the weights are held near those that the model began with (L2-SP,
Li et al., "Explicit Inductive Bias for Transfer Learning with Convolutional Networks", ICML 2018),
the head of the spread is left alone, and the step is kept whose validation loss is lowest, the
zeroth included.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from social_implicit_ros.training.social_zone.evaluate import Accuracy, accuracy
from social_implicit_ros.training.social_zone.fit import (
    Agents,
    FitSettings,
    augment,
    nearest_future_loss,
    negative_log_likelihood,
)
from social_implicit_ros.training.social_zone.model import N_OBSERVED, SocialZone


@dataclass(frozen=True)
class TuneSettings:
    """How to train further; chosen on the validation parts of five recordings.

    Attributes:
        iterations: optimiser steps at most.
        learning_rate: at the start; falls along a half cosine.
        anchor_agents: the weights that it began with count as much as so many training agents.
        look_every: iterations between two looks at the validation part.
        patience: looks without a lower validation loss before it stops.
        trusts: shares of the learnt correction to walking straight on that are tried beside the
            present one: people of the place itself may be trusted further than strangers.
        augmentation: how training agents are varied, and the weights of the two losses.
    """

    iterations: int = 400
    learning_rate: float = 1e-3
    anchor_agents: float = 100.0
    look_every: int = 10
    patience: int = 10
    trusts: tuple[float, ...] = (0.6, 0.8, 1.0)
    augmentation: FitSettings = field(default_factory=FitSettings)


@dataclass(frozen=True)
class Look:
    """What the model was worth on the validation part after some iterations."""

    iteration: int
    loss: float
    accuracy: Accuracy


@dataclass(frozen=True, eq=False)
class Tuned:
    """A model and how it came about.

    Attributes:
        model: with the weights of the best look; where that is the first, the model that it began
            with.
        curve: every look, in order; the first is the model that it began with.
        best: the look whose weights it has.
    """

    model: SocialZone
    curve: tuple[Look, ...]
    best: Look


def fine_tune(
    base: SocialZone,
    training: Agents,
    validation: Agents,
    *,
    seed: int,
    settings: TuneSettings | None = None,
    looked: Callable[[Look], None] = lambda look: None,
) -> Tuned:
    """Trains a copy of a model further.

    Args:
        base: the model to begin with; left as it is.
        training: to learn from.
        validation: decides which step is kept, and how far the mean is trusted.
        seed: of all draws.
        settings: of the training.
        looked: called after each look at the validation part, which are `look_every` iterations
            apart; the first is at none.
    """
    settings = settings or TuneSettings()
    torch.manual_seed(seed)
    model = copy.deepcopy(base).train()
    model.trust = 1.0  # while it learns
    # How often people do something unexpected, few cannot teach: after some who stood throughout,
    # nobody who stands would be expected to walk. Calibration sets the spread instead.
    model.spread.requires_grad_(False)
    anchor = [weights.detach().clone() for weights in model.parameters()]
    pull = settings.anchor_agents / len(training)
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    curve = [_look(0, model, base.trust, validation, settings)]
    looked(curve[0])
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
            curve.append(_look(iteration, model, base.trust, validation, settings))
            looked(curve[-1])
            if curve[-1].loss < best.loss:
                best, weights = curve[-1], copy.deepcopy(model.state_dict())
            elif iteration - best.iteration >= settings.patience * settings.look_every:
                break
    model.load_state_dict(weights)
    model.requires_grad_(True)
    model.trust = base.trust
    if best.iteration:
        model.trust = _best_trust(model, (base.trust, *settings.trusts), validation)
    return Tuned(model.eval(), tuple(curve), best)


def _loss(
    model: SocialZone, agents: Agents, mask: torch.Tensor, settings: TuneSettings
) -> torch.Tensor:
    """What the model was trained with, in the end."""
    fit = settings.augmentation
    forecast = model(agents.observed, mask, agents.neighbours)
    return fit.likelihood_weight * negative_log_likelihood(
        model, forecast, agents.future
    ) + nearest_future_loss(
        model,
        forecast,
        agents.future,
        softness_m=fit.softness_end_m,
        final_weight=fit.final_weight,
    )


@torch.no_grad()
def _look(
    iteration: int, model: SocialZone, trust: float, validation: Agents, settings: TuneSettings
) -> Look:
    loss = float(_loss(model, validation, torch.ones(len(validation), N_OBSERVED), settings))
    if not math.isfinite(loss):
        raise FloatingPointError(f"the validation loss is {loss} after {iteration} iterations")
    model.trust = trust
    found = accuracy(model, validation)
    model.trust = 1.0
    return Look(iteration, loss, found)


def _best_trust(model: SocialZone, trusts: tuple[float, ...], validation: Agents) -> float:
    """The trust whose expected paths are nearest to the truth; the first where it is a draw."""

    def error_m(trust: float) -> float:
        model.trust = trust
        return accuracy(model, validation).mean_ade_m

    return min(trusts, key=error_m)
