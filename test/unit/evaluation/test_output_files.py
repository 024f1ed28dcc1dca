"""Files that any reader can read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from social_implicit_ros.evaluation.output_files import write_json, written_beside


def test_json_holds_null_where_a_figure_is_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_json({"models": {"m": {"nll": float("inf"), "kde": float("nan"), "ade": 0.5}}}, path)
    assert json.loads(path.read_text())["models"]["m"] == {"nll": None, "kde": None, "ade": 0.5}


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_json({"run": 1}, path)

    def fails() -> None:
        with written_beside(path) as file:
            file.write_text("half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fails()
    assert json.loads(path.read_text()) == {"run": 1}
    assert list(tmp_path.iterdir()) == [path]
