"""`make_card` and `import_checkpoint`: make models of others usable by the node."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from social_implicit_ros.commands.entry_points import reports_errors
from social_implicit_ros.commands.options import duration_s, non_negative_float
from social_implicit_ros.models.card import ModelCard, file_sha256
from social_implicit_ros.models.model_file import MAX_FILE_BYTES, ModelFileError, open_session
from social_implicit_ros.models.onnx_model import OnnxModel
from social_implicit_ros.untrusted_files import read_file

#: People in the test prediction: not the number of samples, so that swapped axes are detected.
_N_PEOPLE = 30


@reports_errors("make_card")
def make_card(arguments: Sequence[str] | None = None) -> None:
    """Writes the card if the model works."""
    options = _parser().parse_args(arguments)
    if not options.file.is_file():
        raise ModelFileError(f"{options.file} is not a file: give the .onnx file of the model")
    card_path = options.file.with_suffix(".json")
    if card_path.exists() and not options.overwrite:
        raise ModelFileError(f"{card_path} exists: give --overwrite to replace it")
    model = _model_of(options)
    duration_ms = _test(model)
    card = model.card
    card.save(card_path)
    print(
        f"{card_path}: {card.n_observed} observed and {card.n_predicted} predicted steps of "
        f"{card.step_s:g} s; {_N_PEOPLE} people take {duration_ms:.1f} ms\n"
        f"Start the node with model:={options.file.resolve()}"
    )


def _model_of(options: argparse.Namespace) -> OnnxModel:
    """The model with its card, filled from the file and the options."""
    data = read_file(options.file, MAX_FILE_BYTES)
    session = open_session(data, options.file)
    tensors = (*session.get_inputs(), *session.get_outputs())
    shapes = {entry.name: list(entry.shape) for entry in tensors}
    card = ModelCard(
        name=options.name or options.file.stem,
        architecture=options.architecture,
        description=options.description,
        sha256=hashlib.sha256(data).hexdigest(),
        parameters=options.parameters,
        step_s=options.step_s or _asked_step_s(),
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
            f"{name} has shape {shape}, expected {expected} with a fixed length of axis {axis}: "
            "leave only A and K dynamic when you export (dynamic_axes or dynamic_shapes)"
        )
    return length


def _asked_step_s() -> float:
    request = "give the time between two steps of the model with --step-s"
    if not sys.stdin.isatty():
        raise ModelFileError(request)
    try:
        return duration_s(input("Time between two steps of the model in seconds, such as 0.4: "))
    except (EOFError, argparse.ArgumentTypeError) as error:
        reason = f"{error}: " if str(error) else ""
        raise ModelFileError(f"{reason}{request}") from error


def _test(model: OnnxModel) -> float:
    """Predicts people, half of whom walk; returns the duration of the second prediction in ms."""
    steps_m = np.arange(model.n_observed)[:, None] * np.array([model.step_s, 0.0])
    places_m = np.random.default_rng(0).uniform(-10.0, 10.0, (_N_PEOPLE, 1, 2))
    is_walking = np.arange(_N_PEOPLE) % 2
    observed = places_m + steps_m * is_walking[:, None, None]
    with np.errstate(all="ignore"):
        model.predict(observed)
        started = time.perf_counter()
        samples = model.predict(observed).samples
    duration_ms = (time.perf_counter() - started) * 1e3
    if not np.isfinite(samples).all():
        raise ModelFileError(
            f"model {model.name!r} predicts numbers that are not finite for people who stand "
            "or walk at 1 m/s: check its weights, and divisions by zero"
        )
    return duration_ms


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make_card",
        description="Writes the model card beside an ONNX model, so that the node can use it, and "
        "tests the model. docs/own_model.md shows each step from PyTorch to RViz.",
    )
    add = parser.add_argument
    add("file", type=Path, metavar="MODEL.onnx", help="the model")
    add("--step-s", type=duration_s, help="seconds between two steps (default: asked for)")
    add("--name", default="", help="default: the name of the file")
    add("--architecture", default="custom", help="default: %(default)s")
    add("--description", default="", help="one sentence for users")
    add("--parameters", type=int, default=0, help="number of trained parameters")
    add("--overwrite", action="store_true", help="replace the card if it exists")
    return parser


@reports_errors("import_checkpoint")
def import_checkpoint(arguments: Sequence[str] | None = None) -> None:
    """Converts a checkpoint."""
    parser = argparse.ArgumentParser(
        prog="import_checkpoint",
        description="Converts a checkpoint of the released Social-Implicit code to a model file.",
    )
    add = parser.add_argument
    add("checkpoint", type=Path, help="path of a released val_best.pth")
    add("--out", type=Path, required=True, help="output path, ending in .onnx")
    text = (
        "scale of the noise in each zone (default: 0.05 1 4 8; the released eth checkpoint needs "
        "0.175 1.5 4 8)"
    )
    weights = (0.05, 1.0, 4.0, 8.0)
    kind = non_negative_float
    add("--noise-weights", type=kind, nargs=4, default=weights, metavar="W", help=text)
    options = parser.parse_args(arguments)
    # Not before the options are read: torch takes seconds.
    from social_implicit_ros.training.export import save_model
    from social_implicit_ros.training.social_implicit.graph import social_implicit_graph
    from social_implicit_ros.training.social_implicit.model import used_parameters
    from social_implicit_ros.training.social_implicit.released import read_released_checkpoint

    model = read_released_checkpoint(options.checkpoint, options.noise_weights)
    card = save_model(
        social_implicit_graph(model),
        options.out,
        architecture="social_implicit",
        description="Imported from a checkpoint of the released Social-Implicit code.",
        parameters=used_parameters(model),
        training={
            "checkpoint": options.checkpoint.name,
            "checkpoint_sha256": file_sha256(options.checkpoint),
            "noise_weights": list(options.noise_weights),
            "zones": "first observed displacement, always zero (as released)",
        },
    )
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"wrote {options.out}: {card.parameters} of {n_parameters} parameters are used")
