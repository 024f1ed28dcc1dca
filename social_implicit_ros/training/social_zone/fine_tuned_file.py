"""Writes a model that was trained further, calibrated on the people who chose it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from social_implicit_ros.models.card import ModelCard
from social_implicit_ros.training.calibrate import calibrate
from social_implicit_ros.training.export import save_model
from social_implicit_ros.training.site_calibration import calibrate_from
from social_implicit_ros.training.social_zone.evaluate import accuracy, residuals
from social_implicit_ros.training.social_zone.file import ARCHITECTURE
from social_implicit_ros.training.social_zone.fine_tune import Tuned, TuneSettings
from social_implicit_ros.training.social_zone.fit import Agents
from social_implicit_ros.training.social_zone.graph import social_zone_graph
from social_implicit_ros.training.social_zone.model import live_parameters
from social_implicit_ros.types import IntArray
from social_implicit_ros.uncertainty.ellipses import Calibration


def save_tuned(
    tuned: Tuned,
    path: Path,
    *,
    validation: Agents,
    people: IntArray,
    sample_floor_m: float,
    settings: TuneSettings,
    base: ModelCard,
    provenance: dict[str, Any],
) -> ModelCard:
    """Calibrates a model, and writes its file and card.

    Args:
        tuned: the model, and how it came about.
        path: where to write, ending in `.onnx`.
        validation: to calibrate on.
        people: (A,) which of the validation agents are the same person.
        sample_floor_m: of the model that it began with.
        settings: of the training.
        base: card of the model that it began with.
        provenance: what else the card says of the training: command, recordings, counts, seed.

    Returns:
        The card.
    """
    model = tuned.model
    found = residuals(model, validation)
    calibration = (
        calibrate_from(Calibration.from_dict(base.calibration), found, people)
        if base.calibration
        else calibrate(found)
    )
    return save_model(
        social_zone_graph(model, sample_floor_m=sample_floor_m),
        path,
        architecture=ARCHITECTURE,
        description=f"{base.name}, trained further and calibrated on recordings of one's own.",
        parameters=live_parameters(model),
        noise_sequence=base.noise_sequence,
        interaction_range_m=model.sizes.social_range_m,
        training={
            **provenance,
            "base": {"name": base.name, "sha256": base.sha256},
            "weights": (
                f"of iteration {tuned.best.iteration}"
                if tuned.best.iteration
                else "of the base: no step of the training was better on the validation part"
            ),
            "settings": {**dataclasses.asdict(settings), "trust": model.trust},
            "validation_curve": [[look.iteration, round(look.loss, 5)] for look in tuned.curve],
            "sizes": dataclasses.asdict(model.sizes),
            "sample_floor_m": sample_floor_m,
            "torch": torch.__version__,
        },
        metrics={"validation": dataclasses.asdict(accuracy(model, validation))},
        calibration=calibration.to_dict(),
    )
