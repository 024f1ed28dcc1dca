"""Trains the shipped Social-Implicit models and writes their files, see docs/training.md."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from social_implicit_ros.training.export import save_model
from social_implicit_ros.training.social_implicit import trainer
from social_implicit_ros.training.social_implicit.graph import social_implicit_graph
from social_implicit_ros.training.social_implicit.losses import WEIGHTS
from social_implicit_ros.training.social_implicit.model import SocialImplicit, used_parameters
from social_implicit_ros.training.splits import ROBOT_SPLIT, load_split, load_test, split_recordings
from social_implicit_ros.types import FloatArray

ARCHITECTURE = "social_implicit"
#: Hyperparameters, chosen on the validation scenes, see docs/training.md.
SETTINGS = trainer.Settings()
#: For the robot model: people around a robot have often just come into view.
ROBOT_SHORT_HISTORY_SHARE = 0.2
#: Noise sequence of the model files, see `models.noise`.
NOISE_SEQUENCE = "sobol"


def train_split(
    data: Path,
    split: str,
    out: Path,
    *,
    seed: int,
    epochs: int | None = None,
    on_epoch: Callable[[trainer.Epoch], None] = lambda epoch: None,
) -> tuple[Path, trainer.Epoch]:
    """Trains one model, and writes its file and card below `out`.

    Args:
        data: folder that contains `eth_ucy/` and `eth_true_rate/`.
        split: one of `training.splits.SPLITS`.
        out: an existing folder.
        seed: seed of all random numbers.
        epochs: passes over the data; by default those of `SETTINGS`.
        on_epoch: called after each epoch.

    Returns:
        The path of the file, and the epoch whose weights it has.
    """
    training, validation = load_split(data, split)
    settings = dataclasses.replace(
        SETTINGS,
        seed=seed,
        epochs=epochs or SETTINGS.epochs,
        short_history_share=ROBOT_SHORT_HISTORY_SHARE if split == ROBOT_SPLIT else 0.0,
    )
    torch.manual_seed(settings.seed)
    model = SocialImplicit()
    best = trainer.train(model, training, validation, settings, on_epoch=on_epoch)
    name = ARCHITECTURE if split == ROBOT_SPLIT else f"{ARCHITECTURE}_{split}"
    path = out / f"{name}.onnx"
    purpose = (
        "For robots: trained on all recordings, ETH at its true rate."
        if split == ROBOT_SPLIT
        else f"For the benchmark: {split} is left out of training and validation."
    )
    given = "" if epochs is None else f" --epochs {epochs}"
    save_model(
        social_implicit_graph(model),
        path,
        architecture=ARCHITECTURE,
        description="Social-Implicit as in Mohamed et al., ECCV 2022, zones by maximum observed "
        f"speed. {purpose}",
        parameters=used_parameters(model),
        noise_sequence=NOISE_SEQUENCE,
        training={
            "command": f"train_benchmark --split {split} --seed {seed}{given} --data DIR --out DIR",
            **_provenance(split, {"training": training, "validation": validation}, settings, best),
        },
        metrics=_metrics(model, data, split, validation),
    )
    return path, best


def _provenance(
    split: str,
    parts: Mapping[str, Sequence[FloatArray]],
    settings: trainer.Settings,
    best: trainer.Epoch,
) -> dict[str, Any]:
    """What the model was trained on, and how."""
    return {
        "split": split,
        "recordings": list(split_recordings(split)),
        "scenes": {part: len(scenes) for part, scenes in parts.items()},
        "agents": {part: sum(map(len, scenes)) for part, scenes in parts.items()},
        "settings": dataclasses.asdict(settings),
        "loss": "nearest of K samples of a scene (IMLE), plus Social-Loss",
        "loss_weights": WEIGHTS,
        "augmentation": "one of seven per scene, as in the paper",
        "chosen_epoch": best.number,
        "torch": torch.__version__,
    }


def _metrics(
    model: SocialImplicit, data: Path, split: str, validation: Sequence[FloatArray]
) -> dict[str, Any]:
    """Best-of-20 errors, rounded to 0.1 mm, with the noise sequence of the file and others."""

    def errors(scenes: Sequence[FloatArray], sequence: str, n_known: int | None = None) -> Any:
        found = trainer.accuracy(model, scenes, noise_sequence=sequence, n_known=n_known)
        return {name: round(value, 4) for name, value in dataclasses.asdict(found).items()}

    scenes = {"validation": validation}
    if split != ROBOT_SPLIT:
        scenes["test"] = load_test(data, split)
    metrics: dict[str, Any] = {
        part: {sequence: errors(found, sequence) for sequence in (NOISE_SEQUENCE, "independent")}
        for part, found in scenes.items()
    }
    metrics["validation_2_observed"] = {NOISE_SEQUENCE: errors(validation, NOISE_SEQUENCE, 2)}
    return metrics
