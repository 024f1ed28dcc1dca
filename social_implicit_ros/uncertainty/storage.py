"""What an adaptive calibration has learnt, in a file that the next run begins with."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from social_implicit_ros.uncertainty.adaptive import EDGES, SPEEDS_M_S, Learnt
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES

#: Version of the file's layout, and of what its numbers mean.
FORMAT = 1
#: A file that is larger is none of ours.
MAX_BYTES = 1_000_000
#: Loaded scores count as at most so many for each step, so that minutes at a new site outweigh
#: what was learnt at another.
MAX_LOADED_SCORES = 1000.0


class CalibrationFileError(ValueError):
    """A file that cannot be used; the message says why and how to mend it."""


@dataclass(frozen=True)
class AdaptedModel:
    """The model whose ellipses are adapted: what is learnt of one is wrong for any other.

    Attributes:
        name: of the model.
        fingerprint: of its file and card; a model that was trained or calibrated again has another
            one. Empty for a baseline, which has no file.
        n_steps: that it predicts.
    """

    name: str
    fingerprint: str
    n_steps: int


def save_learnt(path: Path, learnt: Learnt, model: AdaptedModel) -> None:
    """Writes the file at once or not at all, and makes its folder.

    It is not forced to the disk, which may take a robot's card longer than a tick: a file that
    lost its power is refused by `load_learnt`, and learnt again.

    Args:
        path: of the file.
        learnt: what to write.
        model: whose predictions were judged.

    Raises:
        OSError: it cannot be written; what was there before is left as it is.
    """
    text = json.dumps(
        {
            **_layout(model),
            "seconds": round(learnt.seconds, 1),
            "shift": np.round(learnt.shift, 4).tolist(),
            "scores": np.round(learnt.scores, 3).tolist(),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two nodes that share a file must not share this one.
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


def load_learnt(path: Path, model: AdaptedModel) -> Learnt:
    """Reads and checks the file.

    Args:
        path: of the file.
        model: that will be adapted.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read.
        CalibrationFileError: damaged, of another model or layout, or with values out of bounds.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise _refused(path, f"it has more than {MAX_BYTES} bytes")
    try:
        values = json.loads(content)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _refused(path, f"it is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise _refused(path, f"it holds {type(values).__name__}, expected an object")
    if values.get("model") == model.name and values.get("fingerprint") != model.fingerprint:
        raise _refused(
            path,
            f"it was learnt with another {model.name}, and this one was trained or calibrated "
            f"since (fingerprint {_short(values.get('fingerprint'))}, not {model.fingerprint})",
        )
    for name, expected in _layout(model).items():
        if values.get(name) != expected:
            raise _refused(path, f"its {name} is {_short(values.get(name))}, not {expected}")
    try:
        scores, shift = (np.array(values[name], dtype=np.float64) for name in ("scores", "shift"))
        learnt = Learnt(scores, shift, float(values["seconds"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _refused(path, f"{type(error).__name__}: {error}") from error
    if learnt.scores.shape[1] != model.n_steps:
        raise _refused(path, f"it has {learnt.scores.shape[1]} steps, not {model.n_steps}")
    n_scores = learnt.scores.sum(axis=(0, 2), keepdims=True)
    kept = np.minimum(1.0, MAX_LOADED_SCORES / np.maximum(n_scores, 1.0))
    return Learnt(learnt.scores * kept, learnt.shift, learnt.seconds)


def _layout(model: AdaptedModel) -> dict[str, Any]:
    """What must be the same for the numbers to mean the same."""
    return {
        "format": FORMAT,
        "model": model.name,
        "fingerprint": model.fingerprint,
        "steps": model.n_steps,
        "confidences": list(CONFIDENCES),
        "speeds_m_s": list(SPEEDS_M_S),
        "bins": [round(float(EDGES[0]), 6), round(float(EDGES[-1]), 6), len(EDGES)],
    }


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _refused(path: Path, why: str) -> CalibrationFileError:
    return CalibrationFileError(f"{path} is not used: {why}. Ellipses are learnt anew")
