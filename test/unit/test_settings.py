"""Every parameter is declared once; the parameter file and the documentation print its row."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from social_implicit_ros.output_settings import CostmapOptions
from social_implicit_ros.parameter_spec import ParameterError, Settings
from social_implicit_ros.settings import PARAMETERS, NodeConfig, PipelineConfig, PredictorConfig

ROOT = Path(__file__).parents[2]
YAML = ROOT / "config" / "predictor.yaml"
WRITTEN = ("config/predictor.yaml", "docs/parameters.md")
DEFAULTS: dict[str, Any] = {spec.name: spec.default for spec in PARAMETERS}


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    names: dict[str, Any] = {}
    for name, value in values.items():
        names.update(
            flat(value, f"{prefix}{name}.")
            if isinstance(value, dict)
            else {f"{prefix}{name}": value}
        )
    return names


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the script wrote its files."""
    root: Path = tmp_path_factory.mktemp("root")
    for path in WRITTEN:
        (root / path).parent.mkdir()
    script = ROOT / "scripts" / "write_parameters.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, script, root], check=True, env=environment)
    return root


@pytest.mark.parametrize("path", WRITTEN)
def test_the_shipped_file_is_what_the_script_writes(written: Path, path: str) -> None:
    hint = "run scripts/write_parameters.py"
    assert (ROOT / path).read_text() == (written / path).read_text(), hint


def test_the_shipped_yaml_holds_every_parameter_with_its_default() -> None:
    held = flat(yaml.safe_load(YAML.read_text())["/**"]["ros__parameters"])
    expected = {n: list(v) if isinstance(v, tuple) else v for n, v in DEFAULTS.items()}
    assert held == expected
    assert {n: type(v) for n, v in held.items()} == {n: type(v) for n, v in expected.items()}


def test_the_shipped_yaml_marks_what_takes_effect_at_configure() -> None:
    # A comment is about the parameter that follows it, up to the next empty line.
    marked = set()
    for block in YAML.read_text().split("\n\n"):
        if "[configure]\n" in block:
            marked.add(block.rstrip().splitlines()[-1].strip().partition(":")[0])
    assert marked == {spec.name for spec in PARAMETERS if spec.needs_configure}


def test_no_ros_is_needed_to_read_the_rows() -> None:
    program = "import sys, social_implicit_ros.settings; print('rclpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize("spec", PARAMETERS, ids=lambda spec: spec.name)
def test_every_default_is_valid(spec: Any) -> None:
    assert spec.check(spec.default) == spec.default


@pytest.mark.parametrize(
    ("group", "change", "message"),
    [
        (NodeConfig, {"confidence_levels": ()}, "confidence_levels is an empty list"),
        (CostmapOptions, {"size_m": 500.0}, r"costmap\.size_m is 500\.0, expected a value from"),
        (PipelineConfig, {"n_samples": 0}, "n_samples is 0, expected a value from 1 to 1000"),
        *(
            (PredictorConfig, {"fixed_frame": text}, "fixed_frame is .* at most 4096 printable")
            for text in ("\ud800", "a\0b", "a\x1b[2J", "x" * 5000)
        ),
    ],
)
def test_a_group_checks_its_fields_wherever_it_is_made(
    group: type[Settings], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        replace(group(), **change)


def test_parameters_without_a_value_have_their_defaults() -> None:
    assert NodeConfig.from_values({}) == NodeConfig() == NodeConfig.from_values(DEFAULTS)
    assert NodeConfig.from_values({"costmap.end_s": 3.0}).costmap.end_s == 3.0
