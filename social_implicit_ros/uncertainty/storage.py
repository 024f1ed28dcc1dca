"""Saves the state of an adaptive calibration to a file, and loads it at the next start."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from social_implicit_ros.uncertainty.adaptive import EDGES, SPEEDS_M_S, Learnt
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES
from social_implicit_ros.untrusted_files import UnusableFileError, load_json, short_text

#: Version of the file format.
FORMAT = 2
#: Maximum size of a valid file.
MAX_BYTES = 1_000_000
#: Maximum number of loaded scores per class and step, so that a minute at a new site outweighs what
#: was learned at another, and a forged file cannot make ellipses vanish.
MAX_LOADED_SCORES = 300.0


class CalibrationFileError(ValueError):
    """The file is invalid; the message names the reason."""


@dataclass(frozen=True)
class AdaptedModel:
    """The model whose ellipses are adapted; the state is valid for this model only.

    Attributes:
        name: name of the model.
        fingerprint: hash of its file and card, which changes when the model is trained or
            calibrated again. Empty for a baseline, which has no file.
        n_steps: predicted steps.
    """

    name: str
    fingerprint: str
    n_steps: int


def save_learnt(path: Path, learnt: Learnt, model: AdaptedModel) -> None:
    """Writes the file atomically and creates its folder.

    The file is not synchronised to the disk, which may take longer than a tick. A file that is
    damaged by a power failure is rejected by `load_learnt`.

    Raises:
        OSError: the file cannot be written; an existing file does not change.
    """
    text = json.dumps(
        {
            **_layout(model),
            "seconds": np.round(learnt.seconds, 1).tolist(),
            "shift": np.round(learnt.shift, 4).tolist(),
            "scores": np.round(learnt.scores, 3).tolist(),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two nodes that share a file must not write to the same temporary file.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def load_learnt(path: Path, model: AdaptedModel) -> Learnt:
    """Reads and checks the file.

    The file is not trusted, so its values are bounded: scores weigh at most `MAX_LOADED_SCORES`,
    and levels are not shifted down. A class without scores has no shift.

    Raises:
        FileNotFoundError: there is no file.
        OSError: it cannot be read.
        CalibrationFileError: it is damaged, of another model or format, or out of bounds.
    """
    try:
        values = load_json(path, MAX_BYTES)
    except UnusableFileError as error:
        raise _refused(path, str(error)) from error
    if not isinstance(values, dict):
        raise _refused(path, f"it contains {type(values).__name__}, expected an object")
    if values.get("model") == model.name and values.get("fingerprint") != model.fingerprint:
        raise _refused(
            path,
            f"{model.name} was trained or calibrated since (fingerprint "
            f"{short_text(values.get('fingerprint'))}, not {model.fingerprint})",
        )
    for name, expected in _layout(model).items():
        if values.get(name) != expected:
            raise _refused(path, f"its {name} is {short_text(values.get(name))}, not {expected}")
    try:
        learnt = Learnt(*(np.array(values[field.name], np.float64) for field in fields(Learnt)))
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise _refused(path, f"{type(error).__name__}: {error}") from error
    if learnt.scores.shape[1] != model.n_steps:
        raise _refused(path, f"it has {learnt.scores.shape[1]} steps, not {model.n_steps}")
    n_scores = learnt.scores.sum(axis=-1, keepdims=True)
    kept = np.minimum(1.0, MAX_LOADED_SCORES / np.maximum(n_scores, 1.0))
    shift = np.where(n_scores > 0.0, np.maximum(learnt.shift, 0.0), 0.0)
    return Learnt(learnt.scores * kept, shift, learnt.seconds)


def _layout(model: AdaptedModel) -> dict[str, Any]:
    """The entries that must agree for a file to be valid."""
    return {
        "format": FORMAT,
        "model": model.name,
        "fingerprint": model.fingerprint,
        "steps": model.n_steps,
        "confidences": list(CONFIDENCES),
        "speeds_m_s": list(SPEEDS_M_S),
        "bins": [round(float(EDGES[0]), 6), round(float(EDGES[-1]), 6), len(EDGES)],
    }


def _refused(path: Path, why: str) -> CalibrationFileError:
    return CalibrationFileError(
        f"{path} is ignored: {why}. The calibration starts from the model card"
    )
