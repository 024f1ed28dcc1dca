"""Trains Social-Implicit: a model for each split of the benchmark, and one for robots."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from social_implicit_ros.commands import options as opt
from social_implicit_ros.evaluation.terminal import progress_bar
from social_implicit_ros.training.export import save_model
from social_implicit_ros.training.social_implicit import trainer
from social_implicit_ros.training.social_implicit.data import (
    ROBOT_SPLIT,
    SPLITS,
    load_split,
    load_test,
    split_recordings,
)
from social_implicit_ros.training.social_implicit.graph import social_implicit_graph
from social_implicit_ros.training.social_implicit.losses import WEIGHTS
from social_implicit_ros.training.social_implicit.model import SocialImplicit, used_parameters
from social_implicit_ros.types import FloatArray

ARCHITECTURE = "social_implicit"
#: Hyperparameters, chosen on the validation scenes, see docs/training.md.
SETTINGS = trainer.Settings()
#: For the robot model: people around a robot have often just come into view.
ROBOT_SHORT_HISTORY_SHARE = 0.2
#: Noise sequence of the model files, see `models.noise`.
NOISE_SEQUENCE = "sobol"


@opt.reports_errors("train_benchmark")
def main(arguments: Sequence[str] | None = None) -> None:
    """Trains the models."""
    options = parse(arguments)
    opt.make_folder(options.out)
    # Small matrices gain nothing from a second thread, and one thread makes sums reproducible.
    torch.set_num_threads(1)
    console = Console()
    for split in options.split or SPLITS:
        console.print(f"wrote {train_split(split, options, console)}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with code 2 and a message on an error."""
    parser = argparse.ArgumentParser(prog="train_benchmark", description=__doc__)
    opt.add_training_options(parser, SPLITS)
    text = f"passes over the data (default: {SETTINGS.epochs})"
    parser.add_argument("--epochs", type=opt.positive_int, help=text)
    opt.add_out_option(parser, "output folder of the model files")
    return parser.parse_args(arguments)


def train_split(split: str, options: argparse.Namespace, console: Console) -> Path:
    """Trains one model and writes its file and card; returns the path of the file."""
    training, validation = load_split(options.data, split)
    settings = dataclasses.replace(
        SETTINGS,
        seed=options.seed,
        epochs=options.epochs or SETTINGS.epochs,
        short_history_share=ROBOT_SHORT_HISTORY_SHARE if split == ROBOT_SPLIT else 0.0,
    )
    torch.manual_seed(settings.seed)
    model = SocialImplicit()
    best = _train_with_progress(model, training, validation, settings, split, console)
    name = f"{ARCHITECTURE}_{split}"
    purpose = f"For the benchmark: {split} is left out of training and validation."
    if split == ROBOT_SPLIT:
        name, purpose = ARCHITECTURE, "For robots: trained on all recordings, ETH at its true rate."
    path = Path(options.out) / f"{name}.onnx"
    epochs = "" if options.epochs is None else f" --epochs {options.epochs}"
    parts = {"training": training, "validation": validation}
    save_model(
        social_implicit_graph(model),
        path,
        architecture=ARCHITECTURE,
        description="Social-Implicit as in Mohamed et al., ECCV 2022, zones by maximum observed "
        f"speed. {purpose}",
        parameters=used_parameters(model),
        noise_sequence=NOISE_SEQUENCE,
        training={
            "command": f"train_benchmark --split {split} --seed {settings.seed}{epochs} "
            "--data DIR --out DIR",
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
        },
        metrics=_metrics(model, options.data, split, validation),
    )
    return path


def _train_with_progress(
    model: SocialImplicit,
    training: Sequence[FloatArray],
    validation: Sequence[FloatArray],
    settings: trainer.Settings,
    split: str,
    console: Console,
) -> trainer.Epoch:
    with progress_bar(console) as progress:
        task = progress.add_task(split, total=settings.epochs)

        def show(epoch: trainer.Epoch) -> None:
            text = f"{split}: validation {_plain(epoch.validation)}"
            progress.update(task, advance=1, description=text)

        best = trainer.train(model, training, validation, settings, on_epoch=show)
    console.print(f"{split}: validation {_plain(best.validation)} after epoch {best.number}")
    return best


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


def _plain(errors: trainer.Accuracy) -> str:
    return f"{errors.ade_m:.3f} / {errors.fde_m:.3f} m"


if __name__ == "__main__":
    sys.exit(main())
