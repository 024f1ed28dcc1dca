"""A saved state is loaded unchanged, or rejected with a reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from social_implicit_ros.uncertainty.adaptive import (
    EDGES,
    MAX_SECONDS,
    MAX_SHIFT,
    AdaptiveCalibration,
    Learnt,
)
from social_implicit_ros.uncertainty.ellipses import CONFIDENCES, GAUSSIAN_RADII
from social_implicit_ros.uncertainty.storage import (
    MAX_BYTES,
    MAX_LOADED_SCORES,
    AdaptedModel,
    CalibrationFileError,
    load_learnt,
    save_learnt,
)

MODEL = AdaptedModel("social_zone", "5" * 64, 3)


def learnt_of(n_steps: int = 3, per_bin: float = 1.0) -> Learnt:
    rng = np.random.default_rng(1)
    scores = per_bin * rng.uniform(0.0, 1.0, (2, n_steps, len(EDGES) + 1))
    shift = rng.uniform(0.0, 1.0, (2, n_steps, len(CONFIDENCES)))
    return Learnt(scores, shift, np.array([321.5, 5.0]))


def test_a_saved_state_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "robot.json"
    saved = learnt_of()
    save_learnt(path, saved, MODEL)
    loaded = load_learnt(path, MODEL)
    np.testing.assert_allclose(loaded.scores, saved.scores, atol=1e-3)
    np.testing.assert_allclose(loaded.shift, saved.shift, atol=1e-4)
    np.testing.assert_array_equal(loaded.seconds, saved.seconds)
    assert [entry.name for entry in path.parent.iterdir()] == ["robot.json"]


def test_minutes_at_a_new_site_outweigh_hours_at_another(tmp_path: Path) -> None:
    path = tmp_path / "robot.json"
    save_learnt(path, learnt_of(per_bin=1e4), MODEL)
    scores = load_learnt(path, MODEL).scores
    np.testing.assert_allclose(scores.sum(axis=2), MAX_LOADED_SCORES)


def test_a_forged_file_does_not_make_ellipses_vanish(tmp_path: Path) -> None:
    path = tmp_path / "robot.json"
    scores = np.zeros_like(learnt_of().scores)
    scores[..., 0] = 1e300  # every error was 0
    lowest = np.full(learnt_of().shift.shape, -MAX_SHIFT)
    save_learnt(path, Learnt(scores, lowest, np.array([MAX_SECONDS, MAX_SECONDS])), MODEL)
    loaded = AdaptiveCalibration(3)
    loaded.restore(load_learnt(path, MODEL))
    index = CONFIDENCES.index(0.95)
    assert (loaded.radii[..., index] > 0.6 * GAUSSIAN_RADII[index]).all()


def test_a_class_without_scores_begins_as_the_model(tmp_path: Path) -> None:
    path = tmp_path / "robot.json"
    saved = learnt_of()
    saved.scores[1] = 0.0
    save_learnt(path, saved, MODEL)
    adaptive = AdaptiveCalibration(3)
    adaptive.restore(load_learnt(path, MODEL))
    np.testing.assert_array_equal(adaptive.radii[1], AdaptiveCalibration(3).radii[1])


def test_a_failed_write_keeps_the_existing_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "robot.json"
    save_learnt(path, learnt_of(), MODEL)
    before = path.read_bytes()

    def full(self: Path, *args: Any, **kwargs: Any) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        save_learnt(path, learnt_of(per_bin=2.0), MODEL)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_file_and_an_invalid_one_raise_different_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_learnt(tmp_path / "robot.json", MODEL)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\xfe",
        b"[" * 5000,
        b"[]",
        b"null",
        b"{}",
        b'{"format": 1}',
        b" " * (MAX_BYTES + 1),
    ],
    ids=["empty", "bytes", "deep", "list", "null", "object", "half", "large"],
)
def test_a_damaged_file_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "robot.json"
    path.write_bytes(content)
    with pytest.raises(CalibrationFileError, match=r"robot\.json is ignored: "):
        load_learnt(path, MODEL)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("format", 1, "its format is 1, not 2"),
        ("format", 3, "its format is 3, not 2"),
        ("model", "other", "its model is 'other', not social_zone"),
        ("fingerprint", "6" * 64, "social_zone was trained or calibrated since"),
        ("fingerprint", None, "social_zone was trained or calibrated since"),
        ("steps", 4, "its steps is 4, not 3"),
        ("confidences", [0.5], "its confidences"),
        ("speeds_m_s", [0.0], "its speeds_m_s"),
        ("bins", "x" * 500, r"its bins is 'x{79}\.\.\., not"),
        ("shift", [[0.0]], "Learnt.shift"),
        ("shift", [[[2 * MAX_SHIFT] * len(CONFIDENCES)] * 3] * 2, "Learnt.shift"),
        ("scores", [[1.0], [1.0, 2.0]], "ValueError"),
        ("scores", "many", "ValueError"),
        ("seconds", int("9" * 401), "an integer of 401 digits"),
        ("scores", [[[int("9" * 401)]]], "an integer of 401 digits"),
        ("scores", [[["9" * 401]]], "Learnt.scores|OverflowError|ValueError"),
        ("seconds", [None, 0], "TypeError|Learnt.seconds"),
        ("seconds", [-4, 0], "Learnt.seconds"),
        ("seconds", [0, 1e300], "Learnt.seconds"),
        ("seconds", 4, "Learnt.seconds"),
    ],
)
def test_a_file_with_other_values_is_refused_with_the_reason(
    tmp_path: Path, name: str, value: object, message: str
) -> None:
    path = tmp_path / "robot.json"
    save_learnt(path, learnt_of(), MODEL)
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(CalibrationFileError, match=message):
        load_learnt(path, MODEL)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1"])
def test_an_invalid_count_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "robot.json"
    save_learnt(path, Learnt.nothing(3), MODEL)
    path.write_text(path.read_text().replace('"scores": [[[0.0', f'"scores": [[[{value}'))
    with pytest.raises(CalibrationFileError, match=r"Learnt\.scores"):
        load_learnt(path, MODEL)


def test_a_file_whose_arrays_have_other_steps_than_it_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "robot.json"
    save_learnt(path, learnt_of(4), replace(MODEL, n_steps=4))
    path.write_text(json.dumps({**json.loads(path.read_text()), "steps": 3}))
    with pytest.raises(CalibrationFileError, match="it has 4 steps, not 3"):
        load_learnt(path, MODEL)
