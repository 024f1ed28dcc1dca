"""Trains and calibrates the default model, or prints a table about its training."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from social_implicit_ros.commands.options import (
    add_training_options,
    make_folder,
    positive_int,
    reports_errors,
)
from social_implicit_ros.models.card import ModelCard
from social_implicit_ros.models.coupling import Coupling
from social_implicit_ros.recordings.text_formats.eth_ucy import LEAVE_ONE_OUT
from social_implicit_ros.training.calibrate import ANNOTATED, TRACKED, Residuals, calibrate
from social_implicit_ros.training.social_implicit.data import (
    ROBOT_FOLDER,
    ROBOT_SPLIT,
    SPLITS,
    load_recordings,
    load_robot_recordings,
    load_split,
    load_test,
)
from social_implicit_ros.training.social_zone.evaluate import (
    Accuracy,
    accuracy,
    residuals,
    with_tracker_noise,
)
from social_implicit_ros.training.social_zone.file import ARCHITECTURE, save_social_zone
from social_implicit_ros.training.social_zone.fit import FitSettings, agents_of_scenes, fit
from social_implicit_ros.training.social_zone.model import SocialZoneSizes, live_parameters

#: Chosen on the recordings of the benchmark: with these distances neither the mean error nor the
#: best of 20 changes by more than a millimetre or two.
COUPLING = Coupling(passing_m=0.42, apart_m=0.27)

#: Settings of the model for robots, chosen on robot recordings outside its training data. There,
#: people keep their speed more often than in the benchmark.
ROBOT_SETTINGS = FitSettings(trust=0.5, sharpness=1.5)

#: Ablation -> the model and training without one idea.
ABLATIONS: Mapping[str, tuple[SocialZoneSizes, FitSettings]] = {
    "the model": (SocialZoneSizes(), FitSettings()),
    "without neighbours": (SocialZoneSizes(social=0), FitSettings()),
    "extrapolation of the last step": (SocialZoneSizes(smooth_m=1e6), FitSettings()),
    "without tracker noise": (SocialZoneSizes(), FitSettings(jitter_m=0.0)),
    "without speed augmentation": (SocialZoneSizes(), FitSettings(speed_sigma=0.0)),
    "without mirroring": (SocialZoneSizes(), FitSettings(mirror=False)),
    "the full learnt mean (trust 1)": (SocialZoneSizes(), FitSettings(trust=1.0)),
    "straight trajectories (rank 1)": (SocialZoneSizes(rank=1, spread=2, reach=2), FitSettings()),
    "modes with little softness": (SocialZoneSizes(), FitSettings(softness_m=0.02)),
    "width 24 and 20": (SocialZoneSizes(hidden=24, encoded=20, reach=4), FitSettings()),
    "width 40 and 32": (SocialZoneSizes(hidden=40, encoded=32, reach=6), FitSettings()),
    "width 56 and 44": (SocialZoneSizes(hidden=56, encoded=44, reach=8), FitSettings()),
    "half of the training": (SocialZoneSizes(), FitSettings(iterations=3000)),
}


@reports_errors("train_social_zone")
def main(arguments: Sequence[str] | None = None) -> None:
    """Trains models or prints a table."""
    options = parse(arguments)
    # Small matrices gain nothing from a second thread, and one thread makes sums reproducible.
    torch.set_num_threads(1)
    console = Console()
    splits = options.split or LEAVE_ONE_OUT
    if options.ablation is not None:
        names = options.ablation or list(ABLATIONS)
        print_ablation(options.data, splits, options.seed, console, names)
    elif options.seeds:
        print_seeds(options.data, splits, options.seeds, console)
    else:
        make_folder(options.out)
        for split in options.split or SPLITS:
            card = train_split(options.data, split, options.seed, options.out)
            console.print(f"wrote {options.out / card.name}.onnx: {card.metrics}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parses the command line; exits with code 2 and a message on an error."""
    parser = argparse.ArgumentParser(prog="train_social_zone", description=__doc__)
    add_training_options(parser, SPLITS)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--out", type=Path, metavar="DIR", help="output folder of the model files")
    text = "print an ablation study on the validation scenes (default: of all changes)"
    task.add_argument("--ablation", nargs="*", choices=ABLATIONS, metavar="CHANGE", help=text)
    text = "print mean and standard deviation over N seeds on validation and test scenes"
    task.add_argument("--seeds", type=positive_int, metavar="N", help=text)
    options = parser.parse_args(arguments)
    if options.out is None and ROBOT_SPLIT in (options.split or ()):
        parser.error(
            f"--split {ROBOT_SPLIT} is only trained (--out): tables need leave-one-out splits"
        )
    return options


def train_split(data: Path, split: str, seed: int, out: Path) -> ModelCard:
    """Trains and calibrates one model and writes its file and card."""
    for_robots = split == ROBOT_SPLIT
    settings = ROBOT_SETTINGS if for_robots else FitSettings()
    parts = load_recordings(data, split)
    if for_robots:
        parts[ROBOT_FOLDER] = load_robot_recordings(data)
    training = agents_of_scenes([scene for part, _ in parts.values() for scene in part])
    validation = agents_of_scenes([scene for _, part in parts.values() for scene in part])
    model = fit(training, seed=seed, settings=settings)
    found = [
        residuals(model, with_tracker_noise(agents_of_scenes(part), seed))
        for name, (_, part) in parts.items()
        if part and name != ROBOT_FOLDER
    ]
    purpose = (
        "For robots: trained on all recordings and on THOR, ETH at its true rate."
        if for_robots
        else f"For the benchmark: {split} is left out of training and calibration."
    )
    name = ARCHITECTURE if for_robots else f"{ARCHITECTURE}_{split}"
    return save_social_zone(
        model,
        out / f"{name}.onnx",
        validation=validation,
        calibration=calibrate(Residuals.joined(found), TRACKED if for_robots else ANNOTATED),
        training={
            "command": f"train_social_zone --data DIR --split {split} --seed {seed} --out DIR",
            "split": split,
            "recordings": list(parts),
            "agents": {"training": len(training), "validation": len(validation)},
            "seed": seed,
            "settings": dataclasses.asdict(settings),
        },
        description=(
            "Trajectories in each agent's frame, low-rank in time: a mixture of 20 modes with "
            f"calibrated ellipses, coupled within a scene. {purpose}"
        ),
        noise_sequence="sobol",
        coupling=dataclasses.asdict(COUPLING),
    )


def print_ablation(
    data: Path, splits: Iterable[str], seed: int, console: Console, names: Sequence[str]
) -> None:
    """Prints an ablation study on the validation scenes of splits, on average."""
    table = Table("model", "parameters", "ADE / FDE", "mean trajectory", title="validation, metres")
    parts = {
        split: [agents_of_scenes(scenes) for scenes in load_split(data, split)] for split in splits
    }
    for name in names:
        sizes, settings = ABLATIONS[name]
        found = []
        for training, validation in parts.values():
            model = fit(training, seed=seed, settings=settings, sizes=sizes)
            found.append(accuracy(model, validation))
        table.add_row(name, str(live_parameters(model)), *_plain(_averaged(found)))
    console.print(table)


def print_seeds(data: Path, splits: Iterable[str], n_seeds: int, console: Console) -> None:
    """Prints mean and standard deviation over seeds, per split and on average."""
    table = Table(
        "scenes", "split", "ADE / FDE", "mean trajectory", title=f"{n_seeds} seeds, metres"
    )
    runs: dict[str, dict[str, list[Accuracy]]] = {"validation": {}, "test": {}}
    for split in splits:
        training, validation = (agents_of_scenes(scenes) for scenes in load_split(data, split))
        test = agents_of_scenes(load_test(data, split))
        for seed in range(n_seeds):
            model = fit(training, seed=seed)
            for part, agents in (("validation", validation), ("test", test)):
                runs[part].setdefault(split, []).append(accuracy(model, agents))
    for part, found in runs.items():
        by_seed = zip(*found.values(), strict=True)
        found["average"] = [_averaged(accuracies) for accuracies in by_seed]
        for split, accuracies in found.items():
            spread = _aggregated(accuracies, np.std)
            cells = zip(_plain(_averaged(accuracies)), _plain(spread), strict=True)
            table.add_row(part, split, *(f"{mean} +- {deviation}" for mean, deviation in cells))
    console.print(table)


def _averaged(accuracies: Sequence[Accuracy]) -> Accuracy:
    return _aggregated(accuracies, np.mean)


def _aggregated(accuracies: Sequence[Accuracy], function: Callable[..., np.ndarray]) -> Accuracy:
    return Accuracy(*function([dataclasses.astuple(entry) for entry in accuracies], axis=0))


def _plain(errors: Accuracy) -> tuple[str, str]:
    return (
        f"{errors.ade_m:.3f} / {errors.fde_m:.3f}",
        f"{errors.mean_ade_m:.3f} / {errors.mean_fde_m:.3f}",
    )


if __name__ == "__main__":
    sys.exit(main())
