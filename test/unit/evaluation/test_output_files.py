"""Files that any reader can read."""

from __future__ import annotations

import json
from pathlib import Path

from social_implicit_ros.evaluation.output_files import write_json


def test_json_holds_null_where_a_figure_is_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_json({"models": {"m": {"nll": float("inf"), "kde": float("nan"), "ade": 0.5}}}, path)
    assert json.loads(path.read_text())["models"]["m"] == {"nll": None, "kde": None, "ade": 0.5}
