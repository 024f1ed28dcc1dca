"""docs/own_model.md: its code exports a model that `make_card` accepts and the library runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch: make test-training")

from social_implicit_ros.commands.own_models import make_card
from social_implicit_ros.models.registry import load_model

PAGE = Path(__file__).parents[2] / "docs" / "own_model.md"


def test_the_page_leads_from_torch_to_a_prediction(tmp_path: Path) -> None:
    export = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0]
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", export],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert make_card([str(tmp_path / "my.onnx"), "--step-s", "0.4"]) == 0
    prediction = load_model(tmp_path / "my.onnx").predict(np.zeros((5, 8, 2)), n_samples=7)
    assert prediction.samples.shape == (7, 5, 12, 2)
