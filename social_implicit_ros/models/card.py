"""The model card beside every model file: contract, provenance, metrics and calibration."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from social_implicit_ros.untrusted_files import load_json, short_text

#: Version of the card's layout.
CARD_FORMAT = 1
#: Larger files are rejected before they are read.
MAX_CARD_BYTES = 1024 * 1024

#: Field -> its type, as JSON files are not typed.
_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "architecture", "description", "sha256", "noise_sequence"), str),
    **dict.fromkeys(("parameters", "n_observed", "n_predicted", "format"), int),
    "step_s": (int, float),
    "interaction_range_m": (int, float, type(None)),
    **dict.fromkeys(("training", "metrics", "calibration", "coupling"), dict),
}
#: Number -> its range.
_RANGES: dict[str, tuple[float, float]] = {
    "parameters": (0, 1e12),
    "step_s": (0.01, 60.0),
    "n_observed": (1, 1000),
    "n_predicted": (1, 1000),
    "interaction_range_m": (0.0, 1e7),
}
#: Maximum length of a name, in characters.
MAX_NAME = 200
_MAX_CHARACTERS = {"name": MAX_NAME, "architecture": 200, "description": 10_000, "sha256": 64}


@dataclass(frozen=True)
class ModelCard:
    """A model card, stored as JSON beside `<name>.onnx`.

    Attributes:
        sha256: checksum of the ONNX file.
        parameters: number of trainable parameters that affect the output.
        noise_sequence: `independent` or `sobol`, see `models.noise`.
        interaction_range_m: agents farther away than this do not affect a prediction, metres; null
            if unknown or unlimited.
        training: data, seed, command and settings: everything needed to train the model again.
        calibration: see `Calibration.from_dict`; empty if the model is not calibrated.
        coupling: the fields of `coupling.Coupling`; empty if the agents are not coupled.
    """

    name: str
    architecture: str
    description: str
    sha256: str
    parameters: int
    step_s: float
    n_observed: int
    n_predicted: int
    noise_sequence: str = "independent"
    interaction_range_m: float | None = None
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    coupling: dict[str, Any] = field(default_factory=dict)
    format: int = CARD_FORMAT

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            # bool is a subclass of int.
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(
                    f"ModelCard.{name} is {short_text(value)}, expected {_plain(kind)}"
                )
        if self.format != CARD_FORMAT:
            raise ValueError(f"ModelCard.format is {self.format}, expected {CARD_FORMAT}")
        if self.noise_sequence not in ("independent", "sobol"):
            raise ValueError(
                f"ModelCard.noise_sequence is {short_text(self.noise_sequence)}, "
                "expected 'independent' or 'sobol'"
            )
        for name, (low, high) in _RANGES.items():
            number = getattr(self, name)
            if number is not None and not low <= number <= high:
                raise ValueError(
                    f"ModelCard.{name} is {short_text(number)}, expected a value from {low:g} "
                    f"to {high:g}"
                )
        for name, longest in _MAX_CHARACTERS.items():
            text = getattr(self, name)
            if len(text) > longest:
                raise ValueError(
                    f"ModelCard.{name} has {len(text)} characters, expected at most {longest}"
                )
            # These texts are shown in messages, terminals and web pages.
            line = text.replace("\n", "") if name == "description" else text
            if not line.isprintable() or (name == "name" and not text.strip()):
                raise ValueError(
                    f"ModelCard.{name} is {short_text(text)}, expected printable characters"
                )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that affects predictions: the file and fields of the card."""
        content = [self.sha256, self.step_s, self.noise_sequence, self.calibration]
        content += [self.coupling] if self.coupling else []
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Writes the card as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")


def _plain(kind: type | tuple[type, ...]) -> str:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(one.__name__ for one in kinds)


def load_card(path: Path) -> ModelCard:
    """Reads a card.

    Raises:
        OSError: the file cannot be read.
        ValueError: not JSON, or a field that is missing, unknown, of a wrong type or out of range.
    """
    try:
        values = load_json(path, MAX_CARD_BYTES)
    except ValueError as error:
        raise ValueError(f"model card {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"model card {path} is a {type(values).__name__}, expected an object")
    unknown = sorted(set(values) - {entry.name for entry in fields(ModelCard)})
    if unknown:
        raise ValueError(
            f"model card {path} has the unknown key {short_text(unknown[0])}: remove it, or write "
            "the card again with make_card --overwrite"
        )
    missing = [
        entry.name
        for entry in fields(ModelCard)
        if entry.default is entry.default_factory is MISSING and entry.name not in values
    ]
    if missing:
        raise ValueError(
            f"model card {path} lacks {', '.join(missing)}: write the card again with make_card "
            "--overwrite"
        )
    try:
        return ModelCard(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"model card {path}: {error}") from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal text."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
