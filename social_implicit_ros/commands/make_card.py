"""`make_card`: writes the model card of an ONNX model of one's own, and tries the model."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path

import numpy as np

from social_implicit_ros.models.card import ModelCard
from social_implicit_ros.models.onnx_model import (
    MAX_FILE_BYTES,
    ModelFileError,
    OnnxModel,
    open_session,
)
from social_implicit_ros.untrusted_files import read_file

#: People in the trial.
_N_WALKERS = 20


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns 0, or 1 if the model cannot be used."""
    arguments = _parser().parse_args(argv)
    card_path = arguments.file.with_suffix(".json")
    try:
        if card_path.exists() and not arguments.overwrite:
            raise ModelFileError(f"{card_path} exists: give --overwrite to replace it")
        model = _model_of(arguments)
        duration_ms = _try(model)
        model.card.save(card_path)
    except (OSError, ValueError) as error:
        print(f"make_card: {error}", file=sys.stderr)
        return 1
    card = model.card
    print(
        f"{card_path}: {card.n_observed} observed and {card.n_predicted} predicted steps of "
        f"{card.step_s:g} s; {_N_WALKERS} people take {duration_ms:.1f} ms\n"
        f"Start the node with model:={arguments.file.resolve()}"
    )
    return 0


def _model_of(arguments: argparse.Namespace) -> OnnxModel:
    """The model with its card: what the file says, and what the user adds."""
    data = read_file(arguments.file, MAX_FILE_BYTES)
    session = open_session(data, arguments.file)
    shapes = {
        entry.name: list(entry.shape) for entry in (*session.get_inputs(), *session.get_outputs())
    }
    card = ModelCard(
        name=arguments.name or arguments.file.stem,
        architecture=arguments.architecture,
        description=arguments.description,
        sha256=hashlib.sha256(data).hexdigest(),
        parameters=arguments.parameters,
        step_s=arguments.step_s or _asked_step_s(),
        n_observed=_length(shapes, "observed", 1, "(A, H, 2)"),
        n_predicted=_length(shapes, "samples", 2, "(K, A, T, 2)"),
    )
    return OnnxModel(session, card)


def _length(shapes: dict[str, list[object]], name: str, axis: int, expected: str) -> int:
    """The length of a fixed axis of a tensor."""
    shape = shapes.get(name)
    if shape is None:
        raise ModelFileError(
            f"the model has the tensors {', '.join(shapes)}, expected one named {name}: name it "
            "when you export (input_names and output_names)"
        )
    length = shape[axis] if axis < len(shape) else None
    if not isinstance(length, int):
        raise ModelFileError(
            f"{name} has shape {shape}, expected {expected} with a number at place {axis}: leave "
            "only A and K dynamic when you export (dynamic_axes or dynamic_shapes)"
        )
    return length


def _asked_step_s() -> float:
    if not sys.stdin.isatty():
        raise ModelFileError("give the time between two steps of the model with --step-s")
    return float(input("Time between two steps of the model in seconds, such as 0.4: "))


def _try(model: OnnxModel) -> float:
    """Predicts walkers; returns the milliseconds of the second prediction.

    Raises:
        ModelFileError: the model fails, or its outputs are not finite.
    """
    steps_m = np.arange(model.n_observed)[:, None] * np.array([model.step_s, 0.0])
    places_m = np.random.default_rng(0).uniform(-10.0, 10.0, (_N_WALKERS, 1, 2))
    observed = places_m + steps_m
    model.predict(observed)
    started = time.perf_counter()
    samples = model.predict(observed).samples
    duration_ms = (time.perf_counter() - started) * 1e3
    if not np.isfinite(samples).all():
        raise ModelFileError(
            f"model {model.name!r} predicts numbers that are not finite for people who walk at "
            "1 m/s: check its weights"
        )
    return duration_ms


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make_card",
        description="Writes the model card beside an ONNX model, so that the node can use it, and "
        "tries the model. docs/own_model.md leads from PyTorch to RViz.",
    )
    parser.add_argument("file", type=Path, metavar="MODEL.onnx", help="the model")
    parser.add_argument(
        "--step-s", type=float, help="seconds between two steps; asked for where left out"
    )
    parser.add_argument("--name", default="", help="default: the name of the file")
    parser.add_argument("--architecture", default="custom", help="default: %(default)s")
    parser.add_argument("--description", default="", help="one sentence for users")
    parser.add_argument("--parameters", type=int, default=0, help="number of trained parameters")
    parser.add_argument("--overwrite", action="store_true", help="replace the card if it exists")
    return parser


if __name__ == "__main__":
    sys.exit(main())
