"""Calibrates a fine-tuned model on the validation part and writes its file."""

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
from social_implicit_ros.uncertainty.calibration import Calibration


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
    """Calibrates a model and writes its file and card.

    Args:
        tuned: the fine-tuned model.
        path: output path, ending in `.onnx`.
        validation: data for the calibration.
        people: (A,) number of the person of each validation agent.
        sample_floor_m: standard deviation added to the samples, of the base model.
        settings: hyperparameters.
        base: card of the base model.
        provenance: further entries of the card's `training`: command, recordings, counts, seed.

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
        description=f"{base.name}, fine-tuned and calibrated on own recordings.",
        parameters=live_parameters(model),
        noise_sequence=base.noise_sequence,
        interaction_range_m=model.sizes.social_range_m,
        training={
            **provenance,
            "base": {"name": base.name, "sha256": base.sha256},
            "weights": (
                f"of iteration {tuned.best.iteration}"
                if tuned.best.iteration
                else "of the base model: no iteration was better on the validation part"
            ),
            "settings": {**dataclasses.asdict(settings), "trust": model.trust},
            "validation_curve": [[entry.iteration, round(entry.loss, 5)] for entry in tuned.curve],
            "sizes": dataclasses.asdict(model.sizes),
            "sample_floor_m": sample_floor_m,
            "torch": torch.__version__,
        },
        metrics={"validation": dataclasses.asdict(accuracy(model, validation))},
        calibration=calibration.to_dict(),
    )
