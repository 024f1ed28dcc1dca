import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from social_implicit_ros.models.card import ModelCard, file_sha256, load_card

CARD = ModelCard(
    name="walker",
    architecture="social_implicit",
    description="For tests.",
    sha256="0" * 64,
    parameters=5836,
    step_s=0.4,
    n_observed=8,
    n_predicted=12,
    training={"seed": 3},
    metrics={"test": {"ade_m": 0.25}},
)


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "walker.json"
    path.write_text(json.dumps({**dataclasses.asdict(CARD), **changes}))
    return path


def test_a_saved_card_loads_equal(tmp_path: Path) -> None:
    path = tmp_path / "walker.json"
    CARD.save(path)

    assert load_card(path) == CARD


def test_the_fingerprint_covers_what_affects_predictions() -> None:
    """Not descriptions and metrics, but a later calibration."""
    described_otherwise = dataclasses.replace(CARD, description="Other.", metrics={})
    assert described_otherwise.fingerprint == CARD.fingerprint
    for changes in ({"sha256": "1" * 64}, {"calibration": {"a": 1}}, {"noise_sequence": "sobol"}):
        assert dataclasses.replace(CARD, **changes).fingerprint != CARD.fingerprint


def test_missing_optional_fields_take_their_defaults(tmp_path: Path) -> None:
    values = dataclasses.asdict(CARD)
    for name in ("noise_sequence", "training", "metrics", "calibration", "format"):
        del values[name]
    path = tmp_path / "walker.json"
    path.write_text(json.dumps(values))

    card = load_card(path)

    assert (card.noise_sequence, card.calibration, card.format) == ("independent", {}, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format is 2"),
        ({"step_s": 1e300}, r"step_s is 1e\+300, expected a value from 0.01 to 60"),
        ({"step_s": int("9" * 400)}, "an integer of 400 digits"),
        ({"parameters": 10**15}, "parameters is 1000000000000000, expected"),
        ({"interaction_range_m": 1e300}, "interaction_range_m is"),
        ({"name": "n" * 201}, "name has 201 characters"),
        *(
            ({"name": name}, "expected printable")
            for name in ("", " ", "\ud800", "a\x1b[2J", "a\nb")
        ),
        ({"architecture": "a\u202eb"}, "expected printable"),
        ({"description": "a\x07"}, "expected printable"),
        ({"noise_sequence": "n" * 5000}, r"noise_sequence is 'n{79}\.\.\., expected"),
        ({"noise_sequence": "halton"}, "noise_sequence is 'halton'"),
        ({"step_s": 0}, "step_s is 0"),
        ({"step_s": -0.4}, "step_s is -0.4"),
        ({"step_s": float("nan")}, "step_s is nan"),
        ({"step_s": float("inf")}, "step_s is inf"),
        ({"step_s": "0.4"}, "step_s is '0.4', expected int or float"),
        ({"n_observed": 0}, "n_observed is 0"),
        ({"n_predicted": 1001}, "n_predicted is 1001"),
        ({"n_predicted": 12.0}, "n_predicted is 12.0, expected int"),
        ({"n_predicted": True}, "n_predicted is True, expected int"),
        ({"parameters": -1}, "parameters is -1"),
        ({"parameters": None}, "parameters is None, expected int"),
        ({"sha256": 5}, "sha256 is 5, expected str"),
        ({"training": []}, r"training is \[\], expected dict"),
        ({"weights": 1}, "unknown key 'weights': remove it, or write the card again"),
    ],
)
def test_a_bad_field_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path, **changes)

    with pytest.raises(ValueError, match=message) as caught:
        load_card(path)
    assert str(path) in str(caught.value)


def test_missing_fields_are_named(tmp_path: Path) -> None:
    values = dataclasses.asdict(CARD)
    del values["sha256"], values["step_s"]
    path = tmp_path / "walker.json"
    path.write_text(json.dumps(values))

    with pytest.raises(ValueError, match=r"walker.json lacks sha256, step_s: write the card again"):
        load_card(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b'{"name": "wal', "not JSON"),
        (b"\xff\xfe\x00\x01", "not JSON"),
        (b"[1, 2]", "is a list"),
        (b"null", "is a NoneType"),
    ],
)
def test_a_file_that_is_not_a_card_is_rejected(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "walker.json"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=message):
        load_card(path)


def test_the_checksum_is_that_of_the_files_bytes(tmp_path: Path) -> None:
    path = tmp_path / "walker.onnx"
    path.write_bytes(b"abc")

    assert file_sha256(path) == hashlib.sha256(b"abc").hexdigest()
