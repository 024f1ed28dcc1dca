"""`train_benchmark`: trains the leave-one-out models and the robot model, writes model files."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from social_implicit_ros.core.types import FloatArray
from social_implicit_ros.training.data import (
    ROBOT_SPLIT,
    SPLITS,
    load_split,
    load_test,
    split_recordings,
)
from social_implicit_ros.training.export import save_model
from social_implicit_ros.training.recipes import RECIPES, Recipe
from social_implicit_ros.training.scene_model import SceneModel
from social_implicit_ros.training.trainer import Accuracy, Epoch, Settings, accuracy, train

#: Where the recordings lie when --data is left out.
DATA_VARIABLE = "SOCIAL_IMPLICIT_DATA"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 2 where the request cannot be met."""
    options = parse(arguments)
    # Matrices this small gain nothing from a second thread, and one thread sums in one order.
    torch.set_num_threads(1)
    recipe = RECIPES[options.model]
    console = Console()
    try:
        for split in options.split or SPLITS:
            path = train_split(recipe, options.data, split, options, console)
            console.print(f"wrote {path}")
    except (ValueError, FloatingPointError, OSError) as error:
        print(f"train_benchmark: {error}", file=sys.stderr)
        return 2
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line; exits with code 2 and a message where it is wrong."""
    parser = argparse.ArgumentParser(prog="train_benchmark", description=__doc__)
    default_data = os.environ.get(DATA_VARIABLE)
    parser.add_argument(
        "--data",
        type=Path,
        default=default_data,
        required=default_data is None,
        metavar="DIR",
        help=f"folder with eth_ucy/ and eth_true_rate/ (default: ${DATA_VARIABLE})",
    )
    parser.add_argument(
        "--split",
        action="append",
        choices=SPLITS,
        help="train this model only; may be repeated (default: all)",
    )
    parser.add_argument(
        "--model", choices=tuple(RECIPES), default="social_implicit", help="the architecture"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything drawn (default: 0)")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for the model files"
    )
    return parser.parse_args(arguments)


def train_split(
    recipe: Recipe, data: Path, split: str, options: argparse.Namespace, console: Console
) -> Path:
    """Trains one model and writes its file and card.

    Returns:
        The model file.
    """
    training, validation = load_split(data, split)
    settings = dataclasses.replace(
        recipe.settings,
        seed=options.seed,
        epochs=options.epochs or recipe.settings.epochs,
        short_history_share=(
            recipe.robot_short_history_share
            if split == ROBOT_SPLIT
            else recipe.settings.short_history_share
        ),
    )
    torch.manual_seed(settings.seed)
    model = recipe.model()
    best = _train_with_progress(recipe, model, training, validation, settings, split, console)
    name = recipe.architecture if split == ROBOT_SPLIT else f"{recipe.architecture}_{split}"
    path = Path(options.out) / f"{name}.onnx"
    save_model(
        recipe.graph(model),
        path,
        architecture=recipe.architecture,
        description=f"{recipe.description} {_purpose(split)}",
        parameters=recipe.parameters(model),
        noise_sequence=recipe.noise_sequence,
        training=_provenance(recipe, settings, split, training, validation, best, options),
        metrics=_metrics(recipe, model, data, split, validation),
    )
    return path


def _train_with_progress(
    recipe: Recipe,
    model: SceneModel,
    training: Sequence[FloatArray],
    validation: Sequence[FloatArray],
    settings: Settings,
    split: str,
    console: Console,
) -> Epoch:
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(split, total=settings.epochs)

        def show(epoch: Epoch) -> None:
            text = _plain(epoch.validation)
            progress.update(task, advance=1, description=f"{split}: validation {text}")

        best = train(
            model,
            training,
            validation,
            recipe.loss,
            settings,
            augmentation=recipe.augmentation,
            on_epoch=show,
        )
    console.print(f"{split}: validation {_plain(best.validation)} after epoch {best.number}")
    return best


def _purpose(split: str) -> str:
    if split == ROBOT_SPLIT:
        return "For robots: trained on all recordings, ETH at its true rate."
    return f"For the benchmark: {split} is left out of training and validation."


def _provenance(
    recipe: Recipe,
    settings: Settings,
    split: str,
    training: Sequence[FloatArray],
    validation: Sequence[FloatArray],
    best: Epoch,
    options: argparse.Namespace,
) -> dict[str, Any]:
    command = (
        f"train_benchmark --model {recipe.architecture} --split {split} --seed {settings.seed}"
    )
    if options.epochs is not None:
        command += f" --epochs {options.epochs}"
    return {
        "command": f"{command} --data DIR --out DIR",
        "split": split,
        "recordings": list(split_recordings(split)),
        "scenes": {"training": len(training), "validation": len(validation)},
        "agents": {
            "training": sum(len(scene) for scene in training),
            "validation": sum(len(scene) for scene in validation),
        },
        "settings": dataclasses.asdict(settings),
        **recipe.notes,
        "chosen_epoch": best.number,
        "torch": torch.__version__,
    }


def _metrics(
    recipe: Recipe,
    model: SceneModel,
    data: Path,
    split: str,
    validation: Sequence[FloatArray],
) -> dict[str, Any]:
    """Best-of-20 errors with the file's own draws, and with independent ones."""
    sequences = dict.fromkeys((recipe.noise_sequence, "independent"))
    scenes = {"validation": validation}
    if split != ROBOT_SPLIT:
        scenes["test"] = load_test(data, split)
    metrics: dict[str, Any] = {
        part: {
            sequence: dataclasses.asdict(accuracy(model, found, noise_sequence=sequence))
            for sequence in sequences
        }
        for part, found in scenes.items()
    }
    metrics["validation_2_observed"] = {
        recipe.noise_sequence: dataclasses.asdict(
            accuracy(model, validation, noise_sequence=recipe.noise_sequence, n_known=2)
        )
    }
    return metrics


def _plain(errors: Accuracy) -> str:
    return f"{errors.ade_m:.3f} / {errors.fde_m:.3f} m"
